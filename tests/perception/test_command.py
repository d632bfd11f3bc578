"""Command lines are checked before any work: one sentence on stderr, exit code 2, a hint where a name is near."""

from __future__ import annotations

import subprocess
import sys

import pytest

from perception.command import Setting, parse, run
from perception.errors import InputError, WeightsError
from tests.perception.material import ROOT

SETTINGS = (Setting("images", str, "folder", required=True), Setting("batch", int, "size", 32, minimum=1),
            Setting("consent", bool, "agreed", False), Setting("fmr", float, "rate", 1e-3, minimum=0.0))


def test_values_are_typed_and_defaults_filled_in():
    assert parse(["images=a=b", "consent=TRUE", "fmr=1e-2"], SETTINGS) == {
        "images": "a=b", "consent": True, "fmr": 0.01, "batch": 32}


@pytest.mark.parametrize(("words", "sentence"), [
    (["image=x"], r"there is no setting image=; did you mean images=\?"),
    (["zzz=x"], "known names: images, batch, consent, fmr"),
    (["images"], "not of the form name=value"),
    (["images="], "images= is empty"),
    ([], "images= is missing"),
    (["images=x", "images=y"], "images= is given twice"),
    (["images=x", "batch=many"], "batch= must be a whole number, not 'many'"),
    (["images=x", "batch=0"], "batch= must be at least 1, not 0"),
    (["images=x", "fmr=nan"], "fmr= must be at least 0, not nan"),
    (["images=x", "consent=perhaps"], "consent= must be true or false"),
])
def test_a_wrong_word_is_named(words, sentence):
    with pytest.raises(InputError, match=sentence):
        parse(words, SETTINGS)


def test_exit_codes_are_0_1_2_and_130(capsys):
    def body(images: str, **_: object) -> None:
        if images == "weights":
            raise WeightsError("no weights")
        if images == "stop":
            raise KeyboardInterrupt

    codes = [run("x", "does x", SETTINGS, "x", body, [word]) for word in ("images=a", "images=weights", "oops=1", "images=stop")]
    assert codes == [0, 1, 2, 130]
    assert capsys.readouterr().err.splitlines()[:2] == ["error: no weights", "error: there is no setting oops=; "
                                                        "known names: images, batch, consent, fmr"]


@pytest.mark.parametrize("module", ["perception.extract", "perception.train_mask", "perception.evaluate", "perception.verify",
                                    "perception.identify", "perception.annotations", "perception.export"])
def test_help_loads_nothing_heavy_and_names_every_setting(module):
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", module, "--help"], cwd=ROOT, capture_output=True,
                          text=True, timeout=60)
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "facenet_pytorch", "pandas", "tensorflow", "cv2", "sklearn"}
    assert done.returncode == 0 and "usage: python -m " + module in done.stdout
    assert "weights=" in done.stdout or "format=" in done.stdout
    assert "(required)" in done.stdout or module == "perception.extract"  # which takes either of two


def test_importing_perception_imports_nothing_heavy():
    code = ("import sys, perception; from perception import labels, image_io, errors, command; "
            "print([m for m in ('torch', 'numpy.linalg', 'pandas', 'PIL', 'facenet_pytorch', 'h5py') if m in sys.modules])")
    bare = subprocess.run([sys.executable, "-c", "import sys, perception; print('numpy' in sys.modules)"], cwd=ROOT,
                          capture_output=True, text=True, timeout=30)
    assert bare.stdout.strip() == "False"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() in ("['numpy.linalg']", "[]"), done.stdout + done.stderr

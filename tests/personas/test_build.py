"""The commands: a planned gallery, truth beside it, whole files."""
from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from perception.features import EMOTIONS
from perception.personas import build, sheet
from perception.personas.plan import FIRST_SEED, plan_pictures
from perception.publish import publish


def test_the_plan_of_forty_persons_holds_1720_pictures_and_every_cell() -> None:
    plan = plan_pictures()
    assert len(plan) == 40 * (7 * (3 + 2) + 8) == 1720
    cells = Counter((p.person, p.emotion, p.mask) for p in plan if p.role == "camera")
    assert len(cells) == 40 * 7 * 2
    assert all(n == (2 if masked else 3) for (_, _, masked), n in cells.items())
    assert not any(p.mask for p in plan if p.role == "enrol")


def test_no_two_pictures_share_a_shot_and_no_seed_was_used_for_tuning() -> None:
    plan = plan_pictures()
    assert len({p.shot_seed for p in plan}) == len({p.image for p in plan}) == len(plan)
    assert FIRST_SEED % 40 == 0 and min(p.seed for p in plan) >= 20_000


def test_the_four_kinds_of_mask_are_used_equally_often_within_two_percent() -> None:
    kinds = Counter(p.mask_kind for p in plan_pictures() if p.mask)
    assert len(kinds) == 4 and max(kinds.values()) - min(kinds.values()) <= 0.02 * 560


def test_two_builds_of_one_person_are_equal_to_the_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert build.main([f"out={tmp_path / name}", "persons=1", "size=48", "first=40"]) == 0
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) == 44
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    labels = pd.read_csv(tmp_path / "a" / "labels.csv")
    assert list(labels.columns) == ["image", "person", "emotion", "mask", "role"]
    assert set(labels.emotion) == set(EMOTIONS) and labels["mask"].sum() == 14 and (labels.role == "enrol").sum() == 8
    assert all(Image.open(tmp_path / "a" / i).size == (48, 48) for i in labels.image)


@pytest.mark.parametrize("arguments, words", [
    ([], "out= is missing"), (["out=x", "sise=3"], "sise=.*size"), (["out=x", "first=-4"], "first=.*-4"),
    (["out=x", "persons=0"], "persons=.*at least 1"), (["out=x", "size=10"], "size=.*at least 48, not 10")])
def test_bad_settings_end_with_one_sentence_and_exit_code_2(
        arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    assert build.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and re.search(words, error)
    assert not list(tmp_path.rglob("*.webp"))


def test_a_file_that_fails_while_being_written_leaves_the_old_one_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "x.bin"
    publish(target, b"old")

    def fail(file) -> None:
        file.write(b"half")
        raise RuntimeError("disk gone")

    with pytest.raises(RuntimeError):
        publish(target, fail)
    assert target.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_an_unwritable_place_ends_with_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert build.main([f"out={tmp_path / 'file' / 'gallery'}", "persons=1", "size=48"]) == 1
    assert "error: " in capsys.readouterr().err


def test_the_contact_sheet_has_nine_looks_a_row(tmp_path: Path) -> None:
    assert sheet.main([f"out={tmp_path / 's.png'}", "first=40", "persons=2", "size=32"]) == 0
    assert Image.open(tmp_path / "s.png").size == (9 * 32, 2 * 32)
    assert np.asarray(Image.open(tmp_path / "s.png")).std() > 20
    assert sheet.main([f"out={tmp_path / 's.gif'}"]) == 2

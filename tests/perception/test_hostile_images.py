"""Every hostile image ends in face, no_face or unusable with a reason; memory stays bounded; the command ends with 0."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

from perception.features import read_features
from perception.image_io import Unusable, decode_image
from tests.perception.hostile import BOMBS, bomb_of, hostile_files
from tests.perception.material import ROOT

BUDGET = 40.0
"""Seconds of processor time after which the short run looks at no further file."""


def test_150_hostile_files_are_decoded_or_refused_with_a_reason(tmp_path):
    files = hostile_files(tmp_path / "in", 150)
    end = time.process_time() + BUDGET
    looked: Counter[str] = Counter()
    for file in files:
        result = decode_image(file)
        if isinstance(result, Unusable):
            assert result.reason and "\n" not in result.reason and len(result.reason) < 250, file
        else:
            assert result.pixels.dtype == np.uint8 and result.pixels.ndim == 3 and result.pixels.shape[2] == 3
            assert min(result.height, result.width) >= 32 and result.height * result.width <= 50_000_000
        looked[type(result).__name__] += 1
        if time.process_time() > end:
            break
    assert looked["DecodedImage"] >= 20 and looked["Unusable"] >= 20, looked


def test_no_bomb_of_any_format_is_decoded_and_none_costs_more_than_a_hundred_megabytes(tmp_path):
    for k in range(BOMBS):
        content, suffix = bomb_of(k, 30_000)
        (tmp_path / f"{k}{suffix}").write_bytes(content)
    code = (f"import resource, sys; sys.path.insert(0, {str(ROOT)!r})\n"
            "import numpy, PIL.Image, warnings\n"
            "from pathlib import Path\nfrom perception.image_io import decode_image, Unusable\n"
            "decode_image(b'')\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            f"for file in sorted(Path({str(tmp_path)!r}).iterdir()):\n"
            "    result = decode_image(file)\n"
            "    size = None if isinstance(result, Unusable) else result.width * result.height\n"
            "    assert size is None or size == 64 * 64, (file, size)\n"
            "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100


def test_a_file_whose_name_is_no_utf8_has_its_row(tmp_path, monkeypatch, blind_pipeline, capsys):
    import perception.pipeline
    from perception.extract import main

    monkeypatch.setattr(perception.pipeline, "FacePipeline", lambda weights, batch_size=32, emotion="combined": blind_pipeline)
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    with open(folder + b"/a\xff.jpg", "wb") as file:
        file.write(b"<html>")
    assert main([f"images={tmp_path}/in", f"out={tmp_path}/f.parquet", "weights=none", "cache=none", "progress=false"]) == 0
    assert read_features(tmp_path / "f.parquet")["image"].tolist() == ["a\\xff.jpg"]


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_2000_hostile_files_through_the_command_end_with_0_a_row_each_and_bounded_memory(tmp_path):
    files = hostile_files(tmp_path / "in", 2000, seed=1)
    code = ("import resource, sys\nfrom perception.extract import main\n"
            f"code = main(['images={tmp_path}/in', 'out={tmp_path}/f.parquet', 'weights=none', 'cache=none', 'progress=false'])\n"
            "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\nsys.exit(code)\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stderr
    assert "2000 images:" in done.stdout and " unusable (" in done.stdout
    assert int(done.stdout.split("peak")[1]) < 2_000  # MB; 1,167 measured
    table = read_features(tmp_path / "f.parquet")
    assert table["image"].nunique() == len(files) == 2000
    status = table.drop_duplicates("image")["status"].value_counts()
    assert set(status.index) == {"face", "no_face", "unusable"} and status["face"] > 200 and status["unusable"] > 500
    reasons = set(table.loc[table["status"] == "unusable", "reason"])
    for word in ("symbolic link", "not a regular file", "empty file", "more than", "smaller than", "not an image", "damaged or truncated"):
        assert any(word in reason for reason in reasons), word

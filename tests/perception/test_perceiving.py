"""Files in parts on an executor: each once, whatever dies, and a killed run goes on where it was."""

from __future__ import annotations

import collections
import functools
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from perception.cache import ImageCache
from perception.image_io import find_images
from perception.perceiving import DIED, perceive_files
from sim.executors import SerialExecutor, make_executor
from tests.perception.material import ROOT
from tests.perception.stand_in import Noting


def files_in(folder, number, deadly=()):
    folder.mkdir()
    for i in range(number):
        (folder / f"{i:05d}.png").write_bytes((b"deadly" if i in deadly else b"picture") + str(i).encode())
    root, files = find_images(folder)
    return files, [file.name for file in files]


def test_a_picture_that_kills_its_worker_is_the_only_one_of_70_without_a_result_and_the_only_one_asked_for_again(tmp_path, capfd):
    files, names = files_in(tmp_path / "in", 70, deadly=[11])
    (tmp_path / "in" / "00040.png").write_bytes((tmp_path / "in" / "00005.png").read_bytes())
    cache, notes = ImageCache(tmp_path / "cache", "d" * 64, embeddings=False), tmp_path / "notes"
    with make_executor("process", 2) as executor:
        run = functools.partial(perceive_files, files, names, functools.partial(Noting, notes), cache, cache, executor=executor, batch=8)
        first = run()
        asked = collections.Counter(notes.read_text().split())
        again = run()
    assert [r.image for r in first] == names and first[11].status == "unusable" and first[11].reason == DIED
    assert all(r.status == "no_face" for r in first[:11] + first[12:]) and first == again
    assert "00040.png" not in asked and all(asked[name] == 1 for name in names[16:40])  # identical: once; another part: once
    assert max(asked.values()) <= 3 and collections.Counter(notes.read_text().split()) == asked  # all but one came from the cache
    said = capfd.readouterr().err
    assert "died at 00008.png and 7 more" in said and "died at 00011.png and 0 more" in said


def test_serial_and_two_processes_hand_out_the_same_parts(tmp_path):
    files, names = files_in(tmp_path / "in", 21)
    found = []
    with make_executor("process", 2) as two:
        for executor in (None, SerialExecutor(), two):
            start = functools.partial(Noting, tmp_path / "notes")
            found.append(perceive_files(files, names, start, None, None, executor=executor, batch=4))
    assert found[0] == found[1] == found[2] and len(found[0]) == 21


@pytest.mark.faults
@pytest.mark.slow
def test_of_2000_files_killed_four_times_with_9_each_is_in_the_end_once_and_at_most_a_part_a_kill_is_perceived_twice(tmp_path):
    files, names = files_in(tmp_path / "in", 2000)
    code = (
        "import functools, sys; from pathlib import Path\n"
        "from perception.cache import ImageCache; from perception.perceiving import perceive_files\n"
        "from perception.image_io import find_images; from tests.perception.stand_in import Noting\n"
        "from sim.executors import make_executor\n"
        "if __name__ == '__main__':\n"
        "    folder = Path(sys.argv[1]); _, files = find_images(folder / 'in')\n"
        "    cache = ImageCache(folder / 'cache', 'd' * 64, embeddings=False)\n"
        "    start = functools.partial(Noting, folder / 'notes', 0.002)\n"
        "    with make_executor('process', 2) as two:\n"
        "        found = perceive_files(files, [f.name for f in files], start, cache, cache, executor=two, batch=32)\n"
        "    print(len(found), len({r.image for r in found}))\n"
    )
    dice, kills = random.Random(0), 0
    notes = tmp_path / "notes"
    while True:
        before = len(notes.read_text().split()) if notes.exists() else 0
        command = [sys.executable, "-c", code, tmp_path]
        run = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)
        if kills == 4:
            assert run.communicate(timeout=200)[0].split() == ["2000", "2000"]
            break
        while len(notes.read_text().split() if notes.exists() else []) < before + dice.randint(100, 300):
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        run.wait()
        kills += 1
        time.sleep(1)  # its workers notice
    asked = collections.Counter(notes.read_text().split())
    twice = sum(count - 1 for count in asked.values())
    print(f"killed {kills} times; {len(asked):,} files perceived, {twice} of them again")
    assert set(asked) == set(names) and twice <= kills * 3 * 32

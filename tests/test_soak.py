"""The soak finds a leak that is there and none in noise, and measures what this process really holds."""

import mmap
import random
from pathlib import Path

import pytest

from benchmarks.soak import judged, of_process


def samples(mb=0.0, handles=0, slower=0.0):
    """60 repetitions of 10 s that grow by so much each."""
    rng = random.Random(0)
    return [(10.0 * k, 900 + mb * k + rng.random(), 7 + handles * k // 10, 8, 6000 * (1 - slower * k / 60)) for k in range(60)]


@pytest.mark.parametrize(
    ("grown", "says"),
    [
        (dict(mb=0.5), "MB an hour, for certain more than 60"),
        (dict(handles=4), "handles grew"),
        (dict(slower=0.5), "of the first third's speed"),
    ],
)
def test_growth_of_half_a_megabyte_four_handles_in_ten_or_half_the_speed_is_found(grown, says):
    facts, wrong = judged(samples(**grown))
    assert len(wrong) == 1 and says in wrong[0] and facts["judged"] == 48


def test_noise_of_a_megabyte_is_no_leak_and_five_samples_are_no_answer():
    assert judged(samples())[1] == []
    with pytest.raises(ValueError, match="5 repetitions are too few"):
        judged(samples()[:5])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_forty_megabytes_and_five_handles_of_this_process_are_seen(tmp_path):
    (tmp_path / "a").touch()
    before = of_process()
    held, files = mmap.mmap(-1, 40_000_000), [open(tmp_path / "a") for _ in range(5)]  # malloc may give what was freed before
    for page in range(0, 40_000_000, 4096):
        held[page] = 1
    after = of_process()
    assert 35 < after[0] - before[0] < 45 and after[1] - before[1] == 5
    held.close()
    for file in files:
        file.close()

"""serial = process = ray, on a sweep of 12 runs and on the extraction of 500 pictures."""

from __future__ import annotations

import importlib.util

import pytest

from benchmarks.executors import extraction, sweep

WAYS = ["process:2", *(["ray:2"] if importlib.util.find_spec("ray") else [])]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def serial_sweep():
    return sweep(12, "serial")[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_sweep_of_12_runs_leaves_the_same_policies_logs_and_intervals_to_the_bit(serial_sweep, way):
    assert len(serial_sweep) == 12 and len(set(serial_sweep.values())) > 6
    assert sweep(12, way)[0] == serial_sweep


@pytest.fixture(scope="module")
def serial_table():
    return extraction(500, "serial")[0]


@pytest.mark.parametrize("way", ["process:1", *WAYS])
def test_500_pictures_give_the_same_table_to_the_bit(serial_table, way):
    assert extraction(500, way)[0] == serial_table

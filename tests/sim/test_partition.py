"""A user's table that is too large to be read as a whole is cut into blocks of whole customers, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sim.evaluation.estimators.blocks import estimates_of_blocks
from sim.off_policy import partition as cutting
from sim.off_policy.__main__ import main
from sim.off_policy.partition import ROW, is_large, partition
from sim.off_policy.table import checked, read_table
from tests.sim.test_off_policy import written

CUSTOMERS, NAMES = 300, ("ips", "snips", "pdis", "wpdis")


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(cutting, "BLOCK_ROWS", 400)
    monkeypatch.setattr(cutting, "READ_ROWS", 150)
    monkeypatch.setattr(cutting, "CSV_BYTES", 1000)


def log(seed=0, lives=True) -> pd.DataFrame:
    """Decisions of 300 customers in order of time, so that each customer's lie anywhere; one to nine decisions each."""
    rng = np.random.default_rng(seed)
    customer = rng.permutation(np.repeat(np.arange(CUSTOMERS), rng.integers(1, 10, CUSTOMERS)))
    n = len(customer)
    propensity, target = rng.uniform(0.2, 0.8, n), rng.uniform(0.2, 0.8, n)
    action = (rng.uniform(size=n) < propensity).astype(int)
    table = pd.DataFrame({
        "customer": [f"guest {c}" for c in customer], "time": pd.date_range("2026-01-01", periods=n, freq="h"), "action": action,
        "reward": rng.normal(size=n), "propensity": np.where(action == 1, propensity, 1 - propensity),
        "target_probability_0": 1 - target, "target_probability_1": target, "feature_age": rng.normal(size=n),
    })  # fmt: skip
    return table if lives else table.drop(columns=["customer", "time"])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("lives", [True, False])
def test_estimates_of_the_blocks_are_those_of_the_whole_table(kind, lives, tmp_path, small_blocks):
    table = log(lives=lives)
    path = written(tmp_path, table, kind)
    whole, parts = read_table(path).log, partition(path, tmp_path)
    assert is_large(path) and len(parts.files) > 2
    assert (parts.rows, parts.customers, parts.longest) == (len(whole), whole.customers, whole.lengths.max())
    names = NAMES if lives else NAMES[:2]
    blocks = (checked(frame, path).log for frame in parts.frames())
    cut, _ = estimates_of_blocks(blocks, names, customers=parts.customers, single=False, methods=("student",))
    uncut, _ = estimates_of_blocks([whole], names, customers=whole.customers, single=True, methods=("student",))
    np.testing.assert_allclose([e.value for e in cut], [e.value for e in uncut], rtol=1e-9)
    lengths = [e.intervals["student"]["high"] - e.intervals["student"]["low"] for e in (*cut, *uncut) if e.intervals["student"]]
    np.testing.assert_allclose(lengths[: len(lengths) // 2], lengths[len(lengths) // 2 :], rtol=1e-9)


def test_every_row_is_in_one_block_under_its_number_and_no_customer_is_in_two(tmp_path, small_blocks):
    table = log()
    parts = partition(written(tmp_path, table, "parquet"), tmp_path)
    frames = list(parts.frames())
    together = pd.concat(frames).sort_values(ROW)
    np.testing.assert_array_equal(together[ROW], np.arange(1, len(table) + 1))
    np.testing.assert_array_equal(together["reward"], table["reward"])
    assert sum(frame["customer"].nunique() for frame in frames) == CUSTOMERS


@pytest.mark.parametrize("lives", [True, False])
def test_the_first_seven_customers_are_those_that_appear_first(lives, tmp_path, small_blocks):
    table = log(lives=lives)
    parts = partition(written(tmp_path, table, "parquet"), tmp_path, customers=7)
    rows = sorted(np.concatenate([frame[ROW] for frame in parts.frames()]))
    wanted = table["customer"].isin(table["customer"].unique()[:7]) if lives else table.index < 7
    assert parts.customers == 7 and rows == list(1 + np.flatnonzero(wanted))


def test_the_command_reads_in_blocks_says_so_and_leaves_no_file_behind(tmp_path, small_blocks, capsys):
    path = written(tmp_path, log(), "csv")
    words = [f"logs={path}", f"out={tmp_path / 'out'}", "tracking.enabled=false", "estimators=[ips,dr,pdis]", "resamples=50"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert f"{CUSTOMERS} customers" in said.out and "models were fitted within blocks" in " ".join(said.out.split())
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["off_policy.csv", "off_policy.json", "off_policy.png"]


def test_a_large_file_that_is_no_table_is_one_sentence(tmp_path, small_blocks, capsys):
    path = tmp_path / "log.csv"
    path.write_bytes(b"reward,propensity\n" + b"1,2,3\n" * 400)
    assert main([f"logs={path}", f"out={tmp_path / 'out'}", "tracking.enabled=false"]) == 2
    assert "is no table that can be read" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())

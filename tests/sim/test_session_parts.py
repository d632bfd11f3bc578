"""Session logs in parts: what a killed writer had committed is shown, and what is missing is said."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from sim.config import ROOT
from sim.evaluation.estimators.blocks import estimates_of_blocks
from sim.evaluation.estimators.estimate import estimates
from sim.evaluation.estimators.overlap import overlap
from sim.evaluation.interactions import collect
from sim.evaluation.rollout import stream
from sim.evaluation.session_log import SessionWriter
from sim.evaluation.session_parts import damaged_parts, read_manifest
from sim.replay import population
from sim.replay.errors import ReplayError
from sim.replay.log import open_log, read_lines
from tests.sim.conftest import ConstantPolicy, UniformPolicy

POLICIES = (UniformPolicy(), ConstantPolicy(4, "flowers"))


@pytest.fixture(scope="module")
def logs(shop):
    return [log for policy in POLICIES for log in stream(policy, shop, customers=90, seed=5, batch=10, regret=False)]


@pytest.fixture
def both(logs, shop, tmp_path):
    """The same log as one file and in parts of 700 rows."""
    with SessionWriter(tmp_path / "one.parquet", shop) as one, SessionWriter(tmp_path / "parts.parquet", shop, 700) as parts:
        for log in logs:
            one.write(log)
            parts.write(log)
    return tmp_path / "one.parquet", tmp_path / "parts.parquet"


def test_the_manifest_names_every_part_with_its_rows_checksum_and_customers(both):
    one, parts = both
    manifest = read_manifest(parts)
    files = sorted(path.name for path in parts.glob("*.parquet"))
    assert manifest.complete and [part.file for part in manifest.parts] == files and len(files) > 3
    assert manifest.rows == pq.read_metadata(one).num_rows
    for part in manifest.parts:
        assert part.rows == pq.read_metadata(parts / part.file).num_rows
        assert part.sha256 == hashlib.sha256((parts / part.file).read_bytes()).hexdigest()
        assert sum(rows for _, _, rows in part.policies.values()) == part.rows
    assert manifest.parts[0].policies[POLICIES[0].name][0] == 0 and manifest.parts[-1].policies["flowers"][1] == 89


def test_a_reader_that_takes_one_row_group_at_a_time_reads_the_same_from_a_file_and_from_parts(both):
    one, parts = map(open_log, both)
    for policy in (POLICIES[0].name, "flowers"):
        a, b = (read_lines(log, policy, np.array([3, 40, 89])) for log in (one, parts))
        assert (a.customers == b.customers).all() and all((a.at[name] == b.at[name]).all() for name in a.at)
        (x, people_x), (y, people_y) = (population.read_everybody(log, policy, 12) for log in (one, parts))
        assert x.view() == y.view() and all(np.array_equal(people_x[n], people_y[n], equal_nan=True) for n in people_x)
        blocks = list(parts.lives(["customer", "reward"], policy, rows=300))
        assert len(blocks) > 3 and sum(map(len, blocks)) == len(read_lines(one, policy))
        edges = [block["customer"].to_numpy() for block in blocks]
        assert all(before[-1] < after[0] for before, after in zip(edges, edges[1:], strict=False))
        ids, lengths = parts.customers(policy)
        assert (ids == np.arange(90)).all() and lengths.sum() == sum(map(len, blocks))


def test_a_part_of_which_a_byte_is_gone_is_named_and_a_flipped_one_is_found_by_its_checksum(both):
    _, parts = both
    second = parts / "part-00001.parquet"
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1
    second.write_bytes(content)
    assert damaged_parts(parts, read_manifest(parts)) == []
    assert damaged_parts(parts, read_manifest(parts), checksums=True) == ["part-00001.parquet"]
    second.write_bytes(content[:-1])
    log = open_log(parts)
    assert log.damaged == ("part-00001.parquet",) and "part-00001.parquet" in log.notes()[0]


@pytest.mark.faults
def test_of_a_writer_that_fails_the_full_parts_stay_and_the_log_says_that_it_is_cut_short(logs, shop, tmp_path):
    with pytest.raises(RuntimeError), SessionWriter(tmp_path / "s.parquet", shop, 700) as writer:
        for log in logs[:12]:
            writer.write(log)
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["s.parquet"]
    log = open_log(tmp_path / "s.parquet")
    manifest = read_manifest(tmp_path / "s.parquet")
    assert not manifest.complete and 0 < manifest.rows < writer.rows
    (note,) = log.notes()
    assert f"the {manifest.rows:,} rows of its {len(manifest.parts)} committed part(s) are here" in note and "is missing" in note
    assert len(pq.read_table(tmp_path / "s.parquet")) == manifest.rows  # and for any reader of Parquet
    with SessionWriter(tmp_path / "s.parquet", shop) as writer:  # a new log takes the place of the torn one
        writer.write(logs[0])
    assert (tmp_path / "s.parquet").is_file() and open_log(tmp_path / "s.parquet").notes() == []


@pytest.mark.faults
@pytest.mark.slow
def test_of_a_writer_killed_with_9_at_5_random_moments_all_committed_rows_are_read(tmp_path):
    code = (
        "import sys; from sim.evaluation.rollout import stream; from sim.evaluation.session_log import SessionWriter\n"
        "from tests.sim.conftest import UniformPolicy, make_shop\n"
        "shop = make_shop(); logs = list(stream(UniformPolicy(), shop, customers=60, seed=5, batch=20, regret=False))\n"
        "with SessionWriter(__import__('pathlib').Path(sys.argv[1]), shop, 900) as w:\n"
        "    print('ready', flush=True)\n"
        "    while True:\n"
        "        [w.write(log) for log in logs]\n"
    )
    random = np.random.default_rng(0)
    for trial in range(5):
        path = tmp_path / f"{trial}.parquet"
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        writer = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, cwd=ROOT, env=environment)
        writer.stdout.readline()
        while not (path / "_manifest.json").exists():
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.5))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        manifest, log = read_manifest(path), open_log(path)
        rows = sum(len(pq.read_table(path / part.file)) for part in manifest.parts)
        print(f"killed after {rows:,} committed rows in {len(manifest.parts)} parts, all of which are read")
        assert log.damaged == () and rows == manifest.rows > 0 and not manifest.complete and "cut short" in log.notes()[0]
        assert damaged_parts(path, manifest, checksums=True) == []


def test_a_manifest_of_a_later_version_or_cut_in_half_is_refused_in_one_sentence(both):
    _, parts = both
    whole = json.loads((parts / "_manifest.json").read_text())
    (parts / "_manifest.json").write_text(json.dumps(whole | {"version": 9}))
    with pytest.raises(ReplayError, match="version 9 is newer than 1"):
        open_log(parts)
    (parts / "_manifest.json").write_text("{")
    with pytest.raises(ReplayError, match="its manifest cannot be read"):
        open_log(parts)


def test_estimates_of_one_block_are_those_of_the_log_and_of_four_blocks_agree_within_their_intervals(shop):
    class Half(UniformPolicy):
        def act(self, observation, action_mask, uniform):
            decision = super().act(observation, action_mask, uniform)
            decision.probabilities[:] = 0.5 * decision.probabilities + 0.5 * np.eye(decision.probabilities.shape[1])[4]
            return decision

    log = collect(UniformPolicy(), shop, customers=240, seed=3).for_target(Half())
    names = ("ips", "snips", "dr", "wpdis")
    whole = estimates(log, names, resamples=50)
    single, shown = estimates_of_blocks([log], names, customers=240, single=True, resamples=50)
    assert [e.value for e in single] == [e.value for e in whole] and shown == overlap(log)
    longest = int(log.lengths.max())
    blocks = [log.of(np.arange(first, first + 60)) for first in range(0, 240, 60)]
    parts, joint = estimates_of_blocks(
        (dataclasses.replace(block, longest=longest) for block in blocks), names, customers=240, single=False, resamples=50
    )
    for a, b in zip(whole, parts, strict=True):
        if a.name in ("logged", "ips", "snips", "wpdis"):  # no model
            assert b.value == pytest.approx(a.value, rel=1e-9), a.name
        else:
            assert a.intervals["student"]["low"] <= b.value <= a.intervals["student"]["high"]
    assert dataclasses.asdict(joint) == pytest.approx(dataclasses.asdict(shown), rel=1e-9)

"""A run that was killed without a word does not stay RUNNING, and one that goes on is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.config import ROOT
from sim.tracking import Tracker
from sim.tracking.alive import is_held
from sim.tracking.spool import read_spool
from sim.tracking.store import MlflowStore
from sim.tracking.sync import repair, sync

LIVE = """
import sys, time
from sim.tracking import Tracker
with Tracker(sys.argv[1], "q", flush_seconds=0.05).run(sys.argv[3], folder=sys.argv[2]) as run:
    run.metrics({"a/b": 1}, step=1)
    print(run.run_id, flush=True)
    time.sleep(120)
"""


def start(uri: str, folder: Path, name: str = "r") -> tuple[subprocess.Popen, str]:
    """A run in a process of its own, and its MLflow id once its first metric is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIVE, uri, str(folder), name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=dict(os.environ),
    )
    run_id = process.stdout.readline().strip()
    deadline = time.monotonic() + 60
    while not any(r["kind"] == "delivered" and r["upto"] >= 1 for r in read_spool(folder / "spool.jsonl")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    return process, run_id


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_a_signal_ends_the_run_killed(uri, client, tmp_path, number):
    process, run_id = start(uri, tmp_path)
    process.send_signal(number)
    code = process.wait(60)
    assert code in (143, 130, -signal.SIGINT)
    assert client.get_run(run_id).info.status == "KILLED"


@pytest.mark.faults
def test_kill_9_is_repaired_by_the_next_run_while_a_living_one_goes_on(uri, client, tmp_path):
    dead, dead_id = start(uri, tmp_path / "dead", "dead")
    living, living_id = start(uri, tmp_path / "living", "living")
    try:
        dead.kill()
        dead.wait(30)
        assert client.get_run(dead_id).info.status == "RUNNING"
        assert not is_held(tmp_path / "dead" / "spool.jsonl") and is_held(tmp_path / "living" / "spool.jsonl")
        with Tracker(uri, "q", flush_seconds=0.05).run("next", folder=tmp_path / "next"):
            deadline = time.monotonic() + 30
            while client.get_run(dead_id).info.status == "RUNNING" and time.monotonic() < deadline:
                time.sleep(0.1)
        assert client.get_run(dead_id).info.status == "KILLED"
        assert client.get_run(living_id).info.status == "RUNNING"
        assert sync(tmp_path, uri) == {"runs": 0, "records": 0, "refused": 0, "alive": 1}
    finally:
        living.kill()
        living.wait(30)


@pytest.mark.faults
@pytest.mark.slow
def test_sync_ends_a_run_that_was_killed_after_everything_was_delivered(uri, client, tmp_path):
    process, run_id = start(uri, tmp_path)
    process.kill()
    process.wait(30)
    assert sync(tmp_path, uri)["runs"] == 1
    assert client.get_run(run_id).info.status == "KILLED"
    assert client.get_run(run_id).data.metrics == {"a/b": 1}
    assert sync(tmp_path, uri)["runs"] == 0


def test_a_run_whose_folder_is_gone_is_ended_and_one_of_another_machine_is_not_ours_to_end(
    uri, client, monkeypatch, tmp_path
):
    process, here = start(uri, tmp_path / "r")
    process.kill()
    process.wait(30)
    (tmp_path / "r" / "spool.jsonl").unlink()
    store = MlflowStore(uri)
    with monkeypatch.context() as patch:
        patch.setattr("sim.tracking.sync.socket.gethostname", lambda: "elsewhere")
        assert repair(store) == 0
    assert repair(store, "another question") == 0 and client.get_run(here).info.status == "RUNNING"
    assert repair(store) == 1 and client.get_run(here).info.status == "KILLED"
    assert repair(store) == 0

"""The records of a run that was cut short and goes on: one run in MLflow, every metric once."""

from __future__ import annotations

import time

import pytest

from sim.tracking import Tracker
from sim.tracking.spool import read_spool
from sim.tracking.sync import sync

pytestmark = pytest.mark.faults
DEAD = "http://127.0.0.1:9"


class Killed(BaseException):
    """Stands for the kill."""


def work(address, folder, steps, resume=False, die=False):
    """A run that reports one metric a step, and parameters, as `sim.run` does: from its beginning, each time."""
    try:
        with Tracker(address, "q", flush_seconds=0.05, patience=0.5).run("r", folder=folder, resume=resume) as run:
            run.params({"a": 1})
            for step in range(steps):
                run.metrics({"train/loss": step / 7, "train/nan": float("nan") if step % 2 else 1.0}, step=step)
            if die:
                raise Killed
    except Killed:
        pass
    return run


def history(client, run_id):
    return [(m.step, m.value) for m in sorted(client.get_metric_history(run_id, "train/loss"), key=lambda m: m.step)]


@pytest.mark.parametrize("first", ["delivered", "undelivered", "half delivered"])
def test_a_spool_torn_by_a_kill_goes_on_as_the_same_run_with_every_metric_once(uri, client, only_run, tmp_path, first):
    folder = tmp_path / "run"
    work(DEAD if first == "undelivered" else uri, folder, 10, die=True)
    spool = folder / "spool.jsonl"
    lines = spool.read_text().splitlines(keepends=True)
    records = list(read_spool(spool))
    if first != "delivered":  # as kill -9 leaves it: no end, the last lines not delivered, one of them torn
        stays = [
            line for line, record in zip(lines, records, strict=True)
            if record["kind"] not in ("end", "delivered") or first == "half delivered" and record.get("upto", 99) < 6
        ]  # fmt: skip
        spool.write_text("".join(stays)[:-15])
    work(uri, folder, 14, resume=True)
    run = only_run()
    assert run.info.status == "FINISHED" and run.data.params == {"a": "1"}
    assert history(client, run.info.run_id) == [(step, step / 7) for step in range(14)]
    assert [m.step for m in client.get_metric_history(run.info.run_id, "tracking/non_finite")] == [1, 3, 5, 7, 9, 11, 13]
    assert [path.name for path in folder.glob("spool*")] == ["spool.jsonl"]
    assert sync(folder, uri) == {"runs": 0, "records": 0, "refused": 0, "alive": 0}


def test_a_run_that_ended_killed_is_running_again_while_it_goes_on(uri, client, only_run, tmp_path):
    work(uri, tmp_path / "run", 3, die=True)
    assert only_run().info.status == "FAILED"
    with Tracker(uri, "q", flush_seconds=0.05).run("r", folder=tmp_path / "run", resume=True) as run:
        assert run.run_id == only_run().info.run_id
        for _ in range(200):
            if only_run().info.status == "RUNNING":
                break
            time.sleep(0.05)
        assert only_run().info.status == "RUNNING"
    assert only_run().info.status == "FINISHED"

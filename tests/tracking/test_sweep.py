"""A sweep is one run with its jobs below it, whatever the store does while it goes on."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sim.tracking import Tracker
from sim.tracking.spool import run_record
from sim.tracking.store import PARENT_TAG, MlflowStore
from sim.tracking.sweep import CSV, SweepRun, arms, as_csv, means, read_rows, swept
from sim.tracking.sync import sync

DEAD = "http://127.0.0.1:9"


def job(folder: Path, number: int, agent: str, seed: int, value: float) -> None:
    run = folder / f"{number}-{agent}-s{seed}"
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "overrides.yaml").write_text(f"- agent={agent}\n- seed={seed}\n- steps=10\n")
    interval = {"mean": value, "low": value - 1, "high": value + 1, "n": 5}
    camera = dict.fromkeys(("emotion", "identity", "mask"), "perceived")
    summary = {"agent": agent, "env": "shop", "seed": seed, "training_steps": 10, "camera": camera}
    (run / "summary.json").write_text(json.dumps(summary | {"policies": {agent: {"value_per_customer": interval}}}))


def test_jobs_that_differ_in_their_seed_alone_share_an_arm():
    given = [["agent=ppo", "camera=blind", "seed=0", "steps=1"], ["agent=ppo", "camera=oracle", "seed=1", "steps=1"]]
    assert arms(given) == ["blind", "oracle"]
    assert arms([["seed=0"], ["seed=1"]]) == ["", ""] and arms([]) == []
    assert swept(["agent=ppo,linucb", "seed=range(3)", "baselines=[a,b]"]) == ["agent=ppo,linucb", "seed=range(3)"]


def test_the_mean_over_2_seeds_and_a_csv_with_a_line_per_run(tmp_path):
    for number, (agent, seed, value) in enumerate([("ppo", 0, 14.0), ("ppo", 1, 15.0), ("linucb", 0, 12.0)]):
        job(tmp_path, number, agent, seed, value)
    (tmp_path / "3-ppo-s2").mkdir()
    (tmp_path / "3-ppo-s2" / "summary.json").write_text('{"torn')
    rows = read_rows(tmp_path)
    assert means(rows) == {"sweep/ppo/value_per_customer": 14.5, "sweep/linucb/value_per_customer": 12.0}
    table = list(csv.DictReader(io.StringIO(as_csv(rows))))
    lines = [(r["arm"], r["seed"], r["value_per_customer_low"]) for r in table]
    assert lines == [("ppo", "0", "13.0"), ("ppo", "1", "14.0"), ("linucb", "0", "11.0")]


def sweep_config(folder: Path, uri: str, overrides: list[str]) -> object:
    return OmegaConf.create(
        {
            "tracking": {"enabled": True, "uri": uri, "experiment": "question"},
            "hydra": {"sweep": {"dir": str(folder)}, "overrides": {"task": overrides}},
        }
    )


@pytest.mark.parametrize("finished", [2, 1])
def test_the_parent_holds_the_jobs_and_fails_where_one_of_2_did_not_finish(uri, client, tmp_path, finished):
    config = sweep_config(tmp_path, uri, ["agent=ppo,linucb", "steps=10"])
    parent_run = SweepRun()
    parent_run.begin(config)
    for number, agent in enumerate(("ppo", "linucb")):
        with Tracker(uri, "question").run(agent, folder=tmp_path / f"{number}-{agent}-s0", parent=run_record(tmp_path)):
            pass
        (tmp_path / f"{number}-{agent}-s0" / ".hydra").mkdir()
        if number < finished:
            (tmp_path / f"{number}-{agent}-s0" / ".hydra").rmdir()
            job(tmp_path / "x", number, agent, 0, 10.0 + number)
            made = tmp_path / "x" / f"{number}-{agent}-s0"
            for name in (".hydra", "summary.json"):
                (made / name).rename(tmp_path / f"{number}-{agent}-s0" / name)
    parent_run.finish()
    runs = {
        run.info.run_name: run for run in client.search_runs([client.get_experiment_by_name("question").experiment_id])
    }
    parent = runs.pop("sweep agent=ppo,linucb")
    assert parent.info.status == ("FINISHED" if finished == 2 else "FAILED")
    assert {run.data.tags[PARENT_TAG] for run in runs.values()} == {parent.info.run_id} and len(runs) == 2
    assert parent.data.metrics["sweep/runs_finished"] == finished
    assert parent.data.metrics["sweep/ppo/value_per_customer"] == 10.0
    assert CSV in [a.path for a in client.list_artifacts(parent.info.run_id)]


@pytest.mark.faults
def test_a_sweep_against_a_dead_server_is_whole_after_sync_whoever_comes_first(uri, client, tmp_path):
    with Tracker(DEAD, "q").run("sweep", folder=tmp_path):
        parent = run_record(tmp_path)
        for seed in range(2):
            with Tracker(DEAD, "q").run(f"s{seed}", folder=tmp_path / str(seed), parent=parent):
                pass
    for folder in (tmp_path / "1", tmp_path, tmp_path):  # a child alone first: it makes its parent
        sync(folder, uri)
    runs = {run.info.run_name: run for run in client.search_runs([client.get_experiment_by_name("q").experiment_id])}
    assert sorted(runs) == ["s0", "s1", "sweep"]
    assert {runs[f"s{seed}"].data.tags[PARENT_TAG] for seed in range(2)} == {runs["sweep"].info.run_id}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_of_two_processes_that_make_the_same_parent_on_a_server_the_first_one_stays(uri, client, monkeypatch, tmp_path):
    from sim.tracking import store

    with Tracker(DEAD, "q").run("sweep", folder=tmp_path):
        record = run_record(tmp_path)
    monkeypatch.setattr(store, "sqlite_path", lambda uri: None)  # as of a server: no lock between the two
    first = MlflowStore(uri).open_run(record, search=True)
    real, looks = MlflowStore._with_key, iter([True])

    def too_early(self, *arguments):  # the second process looks before the first has made the run
        return [] if next(looks, False) else real(self, *arguments)

    monkeypatch.setattr(MlflowStore, "_with_key", too_early)
    assert MlflowStore(uri).open_run(record, search=True) == first
    (left,) = client.search_runs([client.get_experiment_by_name("q").experiment_id])
    assert left.info.run_id == first

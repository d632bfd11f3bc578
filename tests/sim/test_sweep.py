"""A sweep: its jobs are children of one run, a job that fails is listed with its reason and the others finish."""

import json
import os
import subprocess
import sys

import pytest

from sim import sweep
from sim.config import ROOT


def job(folder, name, overrides, summary=None, failed=None):
    (folder / name / ".hydra").mkdir(parents=True)
    (folder / name / ".hydra" / "overrides.yaml").write_text("".join(f"- {o}\n" for o in overrides))
    if summary is not None:
        value = {"mean": summary, "low": summary - 1, "high": summary + 1, "n": 10}
        text = json.dumps({"agent": "ppo", "policies": {"ppo": {"value_per_customer": value}}})
        (folder / name / "summary.json").write_text(text)
    if failed is not None:
        (folder / name / "failed.json").write_text(json.dumps(failed))


def test_the_outcome_lists_jobs_by_number_with_value_or_reason(tmp_path):
    job(tmp_path, "10-ppo", ["agent=ppo", "seed=10", "steps=5"], summary=15.25)
    job(tmp_path, "2-ppo", ["agent=ppo", "seed=2", "steps=5"], failed={"error": "the disk is full", "exit_code": 1})
    job(tmp_path, "3-ppo", ["agent=ppo", "seed=3", "steps=5"])
    found = sweep.outcome(tmp_path)
    assert [one["job"] for one in found] == ["2-ppo", "3-ppo", "10-ppo"]
    assert [one["value"] for one in found] == [None, None, 15.25] and found[2]["interval"] == [14.25, 16.25]
    assert [one["exit_code"] for one in found] == [1, 1, 0]
    assert found[0]["error"] == "the disk is full" and "without a word" in found[1]["error"]


def test_the_table_shows_what_differs_between_the_jobs(tmp_path, capsys):
    for seed in (0, 1):
        job(tmp_path, f"{seed}-ppo", ["agent=ppo", f"seed={seed}", "steps=5"], summary=12.5 + seed)
    sweep.tell(sweep.outcome(tmp_path), tmp_path)
    said = capsys.readouterr().out
    assert "2 jobs, 0 failed" in said and "seed=1" in said and "13.50 [12.50, 14.50]" in said
    assert "steps=5" not in said and "python -m sim.compare" in said


def test_a_job_whose_process_died_is_listed_with_its_name_and_can_be_run_again_alone(tmp_path, capsys):
    job(tmp_path, "0-ppo", ["agent=ppo", "seed=0"], summary=12.5)
    reason = "worker 2 (process 77) died at agent=ppo seed=1, for the second time"
    sweep.note_death(tmp_path / "1-ppo", ["agent=ppo", "seed=1"], reason, None)
    found = sweep.outcome(tmp_path)
    assert [one["exit_code"] for one in found] == [0, 1] and "worker 2 (process 77) died" in found[1]["error"]
    sweep.tell(found, tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert "2 jobs, 1 failed" in said and "1-ppo alone, from where it stopped: python -m sim.run resume=" in said


def test_closing_a_sweep_that_never_began_is_harmless():
    assert sweep.close() == []


@pytest.mark.slow
@pytest.mark.timeout(900)        # each process imports all it needs: half a minute, minutes on a busy machine
@pytest.mark.parametrize(
    "launcher",
    [
        [],
        ["executor=process", "executor.workers=2"],
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        ["executor=slurm", "hydra/launcher=submitit_local"],  # slurm's launcher, on this machine
    ],
    ids=["one by one", "process", "joblib", "submitit"],
)
def test_a_failed_job_is_listed_the_others_finish_and_all_are_children_of_one_run(launcher, tmp_path):
    import mlflow

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    done = subprocess.run(
        [sys.executable, "-m", "sim.run", "-m", "agent=random", "seed=0,-1,1", "baselines=[hold_back]", "evaluate.customers=50",
         "tune.customers=20", "evaluate.oracles=[]", "hydra.sweep.dir=sweep", *launcher],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri},
        capture_output=True, text=True, timeout=800,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "3 jobs, 1 failed" in done.stdout and "seed=-1 is out of range" in done.stderr + done.stdout
    jobs = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["jobs"]
    assert [one["exit_code"] for one in jobs] == [0, 2, 0] and jobs[0]["value"] is not None and jobs[2]["value"] is not None
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("shop").experiment_id])
    (parent,) = [run for run in runs if run.data.tags.get("kind") == "sweep"]
    children = [run for run in runs if run is not parent]
    assert len(children) == 2 and all(run.info.status == "FINISHED" for run in children) and parent.info.status == "FAILED"
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert parent.data.metrics["sweep/runs_failed"] == 1 and parent.data.metrics["sweep/runs_finished"] == 2

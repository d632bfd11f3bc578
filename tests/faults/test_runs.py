"""Whole runs, killed, starved and put in odd places; each takes a process or several, so most are marked slow."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import textwrap
from pathlib import Path

import pandas as pd
import pytest

from tests.faults.runs import SMALL, begun, checkpoints, command, environment, in_mlflow, wait_for_checkpoint, weights

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run, and its MLflow store."""
    where = tmp_path_factory.mktemp("whole")
    done = command(*SMALL, "hydra.run.dir=run", cwd=where, timeout=800, MLFLOW_TRACKING_URI=f"sqlite:///{where / 'mlflow.db'}")
    assert done.returncode == 0, done.stderr
    return where


def assert_as_if_nothing_had_happened(where: Path, whole: Path) -> int:
    """Number of metric values compared."""
    assert weights(where / "run") == weights(whole / "run") != {}
    runs, metrics = in_mlflow(where / "mlflow.db")
    _, expected = in_mlflow(whole / "mlflow.db")
    assert [status for _, status in runs] == ["FINISHED"]
    assert metrics == expected and len({row[:2] for row in metrics}) == len(metrics)
    frames = [pd.read_parquet(folder / "run" / "sessions.parquet") for folder in (where, whole)]
    pd.testing.assert_frame_equal(*frames)
    assert not checkpoints(where / "run") and (where / "run" / "checkpoints" / "best" / "agent.json").is_file()
    return len(metrics)


@SLOW
def test_a_run_killed_twice_ends_with_the_weights_metrics_and_log_of_one_that_was_not(whole, tmp_path, told):
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    process = begun(*SMALL, "hydra.run.dir=run", cwd=tmp_path, **store)
    wait_for_checkpoint(process, tmp_path / "run")
    process.kill()
    process.wait()
    first = int(checkpoints(tmp_path / "run")[-1].name)
    process = begun("resume=run", cwd=tmp_path, **store)
    wait_for_checkpoint(process, tmp_path / "run", first + 1)
    process.kill()
    process.wait()
    runs, _ = in_mlflow(tmp_path / "mlflow.db")
    assert [status for _, status in runs] == ["RUNNING"]
    done = command("resume=run", cwd=tmp_path, timeout=800, **store)
    assert done.returncode == 0, done.stderr
    number = assert_as_if_nothing_had_happened(tmp_path, whole)
    again = command("resume=run", cwd=tmp_path, **store)
    assert again.returncode == 2 and "that run finished at" in again.stderr
    told("kill -9 twice while ppo learned", f"one run in MLflow, FINISHED; equal weights, log and {number} metric values, none twice")


@SLOW
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_ends_the_run_killed_and_says_how_to_go_on(whole, tmp_path, told, number, code):
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    process = begun(*SMALL, "hydra.run.dir=run", cwd=tmp_path, **store)
    wait_for_checkpoint(process, tmp_path / "run")
    process.send_signal(number)
    _, said = process.communicate(timeout=400)
    assert process.returncode == code
    assert "go on with it:  python -m sim.run resume=run" in said and "Traceback" not in said
    (run,), _ = in_mlflow(tmp_path / "mlflow.db")
    assert run[1] == "KILLED" and not (tmp_path / "run" / "summary.json").exists()
    done = command("resume=" + run[0], cwd=tmp_path, timeout=800, **store)  # by its MLflow id
    assert done.returncode == 0, done.stderr
    number_of = assert_as_if_nothing_had_happened(tmp_path, whole)
    told(f"{signal.Signals(number).name} while ppo learned", f"exit {code}, KILLED; resumed to the same weights and {number_of} metrics")


@SLOW
def test_a_run_works_from_another_folder_with_odd_names_and_a_read_only_home(whole, tmp_path, told):
    where = tmp_path / "my störe, 100 % 'new' = x"
    where.mkdir()
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{where / 'mlflow.db'}", "HOME": "/proc/nowhere"}  # not even root may write there
    process = begun(*SMALL, "hydra.run.dir=run", cwd=where, **store)
    wait_for_checkpoint(process, where / "run")
    process.kill()
    process.wait()
    done = command("resume=run", cwd=where, timeout=800, **store)
    assert done.returncode == 0, done.stderr
    assert_as_if_nothing_had_happened(where, whole)
    told("kill -9 in a folder with blanks, quotes, % and an umlaut, HOME that cannot be written", "resumed to the same bits")


def test_a_folder_that_cannot_be_made_is_one_sentence_and_exit_code_1(tmp_path, told):
    done = command("agent=random", "hydra.run.dir=/proc/nowhere/run", "tracking=none", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    told("an output folder in /proc", f"exit 1: {done.stderr.strip()}")


@SLOW
def test_a_store_that_is_locked_all_the_time_stops_no_run_and_loses_no_metric(tmp_path, told):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    from sim.tracking.store import MlflowStore
    from sim.tracking.sync import sync

    MlflowStore(uri)
    other = sqlite3.connect(tmp_path / "mlflow.db")
    other.execute("begin exclusive")
    try:
        done = command(*SMALL, "hydra.run.dir=run", "steps=20000", cwd=tmp_path, timeout=800, MLFLOW_TRACKING_URI=uri)
    finally:
        other.rollback()
        other.close()
    assert done.returncode == 0, done.stderr
    assert "has trouble" in done.stdout and "database is locked" in done.stdout
    counts = sync(tmp_path / "run", uri)
    runs, metrics = in_mlflow(tmp_path / "mlflow.db")
    assert [status for _, status in runs] == ["FINISHED"] and len(metrics) > 100 and counts["refused"] == 0
    told("a MLflow database locked by another process during the whole run", f"the run ended well; {len(metrics)} metrics after sync")


@SLOW
def test_one_job_of_a_sweep_fails_the_others_finish_and_it_is_run_again_alone(tmp_path, told):
    (tmp_path / "mine.py").write_text(textwrap.dedent("""
        import pathlib
        from agents.baselines import Random

        class Moody(Random):
            def learn(self, env, **how):
                if self.seed == 1 and not pathlib.Path("fixed").exists():
                    raise RuntimeError("not today")
    """))
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path)])
    settings = (
        "agent=random", "agent._target_=mine.Moody", "agent.name=moody", "trusted_targets=[mine]", "baselines=[hold_back]",
        "evaluate.customers=40", "tune.customers=20", "evaluate.oracles=[]", "evaluate.regret=false", "replay.enabled=false",
    )  # fmt: skip
    store = {"PYTHONPATH": path, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    done = command("-m", "seed=0,1,2", *settings, "hydra.sweep.dir=sweep", cwd=tmp_path, timeout=800, **store)
    assert done.returncode == 1 and "3 jobs, 1 failed" in done.stdout, done.stdout + done.stderr
    jobs = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["jobs"]
    assert [job["error"] for job in jobs] == [None, "RuntimeError: not today", None]
    failed = f"sweep/{jobs[1]['job']}"
    assert f"python -m sim.run resume={failed} 'trusted_targets=[mine]'" in done.stdout
    (tmp_path / "fixed").touch()
    again = command(f"resume={failed}", "trusted_targets=[mine]", cwd=tmp_path, timeout=800, **store)
    assert again.returncode == 0, again.stderr
    runs, _ = in_mlflow(tmp_path / "mlflow.db")
    assert sorted(status for _, status in runs) == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]  # the sweep itself stays FAILED
    told("one of 3 jobs of a sweep", "2 finished, the failed one listed with its reason, and finished alone by resume=")


@SLOW
def test_memory_that_runs_out_is_one_sentence_and_the_run_goes_on_later(tmp_path, told):
    (tmp_path / "greedy.py").write_text(textwrap.dedent("""
        import pathlib, resource
        import numpy as np
        from agents.ppo import PPOAgent

        class Hungry(PPOAgent):
            def _report(self, report, step, metrics):
                super()._report(report, step, metrics)
                if step > 20000 and not pathlib.Path("more").exists():
                    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))
                    try:
                        np.ones(2**30)
                    finally:
                        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    """))
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path)])
    settings = (*SMALL, "agent._target_=greedy.Hungry", "trusted_targets=[greedy]", "tracking=none", "hydra.run.dir=run")
    done = command(*settings, cwd=tmp_path, timeout=800, PYTHONPATH=path)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "error: memory ran out (Unable to allocate" in done.stderr and "resume=run" in done.stderr
    assert checkpoints(tmp_path / "run")
    (tmp_path / "more").touch()
    again = command("resume=run", "trusted_targets=[greedy]", cwd=tmp_path, timeout=800, PYTHONPATH=path)
    assert again.returncode == 0, again.stderr
    told("8 GiB asked for under RLIMIT_AS", "one sentence, exit 1, checkpoints whole, finished when there was memory")


@SLOW
def test_a_worker_that_dies_costs_its_job_and_every_job_can_go_on_alone(tmp_path, told):
    (tmp_path / "mortal.py").write_text(textwrap.dedent("""
        import os, pathlib, signal
        from agents.baselines import Random

        class Mortal(Random):
            def learn(self, env, **how):
                if self.seed == 1 and not pathlib.Path("fixed").exists():
                    os.kill(os.getpid(), signal.SIGKILL)
    """))
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path)])
    settings = (
        "agent=random", "agent._target_=mortal.Mortal", "agent.name=mortal", "trusted_targets=[mortal]", "baselines=[hold_back]",
        "evaluate.customers=40", "tune.customers=20", "evaluate.oracles=[]", "evaluate.regret=false", "replay.enabled=false",
    )  # fmt: skip
    store = {"PYTHONPATH": path, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep")
    done = command("-m", "seed=0,1,2", *settings, *launcher, cwd=tmp_path, timeout=800, **store)
    assert done.returncode == 1 and "worker" in done.stderr, done.stderr
    (tmp_path / "fixed").touch()
    left = sorted(folder for folder in (tmp_path / "sweep").iterdir() if folder.is_dir() and not (folder / "summary.json").exists())
    assert (tmp_path / "sweep" / "1-mortal-shop-s1") in left
    for folder in left:
        again = command(f"resume={folder}", "trusted_targets=[mortal]", cwd=tmp_path, timeout=800, **store)
        assert again.returncode == 0, again.stderr
    told("kill -9 of a worker in a sweep of 3 jobs, 2 at a time", f"the sweep ended at once, named; {len(left)} jobs finished alone")

"""A real MLflow server: killed in the middle and back later, on PostgreSQL, and looked at in a browser."""

from __future__ import annotations

import importlib.util
import shutil
import threading
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from sim.tracking import Run, Tracker
from sim.tracking.spool import read_spool
from sim.tracking.sync import sync
from sim.tracking.uri import sqlite_uri
from sim.tracking.view import KEY
from tests.sim.browser import Browser, find_browser
from tests.tracking.servers import find_postgres, free_port, mlflow_server, postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def only_run(uri: str, experiment: str):
    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return client, run


@pytest.mark.faults
def test_a_server_killed_mid_training_and_back_later_gets_every_metric_once(migrated_database, tmp_path):
    shutil.copy(migrated_database, tmp_path / "mlflow.db")
    backend, port = sqlite_uri(tmp_path / "mlflow.db"), free_port()
    artifact = tmp_path / "summary.json"
    artifact.write_text("{}")

    def training(run: Run, steps: range) -> None:
        for step in steps:
            run.metrics({"train/loss": step / 10}, step=step)

    with mlflow_server(tmp_path, backend, port) as uri:
        run = Tracker(uri, "q", flush_seconds=0.1, patience=2).run("r", folder=tmp_path / "out")
        run.__enter__()
        training(run, range(50))
        until = time.monotonic() + 60
        while not any(r["kind"] == "delivered" and r["upto"] > 3 for r in read_spool(run.spool_path)):
            assert time.monotonic() < until
            time.sleep(0.1)
    training(run, range(50, 100))  # the server is dead now
    run.artifact(artifact)
    run.__exit__(None, None, None)
    with mlflow_server(tmp_path, backend, port) as uri:
        assert sync(tmp_path / "out", uri)["runs"] == 1
        assert sync(tmp_path / "out", uri)["records"] == 0
        client, stored = only_run(uri, "q")
        assert stored.info.status == "FINISHED"
        history = client.get_metric_history(stored.info.run_id, "train/loss")
        assert [(m.step, m.value) for m in history] == [(step, step / 10) for step in range(100)]
        assert [a.path for a in client.list_artifacts(stored.info.run_id)] == ["summary.json"]


@pytest.mark.skipif(find_postgres() is None, reason="no PostgreSQL on this machine (apt-get install postgresql)")
@pytest.mark.skipif(
    importlib.util.find_spec("psycopg") is None, reason="no driver of PostgreSQL (pip install 'psycopg[binary]')"
)
def test_a_server_on_postgresql_with_its_own_artifacts_takes_2_runs_at_once(tmp_path):
    folder = Path(tmp_path)
    with postgres() as backend, mlflow_server(folder, backend, free_port()) as uri:

        def work(name: str) -> None:
            artifact = folder / f"{name}.txt"
            artifact.write_text(name)
            with Tracker(uri, "q", patience=120).run(name, folder=folder / name, params={"name": name}) as run:
                for step in range(20):
                    run.metrics({f"area/m{i}": i + step for i in range(60)}, step=step)
                run.artifact(artifact)

        threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sync(folder, uri)
        client = MlflowClient(tracking_uri=uri)
        runs = {r.info.run_name: r for r in client.search_runs([client.get_experiment_by_name("q").experiment_id])}
        assert sorted(runs) == ["a", "b"]
        for name, run in runs.items():
            assert (run.info.status, run.data.params, len(run.data.metrics)) == ("FINISHED", {"name": name}, 60)
            assert [m.step for m in client.get_metric_history(run.info.run_id, "area/m7")] == list(range(20))
            assert run.info.artifact_uri.startswith("mlflow-artifacts:")
        assert len(list((folder / "artifacts").rglob("*.txt"))) == 2  # the server's own store


@pytest.mark.skipif(find_browser() is None, reason="no chromium on this machine")
def test_mlflows_own_pages_show_the_runs_the_comparison_and_the_player(migrated_database, tmp_path):
    from agents import load_agent
    from sim.recording import agent_metrics
    from sim.replay import read_run, write_page
    from tests.sim.replay_material import make_run, settings

    made = make_run(tmp_path / "run", customers=20)
    page = write_page(made["folder"], settings(customers=5, what_if_customers=1), load_agent)
    shutil.copy(migrated_database, tmp_path / "mlflow.db")
    with mlflow_server(tmp_path, sqlite_uri(tmp_path / "mlflow.db"), free_port()) as uri:
        ids = {}
        for name in ("ppo", "linucb"):
            with Tracker(uri, "q", patience=120).run(name) as run:
                summary = read_run(made["folder"]).summary | {"agent": name, "paired": {}}
                run.metrics(agent_metrics(summary), 7)
                run.artifact(page.path)
            ids[name] = run.run_id
        experiment = MlflowClient(tracking_uri=uri).get_experiment_by_name("q").experiment_id
        value = summary["policies"]["linucb"]["value_per_customer"]["mean"]
        with Browser(1500, 900) as browser:
            text = "document.body.innerText"
            browser.open(f"{uri}/#/experiments/{experiment}/runs?viewStateShareKey={KEY}", f"{text}.includes('linucb')")
            browser.wait(
                f"{text}.includes('evaluate/value_per_customer') && {text}.includes('{value:.4f}'.slice(0, 5))", 120
            )
            both = "%22%2C%22".join(ids.values())
            browser.open(
                f"{uri}/#/compare-runs?runs=%5B%22{both}%22%5D&experiments=%5B%22{experiment}%22%5D",
                f"{text}.includes('Comparing 2 Runs')",
            )
            browser.open(
                f"{uri}/#/experiments/{experiment}/runs/{ids['ppo']}/artifacts/replay.html",
                "document.querySelector('iframe[sandbox=\"allow-scripts\"]')",
            )
            browser.wait("document.documentElement.dataset.ready === 'true'", 120, frame=browser.frames[-1])

"""Runs reach MLflow complete and with the right end, and a store in trouble neither stalls nor kills them."""

from __future__ import annotations

import http.server
import json
import logging
import math
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from sim.tracking import Tracker, TrackingError
from sim.tracking.spool import read_spool, undelivered
from sim.tracking.sync import sync

DEAD = "http://127.0.0.1:9"


def kinds(path: Path) -> list[str]:
    return [record["kind"] for record in read_spool(path) if record["kind"] != "delivered"]


def test_a_run_arrives_whole_in_sqlite(uri, client, only_run, tmp_path):
    artifact = tmp_path / "summary.json"
    artifact.write_text("{}")
    with Tracker(uri, "default shop").run(
        "ppo-s0", folder=tmp_path / "out", tags={"seed": 0}, params={"agent.lr": 1e-3}, parent="abc"
    ) as run:
        for step in range(3):
            run.metrics({"train/loss": 0.5 - step / 10, "reward": step}, step=step)
        run.artifact(artifact, "tables")
        run.tags({"done": True})
        run.params({"late": "yes"})
        assert run.run_id is not None
    stored = only_run()
    assert stored.info.run_id == run.run_id
    assert (stored.info.status, stored.info.run_name) == ("FINISHED", "ppo-s0")
    assert stored.data.params == {"agent.lr": "0.001", "late": "yes"}
    assert stored.data.tags["seed"] == "0" and stored.data.tags["done"] == "True"
    assert stored.data.tags["mlflow.parentRunId"] == "abc"
    history = client.get_metric_history(run.run_id, "train/loss")
    assert [(m.step, m.value) for m in history] == [(0, 0.5), (1, 0.4), (2, 0.3)]
    assert stored.data.metrics["run/reward"] == 2
    assert [f.path for f in client.list_artifacts(run.run_id, "tables")] == ["tables/summary.json"]
    assert (tmp_path / "my störe" / "mlartifacts" / "default-shop" / run.run_id).is_dir()
    assert undelivered(tmp_path / "out" / "spool.jsonl") == ([], run.run_id)


def test_2_runs_share_the_experiment_and_2500_metrics_of_one_call_all_arrive(uri, client):
    tracker = Tracker(uri, "q")
    for seed in range(2):
        with tracker.run(f"s{seed}") as run:
            run.metrics({f"area/m{i}": i for i in range(2500)}, step=1)
        assert len(client.get_run(run.run_id).data.metrics) == 2500
    assert len(client.search_runs([client.get_experiment_by_name("q").experiment_id])) == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("x"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
        (SystemExit(1), "FAILED"),
        (SystemExit(0), "FINISHED"),
    ],
)
def test_an_exception_goes_through_and_names_the_status(uri, only_run, error, status):
    with pytest.raises(type(error)), Tracker(uri, "q").run("r") as run:
        run.metrics({"a/b": 1})
        raise error
    stored = only_run()
    assert stored.info.status == status
    assert stored.data.metrics == {"a/b": 1}


@pytest.mark.faults
def test_sigterm_ends_the_run_killed_with_exit_code_143_and_the_old_handler_is_back(uri, only_run):
    with pytest.raises(SystemExit) as caught, Tracker(uri, "q").run("r") as run:
        run.metrics({"a/b": 1})
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert caught.value.code == 143
    assert (only_run().info.status, only_run().data.metrics) == ("KILLED", {"a/b": 1})
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_numbers_that_are_not_finite_are_dropped_and_counted(uri, client, only_run):
    with Tracker(uri, "q").run("r") as run:
        run.metrics({"a/x": math.nan, "a/y": math.inf, "a/z": 1.0}, step=1)
        run.metrics({"a/x": -math.inf, "a/none": None, "a/z": 2.0}, step=2)
    assert only_run().data.metrics == {"a/z": 2.0, "tracking/non_finite": 4.0}
    assert [m.value for m in client.get_metric_history(run.run_id, "tracking/non_finite")] == [2.0, 4.0]


def test_a_parameter_of_10000_characters_is_cut_to_500_and_250_parameters_all_arrive(uri, only_run):
    params = {f"p{i}": i for i in range(249)} | {"long": "x" * 10_000}
    with Tracker(uri, "q").run("r", params=params):
        pass
    stored = only_run().data.params
    assert len(stored) == 250
    assert len(stored["long"]) == 500 and stored["long"].endswith("(10000 characters)")


def test_metrics_are_visible_while_the_run_goes_on(uri, client):
    with Tracker(uri, "q", flush_seconds=0.05).run("r") as run:
        run.metrics({"a/b": 7})
        deadline = time.monotonic() + 10
        while "a/b" not in client.get_run(run.run_id).data.metrics and time.monotonic() < deadline:
            time.sleep(0.02)
        stored = client.get_run(run.run_id)
        assert (stored.info.status, stored.data.metrics) == ("RUNNING", {"a/b": 7})


def test_an_artifact_that_is_gone_costs_a_warning_and_nothing_else(uri, client, tmp_path, caplog):
    with Tracker(uri, "q").run("r") as run:
        run.artifact(tmp_path / "gone.txt")
        run.metrics({"a/b": 1})
    stored = client.get_run(run.run_id)
    assert (stored.info.status, stored.data.metrics) == ("FINISHED", {"a/b": 1})
    assert "gone.txt" in caplog.text


def test_an_inherited_run_id_does_not_capture_the_run(uri, client, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with Tracker(uri, "q").run("r") as run:
        pass
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert "MLFLOW_RUN_ID" not in os.environ


@pytest.mark.faults
def test_a_dead_server_does_not_stall_and_costs_one_warning_and_no_record(tmp_path, caplog):
    start = time.monotonic()
    with caplog.at_level(logging.WARNING), Tracker(DEAD, "q").run("r", folder=tmp_path, params={"k": 1}) as run:
        for step in range(50):
            run.metrics({"a/b": step}, step=step)
        run.artifact(tmp_path)
        assert run.run_id is None
    assert time.monotonic() - start < 60  # MLflow's own retries would take four minutes
    assert kinds(tmp_path / "spool.jsonl") == ["run", "params", *["metrics"] * 50, "artifact", "end"]
    assert len([record for record in caplog.records if record.name == "sim.tracking"]) == 1
    assert "python -m sim.sync" in caplog.text


@pytest.mark.faults
def test_a_server_that_never_answers_holds_a_run_up_for_its_patience_twice_at_most(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracker = Tracker(f"http://127.0.0.1:{silent.getsockname()[1]}", "q", patience=0.5)
        import mlflow.tracking  # noqa: F401  the wait is measured, not the import

        start = time.monotonic()
        with tracker.run("r", folder=tmp_path) as run:
            run.metrics({"a/b": 1})
        assert time.monotonic() - start < 20
    assert kinds(tmp_path / "spool.jsonl") == ["run", "metrics", "end"]


@pytest.mark.faults
def test_no_call_of_the_training_thread_touches_the_network(tmp_path, monkeypatch):
    users: set[str] = set()
    for name in ("connect", "sendall", "send", "recv", "recv_into"):
        real = getattr(socket.socket, name)

        def watched(self, *arguments, _real=real):
            users.add(threading.current_thread().name)
            return _real(self, *arguments)

        monkeypatch.setattr(socket.socket, name, watched)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracker = Tracker(f"http://127.0.0.1:{silent.getsockname()[1]}", "q", patience=0.5, flush_seconds=0.05)
        with tracker.run("r", folder=tmp_path) as run:
            users.clear()  # the start looks once whether anybody listens, two seconds at most
            until = time.monotonic() + 30
            while "tracking" not in users and time.monotonic() < until:
                run.metrics({"a/b": 1}, step=1)
                run.params({"p": 1})
                run.tags({"t": 1})
                run.artifact(tmp_path / "spool.jsonl")
                run.dataset({"name": "d"}, "role")
                run.model(tmp_path, "policy")
                time.sleep(0.01)
            during = set(users)
    assert during == {"tracking"}  # the background thread, and nobody else


@pytest.mark.faults
def test_a_server_that_answers_500_gets_no_record_and_the_run_goes_on(tmp_path, monkeypatch, caplog):
    class Broken(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.send_response(500)
            self.end_headers()

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with Tracker(f"http://127.0.0.1:{server.server_port}", "q", patience=3).run("r", folder=tmp_path) as run:
            run.metrics({"a/b": 1})
    finally:
        server.shutdown()
        server.server_close()
    assert kinds(tmp_path / "spool.jsonl") == ["run", "metrics", "end"]
    assert caplog.text.count("has trouble") == 1


@pytest.mark.faults
def test_sync_delivers_what_a_dead_server_missed_and_a_second_sync_adds_nothing(uri, client, only_run, tmp_path):
    artifact = tmp_path / "note.txt"
    artifact.write_text("x")
    with pytest.raises(ValueError), Tracker(DEAD, "q").run("r", folder=tmp_path / "out", params={"k": 1}) as run:
        for step in range(20):
            run.metrics({"a/b": step}, step=step)
        run.artifact(artifact)
        raise ValueError
    assert sync(tmp_path, uri) == {"runs": 1, "records": 24, "refused": 0, "alive": 0}
    assert sync(tmp_path, uri) == {"runs": 0, "records": 0, "refused": 0, "alive": 0}
    # Even when the note of the delivery is lost, the run is found again and no row doubles.
    spool = tmp_path / "out" / "spool.jsonl"
    lines = [line for line in spool.read_text().splitlines() if '"delivered"' not in line]
    spool.write_text("\n".join(lines) + "\n")
    sync(tmp_path, uri)
    stored = only_run()
    assert (stored.info.status, stored.data.params) == ("FAILED", {"k": "1"})
    history = client.get_metric_history(stored.info.run_id, "a/b")
    assert [(m.step, m.value) for m in history] == [(i, i) for i in range(20)]
    assert [f.path for f in client.list_artifacts(stored.info.run_id)] == ["note.txt"]


@pytest.mark.faults
def test_a_spool_torn_by_a_kill_is_delivered_up_to_the_tear_and_the_run_ends_killed(uri, only_run, tmp_path):
    with Tracker(DEAD, "q").run("r", folder=tmp_path) as run:
        run.metrics({"a/b": 1}, step=1)
        run.metrics({"a/b": 2}, step=2)
    spool = tmp_path / "spool.jsonl"
    lines = spool.read_text().splitlines()
    spool.write_text("\n".join(lines[:2]) + "\n" + lines[2][:20])
    sync(tmp_path, uri)
    assert (only_run().info.status, only_run().data.metrics) == ("KILLED", {"a/b": 1})
    assert sync(tmp_path, uri)["runs"] == 0


def test_a_run_without_a_writable_folder_is_still_tracked(uri, only_run, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with Tracker(uri, "q").run("r", folder=tmp_path / "file" / "out") as run:
        run.metrics({"a/b": 1})
    assert only_run().data.metrics == {"a/b": 1}
    assert "no local copy" in caplog.text


def test_2_runs_in_one_folder_keep_2_spools(tmp_path):
    tracker = Tracker(DEAD, "q")
    for _ in range(2):
        with tracker.run("r", folder=tmp_path):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spool-2.jsonl", "spool.jsonl"]


def test_disabled_tracking_takes_the_same_calls_and_writes_nothing(tmp_path):
    with Tracker(None, "", enabled=False).run("r", folder=tmp_path, params={"a": 1}) as run:
        run.metrics({"a/b": math.nan})
        run.tags({"x": 1})
        run.artifact(tmp_path)
        assert run.run_id is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["mlruns", "file:///x/mlruns", "http://", "ftp://x", "sqlite://"])
def test_an_address_that_mlflow_cannot_track_to_is_refused_before_any_work_with_exit_code_2(uri):
    with pytest.raises(TrackingError, match="no address MLflow can track to") as caught:
        Tracker(uri, "q")
    assert caught.value.exit_code == 2


def test_a_password_in_the_address_reaches_neither_spool_nor_log(tmp_path, caplog):
    with Tracker("http://me:secret@127.0.0.1:9", "q").run("r", folder=tmp_path):
        pass
    assert "secret" not in (tmp_path / "spool.jsonl").read_text() + caplog.text
    assert json.loads((tmp_path / "spool.jsonl").read_text().splitlines()[0])["uri"] == DEAD

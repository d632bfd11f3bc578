"""Records into MLflow: one batched call for many metrics, short waits, and nothing that doubles when it is sent twice.

Sending a record again changes nothing: a metric with the same name, step, time and value is one row for MLflow,
parameters and tags keep their value, artifacts are overwritten, and a run is found again by its key tag.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sim.tracking import view
from sim.tracking.datasets import dataset_input
from sim.tracking.models import log_policy
from sim.tracking.names import METRICS_PER_BATCH, PARAM_LIMIT, PARAMS_PER_BATCH, TAG_LIMIT, clean_name, shortened
from sim.tracking.spool import Record
from sim.tracking.uri import artifact_location, sqlite_path

KEY_TAG = "push_sim.key"
MADE_TAG = "push_sim.made"
HOST_TAG, SPOOL_TAG = "push_sim.host", "push_sim.spool"
NOTE_TAG = "mlflow.note.content"
PARENT_TAG = "mlflow.parentRunId"
CONNECT_SECONDS = 2.0
SETTLE_SECONDS = 0.3

# MLflow's own defaults retry for four minutes and wait 120 s for each answer; a user's own settings win.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def prepare_environment() -> None:
    """Settings that mlflow reads when it is imported or called; an inherited run id would capture every new run."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.pop("MLFLOW_RUN_ID", None)


def check_reachable(uri: str) -> None:
    """Open and close a connection to a server address; nothing to do for files, databases and behind a proxy.

    Raises
    ------
    OSError
        If nobody listens there, within two seconds.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.hostname):
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname, port), timeout=CONNECT_SECONDS).close()


class MlflowStore:
    """One MLflow address; made and used by one thread.  Importing mlflow (4-5 s) happens here.

    Raises
    ------
    OSError, mlflow.exceptions.MlflowException
        By every method, when the store does not do its part.
    """

    def __init__(self, uri: str) -> None:
        prepare_environment()
        check_reachable(uri)
        # "Creating initial MLflow database tables" and alembic's steps are no news to the user.
        for name in ("mlflow.store.db.utils", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient

        self.uri = uri
        path = sqlite_path(uri)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):  # two processes that make the tables at the same time fail each other
            self.client = MlflowClient(tracking_uri=uri)
            if path is not None:
                self.client.search_experiments(max_results=1)

    def open_run(self, record: Record, search: bool = False) -> str:
        """The MLflow run of a `run` record, made if need be.

        Parameters
        ----------
        record : dict
            The first record of a spool.
        search : bool
            Look for the run first: an earlier attempt may have reached the store although its answer did not arrive.
        """
        experiment = self.experiment_id(record["experiment"])
        parent = record["parent"]
        if isinstance(parent, dict):  # its run may not have reached this store yet: the first child makes it
            parent = self.open_run(parent, search=True)
        tags = {clean_name(k): shortened(v, TAG_LIMIT) for k, v in record["tags"].items()}
        tags |= {KEY_TAG: record["key"], MADE_TAG: f"{time.time_ns():020d}"}
        if parent:
            tags[PARENT_TAG] = parent
        with _alone(sqlite_path(self.uri)):
            if search and (known := self._with_key(experiment, record["key"])):
                return known[0]
            run = self.client.create_run(experiment, start_time=record["time"], tags=tags, run_name=record["name"])
            mine = run.info.run_id
        if not search or sqlite_path(self.uri) is not None:
            return mine
        time.sleep(SETTLE_SECONDS)  # a server has no lock: another process may be making the same parent right now
        chosen = self._with_key(experiment, record["key"])[0]
        if chosen != mine:
            self.client.delete_run(mine)
        return chosen

    def _with_key(self, experiment: str, key: str) -> list[str]:
        """Ids of the runs with this key, the one that was made first in front."""
        found = self.client.search_runs([experiment], filter_string=f"tags.`{KEY_TAG}` = '{key}'")
        return [run.info.run_id for run in sorted(found, key=lambda r: (r.data.tags.get(MADE_TAG, ""), r.info.run_id))]

    def experiment_id(self, name: str) -> str:
        """MLflow's id of an experiment, made if missing, with the saved comparison."""
        with _alone(sqlite_path(self.uri)):
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                return found.experiment_id
            try:
                where = artifact_location(self.uri, name)
                return self.client.create_experiment(
                    name, artifact_location=where, tags={view.TAG: view.comparison_view()}
                )
            except Exception:
                found = self.client.get_experiment_by_name(name)  # another process was faster
                if found is None:
                    raise
                return found.experiment_id

    def send(self, run_id: str, records: Sequence[Record]) -> None:
        """Send records of one run; neighbouring metrics go in one call per thousand."""
        from mlflow.entities import Metric, Param, RunTag

        metrics: list[Metric] = []
        for record in records:
            kind = record["kind"]
            if kind == "metrics":
                step, when = record["step"], record["time"]
                metrics += [Metric(name, value, when, step) for name, value in record["values"].items()]
                continue
            self._send_metrics(run_id, metrics)
            metrics = []
            if kind == "params":
                params = [Param(clean_name(k), shortened(v, PARAM_LIMIT)) for k, v in record["values"].items()]
                for start in range(0, len(params), PARAMS_PER_BATCH):
                    self.client.log_batch(run_id, params=params[start : start + PARAMS_PER_BATCH])
            elif kind == "tags":
                values = self._placed(run_id, record["values"])
                tags = [RunTag(clean_name(k), shortened(v, TAG_LIMIT)) for k, v in values.items()]
                for start in range(0, len(tags), PARAMS_PER_BATCH):
                    self.client.log_batch(run_id, tags=tags[start : start + PARAMS_PER_BATCH])
            elif kind == "artifact":
                path = Path(record["path"])
                log = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
                log(run_id, str(path), record["folder"])
            elif kind == "dataset":
                self.client.log_inputs(run_id, [dataset_input(record)])
            elif kind == "model":
                log_policy(self.client, run_id, record)
            elif kind == "resume":
                self.client.update_run(run_id, status="RUNNING")
            elif kind == "end":
                self.end(run_id, record["status"], record["time"])
        self._send_metrics(run_id, metrics)

    def end(self, run_id: str, status: str, when: int) -> None:
        """FINISHED, FAILED or KILLED at a time in milliseconds since the epoch."""
        self.client.set_terminated(run_id, status, end_time=when)

    def _placed(self, run_id: str, values: dict[str, str]) -> dict[str, str]:
        """Tags with `{experiment_id}` and `{run_id}` in the run's description filled in: links, known only here."""
        note = values.get(NOTE_TAG, "")
        if "{run_id}" not in note:
            return values
        experiment = self.client.get_run(run_id).info.experiment_id
        return values | {NOTE_TAG: note.replace("{experiment_id}", experiment).replace("{run_id}", run_id)}

    def running_here(self, host: str, experiment: str | None = None) -> list[tuple[str, str]]:
        """(run id, spool) of the runs that this machine began and that have not ended, of one experiment or all."""
        if experiment is None:
            ids = [e.experiment_id for e in self.client.search_experiments()]
        else:
            known = self.client.get_experiment_by_name(experiment)
            ids = [] if known is None else [known.experiment_id]
        if not ids:
            return []
        where = f"attributes.status = 'RUNNING' and tags.`{HOST_TAG}` = '{host}'"
        return [
            (run.info.run_id, run.data.tags[SPOOL_TAG]) for run in self.client.search_runs(ids, filter_string=where)
        ]

    def _send_metrics(self, run_id: str, metrics: list[Any]) -> None:
        for start in range(0, len(metrics), METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_BATCH])


def is_refusal(error: BaseException) -> bool:
    """Whether the record is at fault rather than the store, so that sending it again cannot help."""
    code = getattr(error, "error_code", None)
    return isinstance(error, FileNotFoundError) or code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


@contextlib.contextmanager
def _alone(path: Path | None) -> Iterator[None]:
    """One process at a time for a SQLite file (where the system has flock)."""
    if path is None:
        yield
        return
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(f"{path}.lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield

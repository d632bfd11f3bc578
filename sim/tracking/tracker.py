"""Runs in MLflow that cannot hurt the work they describe.

    with Tracker(None, "default").run("ppo-default-s0", folder=folder, tags=tags, params=params) as run:
        run.metrics({"train/loss": 0.3, "time/steps_per_second": 24_000}, step=2048)
        run.artifact(folder / "summary.json")

Every record is appended to `spool.jsonl` in the run folder, then queued for a background thread (`delivery`).  A run
ends FINISHED, FAILED on an exception, KILLED on Ctrl-C or SIGTERM; one that was killed without a chance to say so is ended
by the next run of its experiment on the same machine.  A store that fails causes one warning; the records stay in the spool
and `python -m sim.sync FOLDER` delivers them later.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from sim.tracking.delivery import FLUSH_SECONDS, Delivery
from sim.tracking.errors import TrackingError
from sim.tracking.names import finite_only
from sim.tracking.recorded import Recorded
from sim.tracking.spool import Record, Spool, undelivered_of
from sim.tracking.store import HOST_TAG, SPOOL_TAG, check_reachable, prepare_environment
from sim.tracking.uri import checked_uri, default_uri, shown_uri

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
SIGNAL_EXITS = (128 + signal.SIGINT, 128 + signal.SIGTERM)
LOCAL_PATIENCE = 60.0  # SQLite waits 20 s for a lock, and makes its tables in 3-10 s

logger = logging.getLogger("sim.tracking")


class Tracker:
    """Opens runs of one experiment at one MLflow address.

    Parameters
    ----------
    uri : str or None
        `sqlite:////absolute/mlflow.db`, `http://host:port` ...; None for `default_uri()`.
    experiment : str
        MLflow experiment, made if missing: the question that its runs answer.
    enabled : bool
        False records nothing anywhere, with the same calls.
    flush_seconds : float
        Time between batches.
    patience : float
        Seconds that ending a run, or asking for its id, waits for a server that does not answer.

    Raises
    ------
    TrackingError
        If MLflow has no store behind such an address, or the experiment has no name.
    """

    def __init__(
        self,
        uri: str | None,
        experiment: str,
        enabled: bool = True,
        *,
        flush_seconds: float = FLUSH_SECONDS,
        patience: float = 8.0,
    ) -> None:
        if enabled and not experiment.strip():
            raise TrackingError("tracking.experiment is empty; give the experiment a name")
        self.enabled = enabled
        self.experiment = experiment.strip()
        self.uri = (checked_uri(uri) if uri else default_uri()) if enabled else ""
        self.flush_seconds = flush_seconds
        self.patience = patience if self.uri.startswith("http") else LOCAL_PATIENCE

    def run(
        self,
        name: str,
        *,
        folder: Path | str | None = None,
        tags: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        parent: str | Record | None = None,
        resume: bool = False,
    ) -> Run:
        """A run, to be entered with `with`.

        Parameters
        ----------
        name : str
            Shown in MLflow, e.g. `ppo-default-s0`.
        folder : Path or None
            Where `spool.jsonl` goes; None keeps no local copy.
        tags, params : mapping
            Values of any type, stored as text; see `flatten` for nested configurations.
        parent : str, dict or None
            The run that this one belongs to (a sweep): its MLflow id, or its `run_record`, which does not need a store
            that answers.
        resume : bool
            Go on with the run whose spool lies in `folder`, where there is one: the same run in MLflow, RUNNING again.  What
            it recorded before is not recorded a second time.
        """
        return Run(self, name, folder, dict(tags or {}), dict(params or {}), parent, resume)


class Run:
    """One run; made by `Tracker.run`."""

    def __init__(
        self,
        tracker: Tracker,
        name: str,
        folder: Path | str | None,
        tags: dict[str, Any],
        params: dict[str, Any],
        parent: str | Record | None,
        resume: bool = False,
    ) -> None:
        self.name = name
        self._resume = resume
        self._recorded = Recorded()
        self.spool_path: Path | None = None
        self._tracker, self._folder, self._parent = tracker, folder, parent
        self._first_tags, self._first_params = tags, params
        self._spool = Spool(None)
        self._delivery: Delivery | None = None
        self._non_finite = 0
        self._warned = False
        self._old_sigterm: Any = None

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None without tracking, or while the store does not answer.

        Asked for early, it waits for the store as long as `patience` allows; the run itself never waits for it.
        """
        if self._delivery is None:
            return None
        self._delivery.wait_settled(self._tracker.patience)
        return self._delivery.run_id

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Record metrics `area/name` at a step (one call per update, not per environment step).

        Numbers that are not finite are dropped, and `tracking/non_finite` counts them.
        """
        kept, dropped = finite_only(values)
        if dropped:
            self._non_finite += dropped
            kept["tracking/non_finite"] = float(self._non_finite)
        kept = self._recorded.new(kept, int(step))
        if kept:
            self._record("metrics", step=int(step), values=kept)

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; MLflow never lets one change its value."""
        self._record("params", values=_text(values))

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags; a later value replaces an earlier one."""
        self._record("tags", values=_text(values))

    def artifact(self, path: Path | str, folder: str | None = None) -> None:
        """Attach a file or a folder, under `folder` among the run's artifacts.

        It is copied in the background, at the latest when the run ends: leave it in place until then.
        """
        self._record("artifact", path=str(Path(path).resolve()), folder=folder)

    def dataset(self, dataset: Mapping[str, str], context: str) -> None:
        """Say what the run used: see `datasets.describe`; `context` is the role it played."""
        self._record("dataset", dataset=dict(dataset), context=context)

    def model(
        self,
        policy: Path | str,
        name: str,
        *,
        step: int = 0,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        **model: Any,
    ) -> None:
        """Log a saved policy as a model that MLflow can serve; `model` as in `models.save_policy`."""
        path = str(Path(policy).resolve())
        self._record(
            "model",
            path=path,
            name=name,
            step=int(step),
            params=_text(params or {}),
            tags=_text(tags or {}),
            model=model,
        )

    def __enter__(self) -> Self:
        tracker = self._tracker
        self._catch_sigterm()
        if not tracker.enabled:
            return self
        prepare_environment()
        try:
            self._spool = Spool(self._folder, self._resume)
        except OSError as error:
            logger.warning("no local copy of the run's records: %s", error)
        self.spool_path = self._spool.path
        here = {HOST_TAG: socket.gethostname(), SPOOL_TAG: str(self.spool_path) if self.spool_path else ""}
        rest, run_id = undelivered_of(self._spool.before)
        self._delivery = Delivery(
            tracker.uri, self._spool, self._trouble, tracker.flush_seconds, repair=tracker.experiment,
            run_id=run_id, resumed=bool(self._spool.before),
        )  # fmt: skip
        if self._spool.before:
            self._recorded = Recorded(self._spool.before)
            for record in rest:
                self._delivery.put(record)
            self._record("resume")
            self.tags(here)  # perhaps another machine, or the folder was moved
        else:
            self._record(
                "run",
                experiment=tracker.experiment,
                name=self.name,
                tags=_text(self._first_tags) | here,
                parent=self._parent,
                uri=shown_uri(tracker.uri),
                key=uuid.uuid4().hex,
            )
        if self._first_params:
            self.params(self._first_params)
        try:
            check_reachable(tracker.uri)
            import mlflow.tracking  # noqa: F401  here, not in the thread: torch may be importing the same packages
        except Exception as error:
            self._trouble(error)
        self._delivery.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._delivery is not None:
                self._record("end", status=_status(error))
                self._delivery.finish(self._tracker.patience)
                if self._delivery.left and self._delivery.is_alive():
                    self._trouble(TimeoutError("no answer"))
                elif self._warned and not self._delivery.left:
                    logger.info("all records of run %s reached MLflow after all", self.name)
                self._spool.close()
        finally:
            if self._old_sigterm is not None:
                signal.signal(signal.SIGTERM, self._old_sigterm)

    def _record(self, kind: str, **fields: Any) -> None:
        if self._delivery is None or (kind, fields) in self._recorded:
            return
        had_error = self._spool.error
        self._delivery.put(self._spool.add(kind, **fields))
        if self._spool.error is not None and had_error is None:
            logger.warning("the local copy of the run's records ends here: %s", self._spool.error)

    def _trouble(self, error: Exception) -> None:
        if self._warned:
            return
        self._warned = True
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        kept = (
            f"all records are kept in {self.spool_path}; deliver them later with: "
            f"python -m sim.sync {self.spool_path.parent}"
            if self.spool_path
            else "records that it does not take in the end are lost, since the run has no folder"
        )
        logger.warning("MLflow at %s has trouble (%s); the run goes on, %s", shown_uri(self._tracker.uri), reason, kept)

    def _catch_sigterm(self) -> None:
        """SIGTERM becomes SystemExit(143), so that the run ends KILLED; somebody else's handler stays."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._old_sigterm = signal.signal(signal.SIGTERM, _exit_on_signal)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _status(error: BaseException | None) -> str:
    if isinstance(error, SystemExit):
        return FINISHED if error.code in (None, 0) else KILLED if error.code in SIGNAL_EXITS else FAILED
    if error is None:
        return FINISHED
    return KILLED if isinstance(error, KeyboardInterrupt) else FAILED


def _text(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in values.items()}

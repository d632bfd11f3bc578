"""The background thread that hands records to MLflow, every few seconds, and survives whatever the store does.

A failure keeps the records that were not taken and tries again after a pause; the caller never waits for the store,
except when the run ends, and then only as long as something still moves.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sim.tracking.spool import Record, Spool
from sim.tracking.store import MlflowStore, is_refusal
from sim.tracking.sync import repair

FLUSH_SECONDS = 5.0
RETRY_SECONDS = 30.0

logger = logging.getLogger("sim.tracking")


class Delivery(threading.Thread):
    """Delivers the records of one run.

    Parameters
    ----------
    uri : str
        MLflow address.
    spool : Spool
        Takes the note of what was delivered.
    on_trouble : callable
        Called with the error, from this thread, each time the store fails or refuses a record.
    flush_seconds, retry_seconds : float
        Time between batches, and after a failure.
    repair : str or None
        Experiment whose dead runs are ended once this run is there.
    run_id : str or None
        Of a run that the store has already.
    resumed : bool
        The store may have the run although its id is not known.
    """

    def __init__(
        self,
        uri: str,
        spool: Spool,
        on_trouble: Callable[[Exception], None],
        flush_seconds: float = FLUSH_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        repair: str | None = None,
        run_id: str | None = None,
        resumed: bool = False,
    ) -> None:
        super().__init__(name="tracking", daemon=True)
        self.run_id: str | None = run_id
        self.progress = time.monotonic()  # of the last call that the store answered
        self._uri, self._spool, self._on_trouble = uri, spool, on_trouble
        self._flush_seconds, self._retry_seconds = flush_seconds, retry_seconds
        self._pending: list[Record] = []
        self._wake = threading.Condition()
        self._closing = False
        self._settled = threading.Event()  # the first attempt is over
        self._attempts = int(resumed)
        self._store: MlflowStore | None = None
        self._repair = repair

    @property
    def left(self) -> int:
        """Number of records that the store does not have."""
        return len(self._pending)

    def put(self, record: Record) -> None:
        """Queue one record; costs microseconds."""
        with self._wake:
            self._pending.append(record)

    def wait_settled(self, seconds: float) -> None:
        """Wait until the run exists or could not be made, at most `seconds`."""
        self._settled.wait(seconds)

    def finish(self, patience: float) -> None:
        """Deliver the rest; give up when the store has not answered anything for `patience` seconds."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self.progress = time.monotonic()
        while self.is_alive() and time.monotonic() - self.progress < patience:
            self.join(0.05)

    def run(self) -> None:
        """Thread body: the first batch at once (it makes the run), then one every few seconds."""
        pause = 0.0
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closing, timeout=pause)
                closing, batch = self._closing, list(self._pending)
            delivered = self._deliver(batch)
            self._settled.set()
            if closing:
                return
            if delivered and self._repair is not None:
                self._end_dead_runs(self._repair)
                self._repair = None
            pause = self._flush_seconds if delivered else self._retry_seconds

    def _deliver(self, batch: list[Record]) -> bool:
        """Send a batch; whether the store took it (refused records count as taken: they would be refused again)."""
        try:
            if self._store is None:
                self._store = MlflowStore(self._uri)
                self.progress = time.monotonic()
            while batch:
                if self.run_id is None:
                    self._attempts += 1
                    self.run_id = self._store.open_run(batch[0], search=self._attempts > 1)
                    group = batch[:1]
                else:
                    group = _next_group(batch)
                    self._send(group)
                self.progress = time.monotonic()
                self._spool.add("delivered", upto=group[-1]["n"], run_id=self.run_id)
                with self._wake:
                    del self._pending[: len(group)]
                batch = batch[len(group) :]
        except Exception as error:  # whatever goes wrong between here and a server is no reason to stop training
            self._on_trouble(error)
            return False
        return True

    def _end_dead_runs(self, experiment: str) -> None:
        assert self._store is not None
        try:
            repair(self._store, experiment)
        except Exception as error:  # theirs, not ours; `python -m sim.sync` says what is wrong
            logger.debug("dead runs could not be ended: %s", error)

    def _send(self, group: list[Record]) -> None:
        assert self._store is not None and self.run_id is not None
        try:
            self._store.send(self.run_id, group)
        except Exception as error:
            if not is_refusal(error):
                raise
            self._on_trouble(error)


def _next_group(batch: list[Record]) -> list[Record]:
    """The leading records that can share one call: a stretch of metrics, or one of any other kind."""
    length = 0
    while length < len(batch) and batch[length]["kind"] == "metrics":
        length += 1
    return batch[: max(length, 1)]

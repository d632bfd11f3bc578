"""Tasks in processes of this machine.

Each worker is a `concurrent.futures.ProcessPoolExecutor` of its own with one process: a process that dies breaks only its own
pool, so that it is known which task it had, and no other task is lost.  Processes are spawned, not forked: threads of torch and
OpenMP do not survive a fork.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from types import TracebackType
from typing import Any

from sim.executors.tasks import ATTEMPTS, WORKER, Failure, Outcome, Task, attempt, listen
from sim.executors.threads import one_thread_in_environment, pin_to_one_thread

_POLL = 0.5  # seconds between looks at the progress
_START = 60.0  # seconds that a process may take to begin

_reports: Any = None


def _start(reports: Any) -> None:
    """First thing in a worker: one thread, no Ctrl-C of its own, and an end when the parent ends, however it does."""
    global _reports
    _reports = reports
    os.environ[WORKER] = "process"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends its workers
    pin_to_one_thread()
    parent = multiprocessing.parent_process()

    def watch() -> None:
        connection.wait([parent.sentinel])  # type: ignore[union-attr]
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()


def _work(function: Callable[[Any], Any], number: int, argument: Any, told: bool) -> tuple[Any, Failure | None]:
    if told:
        listen(lambda value: _reports.put((number, value)))
    try:
        return attempt(function, argument)
    finally:
        listen(None)


class _Worker:
    """One process, and the next one when it dies."""

    def __init__(self, number: int, reports: Any) -> None:
        self.number, self._reports = number, reports
        self._pool: ProcessPoolExecutor | None = None
        self._pid: Future[int] | None = None
        self._now: Future[Any] | None = None

    def submit(self, *call: Any) -> Future[Any]:
        try:
            self._now = self._started().submit(_work, *call)
        except BrokenProcessPool:  # it died while it had no task
            self.forget()
            self._now = self._started().submit(_work, *call)
        return self._now

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, _start, (self._reports,))
            with one_thread_in_environment():
                self._pid = self._pool.submit(os.getpid)
        return self._pool

    @property
    def name(self) -> str:
        try:
            return f"worker {self.number} (process {self._pid.result(0)})" if self._pid else f"worker {self.number}"
        except Exception:  # it died before it could tell
            return f"worker {self.number}"

    def forget(self) -> None:
        """After its death: the next task gets a new process."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        self._pool = self._pid = None

    def end(self) -> None:
        """At once: what it still does is lost."""
        if self._pool is None:
            return
        if self._pid is not None and self._now is not None and not self._now.done():  # one without a task ends by itself
            with contextlib.suppress(Exception):  # it has died already
                os.kill(self._pid.result(_START), signal.SIGTERM)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._pid = None


class ProcessExecutor:
    """Tasks in `workers` processes.

    Parameters
    ----------
    workers : int >= 1
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._reports = multiprocessing.get_context("spawn").Queue()
        self._numbers = itertools.count()
        self._crew = [_Worker(number, self._reports) for number in range(1, workers + 1)]

    def run(
        self, function: Callable[[Any], Any], tasks: Iterable[Task], report: Callable[[str, Any], None] | None = None
    ) -> Iterator[Outcome]:
        """As of `executors.tasks.Executor`."""
        coming = enumerate(tasks)
        again: collections.deque[tuple[int, Task, int]] = collections.deque()
        free = list(reversed(self._crew))
        running: dict[Future[Any], tuple[_Worker, int, Task, int]] = {}
        names: dict[int, str] = {}  # of everything given out, by a number that no earlier run has used
        finished = False

        def give_out() -> None:
            while free:
                index, task, tries = again.popleft() if again else (*next(coming, (-1, None)), 1)
                if task is None:
                    return
                number = next(self._numbers)
                names[number] = task.name
                worker = free.pop()
                running[worker.submit(function, number, task.argument, report is not None)] = worker, index, task, tries

        try:
            give_out()
            while running:
                ready, _ = wait(running, timeout=_POLL, return_when=FIRST_COMPLETED)
                self._hear(report, names)
                for future in ready:
                    worker, index, task, tries = running.pop(future)
                    free.append(worker)
                    try:
                        value, failure = future.result()
                    except BrokenProcessPool:
                        died = f"{worker.name} died at {task.name} (out of memory, or killed)"
                        worker.forget()
                        if tries < ATTEMPTS:
                            print(f"{died}; it is tried once more", file=sys.stderr)
                            again.append((index, task, tries + 1))
                            continue
                        value, failure = None, Failure(f"{died}, for the second time", died=True)
                    except Exception as error:  # the value could not be sent
                        value, failure = None, Failure(f"{type(error).__name__}: {error}")
                    yield Outcome(index, task, value, failure, tries)
                give_out()
            finished = True
        finally:
            if not finished:  # nobody waits for what still runs
                self._end()

    def _hear(self, report: Callable[[str, Any], None] | None, names: dict[int, str]) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                number, value = self._reports.get_nowait()
                if report is not None and number in names:
                    report(names[number], value)

    def _end(self) -> None:
        for worker in self._crew:
            worker.end()

    def close(self) -> None:
        """End the workers; what they still do is lost."""
        self._end()

    def __enter__(self) -> ProcessExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

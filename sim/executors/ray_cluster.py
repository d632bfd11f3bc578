"""Tasks on a Ray cluster, or on a Ray of this machine's own (https://docs.ray.io; Moritz et al. 2018, OSDI, arXiv:1712.05889).

Ray's own retries are off: it tells which task lost its worker or its machine, and this class tries that task once more wherever
there is room.  Ray Data is not used: it cuts a data set into blocks as it sees fit, while equal bits need equal batches, and what
it would save (handing files to workers) is nothing beside some tens of milliseconds of networks per picture.
"""

from __future__ import annotations

import collections
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from sim.executors.errors import NO_CLUSTER, ExecutorError
from sim.executors.tasks import ATTEMPTS, WORKER, Failure, Outcome, Task, attempt
from sim.executors.threads import pin_to_one_thread


def _work(function: Callable[[Any], Any], argument: Any) -> tuple[Any, Failure | None]:
    os.environ[WORKER] = "ray"
    pin_to_one_thread()
    return attempt(function, argument)


class RayExecutor:
    """Tasks on Ray, one processor each.

    Parameters
    ----------
    workers : tasks at a time; None takes every processor of the cluster, also those that join later.
    address : of a running cluster; None starts a Ray on this machine, which ends with the executor.

    Raises
    ------
    ExecutorError
        Nobody answers at the address.
    """

    def __init__(self, workers: int | None, address: str | None, *, what: str = "executor") -> None:
        import ray

        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # leave CUDA_VISIBLE_DEVICES alone
            self._connect(workers, address, what)
        self._wanted = workers
        self._remote = ray.remote(num_cpus=1, max_retries=0)(_work)

    def _connect(self, workers: int | None, address: str | None, what: str) -> None:
        from sim.executors.settings import processors

        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if address is None:
            self._ray.init(num_cpus=workers or processors(), include_dashboard=False, **quiet)
            return
        try:
            self._ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError):
            raise ExecutorError(NO_CLUSTER.format(what=what, address=address)) from None

    @property
    def workers(self) -> int:
        """Tasks at a time."""
        return self._wanted or max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def run(
        self, function: Callable[[Any], Any], tasks: Iterable[Task], report: Callable[[str, Any], None] | None = None
    ) -> Iterator[Outcome]:
        """As of `executors.tasks.Executor`; tasks do not tell how far they are."""
        coming = enumerate(tasks)
        again: collections.deque[tuple[int, Task]] = collections.deque()
        running: dict[Any, tuple[int, Task, int]] = {}
        tries: dict[int, int] = {}

        def give_out() -> None:
            while len(running) < self.workers:
                index, task = again.popleft() if again else next(coming, (-1, None))
                if task is None:
                    return
                tries[index] = tries.get(index, 0) + 1
                running[self._remote.remote(function, task.argument)] = index, task, tries[index]

        try:
            give_out()
            while running:
                ready, _ = self._ray.wait(list(running), num_returns=1)
                for reference in ready:
                    index, task, tried = running.pop(reference)
                    try:
                        value, failure = self._ray.get(reference)
                    except self._ray.exceptions.RayError as error:
                        value, failure = None, _lost(error, task)
                        if failure.died and tried < ATTEMPTS:
                            print(f"{failure.message}; it is tried once more", file=sys.stderr)
                            again.append((index, task))
                            continue
                    del tries[index]
                    yield Outcome(index, task, value, failure, tried)
                give_out()
        finally:
            for reference in running:
                self._ray.cancel(reference, force=True)

    def close(self) -> None:
        """Leave the cluster; a Ray of our own ends."""
        if self._ours and self._ray.is_initialized():
            self._ray.shutdown()

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _lost(error: Exception, task: Task) -> Failure:
    """What Ray says of a task without a result: the task's own error does not come this way, it is a result."""
    from ray.exceptions import RayTaskError

    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, RayTaskError):  # the argument or the value could not be sent
        return Failure(f"{task.name}: {first[:300]}", str(error))
    return Failure(f"the worker of {task.name} was lost ({type(error).__name__}: {first[:160]})", died=True)

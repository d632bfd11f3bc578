"""Tasks one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from sim.executors.tasks import Outcome, Task, attempt, listen
from sim.executors.threads import one_thread


class SerialExecutor:
    """Starts nothing, so nothing can die; the executor of small jobs, of debuggers and inside workers."""

    workers = 1

    def run(
        self, function: Callable[[Any], Any], tasks: Iterable[Task], report: Callable[[str, Any], None] | None = None
    ) -> Iterator[Outcome]:
        """As of `executors.tasks.Executor`."""
        for index, task in enumerate(tasks):
            if report is not None:
                listen(lambda value, name=task.name: report(name, value))  # type: ignore[misc]
            try:
                with one_thread():
                    value, failure = attempt(function, task.argument)
            finally:
                if report is not None:
                    listen(None)
            yield Outcome(index, task, value, failure)

    def close(self) -> None:
        """Nothing to end."""

    def __enter__(self) -> SerialExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

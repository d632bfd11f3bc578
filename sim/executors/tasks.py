"""Tasks, what becomes of them, and what every executor offers."""

from __future__ import annotations

import dataclasses
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol

ATTEMPTS = 2  # of a task whose worker died; a task that raises would raise again
WORKER = "PUSH_SIM_WORKER"  # set in the environment of worker processes

_listener: Callable[[Any], None] | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """One call: a name for people, and the argument."""

    name: str
    argument: Any


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a task has no value.

    `message` is one sentence; `trace` is None where the error was one that users may meet (it carried an `exit_code`);
    `died` where the worker ended without a word.
    """

    message: str
    trace: str | None = None
    exit_code: int = 1
    died: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of task number `index`: a value, or a failure; `attempts` it took."""

    index: int
    task: Task
    value: Any = None
    failure: Failure | None = None
    attempts: int = 1

    @property
    def name(self) -> str:
        """Of the task."""
        return self.task.name


class Executor(Protocol):
    """Runs tasks; keeps its workers until it is closed, so that what they loaded is loaded once."""

    @property
    def workers(self) -> int:
        """Tasks at a time."""
        ...

    def run(
        self, function: Callable[[Any], Any], tasks: Iterable[Task], report: Callable[[str, Any], None] | None = None
    ) -> Iterator[Outcome]:
        """Outcomes as they come (`in_order` puts them in order); one for every task.

        Parameters
        ----------
        function : importable by its name, called with a task's argument.
        tasks : taken one by one as workers become free, so that a generator may be long.
        report : called with a task's name and whatever the task gives to `sim.executors.report`; what it says last may come too late.
        """
        ...

    def close(self) -> None:
        """End the workers."""
        ...

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def in_order(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Outcomes in the order of their tasks; those that come early wait."""
    early: dict[int, Outcome] = {}
    wanted = 0
    for outcome in outcomes:
        early[outcome.index] = outcome
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1


def inside_worker() -> bool:
    """Whether this process is an executor's worker; whoever is asked for an executor there takes `serial`."""
    return WORKER in os.environ


def report(value: Any) -> None:
    """Tell whoever started this task how far it is; nobody may listen."""
    if _listener is not None:
        _listener(value)


def listen(listener: Callable[[Any], None] | None) -> None:
    """Where `report` goes in this process; for executors."""
    global _listener
    _listener = listener


def attempt(function: Callable[[Any], Any], argument: Any) -> tuple[Any, Failure | None]:
    """The value of a call, or why there is none; interrupts pass."""
    try:
        return function(argument), None
    except Exception as error:
        expected = hasattr(error, "exit_code")
        text = " ".join(str(error).split()) or type(error).__name__
        return None, Failure(
            text if expected else f"{type(error).__name__}: {text}",
            None if expected else traceback.format_exc(),
            int(getattr(error, "exit_code", 1)),
        )

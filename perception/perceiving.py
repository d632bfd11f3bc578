"""Perceive files through the per-image cache: the networks start only for what no earlier run has seen.

Identical files are perceived once.  Files go through the networks in parts of a batch, on an executor where one is given; a
part's results are kept in the cache when it is finished, so that a run that was killed goes on where it was.  Used by every
command that reads photographs.

The parts are cut in the order of the files and do not depend on the executor, so its results are those of any other to the last
bit.  A run that goes on after a kill cuts the same parts, except where it was killed between two entries of one part: the rest
of that part then goes through the networks without its former company, which moves results by float rounding (below 1e-4).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from perception.encryption import DEFAULT_KEEP_DAYS
from perception.errors import CacheError, PerceptionError
from perception.stored import note

if TYPE_CHECKING:
    from perception.cache import ImageCache
    from perception.results import ImageResult

BATCH = 32
DIED = "the process that perceived it died (too little memory?)"


class Task(Protocol):
    """What an executor does: a name for people, and the argument of one call."""

    @property
    def name(self) -> str: ...

    @property
    def argument(self) -> Any: ...


class Outcome(Protocol):
    """What became of a task: a value, or a failure (``message``, ``trace``, ``exit_code``, ``died``)."""

    @property
    def task(self) -> Any: ...

    @property
    def value(self) -> Any: ...

    @property
    def failure(self) -> Any: ...


class Executor(Protocol):
    """The part of :class:`sim.executors.Executor` that is needed here."""

    def run(self, function: Callable[[Any], Any], tasks: Iterator[Any]) -> Iterator[Any]:
        """Outcomes as they come, one for every task."""
        ...


class Perceiver(Protocol):
    """What turns files into results: :class:`perception.pipeline.FacePipeline`, or a stand-in to compare it with."""

    def stream(self, images: Sequence[Path], names: Sequence[str], progress: bool = False) -> Iterator[ImageResult]:
        """One result per file, in order."""
        ...


def cache_root(cache: str | None) -> Path | None:
    """The folder that ``cache=`` names: the user's by default, None for ``none``."""
    from perception.weights import cache_folder

    return None if cache == "none" else Path(cache) if cache else cache_folder()


def open_cache(cache: str | None, digest: str, embeddings: bool, encrypt: bool = True,
               keep_days: int = DEFAULT_KEEP_DAYS) -> ImageCache | None:
    """The cache that ``cache=`` asks for: None for ``none``, and (with a note) where the default folder cannot be made.

    Raises
    ------
    CacheError
        If a folder that was named cannot be written.
    """
    from perception.cache import ImageCache

    root = cache_root(cache)
    if root is None:
        return None
    try:
        opened = ImageCache(root, digest, embeddings, encrypt, keep_days)
        if cache and embeddings:
            note(cache, "cache")
        return opened
    except CacheError as error:
        if cache:
            raise
        print(f"going on without a cache: {error}", file=sys.stderr)
        return None


def start_pipeline(weights: str | Path, batch: int, emotion: str) -> Perceiver:
    """The pipeline of a process.  It stands here and not in a command: run as a program, a command's module is called ``__main__``, by
    which name a worker of Ray knows another one."""
    from perception.pipeline import FacePipeline

    return FacePipeline(weights, batch_size=batch, emotion=emotion)


def perceive_files(files: Sequence[Path], names: Sequence[str], start: Callable[[], Perceiver], store: ImageCache | None,
                   reuse: ImageCache | None, progress: bool = False, *, executor: Executor | None = None, batch: int = BATCH,
                   embeddings: bool = True) -> list[ImageResult]:
    """Results of all files, in order.

    Parameters
    ----------
    files, names : sequence
    start : callable
        Gives the perceiver; called only where something is left to compute, once in every worker.
    store, reuse : ImageCache or None
        Where results are written to, and read from.
    progress : bool
        Draw a bar with the time that is left on stderr.
    executor : Executor, optional
        Who perceives (:mod:`sim.executors`); None perceives here, on torch's own number of threads.
    batch : int
        Files of one part.
    embeddings : bool
        False lets embeddings go once they are cached, which is most of the memory.

    Raises
    ------
    PerceptionError
        The networks cannot be loaded, or fail.
    """
    from tqdm import tqdm

    from perception.image_io import Unusable, read_image_bytes
    from perception.results import ImageResult

    results: list[ImageResult | None] = [None] * len(files)
    digests: list[str] = []
    first: dict[str, int] = {}
    crew = _Crew(start)

    def task(part: list[int]) -> Task:
        return _Part(f"{names[part[0]]} and {len(part) - 1} more", (crew, part, [files[i] for i in part], [names[i] for i in part]))

    def parts() -> Iterator[Task]:
        part: list[int] = []
        for i, (file, name) in enumerate(zip(files, names, strict=True)):
            content = read_image_bytes(file)
            if isinstance(content, Unusable):
                results[i] = ImageResult(name, "unusable", content.reason)
                digests.append("")
            else:
                digests.append(hashlib.sha256(content).hexdigest())
                results[i] = None if reuse is None else reuse.get(digests[i], name)
                if results[i] is None and first.setdefault(digests[i], i) == i:
                    part.append(i)
                    if len(part) == batch:
                        yield task(part)
                        part = []
                    continue
            bar.update()
        if part:
            yield task(part)

    def take(outcome: Outcome) -> None:
        for i, result in zip(outcome.task.argument[1], outcome.value, strict=True):
            if store is not None:
                store.put(digests[i], result)
            results[i] = result if embeddings else _without_embeddings(result)
            bar.update()

    run = _here if executor is None else executor.run
    lost: list[int] = []
    with tqdm(total=len(files), desc="images", unit="img", disable=not progress) as bar:
        for outcome in run(_perceive, parts()):
            if _died(outcome):
                lost += outcome.task.argument[1]
            else:
                take(outcome)
        for outcome in run(_perceive, (task([i]) for i in sorted(lost))):  # one of them is too much for a process, and the others are not
            if _died(outcome):
                i = outcome.task.argument[1][0]
                results[i] = ImageResult(names[i], "unusable", DIED)
                bar.update()
            else:
                take(outcome)
    return [result or _renamed(results[first[digests[i]]], names[i]) for i, result in enumerate(results)]


class _Part(NamedTuple):
    """A task, as executors take it."""

    name: str
    argument: tuple[_Crew, list[int], list[Path], list[str]]


class _Perceived(NamedTuple):
    """An outcome, as executors give it."""

    task: Task
    value: list[ImageResult]
    failure: None = None


class _Crew:
    """Starts the perceiver of a process when the first part comes; in a worker there is one crew for all parts."""

    def __init__(self, start: Callable[[], Perceiver]) -> None:
        self._start = start
        self._perceiver: Perceiver | None = None

    def __reduce__(self) -> tuple[Callable, tuple[bytes]]:
        return _crew_of, (pickle.dumps(self._start),)

    def perceiver(self) -> Perceiver:
        self._perceiver = self._perceiver or self._start()
        return self._perceiver


@functools.lru_cache(maxsize=1)
def _crew_of(start: bytes) -> _Crew:
    return _Crew(pickle.loads(start))  # sent by the process that started this one; nothing on a disk is read like this


def _perceive(argument: tuple[_Crew, list[int], list[Path], list[str]]) -> list[ImageResult]:
    crew, _, files, names = argument
    return list(crew.perceiver().stream(files, names))


def _here(function: Callable, tasks: Iterator[Task]) -> Iterator[_Perceived]:
    for task in tasks:
        yield _Perceived(task, function(task.argument))


def _died(outcome: Outcome) -> bool:
    """Whether a worker died of it; raises what else went wrong."""
    if outcome.failure is None or outcome.failure.died:
        return outcome.failure is not None
    if outcome.failure.trace:
        raise RuntimeError(f"{outcome.task.name}: {outcome.failure.trace}")
    error = PerceptionError(outcome.failure.message)
    error.exit_code = outcome.failure.exit_code
    raise error


def _without_embeddings(result: ImageResult) -> ImageResult:
    return dataclasses.replace(result, faces=tuple(dataclasses.replace(face, embedding=None) for face in result.faces))


def _renamed(result: ImageResult | None, name: str) -> ImageResult:
    """The result of an identical file under another name."""
    assert result is not None  # every digest in ``first`` has been perceived
    return dataclasses.replace(result, image=name)

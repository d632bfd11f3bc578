"""Perceive files through the per-image cache: the networks start only for what no earlier run has seen.

Identical files are perceived once.  Used by every command that reads photographs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from perception.encryption import DEFAULT_KEEP_DAYS
from perception.errors import CacheError
from perception.stored import note

if TYPE_CHECKING:
    from perception.cache import ImageCache
    from perception.results import ImageResult


class Perceiver(Protocol):
    """What turns files into results: :class:`perception.pipeline.FacePipeline`, or a stand-in to compare it with."""

    def stream(self, images: Sequence[Path], names: Sequence[str], progress: bool = False) -> Iterator[ImageResult]:
        """One result per file, in order."""
        ...


def open_cache(cache: str | None, digest: str, embeddings: bool, encrypt: bool = True,
               keep_days: int = DEFAULT_KEEP_DAYS) -> ImageCache | None:
    """The cache that ``cache=`` asks for: None for ``none``, and (with a note) where the default folder cannot be made.

    Raises
    ------
    CacheError
        If a folder that was named cannot be written.
    """
    from perception.cache import ImageCache
    from perception.weights import cache_folder

    if cache == "none":
        return None
    try:
        opened = ImageCache(Path(cache) if cache else cache_folder(), digest, embeddings, encrypt, keep_days)
        if cache and embeddings:
            note(cache, "cache")
        return opened
    except CacheError as error:
        if cache:
            raise
        print(f"going on without a cache: {error}", file=sys.stderr)
        return None


def perceive_files(files: Sequence[Path], names: Sequence[str], start: Callable[[], Perceiver], store: ImageCache | None,
                   reuse: ImageCache | None, progress: bool = False) -> list[ImageResult]:
    """Results of all files, in order.

    Parameters
    ----------
    files, names : sequence
    start : callable
        Gives the perceiver; called only where something is left to compute.
    store, reuse : ImageCache or None
        Where results are written to, and read from.
    progress : bool
    """
    from perception.image_io import Unusable, read_image_bytes
    from perception.results import ImageResult

    results: list[ImageResult | None] = [None] * len(files)
    digests: list[str] = []
    first: dict[str, int] = {}
    for i, (file, name) in enumerate(zip(files, names, strict=True)):
        content = read_image_bytes(file)
        if isinstance(content, Unusable):
            results[i] = ImageResult(name, "unusable", content.reason)
            digests.append("")
            continue
        digests.append(hashlib.sha256(content).hexdigest())
        if reuse is not None:
            results[i] = reuse.get(digests[i], name)
        if results[i] is None:
            first.setdefault(digests[i], i)
    todo = sorted(first.values())
    if todo:
        stream = start().stream([files[i] for i in todo], [names[i] for i in todo], progress)
        for i, result in zip(todo, stream, strict=True):
            results[i] = result
            if store is not None:
                store.put(digests[i], result)
    return [result or _renamed(results[first[digests[i]]], names[i]) for i, result in enumerate(results)]


def _renamed(result: ImageResult | None, name: str) -> ImageResult:
    """The result of an identical file under another name."""
    assert result is not None  # every digest in ``first`` has been perceived
    return dataclasses.replace(result, image=name)

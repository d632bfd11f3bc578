"""The finished table of a folder whose files are as they were: a second pass that opens none of them.

Per image, results are found by content (:mod:`perception.cache`), which takes reading every file.  Whether a file has changed
at all is told without opening it, as git tells it of its index: by name, size, time of change (of the content and of the
inode), inode and device.  Where that holds for every file of a folder, and for the weights, the table that was written last is
written again, byte for byte.  One new file, and every file is looked up by its content as before.

A file that changed within :data:`SETTLING` before it was looked at may change again within one tick of the file system's clock,
unnoticed ("racily clean" in git's words), and a table made of it is not kept.

Kept are tables without embeddings, in ``folders/<folder>-<state>-<sha256 of the table>.parquet``, one a folder and settings.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from perception.cache import make_private_folder
from perception.errors import CacheError
from perception.publish import publish

FOLDER = "folders"
SETTLING = 2_000_000_000
"""Nanoseconds: the coarsest clock of a file system in use (FAT's)."""


class State(NamedTuple):
    """What files look like from outside.

    Attributes
    ----------
    digest : str
        SHA-256 over names and marks; equal while no file has changed.
    settled : bool
        Whether no file could change unnoticed.
    """

    digest: str
    settled: bool


def state_of(names: Sequence[str], files: Sequence[Path]) -> State:
    """The state of files, to be asked before they are read; a file that cannot be looked at makes it unsettled."""
    now, latest = time.time_ns(), 0
    marks: list[str] = []
    for name, file in zip(names, files, strict=True):
        try:
            seen = os.lstat(file)
        except OSError:
            return State("", False)
        latest = max(latest, seen.st_mtime_ns, seen.st_ctime_ns)
        marks.append(f"{name}\0{seen.st_mode}\0{seen.st_size}\0{seen.st_mtime_ns}\0{seen.st_ctime_ns}\0{seen.st_ino}\0{seen.st_dev}\0")
    digest = hashlib.sha256("\n".join(marks).encode("utf-8", "surrogateescape")).hexdigest()
    return State(digest, latest < now - SETTLING)


class FinishedTables:
    """The table kept of one folder under one setting of the pipeline.

    Parameters
    ----------
    cache : Path
        Root of the cache; made where it is missing.
    root : Path
        The folder that was read.
    settings : str
        Everything but the files that the table depends on.

    Raises
    ------
    CacheError
        The cache cannot be made or written.
    """

    def __init__(self, cache: Path, root: Path, settings: str) -> None:
        self._folder = make_private_folder(Path(cache) / FOLDER)
        key = "\0".join((os.fsdecode(root.absolute()), settings)).encode("utf-8", "surrogateescape")
        self._name = hashlib.sha256(key).hexdigest()[:32]

    def get(self, state: State) -> bytes | None:
        """The table for files in this state, or None; a damaged one is the same as none."""
        for file in self._folder.glob(f"{self._name}-{state.digest[:32]}-*.parquet") if state.settled else ():
            with contextlib.suppress(OSError):
                content = file.read_bytes()
                if hashlib.sha256(content).hexdigest() == file.stem.rpartition("-")[2]:
                    return content
        return None

    def keep(self, state: State, table: bytes) -> None:
        """Keep a table in the place of the one before.

        Raises
        ------
        CacheError
            The folder cannot be written.
        """
        new = self._folder / f"{self._name}-{state.digest[:32]}-{hashlib.sha256(table).hexdigest()}.parquet"
        old = [file for file in self._folder.glob(f"{self._name}-*.parquet") if file != new]
        if state.settled:
            publish(new, table, mode=0o600)
        for file in old:
            with contextlib.suppress(OSError):
                file.unlink()


def open_tables(cache: Path | None, root: Path, settings: str) -> FinishedTables | None:
    """The tables in a cache; None without one, or where it cannot be written (which the results' cache reports)."""
    try:
        return None if cache is None else FinishedTables(cache, root, settings)
    except CacheError:
        return None

"""The local copy of a run's records: `spool.jsonl` in the run folder, one JSON object per line.

Written before anything is sent, so it is complete whatever the store does; a line that a kill tore is left out when it
is read.  Kinds of records, each with its number `n` and the time in milliseconds since the epoch:

    run        experiment, name, tags, parent, uri, key    the first line; parent is an MLflow id or another `run` record
    tags       values
    params     values
    metrics    step, values
    dataset    dataset, context                            see `datasets`
    artifact   path (absolute), folder
    model      path (absolute), name, step, ...            see `models`
    end        status
    resume                                                 the run goes on after its end, or after a kill
    delivered  upto, run_id                                the store has all records up to this number

The file is locked while its run lives, so that a run that was killed can be told from one that goes on (`alive`).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from sim.tracking.alive import hold

SPOOL = "spool.jsonl"

Record = dict[str, Any]


class Spool:
    """Append-only record file; safe to use from several threads.

    Parameters
    ----------
    folder : Path or None
        Run folder, made if missing.  A folder that already holds a spool gets `spool-2.jsonl` and so on.  None keeps
        nothing on disk.
    resume : bool
        Go on with the folder's newest spool where there is one that says what run it is.

    Attributes
    ----------
    before : list of dict
        With `resume`: the records that were there, as `undelivered` reads them back.

    Raises
    ------
    OSError
        If the file cannot be made.
    """

    def __init__(self, folder: Path | str | None, resume: bool = False) -> None:
        self.path: Path | None = None
        self.error: OSError | None = None
        self._lock = threading.Lock()
        self._count = 0
        self._file: IO[str] | None = None
        self.before: list[Record] = []
        if folder is None:
            return
        former = newest_spool(folder) if resume else None
        if former is not None:
            self.before = list(read_spool(former))
        if former is None or not self.before or self.before[0]["kind"] != "run":
            self.before = []
            self.path, self._file = _new_file(Path(folder).resolve())
            return
        self.path = former.resolve()
        self._file = open(self.path, "a", encoding="utf-8")
        hold(self._file)
        self._file.write("\n")  # ends a line that a kill tore
        self._count = 1 + max(int(record.get("n", 0)) for record in self.before)

    def add(self, kind: str, **fields: Any) -> Record:
        """Write one record and return it.  A full disk stops the file, not the caller: see `error`."""
        with self._lock:
            record: Record = {"n": self._count, "kind": kind, "time": int(time.time() * 1000), **fields}
            self._count += 1
            if self._file is not None:
                try:
                    self._file.write(json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n")
                    self._file.flush()
                except OSError as error:
                    self.error, self._file = error, None
            return record

    def close(self) -> None:
        """Bring the file to the disk; later records open no new one."""
        with self._lock:
            if self._file is not None:
                try:
                    os.fsync(self._file.fileno())
                    self._file.close()
                except OSError as error:
                    self.error = error
                self._file = None


def _new_file(folder: Path) -> tuple[Path, IO[str]]:
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = folder / (SPOOL if number == 1 else f"spool-{number}.jsonl")
        try:
            stream = open(path, "x", encoding="utf-8")
        except FileExistsError:
            number += 1
            continue
        hold(stream)
        return path, stream


def newest_spool(folder: Path | str) -> Path | None:
    """The spool in a folder that was written last, None where there is none."""
    return max(Path(folder).glob("spool*.jsonl"), key=lambda path: path.stat().st_mtime, default=None)


def run_record(folder: Path | str) -> Record | None:
    """The first record of the newest spool in a folder, None where there is none."""
    newest = newest_spool(folder)
    first = next(read_spool(newest), None) if newest else None
    return first if first is not None and first["kind"] == "run" else None


def read_spool(path: Path | str) -> Iterator[Record]:
    """The records of a spool file in order, without torn lines.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and "kind" in record:
                yield record


def undelivered(path: Path | str) -> tuple[list[Record], str | None]:
    """Records that the store does not have yet, the `run` record always first; and the MLflow run id, if known."""
    return undelivered_of(read_spool(path))


def undelivered_of(everything: Iterable[Record]) -> tuple[list[Record], str | None]:
    """As `undelivered`, of the records of a spool."""
    records: list[Record] = []
    upto, run_id = -1, None
    for record in everything:
        if record["kind"] == "delivered":
            upto, run_id = max(upto, int(record["upto"])), record["run_id"]
        else:
            records.append(record)
    rest = [record for record in records if record["n"] > upto]
    if rest and rest[0]["kind"] != "run":
        rest = [record for record in records if record["kind"] == "run"][:1] + rest
    return rest, run_id

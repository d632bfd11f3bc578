"""What was stored about people, and where: the list by which ``python -m sim.forget`` finds it again.

One line of JSON per file or folder in ``stored.jsonl`` of the data folder (:func:`perception.encryption.data_folder`,
readable by its owner only): the path, what it is, and when it expires.  Paths only, nothing
of a face.

==============  ====================================================================
kind            written by
==============  ====================================================================
``features``    ``perception.extract`` with consent: table with embeddings, names
``drawings``    ``perception.extract draw=DIR`` with names
``decisions``   ``perception.identify out=FILE``, ``perception.evaluate``
``gallery``     every command that recognised a folder's people
``cache``       every command with ``cache=DIR``; the user's cache folder is always known
==============  ====================================================================
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from perception.encryption import data_folder

LIST = "stored.jsonl"


@dataclass(frozen=True)
class Stored:
    """One entry of the list."""

    path: Path
    kind: str
    expires: str | None = None


def note(path: str | Path, kind: str, expires: str | None = None) -> None:
    """Add a file or folder to the list; where the list cannot be written, a sentence on stderr says what that means."""
    entry = Stored(Path(path).absolute(), kind, expires)
    if entry in known():
        return
    line = json.dumps({"path": str(entry.path), "kind": kind, "expires": expires}) + "\n"
    try:
        data_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(data_folder() / LIST, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line.encode())  # one short write at the end: lines of two processes do not mix
        finally:
            os.close(handle)
    except OSError as error:
        print(f"{data_folder() / LIST} cannot be written ({error.strerror}): python -m sim.forget will not find {path} unless paths= "
              "names it", file=sys.stderr)


def known() -> list[Stored]:
    """All entries, the newest of each path and kind, whether or not the path still exists; a torn line is left out."""
    try:
        lines = (data_folder() / LIST).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found: dict[tuple[Path, str], Stored] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            path, kind = Path(entry["path"]), str(entry["kind"])
            found[path, kind] = Stored(path, kind, entry.get("expires"))
        except (ValueError, KeyError, TypeError):
            continue
    return list(found.values())


def drop(gone: Iterable[Path]) -> None:
    """Take paths that no longer exist off the list."""
    from perception.publish import publish

    paths = set(gone)
    entries = known()
    kept = [entry for entry in entries if entry.path not in paths]
    if len(kept) == len(entries):
        return
    text = "".join(json.dumps({"path": str(e.path), "kind": e.kind, "expires": e.expires}) + "\n" for e in kept)
    publish(data_folder() / LIST, text.encode(), mode=0o600)

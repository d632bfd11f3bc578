"""A session log in parts: which of its files are committed, and whether it is complete.

    sessions.parquet/part-00000.parquet, part-00001.parquet, ...     written once, published by rename
    sessions.parquet/_manifest.json                                  rewritten, by rename, after every part

    {"version": 1, "complete": true, "rows": 7000123,
     "parts": [{"file": "part-00000.parquet", "rows": 4987654, "bytes": 812345678, "sha256": "...",
                "policies": {"random": [0, 19999, 4987654]}}]}       first and last customer, rows

A reader takes the parts that the manifest names and no other file.  Readers of Parquet pass over names with an underscore.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

MANIFEST, VERSION = "_manifest.json", 1


@dataclasses.dataclass(frozen=True)
class Part:
    """One committed file; policies[name] = (first customer, last customer, rows)."""

    file: str
    rows: int
    bytes: int
    sha256: str
    policies: Mapping[str, tuple[int, int, int]]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The committed parts in their order; `complete` where the log was closed by its writer."""

    complete: bool
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Of all committed parts."""
        return sum(part.rows for part in self.parts)

    def cut_short(self) -> str | None:
        """What is there and what is missing, as a sentence; None of a complete log."""
        if self.complete:
            return None
        last = list(self.parts[-1].policies.items())[-1:] if self.parts else []
        where = f", up to customer {last[0][1][1]:,} of {last[0][0]}" if last else ""
        return (
            f"The log was cut short while it was written: the {self.rows:,} rows of its {len(self.parts)} committed part(s) are here"
            f"{where}; what came after is missing."
        )


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described(file: Path, name: str, policies: Mapping[str, tuple[int, int, int]]) -> Part:
    """A finished file as a part that will be called `name`."""
    return Part(name, pq.read_metadata(file).num_rows, file.stat().st_size, sha256_of(file), dict(policies))


def publish_file(written: Path, path: Path) -> None:
    """Move a finished file to its place: fsync, rename, fsync of the folder."""
    with open(written, "rb+") as file:
        os.fsync(file.fileno())
    os.chmod(written, 0o644)
    os.replace(written, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Publish the manifest of a folder."""
    parts = [dataclasses.asdict(part) for part in manifest.parts]
    content = {"version": VERSION, "complete": manifest.complete, "rows": manifest.rows, "parts": parts}
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".manifest-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        publish_file(Path(temporary), folder / MANIFEST)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none.

    Raises
    ------
    ValueError
        It is damaged, or of a later version.
    """
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    try:
        if content["version"] > VERSION:
            raise ValueError(f"version {content['version']} is newer than {VERSION}, which this program knows")
        parts = tuple(
            Part(
                str(part["file"]), int(part["rows"]), int(part["bytes"]), str(part["sha256"]),
                {name: (int(a), int(b), int(n)) for name, (a, b, n) in part["policies"].items()},
            )  # fmt: skip
            for part in content["parts"]
        )
        return Manifest(bool(content["complete"]), parts)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{error} is missing or wrong") from None


def damaged_parts(folder: Path, manifest: Manifest, checksums: bool = False) -> list[str]:
    """Names of parts that are not as they were committed: gone, of another size, or (slower) of other content."""
    found = []
    for part in manifest.parts:
        file = folder / part.file
        sound = file.is_file() and file.stat().st_size == part.bytes and (not checksums or sha256_of(file) == part.sha256)
        if not sound:
            found.append(part.file)
    return found

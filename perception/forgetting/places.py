"""Where perception keeps what it knows of people: caches, feature tables, galleries, drawings, decisions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from perception import stored
from perception.encryption import expired
from perception.errors import ExpiredError, FeaturesError, KeyUnavailableError
from perception.features import read_features
from perception.finished_tables import FOLDER
from perception.weights import cache_folder

if TYPE_CHECKING:
    import pandas as pd


class Places:
    """The files and folders that are known, those named by the user included.

    Parameters
    ----------
    galleries, paths : sequence of path
        Galleries, and any files or folders (tables, drawings, decisions), besides the known ones.
    cache : path, optional
        A cache folder besides the known ones.
    untouched : bool
        Leave tables whose time is over where they are; reading one removes it otherwise.
    """

    def __init__(self, galleries: Sequence[Path] = (), paths: Sequence[Path] = (), cache: Path | None = None,
                 untouched: bool = False) -> None:
        self._untouched = untouched
        entries = stored.known()

        def of(kind: str, more: Sequence[Path] = ()) -> list[Path]:
            found = [entry.path for entry in entries if entry.kind == kind] + [Path(p).absolute() for p in more]
            return [p for p in dict.fromkeys(found) if p.exists()]

        self.galleries = [p for p in of("gallery", galleries) if p.is_dir()]
        self.caches = of("cache", [cache_folder(), *([cache] if cache else [])])
        self.drawings, self.named = of("drawings"), [p for p in (Path(q).absolute() for q in paths) if p.exists()]
        self._tables, self._decisions = of("features"), of("decisions")
        self.locked: list[Path] = []
        """Tables whose embeddings could not be decrypted when they were last read."""

    def everything(self) -> list[Path]:
        """All of them, for the search."""
        return list(dict.fromkeys([*self.galleries, *self.caches, *self._tables, *self.drawings, *self._decisions, *self.named]))

    def gallery_tables(self) -> Iterator[Path]:
        """Perceived galleries in the caches."""
        for cache in self.caches:
            yield from sorted((cache / "galleries").glob("*.parquet"))

    def finished_tables(self) -> Iterator[Path]:
        """Tables of whole folders in the caches (:mod:`perception.finished_tables`)."""
        for cache in self.caches:
            yield from sorted((cache / FOLDER).glob("*.parquet"))

    def image_entries(self) -> Iterator[Path]:
        """Per-image results in the caches."""
        for cache in self.caches:
            yield from sorted((cache / "images").glob("*/*/*.json"))

    def feature_tables(self) -> Iterator[Path]:
        """Parquet files that are feature tables."""
        yield from self._files(self._tables, ".parquet")

    def decisions(self) -> Iterator[Path]:
        """JSON files that commands wrote their answers to."""
        yield from self._files(self._decisions, ".json")

    def _files(self, known: list[Path], suffix: str) -> Iterator[Path]:
        files = [*known, *(p for root in self.named for p in (sorted(root.rglob("*")) if root.is_dir() else [root]))]
        yield from dict.fromkeys(p for p in files if p.suffix == suffix and p.is_file())

    def read(self, path: Path) -> pd.DataFrame | None:
        """A feature table; without embeddings where their key is gone; None where it is none, or had expired (and is removed)."""
        if self._untouched and expired(expires_of(path)):
            return None
        try:
            return read_features(path)
        except KeyUnavailableError:
            self.locked.append(path)
            return read_features(path, embeddings=False)
        except (FeaturesError, ExpiredError):
            return None


def expires_of(path: Path) -> str | None:
    """When a stored feature table expires; None: never, or it is no feature table."""
    import pyarrow
    import pyarrow.parquet

    try:
        attrs = json.loads((pyarrow.parquet.read_schema(path).metadata or {}).get(b"perception", b"{}"))
        return (attrs.get("stored") or {}).get("expires")
    except (pyarrow.ArrowException, OSError, ValueError, AttributeError):
        return None


def remove_expired(dry_run: bool = False, paths: Sequence[Path] = (), cache: Path | None = None) -> list[Path]:
    """Remove every known table, drawing and cache entry whose time is over, and give their paths.

    Parameters
    ----------
    dry_run : bool
        Only find them.
    paths, cache
        See :class:`Places`.
    """
    import shutil

    places, gone = Places((), paths, cache), []
    for entry in stored.known():
        if expired(entry.expires) and entry.path.exists() and entry.kind == "drawings":
            gone.append(entry.path)
    for file in (*places.feature_tables(), *places.gallery_tables()):
        if expired(expires_of(file)):
            gone.append(file)
    for file in places.image_entries():
        try:
            if expired(json.loads(file.read_text(encoding="utf-8")).get("expires")):
                gone.append(file)
        except (OSError, ValueError, AttributeError):
            continue
    for path in [] if dry_run else gone:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if not dry_run:
        stored.drop(gone)
    return gone

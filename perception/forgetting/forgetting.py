"""One forgetting, from finding to proof, with a journal that lets an interrupted one be finished by calling it again.

The journal is written before anything is removed: encrypted, in the data folder, for its owner only.  It holds what
identifies the person (name, digests of photographs, embeddings, opaque names in session logs), since the files that said
so are the first that go.  It is deleted when everything has been removed.

Beside it lie the rosters, encrypted as well: who was which number in the galleries that session logs were made from.  The
perceived galleries that told so go with the first person who is forgotten, and the others may want to be forgotten too.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from perception import stored
from perception.encryption import data_folder, find_key
from perception.errors import GalleryError, InputError, KeyUnavailableError
from perception.forgetting import removal
from perception.forgetting.places import Places
from perception.forgetting.search import Proof, search
from perception.forgetting.subject import Subject
from perception.publish import publish

_JOURNAL, _ROSTERS = "forget journal", "rosters"


class Forgetting:
    """Forget a person.

    Parameters
    ----------
    person : str
        As the galleries call the person: a sub-folder, or ``person`` in ``labels.csv``.
    gallery : path, optional
        A gallery besides those that are known.
    paths : sequence of path
        Files and folders besides those that are known: feature tables, decisions.
    cache : path, optional
        A cache folder besides those that are known.
    photographs : bool
        Whether the photographs in the galleries are deleted as well; otherwise the person is no longer enrolled and the
        photographs stay.
    dry_run : bool
        Find everything, remove nothing.

    Raises
    ------
    InputError, GalleryError
        No name; no such gallery or path.
    KeyUnavailableError
        An earlier forgetting was interrupted, and its journal cannot be opened.
    """

    def __init__(self, person: str, gallery: str | None = None, paths: Sequence[str] = (), cache: str | None = None,
                 photographs: bool = False, dry_run: bool = False) -> None:
        if not person or "/" in person or person in (".", ".."):
            raise InputError(f"person={person!r} is no name; give the name of the person's folder, or of labels.csv")
        if gallery is not None and not Path(gallery).is_dir():
            raise GalleryError(f"there is no gallery folder at {gallery}")
        for path in paths:
            if not Path(path).exists():
                raise InputError(f"paths={path}: there is no such file or folder")
        self.photographs, self.dry_run = photographs, dry_run
        self._places = Places([Path(gallery)] if gallery else [], [Path(p) for p in paths], Path(cache) if cache else None,
                              untouched=dry_run)
        self._journal = data_folder() / "forget" / f"{hashlib.sha256(person.encode()).hexdigest()[:16]}.sealed"
        self.subject = self._resumed() or Subject(person)
        self.resumed = self._journal.exists()
        self.rosters: dict[str, list[str | None]] = self._known_rosters()
        """Names by number, by the digest of a gallery; None for who was forgotten.  The simulator adds what it finds."""
        self._gather()

    @property
    def notes(self) -> dict[str, Any]:
        """What the simulator keeps in the journal; JSON values."""
        return self.subject.notes

    @property
    def unread(self) -> list[Path]:
        """Tables whose embeddings no key opens any more: their rows are found by name and path only."""
        return list(dict.fromkeys(self._places.locked))

    def gallery_tables(self) -> Iterator[Any]:
        """Perceived galleries in the caches, as tables: what session logs' opaque names were made from."""
        for file in self._places.gallery_tables():
            frame = self._places.read(file)
            if frame is not None:
                yield frame

    def begin(self) -> None:
        """Write the journal, and the rosters without the person; nothing may be removed before.

        Raises
        ------
        KeyUnavailableError, CacheError
        """
        if not self.dry_run:
            key, name = find_key(make=True), self.subject.name
            self._journal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            publish(self._journal, base64.b64encode(key.seal(self.subject.to_json().encode(), _JOURNAL)), mode=0o600)
            others = {digest: [None if person == name else person for person in roster] for digest, roster in self.rosters.items()}
            if others:
                publish(_rosters_file(), base64.b64encode(key.seal(json.dumps(others).encode(), _ROSTERS)), mode=0o600)

    def remove(self) -> Iterator[str]:
        """Remove what perception keeps, and tell each thing."""
        yield from removal.enrolment(self.subject, self._places, self.photographs, self.dry_run)
        for step in removal.STEPS:
            yield from step(self.subject, self._places, self.dry_run)

    def kept_photographs(self) -> list[Path]:
        """The person's photographs that still lie in galleries."""
        return [file for gallery in self._places.galleries for file in removal.own_photographs(self.subject, gallery)]

    def search(self, more: Iterable[Path] = ()) -> Proof:
        """Search every known place, and ``more`` files and folders; photographs that stay by choice are passed over."""
        return search(self.subject, [*self._places.everything(), *more], self.kept_photographs())

    def search_text(self, text: str) -> bool:
        """Whether a text names the person."""
        return self.subject.pattern().search(text.encode()) is not None

    def finish(self) -> None:
        """Everything was removed: delete the journal, and take files that no longer exist off the list."""
        self._journal.unlink(missing_ok=True)
        stored.drop(entry.path for entry in stored.known() if not entry.path.exists())

    def _resumed(self) -> Subject | None:
        """Of an interrupted forgetting."""
        if not self._journal.is_file():
            return None
        try:
            return Subject.from_json(find_key().open(base64.b64decode(self._journal.read_bytes()), _JOURNAL).decode())
        except (ValueError, KeyError, TypeError, KeyUnavailableError) as error:
            raise KeyUnavailableError(f"an interrupted forgetting cannot be finished, since its journal {self._journal} does not open "
                                      f"({error}); bring the key back, or delete the journal and forget by name only") from error

    def _known_rosters(self) -> dict[str, list[str | None]]:
        """Of earlier forgettings; none where their key is gone."""
        try:
            return json.loads(find_key().open(base64.b64decode(_rosters_file().read_bytes()), _ROSTERS))
        except (OSError, ValueError, KeyUnavailableError):
            return {}

    def _gather(self) -> None:
        """Learn the photographs' digests and the embeddings, while there is something to learn from."""
        for file in self.kept_photographs():
            self.subject.digests.add(removal.digest_of(file))
        for file in (*self._places.feature_tables(), *self._places.gallery_tables()):
            frame = self._places.read(file)
            if frame is not None:
                self.subject.learn(frame)
        self.subject.embeddings |= set(removal.cached_embeddings(self.subject, self._places))


def _rosters_file() -> Path:
    return data_folder() / "forget" / "rosters.sealed"

"""What is removed of a person, place by place.

Every step may be done twice: it looks for what is there, and removes it.  With ``dry_run`` it only looks.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from perception.cache import read_faces
from perception.encryption import existing_key
from perception.errors import GalleryError
from perception.forgetting.places import Places
from perception.forgetting.subject import Subject
from perception.labels import LABELS_FILE, ForgottenMark, gallery_labels
from perception.publish import publish


def own_photographs(subject: Subject, gallery: Path) -> list[Path]:
    """Files of a gallery that show the person: listed or lying as the person's, enrolled or not, and copies of these."""
    files: set[Path] = set()
    try:
        labels = gallery_labels(gallery, forgotten=True)
        files |= {Path(gallery, *str(image).split("/")) for image in labels["image"][labels["person"] == subject.name]}
    except GalleryError:  # nobody left, or no gallery any more: what the folders and digests say still counts
        pass
    everything = [file for file in gallery.rglob("*") if file.is_file() and not file.is_symlink()]
    if not (gallery / LABELS_FILE).is_file():
        files |= {file for file in everything if file.is_relative_to(gallery / subject.name)}
    if subject.digests:
        files |= {file for file in everything if digest_of(file) in subject.digests}
    return sorted(file for file in files if file.is_file())


def enrolment(subject: Subject, places: Places, photographs: bool, dry_run: bool) -> Iterator[str]:
    """Galleries: rows of ``labels.csv``, or the mark that passes a folder over; the photographs where that was asked for."""
    for gallery in places.galleries:
        files = own_photographs(subject, gallery)
        labels = gallery / LABELS_FILE
        if labels.is_file():
            kept, lost = _other_lines(labels, subject.name)
            if lost:
                yield f"{labels}: {lost} lines"
                if not dry_run:
                    publish(labels, kept.encode(), mode=labels.stat().st_mode & 0o777)
        elif (gallery / subject.name).is_dir():
            mark = ForgottenMark.read(gallery)
            if not photographs and subject.name not in mark:
                yield f"{gallery}: enrolment"
            if not dry_run:
                mark.write(gallery, subject.name, marked=not photographs)
        if photographs and files:
            yield f"{gallery}: {len(files)} photographs"
            for file in [] if dry_run else files:
                file.unlink(missing_ok=True)
        own = gallery / subject.name
        if photographs and not dry_run and own.is_dir() and not labels.is_file():
            shutil.rmtree(own)


def _other_lines(labels: Path, name: str) -> tuple[str, int]:
    """The text of a ``labels.csv`` without a person's lines, and how many those are."""
    with labels.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.reader(stream))
    if not rows or "person" not in rows[0]:
        return "", 0
    column = rows[0].index("person")
    kept = [rows[0], *(row for row in rows[1:] if len(row) <= column or row[column].strip() != name)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(kept)
    return text.getvalue(), len(rows) - len(kept)


def image_entries(subject: Subject, places: Places, dry_run: bool) -> Iterator[str]:
    """Cache entries of the person's photographs, and every other with an embedding of the person's."""
    key, found = existing_key(), 0
    for file in places.image_entries():
        own = file.stem in subject.digests
        if not own and subject.embeddings:
            try:
                faces = read_faces(json.loads(file.read_text(encoding="utf-8")), file.stem, key)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
            own = any(f.embedding is not None and f.embedding.astype("<f4").tobytes() in subject.embeddings for f in faces)
        if own:
            found += 1
            if not dry_run:
                file.unlink(missing_ok=True)
    if found:
        yield f"image cache: {found} entries"


def cached_embeddings(subject: Subject, places: Places) -> Iterator[bytes]:
    """Embeddings of the largest face of the person's photographs, from the cache."""
    key = existing_key()
    for file in places.image_entries():
        if file.stem in subject.digests:
            try:
                faces = read_faces(json.loads(file.read_text(encoding="utf-8")), file.stem, key)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
            if faces and faces[0].embedding is not None:
                yield faces[0].embedding.astype("<f4").tobytes()


def gallery_tables(subject: Subject, places: Places, dry_run: bool) -> Iterator[str]:
    """Perceived galleries that knew the person: thresholds and everybody's decisions depend on who is enrolled."""
    for file in places.gallery_tables():
        frame = places.read(file)
        if frame is None or not subject.mentions(frame).any():
            continue
        yield f"{file}: the perceived gallery"
        if not dry_run:
            file.unlink(missing_ok=True)


def finished_tables(subject: Subject, places: Places, dry_run: bool) -> Iterator[str]:
    """Tables kept of whole folders: all of them, since they know pictures by name only, and serve nothing but speed."""
    files = list(places.finished_tables())
    if files:
        yield f"image cache: {len(files)} tables of whole folders"
    for file in [] if dry_run else files:
        file.unlink(missing_ok=True)


def feature_tables(subject: Subject, places: Places, dry_run: bool) -> Iterator[str]:
    """Rows of feature tables; where somebody else was taken for the person, the decision alone.

    Rows are taken out of the stored file as they are, so that no other embedding is decrypted or encrypted again.
    """
    import pyarrow
    import pyarrow.parquet

    for file in places.feature_tables():
        frame = places.read(file)
        if frame is None:
            continue
        own = subject.rows(frame)
        if not subject.mentions(frame).any():
            continue
        table = pyarrow.parquet.read_table(file)
        for name, score in (("identity", "similarity"), ("identity_unenrolled", "similarity_unenrolled")):
            if name in frame:
                taken = (frame[name] == subject.name).to_numpy(bool)
                for column in (name, score):
                    values = [None if t else v for v, t in zip(table[column].to_pylist(), taken, strict=True)]
                    place = table.schema.get_field_index(column)
                    table = table.set_column(place, table.field(column), pyarrow.array(values, table.field(column).type))
        mistaken = int((subject.mentions(frame) & ~own).sum())
        yield f"{file}: {int(own.sum())} rows" + (f", {mistaken} mistaken identities" if mistaken else "")
        if not dry_run:
            content = io.BytesIO()
            pyarrow.parquet.write_table(table.filter(pyarrow.array(~own)), content, compression="zstd")
            publish(file, content.getvalue(), mode=file.stat().st_mode & 0o777)


def drawings(subject: Subject, places: Places, dry_run: bool) -> Iterator[str]:
    """Drawn pictures of the person, and those that name the person beside somebody else's face, as far as tables tell."""
    for folder in places.drawings:
        names = {f: f.relative_to(folder).as_posix() for f in folder.rglob("*.png") if f.is_file()}
        files = [f for f, name in names.items() if subject.in_path(name) or name.removesuffix(".png") in subject.images]
        if files:
            yield f"{folder}: {len(files)} drawn pictures"
        for file in [] if dry_run else files:
            file.unlink(missing_ok=True)


def decisions(subject: Subject, places: Places, dry_run: bool) -> Iterator[str]:
    """Answers of ``perception.identify`` and ``perception.evaluate`` that name the person: the whole file, which can be made again."""
    for file in places.decisions():
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if subject.name in _strings(content):
            yield f"{file}: a decision"
            if not dry_run:
                file.unlink(missing_ok=True)


def _strings(value: Any) -> set[str]:
    """All texts in a JSON value, names of fields included."""
    if isinstance(value, str):
        return {value}
    parts = (*value.keys(), *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(_strings, parts)) if parts else set()


def digest_of(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


STEPS: tuple[Callable[[Subject, Places, bool], Iterator[str]], ...] = (
    image_entries, gallery_tables, finished_tables, feature_tables, drawings, decisions)
"""After the enrolment, in this order: what helps to find the rest goes last."""

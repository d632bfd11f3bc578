"""Proof by search: whether a file still names a person, holds one of the person's embeddings, or is a photograph of the person.

Looked for in every file: the embeddings' bytes and their base64; the SHA-256 of the photographs, as the file's own and in
text; the name as a word of its own, in the file's path and in text (UTF-8, and in SQLite files).  Parquet files are read:
every text column, every column of vectors, and what is encrypted, where the key is there.  Other binary formats are
searched for the bytes, not for the name, whose few letters occur anywhere by chance.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from perception.forgetting.subject import Subject

_SQLITE = b"SQLite format 3\x00"


@dataclass
class Proof:
    """What a search looked through, and what it found.

    Attributes
    ----------
    files, bytes : int
        Searched.
    found : list of (path, str)
        File, and what of the person is in it.
    unread : list of (path, str)
        File, and why it could not be searched (in full).
    """

    files: int = 0
    bytes: int = 0
    found: list[tuple[Path, str]] = field(default_factory=list)
    unread: list[tuple[Path, str]] = field(default_factory=list)


def search(subject: Subject, roots: Iterable[Path], skip: Iterable[Path] = ()) -> Proof:
    """Search files and folders, each file once; ``skip`` names files that stay by the user's choice."""
    proof, left_out = Proof(), set(skip)
    for root in dict.fromkeys(roots):
        for file in dict.fromkeys(sorted(root.rglob("*")) if root.is_dir() else [root]):
            if file.is_symlink() or not file.is_file() or file in left_out:
                continue
            left_out.add(file)
            try:
                content = file.read_bytes()
                proof.files, proof.bytes = proof.files + 1, proof.bytes + len(content)
                proof.found += [(file, what) for what in dict.fromkeys(traces(subject, file, content, root, proof))]
            except OSError as error:
                proof.unread.append((file, error.strerror or str(error)))
    return proof


def traces(subject: Subject, file: Path, content: bytes, root: Path, proof: Proof) -> Iterator[str]:
    """What of the person is in a file."""
    if subject.name in file.relative_to(root.parent).parts:
        yield "the name, in the path"
    if subject.digests and hashlib.sha256(content).hexdigest() in subject.digests:
        yield "a photograph"
    if any(raw in content or base64.b64encode(raw) in content for raw in subject.embeddings):
        yield "an embedding"
    if file.suffix == ".parquet":
        yield from _in_parquet(subject, file, proof)
    elif content.startswith(_SQLITE) or _is_text(content):
        if subject.pattern().search(content):
            yield "the name"
        if any(digest.encode() in content for digest in subject.digests):
            yield "the digest of a photograph"
    if any(digest in file.name for digest in subject.digests):
        yield "the digest of a photograph, in the path"


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in content[:4096]


def _in_parquet(subject: Subject, file: Path, proof: Proof) -> Iterator[str]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from perception.errors import PerceptionError
    from perception.features import read_features
    from perception.sealed_table import SEALED

    try:
        table = pq.read_table(file, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        proof.unread.append((file, f"no readable Parquet: {str(error).splitlines()[0][:80]}"))
        return
    word = subject.pattern()
    if any(word.search(value) for value in (table.schema.metadata or {}).values()):
        yield "the name, in the metadata"
    for column in table.columns:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            if pa.types.is_dictionary(column.type):  # its values count, used or not
                texts = {text for chunk in column.chunks for text in chunk.dictionary.to_pylist()}
            else:
                texts = set(column.unique().to_pylist())
            if any(text is not None and (text in subject.digests or word.search(text.encode())) for text in texts):
                yield "the name, in a column"
        elif pa.types.is_list(kind) and pa.types.is_floating(kind.value_type) and subject.embeddings:
            rows = (np.asarray(row, "<f4").tobytes() for row in column.to_pylist() if row is not None)
            if any(row in subject.embeddings for row in rows):
                yield "an embedding"
    if SEALED in table.column_names and subject.embeddings:
        try:
            vectors = read_features(file)["embedding"]
        except PerceptionError as error:
            proof.unread.append((file, f"its embeddings: {error}"))
            return
        if any(v is not None and v.astype("<f4").tobytes() in subject.embeddings for v in vectors):
            yield "an embedding, encrypted"

"""The encrypted column of a stored feature table: every embedding sealed on its own and bound to its table, image, face, expiry.

A row can be taken out of a table without the key; none can be moved, altered, or given a longer life.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perception.encryption import CIPHER, expired, find_key
from perception.errors import ExpiredError, FeaturesError, KeyUnavailableError

if TYPE_CHECKING:
    import pandas as pd

SEALED = "embedding_sealed"
"""Column of a stored table that holds each row's encrypted embedding: nonce, ciphertext, tag; null where there is none."""


def seal(frame: pd.DataFrame, stored: dict[str, str | None]) -> list[bytes | None]:
    """Encrypted embeddings of a normalised table, one per row; ``stored`` learns cipher, key and table.

    Raises
    ------
    KeyUnavailableError
        There is no key, and none can be made.
    """
    key = find_key(make=True)
    stored |= {"cipher": CIPHER, "key": key.id, "table": os.urandom(16).hex()}
    return [None if vector is None else key.seal(vector.astype("<f4").tobytes(), _place(stored, image, face))
            for vector, image, face in zip(frame["embedding"], frame["image"], frame["face"], strict=True)]


def opened(frame: pd.DataFrame, sealed: pd.Series, stored: dict[str, Any], path: Path) -> np.ndarray:
    """Embeddings of a stored table, shape (rows,), object: float32 (512,) or None.

    Raises
    ------
    KeyUnavailableError
        The key is missing, or another one.
    FeaturesError
        A ciphertext is not where, or not as, it was written.
    """
    out = np.full(len(frame), None, dtype=object)
    rows = np.flatnonzero([isinstance(row, bytes) for row in sealed])
    if not len(rows):
        return out
    try:
        key = find_key()
    except KeyUnavailableError as error:
        raise KeyUnavailableError(f"{path}: {error}") from None
    if key.id != stored.get("key"):
        raise KeyUnavailableError(f"{path} was encrypted with the key {stored.get('key')}, and the key of {key.source} is {key.id}; "
                                  "name the right one with PERCEPTION_KEY=KEY or PERCEPTION_KEY_FILE=FILE")
    images, faces = frame["image"].to_numpy(), frame["face"].to_numpy()
    for i in rows:
        try:
            plain = key.open(sealed.iloc[i], _place(stored, images[i], faces[i]))
        except (ValueError, KeyError, TypeError):
            raise FeaturesError(f"{path}: the embedding of image {images[i]!r}, face {faces[i]}, is not as it was written; "
                                "extract the table again") from None
        out[i] = np.frombuffer(plain, "<f4").astype(np.float32)
    return out


def refuse_expired(path: Path, expires: str | None) -> None:
    """Remove a file whose time is over.

    Raises
    ------
    ExpiredError
        It was over.
    """
    if not expired(expires):
        return
    try:
        path.unlink()
    except OSError as error:
        raise ExpiredError(f"{path} expired on {expires} and is not read any more, but it cannot be removed ({error.strerror}); "
                           "delete it") from None
    raise ExpiredError(f"{path} expired on {expires} and was removed; if the people agree again, extract it anew")


def _place(stored: dict[str, Any], image: str, face: int) -> str:
    """What an encrypted embedding is bound to."""
    return json.dumps(["features", stored["table"], stored.get("expires"), image, int(face)])

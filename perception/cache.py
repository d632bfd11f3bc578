"""Cache of what was perceived, keyed by the content of the image and everything that the result depends on.

Two stores here, both plain data (JSON, parquet; nothing in them is executed) and published atomically; a third, of whole folders,
is in :mod:`perception.finished_tables`:

- one JSON file per image, ``images/<settings>/<aa>/<sha256>.json``: box, landmarks, emotions, mask, and the embedding
  only where consent to keep it was stated, encrypted (:mod:`perception.encryption`) unless the user asked for plain;
- one parquet file per perceived gallery, ``galleries/<digest>.parquet``: the finished table, never with embeddings.

Entries with an embedding expire, and are removed when they are met after that.  Without the key they count as none.

A damaged entry is the same as none.  Folders are readable by their owner only.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from perception.encryption import DEFAULT_KEEP_DAYS, Key, existing_key, expired, expiry, find_key
from perception.errors import CacheError
from perception.results import Face, ImageResult

PIPELINE_VERSION = "3"
"""Raised whenever results, or the columns of the table, change for equal images, weights and settings."""


def settings_digest(*, emotion: str | None = None, **settings: Any) -> str:
    """SHA-256 over the pipeline's version, FaceNet's precision here, the shipped heads, the emotion head chosen and the given
    settings (JSON values)."""
    from perception.emotion_head import DEFAULT_HEAD
    from perception.emotion_head import SHIPPED_HEAD as EMOTION_HEAD
    from perception.mask import SHIPPED_HEAD as MASK_HEAD
    from perception.precision import effective_precision

    heads = {name: hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
             for name, file in (("mask_head", MASK_HEAD), ("emotion_head", EMOTION_HEAD))}
    content = json.dumps({"version": PIPELINE_VERSION, "emotion": emotion or DEFAULT_HEAD,
                          "precision": effective_precision(), **heads, **settings}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def make_private_folder(folder: Path) -> Path:
    """Make a folder for its owner only.

    Raises
    ------
    CacheError
        If it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CacheError(f"the cache folder {folder} cannot be made ({error.strerror}); choose another with "
                         "cache=DIR or go without by cache=none") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CacheError(f"the cache folder {folder} cannot be written; choose another with cache=DIR or go without by "
                         "cache=none")
    return folder


class ImageCache:
    """Per-image results of one setting of the pipeline.

    Parameters
    ----------
    folder : path
        Root of the cache.
    digest : str
        From :func:`settings_digest`.
    embeddings : bool
        Whether embeddings are written, and needed for an entry to count.
    encrypt : bool
        Encrypt the embeddings written.
    keep_days : int
        Life of an entry with an embedding, 0 until removed.

    Raises
    ------
    CacheError
        If the folder cannot be made.
    KeyUnavailableError
        If embeddings are needed and what should be the key is none; by :meth:`put`, if none can be made.
    """

    def __init__(self, folder: Path, digest: str, embeddings: bool, encrypt: bool = True,
                 keep_days: int = DEFAULT_KEEP_DAYS) -> None:
        self._folder = make_private_folder(Path(folder) / "images" / digest[:16])
        self._embeddings, self._encrypt, self._keep_days = embeddings, encrypt, keep_days
        self._key = existing_key() if embeddings else None

    def _file(self, content: str) -> Path:
        return self._folder / content[:2] / f"{content}.json"

    def get(self, content: str, name: str) -> ImageResult | None:
        """The result for an image's SHA-256 under the given name, or None."""
        file = self._file(content)
        try:
            entry = json.loads(file.read_text(encoding="utf-8"))
            if expired(entry.get("expires")):
                file.unlink(missing_ok=True)
                return None
            faces = read_faces(entry, content, self._key)
            result = ImageResult(name, entry["status"], entry["reason"], entry["width"], entry["height"], faces)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        lacks = any(face.embedding is None and face.mask_probability is not None for face in faces)
        if self._embeddings and self._encrypt and any(face["embedding"] is not None for face in entry["faces"]):
            with contextlib.suppress(CacheError):  # an entry in plain, of an earlier version or by encrypt=false
                self.put(content, result, entry.get("expires") or expiry(self._keep_days))
        return None if self._embeddings and lacks else result

    def put(self, content: str, result: ImageResult, expires: str | None = None) -> None:
        """Store a result under the image's SHA-256; ``expires`` (by default after ``keep_days``) counts with an embedding.

        Raises
        ------
        CacheError
            If the folder cannot be written.
        """
        kept = self._embeddings and any(face.embedding is not None for face in result.faces)
        expires = (expires or expiry(self._keep_days)) if kept else None
        if kept and self._encrypt and self._key is None:
            self._key = find_key(make=True)
        key = self._key if self._encrypt else None
        faces = [_face_entry(face, kept, key, _place(content, k, expires)) for k, face in enumerate(result.faces)]
        entry = {"status": result.status, "reason": result.reason, "width": result.width, "height": result.height,
                 "expires": expires, "faces": faces}
        file = self._file(content)
        temporary = None
        try:
            file.parent.mkdir(exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".")
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(entry, stream)
            os.replace(temporary, file)  # no fsync: an entry lost in a power cut is computed again
        except OSError as error:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            raise CacheError(f"the cache {self._folder} cannot be written ({error.strerror or error})") from error


def _place(content: str, face: int, expires: str | None) -> str:
    """What an encrypted embedding is bound to."""
    return json.dumps(["image", content, face, expires])


def _face_entry(face: Face, embedding: bool, key: Key | None, place: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "box": list(face.box), "score": face.score, "landmarks": face.landmarks.astype(float).ravel().tolist(),
        "emotions": face.emotions.astype(float).tolist(), "mask": face.mask_probability, "embedding": None,
        "fer": None if face.fer is None else face.fer.astype(float).tolist(),
    }
    if embedding and face.embedding is not None:
        raw = face.embedding.astype("<f4").tobytes()
        if key is None:
            entry["embedding"] = base64.b64encode(raw).decode()
        else:
            entry["sealed"] = base64.b64encode(key.seal(raw, place)).decode()
    return entry


def read_faces(entry: dict[str, Any], content: str, key: Key | None) -> tuple[Face, ...]:
    """Faces of a stored entry; an embedding that ``key`` does not open is None.

    Raises
    ------
    ValueError, KeyError, TypeError
        The entry is damaged.
    """
    return tuple(_read_face(face, key, _place(content, k, entry.get("expires"))) for k, face in enumerate(entry["faces"]))


def _read_face(entry: dict[str, Any], key: Key | None, place: str) -> Face:
    embedding = entry["embedding"]
    raw = None if embedding is None else base64.b64decode(embedding)
    if raw is None and key is not None and entry.get("sealed") is not None:
        with contextlib.suppress(ValueError):  # another key: perceived anew
            raw = key.open(base64.b64decode(entry["sealed"]), place)
    x0, y0, x1, y1 = (float(v) for v in entry["box"])
    return Face(
        (x0, y0, x1, y1), float(entry["score"]), np.asarray(entry["landmarks"], np.float32).reshape(5, 2),
        np.asarray(entry["emotions"], np.float32).reshape(7), entry["mask"],
        None if raw is None else np.frombuffer(raw, "<f4").astype(np.float32).reshape(512),
        None if entry["fer"] is None else np.asarray(entry["fer"], np.float32).reshape(7),
    )

"""FaceFeatures: the table in which perception hands its findings to the rest of the house.

One row per detected face, largest first, or one row per image in which no face was found or that could not be used.

===================  =========  ====================================================================================
column               type       meaning
===================  =========  ====================================================================================
image                str        path relative to the folder that was read, with forward slashes
face                 int64      0 .. n-1, largest box first; -1 where there is none
status               str        ``face``, ``no_face`` or ``unusable``
reason               str        why an image is unusable; null otherwise
x0 y0 x1 y1          float32    box in pixels of the upright image (after EXIF rotation), null if none
score                float32    the detector's probability in [0, 1], null if none
emotion_<name>       float32    seven probabilities that sum to 1, null if none
mask_probability     float32    probability that the face wears a mask; null in *every* row where FaceNet did not run
identity             str        recognised person, null = unknown, or no gallery given
similarity           float32    score of the best match in [-1, 1], null if none
embedding            list[512]  float32, unit length, or null
===================  =========  ====================================================================================

On disk the embeddings of real people are encrypted (:mod:`perception.encryption`): the column ``embedding`` is null there and
``embedding_sealed`` holds the ciphertexts, which only :func:`read_features` turns back.  Every other column is plain parquet.

A *gallery feature table* has the largest face of every image (so one row per image) and the columns of
:data:`GALLERY_COLUMNS` besides.  Columns may be added to either table, none may be renamed.  This module needs NumPy,
pandas and PyArrow only: the simulator imports it without paying for the networks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from perception.errors import FeaturesError
from perception.publish import publish

if TYPE_CHECKING:
    import pandas as pd

EMOTIONS: Final = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The seven classes of the FER network, in the order used everywhere in the house."""

SIX_EMOTIONS: Final = ("happy", "angry", "sad", "natural", "surprised", "confused")
"""The six-class view; ``confused`` is derived, not measured (:func:`six_class_view`)."""

STATUSES: Final = ("face", "no_face", "unusable")
EMBEDDING_SIZE: Final = 512
BOX_COLUMNS: Final = ("x0", "y0", "x1", "y1")
EMOTION_COLUMNS: Final = tuple(f"emotion_{name}" for name in EMOTIONS)
COLUMNS: Final = (
    ("image", "face", "status", "reason", *BOX_COLUMNS, "score", *EMOTION_COLUMNS)
    + ("mask_probability", "identity", "similarity", "embedding")
)
FER_COLUMNS: Final = tuple(f"fer_{name}" for name in EMOTIONS)
"""Added columns: what the fer network alone says, beside the default head's ``emotion_*``."""
GALLERY_COLUMNS: Final = (
    "person", "role", "true_emotion", "true_mask", "identity_unenrolled", "similarity_unenrolled",
)
MASK_DISCOUNT: Final = 0.40
"""Share of FER's balanced accuracy that a mask costs: .563 bare and .339 masked on 1,396 rendered faces of 40 persons that
are not shipped (.458 and .267, a share of .42, on 1,978 photographs without and with a drawn mask)."""

_ANGLES = np.deg2rad([145.0, 180.0, 120.0, 20.0, 225.0, 90.0])  # angry, disgust, fear, happy, sad, surprise
AFFECT_CENTRES: Final = np.vstack([0.75 * np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)]), [[0.0, 0.0]]])
"""Valence and arousal of the seven classes, shape (7, 2): places on the circumplex (J. A. Russell, "A circumplex model of
affect", JPSP 39, 1980) at three quarters of its radius, neutral at the origin."""

_ATTRS = b"perception"
"""Key of the parquet file's metadata under which a table's ``attrs`` (a gallery's operating point) are kept."""
_TEXT = frozenset({"image", "status", "reason", "identity", "person", "role", "true_emotion", "identity_unenrolled", "mask_status"})
_REAL = frozenset((*BOX_COLUMNS, "score", *EMOTION_COLUMNS, *FER_COLUMNS, "mask_probability", "similarity", "similarity_unenrolled",
                   "emotion_confidence"))


def six_class_view(emotions: np.ndarray) -> np.ndarray:
    """Map FER's seven classes to happy, angry, sad, natural, surprised and a *derived* confused.

    FER has no ``confused`` class.  The score is a proxy, never a measured accuracy: the mass of disgust and fear (which
    have no class of their own here; both share the lowered or drawn brow, AU4, that the psychology of confusion names)
    plus what is undecided between the other five, ``(1 - max q) * entropy(q) / log 5`` of their renormalised shares q,
    is confused; the five share the rest in proportion.

    Parameters
    ----------
    emotions : ndarray, shape (..., 7)
        Probabilities in the order of :data:`EMOTIONS`.

    Returns
    -------
    ndarray, shape (..., 6), float64
        Probabilities in the order of :data:`SIX_EMOTIONS`; each row sums to 1.
    """
    p = np.asarray(emotions, dtype=np.float64)
    if p.shape[-1] != len(EMOTIONS):
        raise FeaturesError(f"six_class_view needs {len(EMOTIONS)} emotion probabilities in the last axis, got {p.shape}")
    five = p[..., [3, 0, 4, 6, 5]]  # happy, angry, sad, neutral, surprise
    mass = five.sum(-1, keepdims=True)
    q = np.divide(five, mass, out=np.full_like(five, 0.2), where=mass > 0)
    entropy = -(q * np.log(np.clip(q, 1e-300, None))).sum(-1, keepdims=True) / np.log(5.0)
    undecided = (1.0 - q.max(-1, keepdims=True)) * entropy
    rest = mass * (1.0 - undecided)
    return np.concatenate([q * rest, p.sum(-1, keepdims=True) - rest], axis=-1)


def emotion_confidence(emotions: np.ndarray, mask_probability: np.ndarray | float | None = None,
                       discount: float = MASK_DISCOUNT) -> np.ndarray:
    """How far the emotion reading can be trusted, in [0, 1].

    ``(1 - H(p) / log 7) * (1 - discount * mask_probability)``: a peaked distribution counts, and a mask, which
    hides the mouth, takes away the share of accuracy that it was measured to cost.  The probabilities stay untouched.
    The combined head's probabilities are calibrated on masked faces already and get no further discount.

    Parameters
    ----------
    emotions : ndarray, shape (..., 7)
    mask_probability : ndarray, shape (...), optional
        None or NaN where the mask is not known: then no discount is made.
    discount : float
        Share of accuracy lost under a mask by the head that read the emotions.
    """
    p = np.asarray(emotions, dtype=np.float64)
    sharpness = 1.0 + (p * np.log(np.clip(p, 1e-300, None))).sum(-1) / np.log(len(EMOTIONS))
    mask = np.nan_to_num(np.asarray(0.0 if mask_probability is None else mask_probability, dtype=np.float64))
    return np.clip(sharpness, 0.0, 1.0) * (1.0 - discount * mask)


def valence_arousal(emotions: np.ndarray) -> np.ndarray:
    """Core affect that emotion probabilities stand for: their mean on the circumplex, :data:`AFFECT_CENTRES`.

    A derived score (Russell 1980 places the words, no network here was trained on valence or arousal).

    Parameters
    ----------
    emotions : ndarray, shape (..., 7)
        Probabilities in the order of :data:`EMOTIONS`.

    Returns
    -------
    ndarray, shape (..., 2), float64
        Valence and arousal, each in [-0.75, 0.75].
    """
    p = np.asarray(emotions, dtype=np.float64)
    if p.shape[-1] != len(EMOTIONS):
        raise FeaturesError(f"valence_arousal needs {len(EMOTIONS)} emotion probabilities in the last axis, got {p.shape}")
    return p @ AFFECT_CENTRES


def normalise(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a copy in contract column order and types (text as object with None, reals as float32), index 0..n-1."""
    import pandas as pd

    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise FeaturesError(f"a feature table needs the columns {', '.join(missing)}, which this one lacks")
    first = [*COLUMNS, *(name for name in GALLERY_COLUMNS if name in frame.columns)]
    frame = frame[[*first, *(name for name in frame.columns if name not in first)]].reset_index(drop=True)
    columns: dict[str, pd.Series] = {}
    for name in frame.columns:
        column = frame[name]
        if name == "embedding":
            rows = [None if _is_null(row) else np.asarray(row, dtype=np.float32) for row in column]
            column = pd.Series(rows, dtype=object, index=frame.index)
        elif name in _TEXT or name == "true_mask":
            cast = bool if name == "true_mask" else str
            column = pd.Series([None if _is_null(v) else cast(v) for v in column], dtype=object, index=frame.index)
        elif name in _REAL:
            column = pd.to_numeric(column, errors="coerce").astype(np.float32)
        elif name == "face":
            column = column.astype(np.int64)
        columns[name] = column
    return pd.DataFrame(columns, index=frame.index)


def validate(frame: pd.DataFrame, source: str = "the feature table") -> None:
    """Check the contract of the module's docstring on a normalised table.

    Raises
    ------
    FeaturesError
        With the first breach: which rule, which image, how many rows.
    """
    def breach(bad: np.ndarray, rule: str) -> None:
        if bad.any():
            image = frame["image"].to_numpy()[np.flatnonzero(bad)[0]]
            raise FeaturesError(f"{source}: {rule} ({int(bad.sum())} rows, first image {image!r})")

    status = frame["status"].to_numpy()
    breach(np.array([v is None or v == "" for v in frame["image"]], dtype=bool), "image must be a non-empty path")
    breach(~np.isin(status.astype(str), STATUSES), f"status must be one of {', '.join(STATUSES)}")
    seen = status == "face"
    number = frame["face"].to_numpy()
    breach(seen & (number < 0), "face must be 0 or more in a row with status 'face'")
    breach(~seen & (number != -1), "face must be -1 in a row without a face")
    breach((status == "unusable") & frame["reason"].isna().to_numpy(), "an unusable image needs a reason")
    breach(frame.duplicated(["image", "face"]).to_numpy(), "image and face together must be unique")

    emotions = frame[list(EMOTION_COLUMNS)].to_numpy(np.float64)
    boxes = frame[list(BOX_COLUMNS)].to_numpy(np.float64)
    for values, what in ((emotions, "an emotion"), (boxes, "a box side"), (frame[["score"]].to_numpy(float), "a score")):
        breach(seen & ~np.isfinite(values).all(1), f"{what} is missing or not finite in a face row")
        breach(~seen & ~np.isnan(values).all(1), f"{what} is given in a row without a face")
    breach(seen & ((emotions < -1e-6).any(1) | (np.abs(emotions.sum(1) - 1.0) > 1e-3)), "emotions must sum to 1")
    breach(seen & ((boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])), "a box must have x0 < x1 and y0 < y1")
    mask = frame["mask_probability"].to_numpy(np.float64)
    if not np.isnan(mask[seen]).all():
        breach(seen & ~((mask >= 0.0) & (mask <= 1.0)), "mask_probability must lie in [0, 1]")

    def wrong(vector: np.ndarray | None) -> bool:
        return vector is not None and (vector.shape != (EMBEDDING_SIZE,) or abs(float(vector @ vector) - 1.0) > 2e-3)

    breach(np.array([wrong(v) for v in frame["embedding"]], dtype=bool),
           f"an embedding must be {EMBEDDING_SIZE} numbers of unit length")


def read_features(path: str | Path, *, embeddings: bool = True) -> pd.DataFrame:
    """Read a FaceFeatures (or gallery feature) parquet file and check its contract.

    Parameters
    ----------
    path : str or Path
    embeddings : bool
        False: leave the column ``embedding`` null, and need no key where it is encrypted.

    Returns
    -------
    pandas.DataFrame
        Columns in contract order, then the added ones.  Text columns hold str or None, ``embedding`` holds float32
        arrays of shape (512,) or None.  ``attrs["stored"]`` says when the table expires and which key opens it, where
        it has embeddings.

    Raises
    ------
    FeaturesError
        If the file is missing, is no parquet file, or breaks the contract.
    KeyUnavailableError
        If its embeddings are encrypted and the key is missing or another one.
    ExpiredError
        If its time is over; the file is removed.
    """
    import pyarrow
    import pyarrow.parquet

    from perception.sealed_table import SEALED, opened, refuse_expired

    path = Path(path)
    if not path.is_file():
        raise FeaturesError(f"there is no feature table at {path}; make one with python -m perception.extract")
    try:
        table = pyarrow.parquet.read_table(path)
        frame = table.to_pandas()
        attrs = json.loads((table.schema.metadata or {}).get(_ATTRS, b"{}"))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise FeaturesError(f"{path} is not a readable parquet file ({str(error).splitlines()[0][:120]})") from error
    attrs = attrs if isinstance(attrs, dict) else {}
    stored = attrs.get("stored") or {}
    refuse_expired(path, stored.get("expires"))
    if SEALED in frame.columns:
        sealed = frame.pop(SEALED)
        if embeddings:
            frame["embedding"] = opened(frame, sealed, stored, path)
    elif not embeddings and "embedding" in frame.columns:
        frame["embedding"] = None
    try:
        frame = normalise(frame)
    except FeaturesError as error:
        raise FeaturesError(f"{path}: {error}") from None
    validate(frame, str(path))
    frame.attrs.update(attrs)
    return frame


def write_features(frame: pd.DataFrame, path: str | Path, *, encrypt: bool = True, expires: str | None = None) -> None:
    """Check a table and publish it as parquet, atomically (temporary file in the same folder, fsync, rename).

    Parameters
    ----------
    frame : pandas.DataFrame
        With at least :data:`COLUMNS`.  Columns are put in contract order, reals stored as float32.
    path : str or Path
        Missing parent folders are made.  A table with embeddings is readable by its owner only.
    encrypt : bool
        Encrypt the embeddings with the user's key, which is made where there is none.  False only for faces that are
        nobody's, or where the user asked for it.
    expires : str, optional
        Moment (:func:`perception.encryption.expiry`) from which the table is refused and removed; by default the one it
        was read with.

    Raises
    ------
    FeaturesError
        If the table breaks the contract; nothing is written then.
    CacheError, KeyUnavailableError
        If the file cannot be written, or there is no key to encrypt with.
    """
    import pyarrow
    import pyarrow.parquet

    from perception.sealed_table import SEALED, seal

    path = Path(path)
    attrs = dict(frame.attrs)
    expires = expires or (attrs.pop("stored", None) or {}).get("expires")
    frame = normalise(frame)
    validate(frame)
    has = any(vector is not None for vector in frame["embedding"])
    stored: dict[str, str | None] = {} if expires is None else {"expires": expires}
    sealed = None
    if has and encrypt:
        sealed = seal(frame, stored)
        frame["embedding"] = np.full(len(frame), None, dtype=object)
    if stored:
        attrs["stored"] = stored
    types = {name: pyarrow.string() for name in _TEXT} | {name: pyarrow.float32() for name in _REAL}
    types |= {"face": pyarrow.int64(), "true_mask": pyarrow.bool_(), "embedding": pyarrow.list_(pyarrow.float32())}
    arrays = {name: pyarrow.array(frame[name], type=types.get(name), from_pandas=True) for name in frame.columns}
    if sealed is not None:
        arrays[SEALED] = pyarrow.array(sealed, pyarrow.binary())
    table = pyarrow.table(arrays)
    if attrs:
        table = table.replace_schema_metadata({_ATTRS: json.dumps(attrs).encode()})
    publish(path, lambda file: pyarrow.parquet.write_table(table, file, compression="zstd"),
            mode=0o600 if has and stored else 0o644)


def _is_null(value: object) -> bool:
    """True for None, NaN and pandas' NA."""
    import pandas as pd

    return value is None or (not isinstance(value, (str, np.ndarray, list)) and bool(pd.isna(value)))

"""What was perceived, as typed records, and the FaceFeatures table made of them (no torch here)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from perception.features import (
    BOX_COLUMNS,
    EMOTION_COLUMNS,
    FER_COLUMNS,
    emotion_confidence,
    normalise,
    six_class_view,
    valence_arousal,
)
from perception.mask import MASK_THRESHOLD, mask_status

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Face:
    """One face.

    Attributes
    ----------
    box : tuple of float
        x0, y0, x1, y1 in pixels of the upright image.
    score : float
        Detector's probability.
    landmarks : ndarray, shape (5, 2), float32
        Eyes, nose, mouth corners.
    emotions : ndarray, shape (7,), float32
        Probabilities in the order of :data:`perception.features.EMOTIONS`.
    mask_probability : float or None
        None where FaceNet did not run.
    embedding : ndarray, shape (512,), float32, or None
        Unit length.
    fer : ndarray, shape (7,), float32, or None
        What the fer network alone says, where ``emotions`` come from the combined head; None where they are its own.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: np.ndarray
    emotions: np.ndarray
    mask_probability: float | None
    embedding: np.ndarray | None
    fer: np.ndarray | None = None

    @property
    def masked(self) -> bool:
        """Whether the mask head says mask (False where it did not run)."""
        return self.mask_probability is not None and self.mask_probability >= MASK_THRESHOLD

    @property
    def mask_status(self) -> str | None:
        """``bare``, ``uncertain`` or ``masked``; see :func:`perception.mask.mask_status`."""
        return mask_status(self.mask_probability)

    @property
    def emotion_confidence(self) -> float:
        """See :func:`perception.features.emotion_confidence`."""
        if self.fer is not None:  # the combined head is calibrated on masked faces
            return float(emotion_confidence(self.emotions))
        return float(emotion_confidence(self.emotions, self.mask_probability))

    @property
    def six_emotions(self) -> np.ndarray:
        """The six-class view, shape (6,); see :func:`perception.features.six_class_view`."""
        return six_class_view(self.emotions)

    @property
    def valence_arousal(self) -> np.ndarray:
        """Derived core affect, shape (2,); see :func:`perception.features.valence_arousal`."""
        return valence_arousal(self.emotions)


@dataclass(frozen=True)
class ImageResult:
    """What was found in one image.

    Attributes
    ----------
    image : str
        Its name.
    status : str
        ``face``, ``no_face`` or ``unusable``.
    reason : str or None
        Why it is unusable.
    width, height : int
        Of the upright image, pixels; 0 where unusable.
    faces : tuple of Face
        Largest first.
    """

    image: str
    status: str
    reason: str | None = None
    width: int = 0
    height: int = 0
    faces: tuple[Face, ...] = ()


def to_frame(results: Iterable[ImageResult], *, keep_embeddings: bool = False, largest_only: bool = False) -> pd.DataFrame:
    """FaceFeatures table of results, with ``faces_in_image, emotion_confidence, mask_status`` and ``fer_*`` besides.

    Parameters
    ----------
    keep_embeddings : bool
        Otherwise the column is null.
    largest_only : bool
        One row per image: its largest face (the customer).
    """
    import pandas as pd

    shown = [(result, k, face) for result in results
             for k, face in (enumerate(result.faces[:1] if largest_only else result.faces) if result.faces else [(-1, None)])]
    seen = np.array([face is not None for _, _, face in shown], dtype=bool)
    faces = [face for _, _, face in shown if face is not None]

    def measured(values: list, width: int) -> np.ndarray:
        """(n, width): values of the faces, NaN in a row without one."""
        column = np.full((len(shown), width), np.nan)
        column[seen] = np.asarray(values, np.float64).reshape(-1, width)
        return column

    emotions = measured([face.emotions for face in faces], 7)
    fer = measured([face.emotions if face.fer is None else face.fer for face in faces], 7)
    combined = np.array([face is not None and face.fer is not None for _, _, face in shown], dtype=bool)
    mask = measured([np.nan if face.mask_probability is None else face.mask_probability for face in faces], 1)[:, 0]
    # the combined head is calibrated on masked faces
    confidence = np.where(seen, emotion_confidence(emotions, np.where(combined, np.nan, mask)), np.nan)
    columns: dict[str, Any] = {
        "image": [result.image for result, _, _ in shown], "face": [k for _, k, _ in shown],
        "status": [result.status for result, _, _ in shown], "reason": [result.reason for result, _, _ in shown],
        **dict(zip(BOX_COLUMNS, measured([face.box for face in faces], 4).T, strict=True)),
        "score": measured([face.score for face in faces], 1)[:, 0], **dict(zip(EMOTION_COLUMNS, emotions.T, strict=True)),
        "mask_probability": mask, "identity": None, "similarity": None,
        "embedding": pd.Series([face.embedding if face is not None and keep_embeddings else None for _, _, face in shown], dtype=object),
        "faces_in_image": [len(result.faces) for result, _, _ in shown], "emotion_confidence": confidence,
        "mask_status": [None if face is None else face.mask_status for _, _, face in shown], **dict(zip(FER_COLUMNS, fer.T, strict=True)),
    }
    return normalise(pd.DataFrame(columns, index=range(len(shown))))

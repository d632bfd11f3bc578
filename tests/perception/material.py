"""Rows of the feature table for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from perception.features import EMOTION_COLUMNS

ROOT = Path(__file__).resolve().parents[2]


def face_row(image: str = "a.png", **changes: object) -> dict[str, object]:
    """A valid face row of the feature table."""
    row: dict[str, object] = {
        "image": image, "face": 0, "status": "face", "reason": None, "x0": 1.0, "y0": 2.0, "x1": 31.0, "y1": 42.0,
        "score": 0.99, "mask_probability": 0.1, "identity": None, "similarity": None,
        "embedding": np.eye(512, dtype=np.float32)[0],
    }
    row |= dict.fromkeys(EMOTION_COLUMNS, 1 / 7)
    return row | changes


def empty_row(image: str = "b.png", status: str = "no_face", reason: str | None = None) -> dict[str, object]:
    """A valid row without a face."""
    return dict.fromkeys(face_row()) | {"image": image, "face": -1, "status": status, "reason": reason}

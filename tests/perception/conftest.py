"""Networks loaded once, real portraits where the environment names them, and a painted picture elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def pipeline(facenet_weights: Path):
    """The whole pipeline, loaded once."""
    from perception import FacePipeline

    return FacePipeline(facenet_weights, threads=1)


@pytest.fixture(scope="session")
def blind_pipeline():
    """Detection and emotion only: needs no FaceNet weights."""
    from perception import FacePipeline

    return FacePipeline("none", threads=1)


@pytest.fixture(scope="session")
def portraits(test_data: Path) -> list[Path]:
    """Sixty grey portraits, 92 x 112 px: ten of each of six people."""
    return [test_data / "att_faces" / f"s{person}" / f"{k}.pgm" for person in range(1, 7) for k in range(1, 11)]


@pytest.fixture
def photograph() -> np.ndarray:
    """A smooth colourful picture without a face, shape (60, 80, 3)."""
    y, x = np.mgrid[:60, :80]
    return np.stack([x * 3, y * 4, (x + y) % 256], axis=2).astype(np.uint8)

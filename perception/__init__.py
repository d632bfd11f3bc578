"""Perception: from customer images to the features that the shop can act on.

Detection (MTCNN), identity (FaceNet), emotion (FER) and a mask head, with safe decoding before them and a table behind
them.  Importing this package costs nothing: the names below load their modules (and the networks) at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perception.features import EMOTIONS as EMOTIONS
    from perception.features import read_features as read_features
    from perception.features import write_features as write_features
    from perception.gallery import open_gallery as open_gallery
    from perception.pipeline import FacePipeline as FacePipeline
    from perception.results import Face as Face
    from perception.results import ImageResult as ImageResult

_HOME = {
    "EMOTIONS": "features", "read_features": "features", "write_features": "features",
    "open_gallery": "gallery",
    "Face": "results", "FacePipeline": "pipeline", "ImageResult": "results",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'perception' has no attribute {name!r}")
    return getattr(import_module(f"perception.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

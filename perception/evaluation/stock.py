"""The stock libraries as their documentation uses them, to be measured beside this project on the same files.

Detection by facenet-pytorch's ``MTCNN`` with its defaults, one image at a time; identity by ``InceptionResnetV1`` on the
crop that this ``MTCNN`` cuts (160 px, margin 0); emotion by ``fer.FER().detect_emotions`` on the boxes that ``fer``'s own
``MTCNN`` option finds.  There is no mask head: masks are not known.  Decoding is ours, so that both see the same pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.features import EMOTIONS
from perception.results import Face, ImageResult


class StockPipeline:
    """Stock MTCNN, FaceNet and (``emotions=True``) fer; the same results as :class:`perception.pipeline.FacePipeline`.

    Parameters
    ----------
    weights : path or None
        FaceNet weights; None: no embeddings.
    emotions : bool
        Ask ``fer`` (needs TensorFlow); else the emotions are uniform.
    """

    def __init__(self, weights: Path | None, emotions: bool) -> None:
        import torch
        from facenet_pytorch import MTCNN

        from perception.weights import load_facenet

        self._torch = torch
        self._mtcnn = MTCNN(keep_all=True, post_process=True)
        self._facenet = load_facenet(weights) if weights is not None else None
        self._fer = _fer() if emotions else None

    def stream(self, images: Sequence[Path], names: Sequence[str], progress: bool = False) -> Iterator[ImageResult]:
        """One result per file, in order."""
        from tqdm import tqdm

        from perception.image_io import Unusable, decode_image

        for file, name in tqdm(list(zip(images, names, strict=True)), desc="stock", unit="img", disable=not progress):
            decoded = decode_image(file)
            if isinstance(decoded, Unusable):
                yield ImageResult(name, "unusable", decoded.reason)
                continue
            faces = self._faces(decoded.pixels)
            yield ImageResult(name, "face" if faces else "no_face", None, decoded.width, decoded.height, faces)

    def _faces(self, pixels: np.ndarray) -> tuple[Face, ...]:
        """Faces of MTCNN, largest first; with fer the boxes are fer's."""
        if self._fer is not None:
            found = self._fer.detect_emotions(np.ascontiguousarray(pixels[:, :, ::-1]))
            faces = []
            for face in found:
                x, y, width, height = (float(v) for v in face["box"])
                p = np.array([face["emotions"][name] for name in EMOTIONS], np.float32)
                p = p / p.sum() if p.sum() > 0 else np.full(7, 1 / 7, np.float32)
                faces.append(Face((x, y, x + max(width, 1.0), y + max(height, 1.0)), 1.0, np.zeros((5, 2), np.float32), p, None, None))
            return tuple(sorted(faces, key=_area, reverse=True))
        from PIL import Image

        try:
            boxes, scores, points = self._mtcnn.detect(Image.fromarray(pixels), landmarks=True)
        except (RuntimeError, ValueError, IndexError):
            return ()  # the library's own failure counts as no face
        if boxes is None:
            return ()
        faces = []
        for box, score, landmarks in zip(boxes, scores, points, strict=True):
            x0, y0, x1, y1 = (float(v) for v in box)
            faces.append(Face((x0, y0, x1, y1), float(score), np.asarray(landmarks, np.float32), np.full(7, 1 / 7, np.float32), None,
                              self._embed(pixels, box)))
        return tuple(sorted(faces, key=_area, reverse=True))

    def _embed(self, pixels: np.ndarray, box: np.ndarray) -> np.ndarray | None:
        if self._facenet is None:
            return None
        from facenet_pytorch import extract_face, fixed_image_standardization
        from PIL import Image

        crop = fixed_image_standardization(extract_face(Image.fromarray(pixels), box))
        with self._torch.inference_mode():
            return self._facenet(crop[None].float())[0].numpy()


def _area(face: Face) -> float:
    return (face.box[2] - face.box[0]) * (face.box[3] - face.box[1])


def _fer() -> Any:
    """``fer`` with the options of its README (MTCNN)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import torch  # noqa: F401  (before TensorFlow: the other order aborts)

    try:
        from fer.fer import FER
    except ImportError as error:
        raise InputError(f"models=stock needs fer and TensorFlow for emotions ({error})") from None
    return FER(mtcnn=True)

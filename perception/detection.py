"""Face detection: MTCNN (:mod:`perception.cascade`), batched by equal image size.

A cascade of three small networks proposes, refines and confirms boxes on an image pyramid and gives five landmarks
[1]_.

Choices made here:

- The smallest face searched for is ``max(20 px, relative_min_face * shorter side)``: the pyramid starts at 12 / min size,
  so the cost no longer grows with the resolution, and a 92 x 112 px portrait is searched as finely as MTCNN can.
- Images of one size go through together; results do not depend on the company an image is in.
- Faces that fill the frame or wear a mask often fall just short of the published thresholds.  Where the first pass
  finds nothing, one second pass looks again with a replicated border around the image and milder thresholds.

References
----------
.. [1] K. Zhang, Z. Zhang, Z. Li, Y. Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
   Networks", IEEE Signal Processing Letters 23(10), 2016.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perception.cascade import Cascade

THRESHOLDS = (0.6, 0.7, 0.7)
"""Accept levels of P-, R- and O-net as published."""

SECOND_THRESHOLDS = (0.5, 0.5, 0.4)
"""Accept levels of the second pass, for images in which the first found nothing.

On 250 tightly cropped masked faces the first pass finds 58 %, both together 82 %; of 100 squares cut from photographs
beside the faces, the second pass takes 1 for a face (the published levels with the same border: 75 %, also 1)."""

SECOND_BORDER = 0.25
"""Replicated border of the second pass, as a share of the shorter side."""


@dataclass(frozen=True)
class Detections:
    """The faces of one image, largest box first.

    Attributes
    ----------
    boxes : ndarray, shape (n, 4), float32
        x0, y0, x1, y1 in pixels of the upright image, inside it.
    landmarks : ndarray, shape (n, 5, 2), float32
        Eyes, nose, mouth corners as (x, y); left of the picture first.
    score : ndarray, shape (n,), float32
        The O-net's probability of a face.
    """

    boxes: np.ndarray
    landmarks: np.ndarray
    score: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    @staticmethod
    def none() -> Detections:
        """No face."""
        return Detections(np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), np.empty(0, np.float32))


class FaceDetector:
    """MTCNN on the CPU (default) or another torch device.

    Parameters
    ----------
    relative_min_face : float
        Smallest face searched for, as a share of the image's shorter side (never below ``min_face`` pixels).
    min_face : float
        Pixels; MTCNN's own default.
    second_look : bool
        Make the second pass on images in which the first found nothing.
    device : str
        Torch device.
    """

    def __init__(self, relative_min_face: float = 0.05, min_face: float = 20.0, second_look: bool = True,
                 device: str = "cpu") -> None:
        self.relative_min_face = relative_min_face
        self.min_face = min_face
        self.second_look = second_look
        self._cascade = Cascade(device)

    def detect(self, images: Sequence[np.ndarray], batch_pixels: int = 4_000_000) -> list[Detections]:
        """Find the faces of several images.

        Parameters
        ----------
        images : sequence of ndarray, shape (h, w, 3), uint8
            RGB, of any sizes; equal sizes are batched.
        batch_pixels : int
            Pixels that go through the networks at once: bounds the memory.

        Returns
        -------
        list of Detections
            In the order of ``images``; the same whatever images stand beside one another.
        """
        found = self._pass(images, THRESHOLDS, 0.0, batch_pixels)
        if self.second_look:
            empty = [i for i, faces in enumerate(found) if not len(faces)]
            again = self._pass([images[i] for i in empty], SECOND_THRESHOLDS, SECOND_BORDER, batch_pixels)
            for i, faces in zip(empty, again, strict=True):
                found[i] = faces
        return found

    def _pass(self, images: Sequence[np.ndarray], thresholds: tuple[float, float, float], border: float,
              batch_pixels: int) -> list[Detections]:
        groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for i, image in enumerate(images):
            groups[image.shape[:2]].append(i)
        found = [Detections.none()] * len(images)
        for (height, width), members in groups.items():
            side = min(height, width)
            margin = round(border * side)
            smallest = max(self.min_face, self.relative_min_face * side)
            step = max(1, batch_pixels // (height * width))
            for start in range(0, len(members), step):
                chunk = members[start:start + step]
                batch = np.stack([images[i] for i in chunk])
                if margin:
                    batch = np.pad(batch, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")
                for i, raw in zip(chunk, self._cascade.detect(batch, smallest, thresholds), strict=True):
                    found[i] = _tidy(raw, margin, height, width)
        return found


def _tidy(raw: tuple[np.ndarray, np.ndarray, np.ndarray], margin: int, height: int, width: int) -> Detections:
    """Clip to the image, drop empty boxes, order by area (then score, then position, so that ties are stable)."""
    boxes, score, points = raw
    boxes, points = boxes - margin, points - margin
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
    size = boxes[:, 2:] - boxes[:, :2]
    keep = (size >= 8.0).all(1) & np.isfinite(boxes).all(1) & np.isfinite(score)
    boxes, points, score, area = boxes[keep], points[keep], score[keep], size[keep].prod(1)
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -score, -area))
    return Detections(boxes[order], points[order], score[order])

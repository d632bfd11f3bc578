"""Faces to train heads on: cut once with their surroundings, then shown in many conditions.

A :class:`TrainingFace` is the largest face of a photograph with half a box of surroundings on every side, so that a
version of it (mirrored, small, grey, blurred, compressed, dim, masked, framed a little differently) can be made without
opening the photograph again.  A version is cut as the pipeline cuts faces: a 160 px RGB crop for FaceNet, a 64 px grey one
for FER.

What a version goes through, each with its own probability and range (:data:`CONDITIONS`): mirror, grey, downscale to as
little as 40 px across the face, Gaussian blur, brightness, contrast, JPEG, and a box that misses by some percent, as a
detector's does on such a picture.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from perception.detection import FaceDetector
    from perception.image_io import ImageSource

SURROUNDINGS = 0.5
"""Share of the longer side of the box kept around it on every side (where the photograph has so much)."""
MAX_SIDE = 400
"""Longer side of the picture kept, pixels: the face is then about 200 px, more than either network takes in."""
CONDITIONS = {"mirror": 0.5, "grey": 0.4, "small": 0.4, "blur": 0.3, "light": 0.5, "jpeg": 0.4, "box": 0.08}
"""Probability of each condition in :func:`vary`; ``box`` is the greatest misplacement and misscaling, share of its side."""


@dataclass(frozen=True)
class TrainingFace:
    """A face with its surroundings.

    Attributes
    ----------
    image : ndarray, shape (h, w, 3), uint8
        RGB; at most :data:`MAX_SIDE` pixels on the longer side.
    box : ndarray, shape (4,), float32
        x0, y0, x1, y1 in pixels of ``image``.
    landmarks : ndarray, shape (5, 2), float32
        Eyes, nose, mouth corners; left of the picture first.
    """

    image: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray

    def facenet_crop(self, margin: int = 0) -> np.ndarray:
        """(160, 160, 3) uint8, by :func:`perception.identity.face_crop`."""
        from perception.identity import face_crop

        return face_crop(self.image, self.box, margin)

    def fer_crop(self) -> np.ndarray:
        """(64, 64) uint8, by :mod:`perception.emotion_crops`."""
        from perception.emotion_crops import INPUT_SIZE, cut_square, pad_grey, resize_grey, to_grey

        return resize_grey(cut_square(pad_grey(to_grey(self.image)), self.box), INPUT_SIZE)


def acquire(sources: Iterable[ImageSource], detector: FaceDetector, progress: bool = True) -> list[TrainingFace | None]:
    """Decode, detect and cut the largest face of every photograph; None where none is found or it cannot be used."""
    from tqdm import tqdm

    from perception.image_io import DecodedImage, decode_image

    faces: list[TrainingFace | None] = []
    for source in tqdm(list(sources), desc="faces", unit="img", disable=not progress):
        decoded = decode_image(source)
        found = detector.detect([decoded.pixels])[0] if isinstance(decoded, DecodedImage) else ()
        faces.append(cut(decoded.pixels, found.boxes[0], found.landmarks[0]) if len(found) else None)  # type: ignore[union-attr]
    return faces


def cut(image: np.ndarray, box: np.ndarray, landmarks: np.ndarray) -> TrainingFace:
    """Cut a face with :data:`SURROUNDINGS` and shrink it to :data:`MAX_SIDE`."""
    from PIL import Image

    height, width = image.shape[:2]
    margin = SURROUNDINGS * max(box[2] - box[0], box[3] - box[1])
    x0, y0 = int(max(box[0] - margin, 0)), int(max(box[1] - margin, 0))
    x1, y1 = int(min(box[2] + margin, width)) , int(min(box[3] + margin, height))
    picture, scale = image[y0:y1, x0:x1], min(1.0, MAX_SIDE / max(x1 - x0, y1 - y0))
    if scale < 1.0:
        size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))
    origin = np.array([x0, y0], np.float32)
    return TrainingFace(np.ascontiguousarray(picture), ((np.reshape(box, (2, 2)) - origin) * scale).ravel().astype(np.float32),
                        ((landmarks - origin) * scale).astype(np.float32))


def mirror(face: TrainingFace) -> TrainingFace:
    """Left and right exchanged, landmarks in order again."""
    width = face.image.shape[1]
    points = face.landmarks.copy()
    points[:, 0] = width - points[:, 0]
    x0, y0, x1, y1 = face.box
    box = np.array([width - x1, y0, width - x0, y1], np.float32)
    return TrainingFace(np.ascontiguousarray(face.image[:, ::-1]), box, points[[1, 0, 2, 4, 3]])


def shrink(face: TrainingFace, side: float, grey: bool) -> TrainingFace:
    """The face as a picture in which it is ``side`` pixels high would show it (shrunk and enlarged again)."""
    from PIL import Image

    picture = Image.fromarray(face.image)
    if grey:
        picture = picture.convert("L")
    scale = min(1.0, side / max(1.0, float(face.box[3] - face.box[1])))
    size = (max(8, round(picture.width * scale)), max(8, round(picture.height * scale)))
    small = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0).resize(picture.size, Image.Resampling.BILINEAR)
    return replace(face, image=np.asarray(small.convert("RGB")))


def vary(face: TrainingFace, generator: np.random.Generator) -> TrainingFace:
    """One random version of a face under :data:`CONDITIONS`."""
    from PIL import Image, ImageEnhance, ImageFilter

    draw = dict(zip(CONDITIONS, generator.random(len(CONDITIONS)), strict=True))
    on = {name: draw[name] < CONDITIONS[name] for name in CONDITIONS}
    side, radius, bright, contrast, quality = generator.random(5)
    shift = generator.uniform(-1.0, 1.0, 4) * CONDITIONS["box"]
    if on["mirror"]:
        face = mirror(face)
    height = max(1.0, float(face.box[3] - face.box[1]))
    if on["small"]:
        face = shrink(face, 40.0 + 60.0 * side, grey=False)
    picture = Image.fromarray(face.image)
    if on["grey"]:
        picture = picture.convert("L").convert("RGB")
    if on["blur"]:
        picture = picture.filter(ImageFilter.GaussianBlur(float(height * (0.004 + 0.012 * radius))))
    if on["light"]:
        picture = ImageEnhance.Brightness(picture).enhance(float(0.6 + 0.8 * bright))
        picture = ImageEnhance.Contrast(picture).enhance(float(0.6 + 0.8 * contrast))
    if on["jpeg"]:
        stream = io.BytesIO()
        picture.save(stream, format="JPEG", quality=int(25 + 60 * quality))
        picture = Image.open(stream).convert("RGB")
    width = face.box[2] - face.box[0]
    moved = face.box + np.array([width, height, width, height]) * shift
    moved = np.clip(moved, 0, [picture.width, picture.height] * 2)
    return TrainingFace(np.asarray(picture), moved.astype(np.float32), face.landmarks)


def crops(faces: Sequence[TrainingFace]) -> tuple[np.ndarray, np.ndarray]:
    """FaceNet crops (n, 160, 160, 3) and FER crops (n, 64, 64) of faces, uint8."""
    return np.stack([face.facenet_crop() for face in faces]), np.stack([face.fer_crop() for face in faces])

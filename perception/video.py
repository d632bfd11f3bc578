"""Video: every n-th frame of a file, decoded by OpenCV, and tracks: which faces of successive frames are one person's.

A face joins the track whose last box it overlaps, or whose mean embedding it resembles:

    score(track, face) = max(IoU(last box, box), cosine(mean embedding, embedding))

with a match from :data:`MIN_IOU` or :data:`MIN_COSINE` on.  Tracks and faces are paired so that the sum of the scores is
largest (the Hungarian method); a track that was not seen for ``patience`` sampled frames takes no further face by overlap,
but the same person coming back is still known by embedding.  Without FaceNet, overlap alone decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from perception.errors import InputError

if TYPE_CHECKING:
    from perception.results import Face

MIN_IOU = 0.3
MIN_COSINE = 0.5
"""The threshold of :mod:`perception.recognition`: the same person in another picture."""
NO_RIVAL_COSINE = 0.2
"""A box that overlaps, with a face less alike than this, is somebody else stepping in."""
MAX_FRAMES = 100_000
"""Sampled frames read at most."""
SUFFIXES = frozenset(".mp4 .avi .mov .mkv .webm .m4v .mpg .mpeg".split())


@dataclass(frozen=True)
class Frame:
    """One sampled frame: ``number`` in the file, ``seconds`` from its start, RGB ``pixels`` (h, w, 3) uint8."""

    number: int
    seconds: float
    pixels: np.ndarray


def read_frames(path: str | Path, every: int, max_pixels: int = 50_000_000) -> Iterator[Frame]:
    """Every ``every``-th frame of a video file, one at a time.

    Raises
    ------
    InputError
        If the file is missing, a link, no video, or without a frame that can be decoded.
    """
    import os
    import stat

    try:
        info = os.lstat(path)
    except OSError as error:
        raise InputError(f"there is no video at {path} ({error.strerror})") from None
    if not stat.S_ISREG(info.st_mode):
        raise InputError(f"video={path} is not a regular file")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what it says of damaged files is said in one sentence below
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # the local file is named absolutely, so that no name is taken for a network address or an image sequence pattern
    capture = cv2.VideoCapture(str(Path(path).absolute()), cv2.CAP_FFMPEG)
    try:
        width, height = (capture.get(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if not capture.isOpened() or width < 1 or height < 1:
            raise InputError(f"video={path} is no video that can be read")
        if width * height > max_pixels:
            raise InputError(f"video={path} has frames of more than {max_pixels} pixels ({width:.0f} x {height:.0f})")
        rate = capture.get(cv2.CAP_PROP_FPS)
        rate = rate if 0.1 <= rate <= 1000 else 25.0
        number = given = 0
        while given < MAX_FRAMES and capture.grab():
            if number % every == 0:
                good, pixels = capture.retrieve()
                if good:
                    given += 1
                    yield Frame(number, number / rate, np.ascontiguousarray(pixels[:, :, ::-1]))
            number += 1
        if not given:
            raise InputError(f"video={path} has no frame that can be decoded")
    finally:
        capture.release()


@dataclass
class Track:
    """One person followed: ``faces`` seen, frame of the first and last, last box, sum of embeddings."""

    number: int
    first: int
    last: int
    box: tuple[float, float, float, float]
    embedding: np.ndarray | None
    faces: int = 1
    emotions: np.ndarray = field(default_factory=lambda: np.zeros(7))


class Tracker:
    """Gives every face a track number; frames are shown to it in order.

    Parameters
    ----------
    patience : int
        Sampled frames that a track may miss before its last box counts no more.
    """

    def __init__(self, patience: int = 5) -> None:
        self.tracks: list[Track] = []
        self._patience = patience
        self._time = -1

    def update(self, faces: Sequence[Face], frame: int) -> list[int]:
        """Track numbers of one frame's faces, in order."""
        from scipy.optimize import linear_sum_assignment

        self._time += 1
        score = np.zeros((len(self.tracks), len(faces)))
        for i, track in enumerate(self.tracks):
            for k, face in enumerate(faces):
                score[i, k] = self._score(track, face)
        numbers = [-1] * len(faces)
        for i, k in zip(*linear_sum_assignment(-score), strict=True):
            if score[i, k] > 0:
                numbers[k] = int(i)
        for k, face in enumerate(faces):
            if numbers[k] < 0:
                numbers[k] = len(self.tracks)
                self.tracks.append(Track(numbers[k], frame, self._time, face.box, None, 0))
            self._extend(self.tracks[numbers[k]], face)
        return numbers

    def _score(self, track: Track, face: Face) -> float:
        from perception.evaluation.detection import overlap

        fresh = self._time - track.last <= self._patience
        iou = float(overlap(np.array([track.box]), np.array([face.box]))[0, 0]) if fresh else 0.0
        alike = None
        if track.embedding is not None and face.embedding is not None:
            alike = float(track.embedding @ face.embedding / max(float(np.linalg.norm(track.embedding)), 1e-12))
        if iou >= MIN_IOU and (alike is None or alike >= NO_RIVAL_COSINE):
            return max(iou, alike or 0.0)
        return alike if alike is not None and alike >= MIN_COSINE else 0.0

    def _extend(self, track: Track, face: Face) -> None:
        track.last, track.box, track.faces = self._time, face.box, track.faces + 1
        track.emotions = track.emotions + face.emotions
        if face.embedding is not None:
            track.embedding = face.embedding if track.embedding is None else track.embedding + face.embedding

"""The video half of ``perception.extract``: every n-th frame becomes rows of the feature table, with track numbers.

``image`` is ``<video's name>/<frame number>``; the columns ``frame``, ``seconds`` and ``track`` say where a face was seen
and which faces are one person's (:mod:`perception.video`).  Frames go through the networks in batches; one batch is held
in memory at a time, and embeddings are dropped once they have served the tracks, unless consent was stated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from perception.video import Frame, Tracker, read_frames

if TYPE_CHECKING:
    from perception.pipeline import FacePipeline
    from perception.results import ImageResult


def extract_video(video: str, out: str, pipeline: FacePipeline, every: int, consent: bool, draw: str | None, batch: int,
                  progress: bool = False, *, encrypt: bool = True, expires: str | None = None) -> str:
    """Read a video, write the table (and drawings), and say in a line what was found.

    Raises
    ------
    InputError
        If the file is no video.
    CacheError
        If a folder cannot be written.
    """
    from tqdm import tqdm

    from perception.draw import draw_faces, png
    from perception.features import write_features
    from perception.publish import publish
    from perception.results import to_frame

    stem = Path(video).name
    tracker = Tracker()
    results: list[ImageResult] = []
    where: list[tuple[int, float, list[int]]] = []
    with tqdm(desc="frames", unit="frame", disable=not progress) as bar:
        for chunk in _chunks(read_frames(video, every), batch):
            names = [f"{stem}/{frame.number:06d}" for frame in chunk]
            for frame, result in zip(chunk, pipeline.perceive([f.pixels for f in chunk], names), strict=True):
                numbers = tracker.update(result.faces, frame.number)
                where.append((frame.number, frame.seconds, numbers))
                if draw is not None:
                    note = f"{stem}, frame {frame.number}, {frame.seconds:.1f} s"
                    picture = draw_faces(frame.pixels, result.faces, [f"track {n}" for n in numbers], note, numbers)
                    publish(Path(draw, f"{result.image}.png"), png(picture))
                bare = result if consent else dataclasses.replace(result, faces=tuple(
                    dataclasses.replace(face, embedding=None) for face in result.faces))
                results.append(bare)
            bar.update(len(chunk))
    table = to_frame(results, keep_embeddings=consent)
    rows = [(number, seconds, track) for number, seconds, numbers in where for track in (numbers or [-1])]
    table["frame"] = [row[0] for row in rows]
    table["seconds"] = [row[1] for row in rows]
    table["track"] = [row[2] for row in rows]
    write_features(table, out, encrypt=encrypt, expires=expires)
    faces = sum(len(result.faces) for result in results)
    seen = sum(bool(result.faces) for result in results)
    return f"{len(results)} frames: {faces} faces in {seen}, {len(tracker.tracks)} tracks"


def _chunks(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Lists of at most ``size`` frames, and of at most 32 megapixels."""
    source = iter(frames)
    while first := list(islice(source, 1)):
        pixels = first[0].pixels.shape[0] * first[0].pixels.shape[1]
        yield first + list(islice(source, max(0, min(size, 32_000_000 // max(pixels, 1)) - 1)))

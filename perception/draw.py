"""Drawing: a picture with its faces boxed, what was perceived beside each, and a legend with the count of faces.

Lettering is sized for a picture shown 640 px wide: pictures are shrunk to at most :data:`WIDTH` on the longer side (small
ones are enlarged to at least :data:`SMALLEST`), and the font is one that Matplotlib ships, so every machine draws alike.
Names of persons are drawn only where the caller passes them: the commands do so only with consent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perception.features import EMOTIONS

if TYPE_CHECKING:
    from perception.results import Face, ImageResult

WIDTH = 1280
SMALLEST = 640
COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
"""Okabe and Ito's palette, told apart with any colour vision."""
_INK, _PAPER = (255, 255, 255), (20, 20, 24)


def draw_faces(image: np.ndarray, faces: Sequence[Face], names: Sequence[str | None] | None = None, note: str | None = None,
               colours: Sequence[int] | None = None) -> np.ndarray:
    """Draw the faces of one picture.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8
        Upright RGB.
    faces : sequence of Face
    names : sequence of str or None, optional
        What to call each face (an identity, a track); None where unknown.
    note : str, optional
        Words for the legend.
    colours : sequence of int, optional
        Number of each face's colour (a track keeps its own from frame to frame); by default the face's number.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        The picture, scaled, with a legend under it.
    """
    from PIL import Image, ImageDraw

    height, width = image.shape[:2]
    longer = max(height, width)
    scale = min(WIDTH / longer, max(1.0, SMALLEST / longer))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    unit = max(13, round(max(size) / 44))  # 14 px of a picture 640 px wide
    font = _font(unit)
    pen = ImageDraw.Draw(picture)
    tags = []
    for k, face in enumerate(faces):
        box = [v * scale for v in face.box]
        colour = COLOURS[(k if colours is None else colours[k]) % len(COLOURS)]
        pen.rectangle(box, outline="black", width=max(4, unit // 4))
        pen.rectangle(box, outline=colour, width=max(2, unit // 7))
        tags.append((box, _words(face, None if names is None else names[k], k), colour))
    taken: list[tuple[float, float, float, float]] = []
    for box, words, colour in tags:
        _tag(pen, font, unit, box, words, colour, picture.size, taken)
    return _with_legend(picture, font, unit, faces, note)


def _words(face: Face, name: str | None, k: int) -> list[str]:
    """Lines of a face's tag."""
    top = int(np.argmax(face.emotions))
    lines = [name if name is not None else f"#{k + 1}", f"{EMOTIONS[top]} {face.emotions[top]:.0%}"]
    if face.mask_probability is not None:
        lines.append(f"mask {face.mask_probability:.0%}" if face.masked else "no mask")
    return lines


def _tag(pen: Any, font: Any, unit: int, box: Sequence[float], words: Sequence[str], colour: str, size: tuple[int, int],
         taken: list[tuple[float, float, float, float]]) -> None:
    """Words beside a box: below it, above it, to its right or left or inside, where they fit and cover no other tag."""
    pad = max(2, unit // 6)
    wide = max(pen.textlength(line, font=font) for line in words) + 2 * pad
    tall = len(words) * round(unit * 1.2) + 2 * pad
    x0, y0, x1, y1 = box
    places = ((x0, y1), (x0, y0 - tall), (x1, y0), (x0 - wide, y0), (x0, y1 - tall), (x0, y0))
    inside = [(min(max(x, 0), max(size[0] - wide, 0)), min(max(y, 0), max(size[1] - tall, 0)), (x, y)) for x, y in places]

    def cost(place: tuple[float, float, tuple[float, float]]) -> float:
        x, y, wanted = place
        covered = sum(max(0.0, min(x + wide, b[2]) - max(x, b[0])) * max(0.0, min(y + tall, b[3]) - max(y, b[1])) for b in taken)
        own = max(0.0, min(x + wide, x1) - max(x, x0)) * max(0.0, min(y + tall, y1) - max(y, y0))
        return covered * 10 + own + abs(x - wanted[0]) + abs(y - wanted[1])

    x, y, _ = min(inside, key=cost)
    taken.append((x, y, x + wide, y + tall))
    pen.rectangle((x, y, x + wide, y + tall), fill=_PAPER, outline=colour, width=max(1, unit // 10))
    for i, line in enumerate(words):
        pen.text((x + pad, y + pad + i * round(unit * 1.2)), line, font=font, fill=colour if i == 0 else _INK)


def _with_legend(picture: Any, font: Any, unit: int, faces: Sequence[Face], note: str | None) -> np.ndarray:
    """The picture over a strip that counts its faces."""
    from PIL import Image, ImageDraw

    counts: dict[str, int] = {}
    for face in faces:
        name = EMOTIONS[int(np.argmax(face.emotions))]
        counts[name] = counts.get(name, 0) + 1
    words = [f"{len(faces)} face" + ("" if len(faces) == 1 else "s")]
    if any(face.mask_probability is not None for face in faces):
        words.append(f"{sum(face.masked for face in faces)} masked")
    words += [f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1])]
    words += [note] if note else []
    pad = max(4, unit // 2)
    lines: list[str] = []
    measure = ImageDraw.Draw(picture)
    for word in words:  # as many as fit side by side
        longer = f"{lines[-1]} · {word}" if lines else word
        if lines and measure.textlength(longer, font=font) <= picture.width - 2 * pad:
            lines[-1] = longer
        else:
            lines.append(word)
    strip = len(lines) * round(unit * 1.25) + 2 * pad
    sheet = Image.new("RGB", (picture.width, picture.height + strip), _PAPER)
    sheet.paste(picture, (0, 0))
    pen = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        pen.text((pad, picture.height + pad + i * round(unit * 1.25)), line, font=font, fill=_INK)
    return np.asarray(sheet)


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    """DejaVu Sans, which lies inside Matplotlib's wheel and holds Latin, Greek, Cyrillic and many symbols."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans-Bold.ttf", size)


def png(image: np.ndarray) -> bytes:
    """An RGB array as a PNG file's content."""
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG")
    return stream.getvalue()


def write_drawings(folder: Path, files: Sequence[Path], results: Sequence[ImageResult],
                   names: Mapping[tuple[str, int], str] | None = None, progress: bool = False) -> int:
    """Draw every picture that could be read into a folder, as ``<image>.png``.

    Parameters
    ----------
    folder : Path
    files, results : sequence
        Of the same pictures, in order.
    names : mapping of (image, face) to str, optional
        Identities to draw.
    progress : bool

    Returns
    -------
    int
        Pictures drawn.

    Raises
    ------
    CacheError
        If the folder cannot be written.
    """
    from tqdm import tqdm

    from perception.image_io import Unusable, decode_image
    from perception.publish import publish

    drawn = 0
    for file, result in tqdm(list(zip(files, results, strict=True)), desc="drawing", unit="img", disable=not progress):
        decoded = decode_image(file) if result.status != "unusable" else Unusable(result.reason or "")
        if isinstance(decoded, Unusable):
            continue
        called = None if names is None else [names.get((result.image, k)) for k in range(len(result.faces))]
        publish(folder / f"{result.image}.png", png(draw_faces(decoded.pixels, result.faces, called)))
        drawn += 1
    return drawn

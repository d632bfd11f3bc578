"""What every annotation format says: which boxes lie in which image, and what they are called.

Boxes are x0, y0, x1, y1 in pixels of the upright image, with real-valued corners and the origin at the top left corner
of the top left pixel, whatever a format's own convention is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from perception.errors import InputError

MAX_BYTES = 256 * 2**20
"""Largest annotation file that is read."""

SizeOf = Callable[[str], tuple[int, int]]
"""Width and height of an image by its name, for formats that store shares of the side."""


class AnnotationError(InputError):
    """An annotation file that cannot be used; says which file and what is wrong in it."""


@dataclass(frozen=True)
class Box:
    """One labelled box, pixels."""

    label: str
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def area(self) -> float:
        """Pixels."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)


@dataclass(frozen=True)
class AnnotatedImage:
    """The boxes of one image.

    Attributes
    ----------
    image : str
        Path relative to the annotation file's folder (or ``images=``), with forward slashes.
    boxes : tuple of Box
        Empty: looked at, nothing in it.
    width, height : int or None
        Pixels, where the format states them.
    """

    image: str
    boxes: tuple[Box, ...]
    width: int | None = None
    height: int | None = None


def checked_image(value: Any, where: str) -> str:
    """An image name that stays inside its folder.

    Raises
    ------
    AnnotationError
    """
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise AnnotationError(f"{where}: an image name is missing or empty")
    name = value.replace("\\", "/")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or (len(name) > 1 and name[1] == ":") or str(path) == ".":
        raise AnnotationError(f"{where}: an image must be a path inside the folder, not {value[:80]!r}")
    return str(path)


def checked_box(label: Any, corners: tuple[Any, Any, Any, Any], where: str) -> Box:
    """A box with a name, finite corners and an area; the corners may come in either order.

    Raises
    ------
    AnnotationError
    """
    if not isinstance(label, str) or not label.strip():
        raise AnnotationError(f"{where}: a box has no label")
    try:
        if any(isinstance(v, bool) for v in corners):
            raise ValueError
        x0, y0, x1, y1 = (float(v) for v in corners)
    except (TypeError, ValueError, OverflowError):
        raise AnnotationError(f"{where}: the box {label[:40]!r} has a corner that is no number") from None
    if not all(math.isfinite(v) and abs(v) < 1e7 for v in (x0, y0, x1, y1)):
        raise AnnotationError(f"{where}: the box {label[:40]!r} has a corner that is not finite")
    x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
    if x0 == x1 or y0 == y1:
        raise AnnotationError(f"{where}: the box {label[:40]!r} has no area")
    return Box(label.strip(), x0, y0, x1, y1)


def checked_side(value: Any, where: str) -> int | None:
    """Width or height in pixels; None where the file does not say (or says 0, as some exporters do)."""
    if value in (None, "", 0, "0"):
        return None
    try:
        side = int(value)
    except (TypeError, ValueError, OverflowError):
        side = -1
    if not 0 < side < 10**7:
        raise AnnotationError(f"{where}: an image side must be a positive number of pixels, not {str(value)[:40]!r}")
    return side


def read_text(file: Path) -> str:
    """Content of a UTF-8 file of at most :data:`MAX_BYTES`.

    Raises
    ------
    AnnotationError
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise AnnotationError(f"{file} is larger than {MAX_BYTES} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise AnnotationError(f"{file} cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{file} is no UTF-8 text (byte {error.start})") from None


def read_json(file: Path) -> Any:
    """Content of a JSON file; NaN, infinity and nesting without end are refused.

    Raises
    ------
    AnnotationError
    """
    import json

    def refuse(name: str) -> float:
        raise ValueError(f"{name} is no number of JSON")

    try:
        return json.loads(read_text(file), parse_constant=refuse)
    except RecursionError:
        raise AnnotationError(f"{file} is nested too deeply to be an annotation file") from None
    except ValueError as error:
        raise AnnotationError(f"{file} is no JSON ({str(error)[:100]})") from None


def number(value: float) -> float | int:
    """A number as short as it is exact: whole ones without a point."""
    return int(value) if float(value).is_integer() else float(value)

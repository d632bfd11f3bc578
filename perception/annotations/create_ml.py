"""Create ML object detection JSON: a list of images, boxes by their centre and size in pixels.

``[{"image": "a.jpg", "annotations": [{"label": "ann", "coordinates": {"x": 120, "y": 80, "width": 40, "height": 50}}]}]``;
older exports say ``imagefilename`` and ``annotation``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perception.annotations.record import (
    AnnotatedImage,
    AnnotationError,
    Box,
    SizeOf,
    checked_box,
    checked_image,
    number,
    read_json,
)


def matches(content: Any) -> bool:
    """Whether a JSON value has this format's shape."""
    return isinstance(content, list)


def read(file: Path, size_of: SizeOf) -> list[AnnotatedImage]:
    """Read a file.

    Raises
    ------
    AnnotationError
    """
    content = read_json(file)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise AnnotationError(f"{file} is no Create ML file: it must be a list of images")
    images = []
    for k, entry in enumerate(content):
        image = checked_image(entry.get("image", entry.get("imagefilename")), f"{file}, entry {k}")
        boxes = boxes_of(entry.get("annotations", entry.get("annotation", [])), f"{file}, {image}")
        images.append(AnnotatedImage(image, boxes))
    return images


def boxes_of(entries: Any, where: str) -> tuple[Box, ...]:
    """Boxes of a list of ``{"label", "coordinates": {"x", "y", "width", "height"}}``, x and y of the centre."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise AnnotationError(f"{where}: the annotations of an image must be a list of boxes")
    boxes = []
    for entry in entries:
        place = entry.get("coordinates")
        try:
            x, y, width, height = (float(place[key]) for key in ("x", "y", "width", "height"))
        except (TypeError, KeyError, ValueError, OverflowError):
            raise AnnotationError(f"{where}: a box needs coordinates with the numbers x, y, width and height") from None
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        boxes.append(checked_box(entry.get("label"), corners, where))
    return tuple(boxes)


def entries_of(boxes: Sequence[Box]) -> list[dict[str, Any]]:
    """The inverse of :func:`boxes_of`."""
    return [{"label": b.label, "coordinates": {"x": number((b.x0 + b.x1) / 2), "y": number((b.y0 + b.y1) / 2),
                                               "width": number(b.x1 - b.x0), "height": number(b.y1 - b.y0)}} for b in boxes]


def write(images: Sequence[AnnotatedImage], size_of: SizeOf) -> bytes:
    """The content of a file."""
    content = [{"image": image.image, "annotations": entries_of(image.boxes)} for image in images]
    return json.dumps(content, ensure_ascii=False, indent=1).encode()

"""IBM Cloud Annotations: ``_annotations.json``, boxes as shares of the image's sides.

``{"version": "1.0", "type": "localization", "labels": [...],
"annotations": {"a.jpg": [{"x": .1, "y": .2, "x2": .5, "y2": .6, "label": "ann"}]}}``; with the type ``classification`` an
entry has a label only, which is read as a box around the whole image.
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
    read_json,
)


def matches(content: Any) -> bool:
    """Whether a JSON value has this format's shape."""
    return isinstance(content, dict) and isinstance(content.get("annotations"), dict)


def read(file: Path, size_of: SizeOf) -> list[AnnotatedImage]:
    """Read a file.

    Raises
    ------
    AnnotationError
    """
    content = read_json(file)
    if not matches(content):
        raise AnnotationError(f"{file} is no Cloud Annotations file: it has no table of annotations by image name")
    images = []
    for name, entries in content["annotations"].items():
        image = checked_image(name, str(file))
        where = f"{file}, {image}"
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise AnnotationError(f"{where}: the annotations of an image must be a list of boxes")
        width, height = size_of(image)
        images.append(AnnotatedImage(image, tuple(_box(e, width, height, where) for e in entries), width, height))
    return images


def _box(entry: dict[str, Any], width: int, height: int, where: str) -> Box:
    shares = [entry.get(key) for key in ("x", "y", "x2", "y2")]
    if all(share is None for share in shares):
        shares = [0.0, 0.0, 1.0, 1.0]
    x0, y0, x1, y1 = shares
    unit = checked_box(entry.get("label"), (x0, y0, x1, y1), where)
    if min(unit.x0, unit.y0) < -0.5 or max(unit.x1, unit.y1) > 1.5:
        raise AnnotationError(f"{where}: the box {unit.label[:40]!r} must be given in shares of the image's sides (0 to 1)")
    return Box(unit.label, unit.x0 * width, unit.y0 * height, unit.x1 * width, unit.y1 * height)


def write(images: Sequence[AnnotatedImage], size_of: SizeOf) -> bytes:
    """The content of a file."""
    table = {}
    for image in images:
        width, height = (image.width, image.height) if image.width and image.height else size_of(image.image)
        table[image.image] = [{"x": b.x0 / width, "y": b.y0 / height, "x2": b.x1 / width, "y2": b.y1 / height, "label": b.label}
                              for b in image.boxes]
    labels = sorted({box.label for image in images for box in image.boxes})
    content = {"version": "1.0", "type": "localization", "labels": labels, "annotations": table}
    return json.dumps(content, ensure_ascii=False, indent=1).encode()

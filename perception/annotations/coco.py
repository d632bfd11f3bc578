"""COCO object detection JSON: images, categories, and annotations with ``bbox = [x, y, width, height]`` in pixels."""

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
    checked_side,
    number,
    read_json,
)


def matches(content: Any) -> bool:
    """Whether a JSON value has this format's shape."""
    return isinstance(content, dict) and isinstance(content.get("images"), list)


def read(file: Path, size_of: SizeOf) -> list[AnnotatedImage]:
    """Read a file.

    Raises
    ------
    AnnotationError
    """
    content = read_json(file)
    if not matches(content):
        raise AnnotationError(f"{file} is no COCO file: it has no list of images")
    tables: dict[str, list[dict[str, Any]]] = {}
    for key in ("images", "categories", "annotations"):
        rows = content.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise AnnotationError(f"{file}: {key} must be a list of objects")
        tables[key] = rows
    names = {_key(row.get("id")): row.get("name") for row in tables["categories"]}
    boxes: dict[Any, list[Box]] = {}
    for row in tables["images"]:
        if _key(row.get("id")) in boxes:
            raise AnnotationError(f"{file}: two images have the id {str(row.get('id'))[:40]!r}")
        boxes[_key(row.get("id"))] = []
    for row in tables["annotations"]:
        where = f"{file}, annotation {str(row.get('id'))[:40]}"
        corner = row.get("bbox")
        if _key(row.get("image_id")) not in boxes:
            raise AnnotationError(f"{where}: there is no image with the id {str(row.get('image_id'))[:40]!r}")
        if not isinstance(corner, list) or len(corner) != 4:
            raise AnnotationError(f"{where}: bbox must be a list of x, y, width and height")
        try:
            x, y, width, height = (float(v) for v in corner)
        except (TypeError, ValueError, OverflowError):
            raise AnnotationError(f"{where}: bbox must hold numbers") from None
        box = checked_box(names.get(_key(row.get("category_id"))), (x, y, x + width, y + height), where)
        boxes[_key(row.get("image_id"))].append(box)
    return [AnnotatedImage(checked_image(row.get("file_name"), str(file)), tuple(boxes[_key(row.get("id"))]),
                           checked_side(row.get("width"), str(file)), checked_side(row.get("height"), str(file)))
            for row in tables["images"]]


def _key(value: Any) -> Any:
    """An id as a key of a table: numbers and text stay, anything else counts by its text."""
    return value if isinstance(value, (int, str)) or value is None else repr(value)


def write(images: Sequence[AnnotatedImage], size_of: SizeOf) -> bytes:
    """The content of a file."""
    labels = sorted({box.label for image in images for box in image.boxes})
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for k, image in enumerate(images):
        width, height = (image.width, image.height) if image.width and image.height else size_of(image.image)
        pictures.append({"id": k + 1, "file_name": image.image, "width": width, "height": height})
        for b in image.boxes:
            corner = [number(b.x0), number(b.y0), number(b.x1 - b.x0), number(b.y1 - b.y0)]
            annotations.append({"id": len(annotations) + 1, "image_id": k + 1, "category_id": labels.index(b.label) + 1,
                                "bbox": corner, "area": number(b.area), "iscrowd": 0})
    content = {"images": pictures, "annotations": annotations,
               "categories": [{"id": k + 1, "name": label} for k, label in enumerate(labels)]}
    return json.dumps(content, ensure_ascii=False, indent=1).encode()

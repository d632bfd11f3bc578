"""Turi Create CSV: a table of images.

Two shapes are read: one row per image with ``path`` (or ``image``) and ``annotations``, a list of boxes as Turi Create's
SFrame prints and parses it (``[{'label': 'ann', 'type': 'rectangle', 'coordinates': {'x': .., 'y': .., 'width': ..,
'height': ..}}]``, x and y of the centre, pixels); and one row per box with ``image, id, name, xMin, xMax, yMin, yMax``, as
image annotators for Turi Create export it.  The first is written.
"""

from __future__ import annotations

import ast
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perception.annotations.create_ml import boxes_of, entries_of
from perception.annotations.record import (
    AnnotatedImage,
    AnnotationError,
    Box,
    SizeOf,
    checked_box,
    checked_image,
    read_text,
)

_FLAT = ("xmin", "ymin", "xmax", "ymax")


def read(file: Path, size_of: SizeOf) -> list[AnnotatedImage]:
    """Read a file.

    Raises
    ------
    AnnotationError
    """
    reader = csv.DictReader(io.StringIO(read_text(file), newline=""), strict=True)
    found: dict[str, list[Box]] = {}
    try:
        names = {str(name).strip().lower(): name for name in reader.fieldnames or ()}
        path = names.get("path", names.get("image", names.get("filename")))
        flat = all(name in names for name in _FLAT)
        label = names.get("name", names.get("label", names.get("class")))
        if path is None or not ("annotations" in names or (flat and label is not None)):
            raise AnnotationError(f"{file} is no Turi Create table: the first line must name path,annotations or "
                                  "image,id,name,xMin,xMax,yMin,yMax")
        for row in reader:
            where = f"{file}, line {reader.line_num}"
            boxes = found.setdefault(checked_image(row[path], where), [])
            if "annotations" in names:
                boxes += boxes_of(_cell(row[names["annotations"]], where), where)
            else:
                x0, y0, x1, y1 = (row[names[name]] for name in _FLAT)
                boxes.append(checked_box(row[label], (x0, y0, x1, y1), where))
    except csv.Error as error:
        raise AnnotationError(f"{file} is no table of comma-separated values ({error})") from None
    return [AnnotatedImage(image, tuple(boxes)) for image, boxes in found.items()]


def _cell(text: str | None, where: str) -> Any:
    """A list written as JSON or as Python prints it; nothing in it is executed."""
    text = (text or "").strip()
    if not text:
        return []
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        raise AnnotationError(f"{where}: annotations must be a list of boxes") from None


def write(images: Sequence[AnnotatedImage], size_of: SizeOf) -> bytes:
    """The content of a file."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "annotations"])
    for image in images:
        entries = [{"type": "rectangle", **entry} for entry in entries_of(image.boxes)]
        table.writerow([image.image, json.dumps(entries, ensure_ascii=False)])
    return text.getvalue().encode()

"""Convert annotations between formats, or make a gallery's ``labels.csv`` or an evaluation manifest of them.

``format=gallery`` takes the name of the largest box of every image as the person on it; ``format=manifest`` writes one
row per box (``path, label, set, x0, y0, x1, y1``) for :mod:`perception.evaluate`.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from perception.command import Setting, run
from perception.errors import InputError

PURPOSE = "Convert face annotations: IBM Cloud Annotations, Create ML, Turi Create, Pascal VOC, COCO; make a gallery or a manifest."
EXAMPLE = "python -m perception.annotations in=_annotations.json out=photos/labels.csv format=gallery"
SETTINGS = (
    Setting("in", str, "annotation file (json, csv, xml), or folder of Pascal VOC files", required=True),
    Setting("out", str, "file to write (voc: a folder)", required=True),
    Setting("format", str, "ibm, createml, turi, voc, coco, gallery (labels.csv) or manifest", required=True),
    Setting("input_format", str, "ibm, createml, turi, voc or coco (default: told by content)"),
    Setting("images", str, "folder of the images (default: that of the annotation file)"),
    Setting("set", str, "name in the manifest's set column", "annotated"),
)


def convert(out: str, format: str, input_format: str | None, images: str | None, set: str, **rest: str) -> int:
    """Body of the command; see the module's docstring.

    Raises
    ------
    AnnotationError, InputError, CacheError
    """
    from perception.annotations import FORMATS, read_annotations, write_annotations
    from perception.publish import publish

    source, known = Path(rest["in"]), (*FORMATS, "gallery", "manifest")
    if format not in known:
        raise InputError(f"format= must be one of {', '.join(known)}, not {format!r}")
    if format != "voc" and Path(out).is_dir():
        raise InputError(f"out={out} is a folder; name a file in it")
    folder = Path(images) if images else (source if source.is_dir() else source.parent)
    entries = read_annotations(source, input_format, folder)
    count = sum(len(entry.boxes) for entry in entries)
    note = ""
    if format in FORMATS:
        write_annotations(entries, out, format, folder)
    else:
        prefix = os.path.relpath(folder.resolve(), Path(out).resolve().parent).replace(os.sep, "/")
        prefix = "" if prefix == "." else prefix + "/"
        if format == "gallery" and ".." in prefix.split("/"):
            raise InputError(f"out={out}: a gallery's labels.csv must lie in the folder of the images or above it ({folder})")
        rows: list[list[object]] = []
        if format == "gallery":
            rows.append(["image", "person"])
            for entry in entries:
                if entry.boxes:
                    rows.append([prefix + entry.image, max(entry.boxes, key=lambda box: box.area).label])
            note = f"; the largest box names the person of an image, {count - len(rows) + 1} other boxes are left out"
        else:
            rows.append(["path", "label", "set", "x0", "y0", "x1", "y1"])
            rows += [[prefix + entry.image, b.label, set, b.x0, b.y0, b.x1, b.y1] for entry in entries for b in entry.boxes]
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        publish(Path(out), text.getvalue().encode())
    print(f"{len(entries)} images, {count} boxes{note}")
    print(f"written: {out}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    return run("perception.annotations", PURPOSE, SETTINGS, EXAMPLE, convert, arguments)


if __name__ == "__main__":
    sys.exit(main())

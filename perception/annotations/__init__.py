"""Annotation formats: IBM Cloud Annotations, Create ML, Turi Create, Pascal VOC and COCO, one file each.

``read_annotations`` tells the format by content; ``write_annotations`` publishes any of them.  The command
``python -m perception.annotations`` converts, and makes a gallery's ``labels.csv`` or an evaluation manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from perception.annotations import coco, create_ml, ibm, turi, voc
from perception.annotations.record import AnnotatedImage, AnnotationError, Box, SizeOf, read_json
from perception.publish import publish

__all__ = ["FORMATS", "AnnotatedImage", "AnnotationError", "Box", "format_of", "read_annotations", "write_annotations"]

FORMATS = ("ibm", "createml", "turi", "voc", "coco")
_READERS = {"ibm": ibm.read, "createml": create_ml.read, "turi": turi.read, "voc": voc.read, "coco": coco.read}
_WRITERS = {"ibm": ibm.write, "createml": create_ml.write, "turi": turi.write, "coco": coco.write}


def format_of(path: Path) -> str:
    """One of :data:`FORMATS`, by suffix, and among JSON files by content.

    Raises
    ------
    AnnotationError
        If there is no such file, or it is of none of them.
    """
    if path.is_dir() or path.suffix.lower() == ".xml":
        return "voc"
    if not path.is_file():
        raise AnnotationError(f"there is no annotation file at {path}")
    if path.suffix.lower() == ".csv":
        return "turi"
    content = read_json(path)
    for name, module in (("ibm", ibm), ("coco", coco), ("createml", create_ml)):
        if module.matches(content):
            return name
    raise AnnotationError(f"{path} is of none of the formats known here ({', '.join(FORMATS)})")


def read_annotations(path: str | Path, format: str | None = None, images: str | Path | None = None) -> list[AnnotatedImage]:
    """Read annotations of any format; several entries of one image are joined.

    Parameters
    ----------
    path : path
        File, or (Pascal VOC) folder of XML files.
    format : str, optional
        One of :data:`FORMATS`; by default told by content.
    images : path, optional
        Folder of the images (default: that of the file), opened only for formats that store shares of the sides.

    Raises
    ------
    AnnotationError
        One sentence: which file, what is wrong.
    """
    path = Path(path)
    if not path.exists():
        raise AnnotationError(f"there is no annotation file at {path}")
    name = format or format_of(path)
    if name not in _READERS:
        raise AnnotationError(f"format must be one of {', '.join(FORMATS)}, not {name!r}")
    folder = Path(images) if images is not None else (path if path.is_dir() else path.parent)
    joined: dict[str, AnnotatedImage] = {}
    for entry in _READERS[name](path, sizes_in(folder)):
        old = joined.get(entry.image)
        joined[entry.image] = entry if old is None else AnnotatedImage(
            entry.image, old.boxes + entry.boxes, old.width or entry.width, old.height or entry.height)
    return list(joined.values())


def write_annotations(entries: Sequence[AnnotatedImage], path: str | Path, format: str,
                      images: str | Path | None = None) -> None:
    """Publish annotations (atomically, file by file).

    Parameters
    ----------
    path : path
        File, or (Pascal VOC) folder.
    format, images
        See :func:`read_annotations`; the images are opened where a format needs sizes that the entries lack.

    Raises
    ------
    AnnotationError, CacheError
    """
    path = Path(path)
    size_of = sizes_in(Path(images) if images is not None else (path if format == "voc" else path.parent))
    if format == "voc":
        contents = [voc.write_one(entry, size_of) for entry in entries]  # all or, where one fails, none
        for name, content in zip(voc.file_names(entries), contents, strict=True):
            publish(path / name, content)
    elif format in _WRITERS:
        publish(path, _WRITERS[format](entries, size_of))
    else:
        raise AnnotationError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")


def sizes_in(folder: Path) -> SizeOf:
    """Look-up of image sizes in a folder."""
    from perception.image_io import Unusable, image_size

    def size_of(image: str) -> tuple[int, int]:
        size = image_size(folder / image)
        if isinstance(size, Unusable):
            raise AnnotationError(f"{folder / image}: {size.reason}; this format needs the image's size (name the folder of the "
                                  "images with images=DIR)")
        return size

    return size_of

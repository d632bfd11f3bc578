"""Pascal VOC XML, one file per image, as LabelImg and Roboflow write it (pixels: xmin, ymin, xmax, ymax).

Read through defusedxml: entities, external references and document type definitions are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from perception.annotations.record import (
    AnnotatedImage,
    AnnotationError,
    SizeOf,
    checked_box,
    checked_image,
    checked_side,
    number,
    read_text,
)


def read(path: Path, size_of: SizeOf) -> list[AnnotatedImage]:
    """Read one XML file, or all of a folder (sorted by name).

    Raises
    ------
    AnnotationError
    """
    files = sorted(path.rglob("*.xml")) if path.is_dir() else [path]
    if not files:
        raise AnnotationError(f"there is no XML file in {path}")
    root = path if path.is_dir() else path.parent
    return [_read_one(file, file.parent.relative_to(root).as_posix()) for file in files]


def _read_one(file: Path, folder: str) -> AnnotatedImage:
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        tree = fromstring(read_text(file).encode(), forbid_dtd=True)
    except DefusedXmlException as error:
        raise AnnotationError(f"{file} declares entities or a document type ({type(error).__name__}), which no annotation "
                              "needs; it is not read") from None
    except (ParseError, ValueError, RecursionError, LookupError) as error:
        raise AnnotationError(f"{file} is no XML ({str(error)[:100]})") from None
    if tree.tag != "annotation":
        raise AnnotationError(f"{file} is no Pascal VOC file: its root is <{str(tree.tag)[:40]}>, not <annotation>")
    name = checked_image(tree.findtext("filename"), str(file))
    image = name if folder == "." or name.startswith(f"{folder}/") else f"{folder}/{name}"
    boxes = []
    for thing in tree.iterfind("object"):
        corners = tuple(thing.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax"))
        boxes.append(checked_box(thing.findtext("name"), corners, str(file)))  # type: ignore[arg-type]
    width, height = (checked_side((tree.findtext(f"size/{key}") or "").strip(), str(file)) for key in ("width", "height"))
    return AnnotatedImage(image, tuple(boxes), width, height)


def write_one(image: AnnotatedImage, size_of: SizeOf) -> bytes:
    """The content of one image's file."""
    width, height = (image.width, image.height) if image.width and image.height else size_of(image.image)
    lines = ["<annotation>", f"\t<folder>{_text(Path(image.image).parent.name)}</folder>",
             f"\t<filename>{_text(image.image)}</filename>", "\t<size>",
             f"\t\t<width>{width}</width>", f"\t\t<height>{height}</height>", "\t\t<depth>3</depth>", "\t</size>",
             "\t<segmented>0</segmented>"]
    for box in image.boxes:
        lines += ["\t<object>", f"\t\t<name>{_text(box.label)}</name>", "\t\t<pose>Unspecified</pose>",
                  "\t\t<truncated>0</truncated>", "\t\t<difficult>0</difficult>", "\t\t<bndbox>"]
        lines += [f"\t\t\t<{key}>{number(value)}</{key}>" for key, value in
                  (("xmin", box.x0), ("ymin", box.y0), ("xmax", box.x1), ("ymax", box.y1))]
        lines += ["\t\t</bndbox>", "\t</object>"]
    return ("\n".join([*lines, "</annotation>"]) + "\n").encode()


def file_names(images: Sequence[AnnotatedImage]) -> list[str]:
    """Name of every image's XML file, relative to the folder written to.

    Raises
    ------
    AnnotationError
        If two images would share one (``a.jpg`` and ``a.png``).
    """
    names: dict[str, str] = {}
    for image in images:
        name = str(Path(image.image).with_suffix(".xml").as_posix())
        if name in names:
            raise AnnotationError(f"{image.image} and {names[name]} would both be described by {name}; rename one of them")
        names[name] = image.image
    return list(names)


def _text(value: str) -> str:
    """Escaped, and without the characters that XML 1.0 cannot hold."""
    if any(ord(c) < 32 and c not in "\t\n\r" or 0xD800 <= ord(c) <= 0xDFFF or ord(c) in (0xFFFE, 0xFFFF) for c in value):
        raise AnnotationError(f"{value[:40]!r} holds characters that XML cannot hold; choose another format")
    return escape(value, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})

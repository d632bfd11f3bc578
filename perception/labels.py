"""Who is on which picture of a gallery: from ``labels.csv``, or from one sub-folder per customer.

``labels.csv`` lies at the root of the gallery, UTF-8, with the columns ``image`` (path relative to the file) and
``person``, and optionally ``emotion`` (one of the seven), ``mask`` (true or false) and ``role`` (``enrol``: shown to the
till beforehand, or ``camera``: what the camera sees); empty cells mean not known.

In a gallery of sub-folders, ``.forgotten.json`` names, by salted hashes, whom ``python -m sim.forget`` took out of the
enrolment while the photographs stay: they are passed over.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from perception.errors import GalleryError
from perception.features import EMOTIONS
from perception.image_io import find_images

if TYPE_CHECKING:
    import pandas as pd

LABELS_FILE = "labels.csv"
FORGOTTEN_FILE = ".forgotten.json"
LABEL_COLUMNS = ("image", "person", "emotion", "mask", "role")
ROLES = ("enrol", "camera")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": None}


def gallery_labels(folder: str | Path, *, forgotten: bool = False) -> pd.DataFrame:
    """Labels of a gallery folder.

    Parameters
    ----------
    folder : path
        With ``labels.csv`` at its root, else with one sub-folder of images per customer (the sub-folder's name is the
        person; pictures that lie beside the sub-folders belong to nobody and are passed over).
    forgotten : bool
        Whether those who were forgotten are listed as well.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`LABEL_COLUMNS`, all object; None where not known.  Sorted by image.

    Raises
    ------
    GalleryError
        If the folder is missing, has no images, or its ``labels.csv`` is wrong (file and line named).
    """
    import pandas as pd

    folder = Path(folder)
    if not folder.is_dir():
        raise GalleryError(f"there is no gallery folder at {folder}; give a folder with one sub-folder per customer")
    if (folder / LABELS_FILE).is_file():
        return read_labels(folder / LABELS_FILE)
    root, files = find_images(folder)
    paths = [file.relative_to(root) for file in files]
    mark = None if forgotten else ForgottenMark.read(folder)
    rows = [{"image": path.as_posix(), "person": path.parts[0]} for path in paths
            if len(path.parts) > 1 and (mark is None or path.parts[0] not in mark)]
    if not rows:
        raise GalleryError(f"{folder} has neither {LABELS_FILE} nor a sub-folder with images; make one sub-folder per customer")
    return pd.DataFrame(rows).reindex(columns=list(LABEL_COLUMNS)).astype(object).where(lambda frame: frame.notna(), None)


def read_labels(file: str | Path) -> pd.DataFrame:
    """Read and check a ``labels.csv``; see :func:`gallery_labels`."""
    import pandas as pd

    file = Path(file)
    rows: list[dict[str, object]] = []
    seen: set[str] = set()
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in ("image", "person") if name not in (reader.fieldnames or ())]
            if missing:
                raise GalleryError(f"{file}: the column {' and '.join(missing)} is missing; the first line must name "
                                   "image,person[,emotion,mask,role]")
            for row in reader:
                where = f"{file}, line {reader.line_num}"
                cells = {name: (row.get(name) or "").strip() for name in LABEL_COLUMNS}
                rows.append(_checked(cells, where))
                if cells["image"] in seen:
                    raise GalleryError(f"{where}: {cells['image']} is listed twice")
                seen.add(cells["image"])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GalleryError(f"{file} cannot be read as a UTF-8 table ({error})") from error
    if not rows:
        raise GalleryError(f"{file} lists no image")
    frame = pd.DataFrame(rows, columns=list(LABEL_COLUMNS), dtype=object)
    return frame.sort_values("image", kind="stable", ignore_index=True)


@dataclass(frozen=True)
class ForgottenMark:
    """``.forgotten.json`` of a gallery of sub-folders: who is passed over, by salted hashes of the folders' names.

    Attributes
    ----------
    salt : str
    names : frozenset of str
        SHA-256 of salt and name.
    """

    salt: str
    names: frozenset[str]

    @classmethod
    def read(cls, folder: Path) -> ForgottenMark:
        """The mark of a gallery, an empty one where there is none.

        Raises
        ------
        GalleryError
            The file is damaged: rather nobody is recognised than somebody who was forgotten.
        """
        file = folder / FORGOTTEN_FILE
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            return cls(str(content["salt"]), frozenset(map(str, content["names"])))
        except FileNotFoundError:
            return cls(os.urandom(16).hex(), frozenset())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GalleryError(f"{file} cannot be read ({error}): it says who must not be recognised any more; restore it, or remove "
                               "the folders of those who were forgotten and then the file") from error

    def __contains__(self, name: str) -> bool:
        return bool(self.names) and self._hash(name) in self.names

    def _hash(self, name: str) -> str:
        return hashlib.sha256(f"{self.salt}\0{name}".encode()).hexdigest()

    def write(self, folder: Path, name: str, marked: bool) -> None:
        """Publish the mark with ``name`` marked, or without it; an empty one is removed."""
        from perception.publish import publish_json

        names = self.names | {self._hash(name)} if marked else self.names - {self._hash(name)}
        if names:
            publish_json(folder / FORGOTTEN_FILE, {"salt": self.salt, "names": sorted(names)})
        else:
            (folder / FORGOTTEN_FILE).unlink(missing_ok=True)


def _checked(cells: dict[str, str], where: str) -> dict[str, object]:
    path = PurePosixPath(cells["image"])
    if not cells["image"] or path.is_absolute() or ".." in path.parts or "\\" in cells["image"]:
        raise GalleryError(f"{where}: image must be a path inside the folder with forward slashes, not {cells['image']!r}")
    if not cells["person"]:
        raise GalleryError(f"{where}: person is empty")
    if cells["emotion"] and cells["emotion"] not in EMOTIONS:
        raise GalleryError(f"{where}: emotion must be one of {', '.join(EMOTIONS)}, not {cells['emotion']!r}")
    if cells["mask"].lower() not in _TRUTH:
        raise GalleryError(f"{where}: mask must be true or false, not {cells['mask']!r}")
    if cells["role"] and cells["role"] not in ROLES:
        raise GalleryError(f"{where}: role must be enrol or camera, not {cells['role']!r}")
    return {"image": str(path), "person": cells["person"], "emotion": cells["emotion"] or None,
            "mask": _TRUTH[cells["mask"].lower()], "role": cells["role"] or None}

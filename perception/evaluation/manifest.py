"""Evaluation manifest: a CSV file that says what is on which photograph.

=====================  =====================================================================================
column                 meaning
=====================  =====================================================================================
``path``               image, relative to the manifest's folder (``image`` and ``file`` are read alike)
``label``              what the set is about: an emotion, with or without mask, or a person
``set``                name of a set; every set is evaluated for itself
``person``             who it is (intervals then draw persons, not images)
``emotion``, ``mask``  labels of their own, where ``label`` says something else
``group``              group of the person, for the tables per group
``split``              ``train`` / ``validation`` / ``test``; ``split=`` selects, ``task=classification`` deals by it
``x0 y0 x1 y1``        box of the labelled face, pixels of the upright image; several rows may share an image
``path_b``, ``same``   second image of a pair, and whether both show the same person
=====================  =====================================================================================

``path`` is enough with any of the label columns.  The pair list of deepface (``file_x, file_y, Decision``) is read as
it is.  What a set is evaluated for follows from its columns, or else from its labels: with / without mask, emotion
names, else persons (:func:`tasks_of`); ``task=`` says it outright.
"""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from perception.errors import InputError
from perception.features import EMOTIONS

if TYPE_CHECKING:
    import pandas as pd

TASKS: Final = ("detection", "identity", "pairs", "emotion", "mask", "classification")
COLUMNS: Final = ("path", "label", "set", "person", "emotion", "mask", "group", "split", "x0", "y0", "x1", "y1", "path_b", "same")
ALIASES: Final = {"image": "path", "file": "path", "file_x": "path", "file_y": "path_b", "decision": "same"}
EMOTION_NAMES: Final = {name: name for name in EMOTIONS} | {
    "anger": "angry", "happiness": "happy", "joy": "happy", "sadness": "sad", "surprised": "surprise", "surprised face": "surprise",
    "fearful": "fear", "disgusted": "disgust", "natural": "neutral", "calm": "neutral",
}
"""Spelling in a manifest to the house's name."""
OTHER_EMOTIONS: Final = frozenset({"contempt", "confused", "unknown"})
"""Emotion names that the seven classes lack: such images are left out, and counted."""
MASK_NAMES: Final = {"with_mask": True, "mask": True, "masked": True, "true": True, "yes": True, "1": True,
                     "without_mask": False, "no_mask": False, "unmasked": False, "plain": False, "false": False, "no": False, "0": False}
BOX: Final = ("x0", "y0", "x1", "y1")


def read_manifest(file: str | Path) -> pd.DataFrame:
    """Read and check a manifest.

    Returns
    -------
    pandas.DataFrame
        :data:`COLUMNS`, None where empty; boxes as float, ``same`` as bool; ``set`` is ``all`` where there is no column.

    Raises
    ------
    InputError
        One sentence: file, line, what is wrong.
    """
    import pandas as pd

    file = Path(file)
    if not file.is_file():
        raise InputError(f"there is no manifest at {file}; give a CSV file with the columns path,label,set")
    try:
        text = file.read_text(encoding="utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        names = [ALIASES.get(str(n).strip().lower(), str(n).strip().lower()) for n in reader.fieldnames or ()]
        reader.fieldnames = names
        if "path" not in names or not {"label", "person", "emotion", "mask", "path_b", "x0"} & set(names):
            raise InputError(f"{file}: the first line must name path and at least one of label, person, emotion, mask, path_b and "
                             "x0 (see perception/evaluation/manifest.py)")
        if len(set(names)) < len(names):
            raise InputError(f"{file}: a column is named twice")
        rows = [_checked(row, f"{file}, line {reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read as a UTF-8 table ({error})") from error
    if not rows:
        raise InputError(f"{file} lists no image")
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _checked(row: dict[str, str | None], where: str) -> dict[str, object]:
    cells: dict[str, object] = {name: (row.get(name) or "").strip() or None for name in COLUMNS}
    if cells["path"] is None or "\0" in str(cells["path"]):
        raise InputError(f"{where}: path is empty")
    boxes = [cells[name] for name in BOX]
    if any(value is not None for value in boxes):
        try:
            x0, y0, x1, y1 = (float(str(value)) for value in boxes)
        except ValueError:
            raise InputError(f"{where}: x0, y0, x1 and y1 must all be numbers") from None
        if not (all(map(math.isfinite, (x0, y0, x1, y1))) and x0 < x1 and y0 < y1):
            raise InputError(f"{where}: a box must have x0 < x1 and y0 < y1")
        cells |= dict(zip(BOX, (x0, y0, x1, y1), strict=True))
    if cells["path_b"] is not None:
        same = {"yes": True, "true": True, "1": True, "same": True, "no": False, "false": False, "0": False, "different": False}
        if str(cells["same"]).lower() not in same:
            raise InputError(f"{where}: same must be yes or no, not {str(cells['same'])!r}")
        cells["same"] = same[str(cells["same"]).lower()]
    if cells["mask"] is not None:
        if str(cells["mask"]).lower() not in MASK_NAMES:
            raise InputError(f"{where}: mask must be true or false, not {str(cells['mask'])!r}")
        cells["mask"] = MASK_NAMES[str(cells["mask"]).lower()]
    if cells["emotion"] is not None:
        cells["emotion"] = _emotion(str(cells["emotion"]), where)
    return cells | {"set": cells["set"] or "all"}


def _emotion(name: str, where: str) -> str:
    found = EMOTION_NAMES.get(name.lower(), name.lower() if name.lower() in OTHER_EMOTIONS else None)
    if found is None:
        raise InputError(f"{where}: emotion must be one of {', '.join(EMOTIONS)} (or contempt, left out), not {name!r}")
    return found


def tasks_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """What one set can be evaluated for.

    Raises
    ------
    InputError
        If its labels say neither.
    """
    have = {name for name in COLUMNS if frame[name].notna().any()}
    tasks = []
    if "path_b" in have:
        return ("pairs",)
    if "x0" in have:
        tasks.append("detection")
    tasks += [task for task, column in (("identity", "person"), ("emotion", "emotion"), ("mask", "mask")) if column in have]
    if not tasks and "label" in have:
        labels = {str(v).lower() for v in frame["label"].dropna()}
        if labels <= set(MASK_NAMES):
            return ("mask",)
        if labels <= set(EMOTION_NAMES) | OTHER_EMOTIONS:
            return ("emotion",)
        counts = frame["label"].value_counts()
        if (counts >= 2).sum() >= 2:
            return ("identity",)
        raise InputError("its labels are neither emotions nor with/without mask, nor two persons with two images each; say task= "
                         "or add columns")
    return tuple(tasks)


def prepared(frame: pd.DataFrame, task: str, persons: str | None = None) -> pd.DataFrame:
    """The rows of one set that a task can use, with the column it reads filled from ``label`` where it is empty.

    Parameters
    ----------
    persons : str, optional
        Regular expression on a file's name whose first group is the person, for sets without a column ``person``.

    Raises
    ------
    InputError
    """
    frame = frame.copy()
    column = {"identity": "person", "classification": "person"}.get(task, task)
    if persons is not None and task != "pairs" and frame["person"].isna().all():
        frame["person"] = [_person(path, persons) for path in frame["path"]]
    if column in ("person", "emotion", "mask") and frame[column].isna().all():
        if column == "person":
            frame["person"] = frame["label"]
        else:
            known = MASK_NAMES if column == "mask" else EMOTION_NAMES | {name: name for name in OTHER_EMOTIONS}
            unknown = sorted({str(v) for v in frame["label"].dropna() if str(v).lower() not in known})
            if unknown:
                raise InputError(f"task={task}: the label {unknown[0]!r} is none of {', '.join(list(known)[:9])}, ...")
            frame[column] = [None if v is None else known[str(v).lower()] for v in frame["label"]]
    if task == "pairs" and frame["path_b"].isna().all():
        raise InputError("task=pairs needs the columns path_b and same")
    if task == "detection":
        return frame[frame["x0"].notna()] if frame["x0"].notna().any() else frame
    needed = "path_b" if task == "pairs" else column
    return frame[frame[needed].notna()].reset_index(drop=True)


def _person(path: str, pattern: str) -> str | None:
    try:
        found = re.match(pattern, Path(path).stem)
    except re.error as error:
        raise InputError(f"persons= is no regular expression ({error})") from None
    return found.group(1) if found and found.re.groups else None

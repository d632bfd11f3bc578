"""One photograph, as the shop's camera would see it: emotion, mask, and whom a gallery takes the person for.

The largest face counts, as in a gallery.  Identity is decided exactly as there: the photograph is put beside the gallery's
pictures and recognised with them (`perception.gallery.recognise`), thresholds calibrated on the gallery itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perception.errors import ConsentError, InputError, WeightsError
from perception.features import EMOTION_COLUMNS, EMOTIONS
from perception.stored import note
from perception.weights import NO_WEIGHTS

if TYPE_CHECKING:
    import pandas as pd

    from perception.pipeline import FacePipeline

_NAME = "?photo?"  # no file can be called so on every system, and none in a gallery is


def perceive_photo(
    image: str | os.PathLike[str], gallery: str | None = None, consent: bool = False, weights: str | None = None
) -> dict[str, Any]:
    """What the camera makes of a photograph.

    Parameters
    ----------
    image : a file.
    gallery : a folder with one sub-folder per customer; None: the rendered personas.
    consent : a statement that the people in that folder agreed to be recognised.
    weights : FaceNet weights; without any (and none asked for) the mask and the identity stay unknown.

    Returns
    -------
    dict
        `status` (face, no_face, unusable), `reason`, `box` [px], `score`, `emotions` by name, `mask_probability`, `identity`,
        `similarity`, `threshold` (None where not known), and `notes`, sentences about what is missing.

    Raises
    ------
    InputError, ConsentError, GalleryError
        Exit code 2: no such file, no consent, no usable gallery.
    WeightsError
        Exit code 1: weights that were named are missing or damaged.
    """
    from perception.image_io import Unusable, decode_image

    path = Path(image)
    if not path.is_file():
        raise InputError(f"image={path}: no such file; give a photograph")
    if gallery is not None and not consent:
        raise ConsentError(f"gallery={gallery} may show real people; if they agreed to be recognised, add consent=true")
    decoded = decode_image(path)
    if isinstance(decoded, Unusable):  # before the networks are loaded
        nothing = dict.fromkeys(("box", "score", "emotions", "mask_probability", "identity", "similarity", "threshold"))
        return {"status": "unusable", "reason": decoded.reason, **nothing, "notes": []}
    from perception.pipeline import FacePipeline

    notes = []
    try:
        pipeline = FacePipeline(weights, precision="float32")
    except WeightsError:
        if weights is not None or gallery is not None:
            raise
        pipeline = FacePipeline(NO_WEIGHTS)
        notes.append("no FaceNet weights were found: the mask and the identity are not known")
    frame = pipeline.features([path], [_NAME], keep_embeddings=True)
    if pipeline.embedder is not None and (frame["status"] == "face").any():
        frame = _recognised(frame, gallery, pipeline)
    return _described(frame.iloc[0], notes)


def _recognised(photo: pd.DataFrame, folder: str | None, pipeline: FacePipeline) -> pd.DataFrame:
    """The photograph's rows with their identity columns."""
    import pandas as pd

    from perception.gallery import SHIPPED_FEATURES, recognise
    from perception.labels import gallery_labels

    if folder is None:
        from perception.features import read_features

        table = read_features(SHIPPED_FEATURES)
        labels = table[["image", "person", "role"]].assign(emotion=table["true_emotion"], mask=table["true_mask"])
        table = table.drop(columns=[c for c in table.columns if c not in photo.columns])
    else:
        labels = gallery_labels(folder)
        note(folder, "gallery")
        files = [Path(folder) / name for name in labels["image"]]
        table = pipeline.features(files, list(labels["image"]), keep_embeddings=True, progress=True)
        table = table[table["face"] <= 0]
    both = recognise(pd.concat([table, photo.iloc[:1]], ignore_index=True), labels.drop_duplicates("image"))
    return both[both["image"] == _NAME]


def _described(row: pd.Series, notes: list[str]) -> dict[str, Any]:
    import pandas as pd

    def number(name: str) -> float | None:
        value = row.get(name)
        return None if value is None or pd.isna(value) else float(value)

    seen = row["status"] == "face"
    return {
        "status": row["status"],
        "reason": row["reason"] if isinstance(row["reason"], str) else None,
        "box": [number(side) for side in ("x0", "y0", "x1", "y1")] if seen else None,
        "score": number("score"),
        "emotions": {e: number(c) for e, c in zip(EMOTIONS, EMOTION_COLUMNS, strict=True)} if seen else None,
        "mask_probability": number("mask_probability"),
        "identity": row["identity"] if isinstance(row["identity"], str) else None,
        "similarity": number("similarity"),
        "threshold": number("threshold"),
        "notes": notes,
    }

"""Small faces for the page: rendered personas always, photographs of real customers only where that was asked for.

Each picture is cut to the face, scaled, and kept once as WebP in a data URI; metadata (EXIF: place, device) is dropped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from perception import features
from sim.shop.gallery import build_gallery

PERSONAS = Path(features.__file__).parent / "personas" / "shipped"
MARGIN = 0.35  # of the face's box, on each side: hair and chin belong to a face
QUALITY = 62  # WebP; below 50 the eyes smear


def face_pictures(folder: Path, images: Iterable[str], table: pd.DataFrame, pixels: int) -> dict[str, str]:
    """Data URIs of the faces on `images` (paths below `folder`), square, `pixels` wide; one that cannot be read is left out.

    Parameters
    ----------
    table : the gallery's feature table, for the boxes of the faces.
    """
    boxes = table.drop_duplicates("image").set_index("image")[list(features.BOX_COLUMNS)]
    out = {}
    for image in images:
        box = boxes.loc[image].to_numpy(float) if image in boxes.index else None
        uri = _picture(folder / image, box, pixels)
        if uri is not None:
            out[image] = uri
    return out


def _picture(path: Path, box: object, pixels: int) -> str | None:
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    frame = np.asarray(box, float) if box is not None else np.full(4, np.nan)
    if np.isfinite(frame).all():
        x0, y0, x1, y1 = frame
        half = (0.5 + MARGIN) * max(x1 - x0, y1 - y0)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        half = min(half, picture.width / 2, picture.height / 2)
        x, y = min(max(x, half), picture.width - half), min(max(y, half), picture.height - half)
        picture = picture.crop((round(x - half), round(y - half), round(x + half), round(y + half)))
    else:
        picture = ImageOps.fit(picture, (min(picture.size),) * 2)
    picture = picture.resize((pixels, pixels), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def opaque_paths(population: Mapping[str, Any], table: pd.DataFrame) -> dict[str, str]:
    """From the opaque names that logs give a real gallery's pictures to their paths below its folder."""
    share, seed = population["evaluation_share"], population["seed"]
    opaque, plain = (build_gallery(table, share, seed, opaque=hidden).images for hidden in (True, False))
    return dict(zip(opaque, plain, strict=True))

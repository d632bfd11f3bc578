"""Contact sheet of personas: ``python -m perception.personas.sheet out=FILE.png``.

One row per person, one column per look: the seven expressions and two masks.
"""
from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from perception.command import Setting, run
from perception.publish import publish

from .errors import PersonaError
from .painter import SIZE, render
from .plan import FIRST_SEED
from .traits import persona

LOOKS: tuple[tuple[str, str | None], ...] = (
    ("neutral", None), ("happy", None), ("sad", None), ("angry", None), ("surprise", None), ("fear", None),
    ("disgust", None), ("neutral", "surgical"), ("happy", "black"))
FORMATS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
_SHOT_FROM = 80  # shots of a sheet are not those of a gallery

SETTINGS = (
    Setting("out", str, "picture file to write: .png, .webp or .jpg", required=True),
    Setting("first", int, "painter seed of the first row", FIRST_SEED, minimum=0),
    Setting("persons", int, "rows", 8, minimum=1),
    Setting("size", int, "pixels of one look", 112, minimum=16),
)


def contact_sheet(first_seed: int, persons: int, size: int = 112) -> np.ndarray:
    """Picture (persons * size, 9 * size, 3) uint8; every look is painted at full size and then reduced."""
    rows = []
    for seed in range(first_seed, first_seed + persons):
        who = persona(seed)
        looks = [Image.fromarray(render(who, emotion, 100 * seed + _SHOT_FROM + i, max(SIZE, size), mask_kind))
                 for i, (emotion, mask_kind) in enumerate(LOOKS)]
        rows.append(np.concatenate([np.asarray(look.resize((size, size), Image.Resampling.LANCZOS)) for look in looks], axis=1))
    return np.concatenate(rows)


def write_sheet(out: str, first: int, persons: int, size: int) -> None:
    """Paint a sheet and publish it."""
    path = Path(out)
    if path.suffix.lower() not in FORMATS:
        raise PersonaError(f"out={out}: a contact sheet is written as {', '.join(FORMATS)}")
    sheet = Image.fromarray(contact_sheet(first, persons, size))
    if path.suffix.lower() == ".png":
        sheet = sheet.quantize(256, method=Image.Quantize.MEDIANCUT)  # a third of the bytes of true colour
    publish(path, lambda file: sheet.save(file, format=FORMATS[path.suffix.lower()], optimize=True, quality=90))
    print(f"wrote {path}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run("perception.personas.sheet", "Paint a contact sheet of personas.", SETTINGS,
               "python -m perception.personas.sheet out=sheet.png first=40 persons=6", write_sheet, arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Facial expressions as intensities of facial action units.

An expression is a `Units` record.  Names follow the Facial Action Coding System (Ekman & Friesen, 1978; Ekman, Friesen
& Hager, 2002); 0 is relaxed, 1 is a strong but ordinary display.  EXPRESSIONS starts from the textbook prototypes
(EMFACS: anger 4+5+7+23, disgust 9+10+17, fear 1+2+4+5+20+26, happiness 6+12, sadness 1+4+15, surprise 1+2+5+26).  From
there the intensities were moved by two-level screening designs judged by the FER network in MTCNN's own box, on persons
that are not shipped (docs/personas.md tells how), and kept within ordinary displays.
"""
from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class Units:
    """Intensities of action units (dimensionless, about 0..1.2), plus gaze and nod."""

    au1: float = 0.0   # inner brow up
    au2: float = 0.0   # outer brow up
    au4: float = 0.0   # brow down and together
    au5: float = 0.0   # upper lid up
    au6: float = 0.0   # cheek up
    au7: float = 0.0   # lids tight
    au9: float = 0.0   # nose wrinkled
    au10: float = 0.0  # upper lip up
    au12: float = 0.0  # lip corners up
    au15: float = 0.0  # lip corners down
    au17: float = 0.0  # chin up
    au20: float = 0.0  # lips stretched
    au25: float = 0.0  # lips parted
    au26: float = 0.0  # jaw dropped
    gaze: float = 0.0  # eyes cast down
    nod: float = 0.0   # head bowed


NAMES: tuple[str, ...] = tuple(f.name for f in fields(Units))

EXPRESSIONS: dict[str, Units] = {
    "angry": Units(au2=0.15, au4=1.1, au5=0.4, au6=0.15, au7=0.95, au9=1.0, au10=0.3, au15=0.85, au17=0.85, au25=0.2, au26=0.25,
                   nod=0.15),
    "disgust": Units(au4=0.68, au6=0.1, au7=0.95, au9=0.9, au10=1.12, au15=0.66, au17=0.22, au20=0.2, au25=0.4),
    "fear": Units(au1=1.15, au2=0.1, au4=0.45, au5=1.15, au15=0.85, au20=0.6, au25=0.4, au26=0.75),
    "happy": Units(au6=0.8, au7=0.3, au10=0.2, au12=1.12, au25=1.0, au26=0.45),
    "sad": Units(au1=1.05, au4=0.35, au6=0.2, au7=0.65, au10=0.2, au15=0.9, au17=0.6, au20=0.35, gaze=0.16, nod=0.35),
    "surprise": Units(au1=0.55, au2=1.0, au5=1.1, au25=0.6, au26=1.0),
    "neutral": Units(),
}


def displayed(units: Units, vigour: float, rng: np.random.Generator) -> Units:
    """One display of an expression: every unit times `vigour` and its own U(.88, 1.12), plus a little restlessness.

    Nobody makes the same face twice, and no neutral face is perfectly at rest (half-normal, s.d. .02).
    """
    values = {name: getattr(units, name) * vigour * rng.uniform(0.88, 1.12) for name in NAMES}
    for name in ("au1", "au2", "au4", "au7", "au12", "au15"):
        values[name] += abs(rng.normal(0.0, 0.02))
    return replace(units, **{name: float(value) for name, value in values.items()})

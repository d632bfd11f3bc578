"""The mouth: four curves over t = |X| / half width (upper lip, opening top and bottom, lower lip), teeth and tongue."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .raster import Plane, bump, line, paint, smoothstep
from .stage import Stage

_INTERIOR = (66, 26, 27)
_TONGUE = (170, 88, 86)
_IVORY = (240, 234, 222)


@dataclass(frozen=True)
class Mouth:
    """Curves are planes of Y; covers are in [0, 1]."""

    half_width: float
    t: Plane
    corner: float
    middle: Plane
    top: Plane
    bottom: Plane
    upper: Plane
    lower: Plane
    lips: Plane
    hole: Plane


def shape_mouth(stage: Stage) -> Mouth:
    """Curves and covers of the mouth for the displayed units."""
    tr, u, Y, aX = stage.traits, stage.units, stage.Y, stage.aX
    half = tr.mouth_width * (1 + 0.24 * u.au12 + 0.20 * u.au20 - 0.12 * u.au26 - 0.05 * u.au17 - 0.04 * u.au10)
    t = np.clip(aX / half, 0, 1)
    arch = np.sqrt(np.clip(1 - t * t, 0, 1))
    corner = -0.115 * u.au12 + 0.105 * u.au15 + 0.03 * u.au20 + tr.mouth_rest
    middle = stage.mouth_y + corner * (t ** 2 - 0.35) - 0.035 * u.au17 * (1 - t) + 0.02 * u.au12
    middle = middle + tr.asymmetry[3] * stage.X / half * 0.5
    gap = 0.07 * u.au25 * (1 + 0.5 * u.au12) + 0.025 * u.au10
    top = middle - 0.4 * gap * arch - 0.02 * u.au26 * arch
    # levator labii pulls the upper lip up in the middle third of each side, so that the opening becomes squarish
    top = top - 0.055 * u.au10 * arch * (0.55 + 0.45 * line(t - 0.45, 0.3))
    bottom = middle + (0.6 * gap + stage.drop * 1.3) * arch ** (0.85 if u.au20 < 0.5 else 0.6)
    cupid = 1 - 0.28 * line(t, 0.16) + 0.12 * line(t - 0.3, 0.18)
    upper = top - tr.upper_lip * (1 - 0.28 * u.au12 - 0.25 * u.au4 - 0.2 * u.au10) * arch ** 1.2 * cupid
    lower = bottom + tr.lower_lip * (1 - 0.25 * u.au12 - 0.15 * u.au4) * arch
    inside, soft = smoothstep(half - aX, 0.02), stage.pixel * 1.2
    lips = smoothstep(Y - upper, soft) * smoothstep(lower - Y, soft) * inside
    hole = smoothstep(Y - top, soft) * smoothstep(bottom - Y, soft) * inside * min(1.0, (gap + stage.drop) / 0.02)
    return Mouth(half, t, corner, middle, top, bottom, upper, lower, lips, hole)


def relief(mouth: Mouth) -> Plane:
    """Height that the lips add (head units)."""
    return 0.028 * mouth.lips * (1 - mouth.hole)


def colour_lips(stage: Stage, mouth: Mouth, albedo: np.ndarray) -> None:
    """Paint the lips, the line between them and the pits at the corners into `albedo`."""
    tr = stage.traits
    paint(albedo, mouth.lips * 0.96, tr.skin * (1 - (0.35 + 0.65 * min(1.0, tr.lip_red)) * (1 - tr.lip_hue)))
    seam = line(stage.Y - mouth.middle, 0.013) * smoothstep(mouth.half_width * 1.04 - stage.aX, 0.03) * (1 - mouth.hole)
    pit = bump(stage.aX - mouth.half_width, stage.Y - stage.mouth_y - mouth.corner * 0.65, 0.022, 0.022)
    albedo *= ((1 - 0.32 * seam) * (1 - 0.3 * pit))[..., None]


def paint_opening(stage: Stage, mouth: Mouth, image: np.ndarray, light: Plane, tint: np.ndarray) -> None:
    """Paint interior, tongue and teeth through the opening; `light` is the shading factor of the skin around."""
    if mouth.hole.max() < 0.01:
        return
    u, Y = stage.units, stage.Y
    inner = np.empty_like(image)
    inner[:] = _INTERIOR
    paint(inner, smoothstep(Y - mouth.bottom + 0.05, 0.04) * 0.8, _TONGUE)
    bared = u.au12 + u.au10 + u.au20 + u.au9 > 0.3
    teeth = smoothstep(mouth.top + 0.055 + 0.02 * u.au12 - Y, 0.008) * (1.0 if bared else 0.5)
    if u.au20 > 0.4:
        teeth = np.maximum(teeth, smoothstep(Y - mouth.bottom + 0.03, 0.008) * 0.8)
    gaps = 1 - 0.10 * np.clip(np.cos(stage.X * (2 * np.pi / 0.06)), 0, 1) ** 8
    ivory = np.array(_IVORY, np.float32) * ((1 - 0.25 * mouth.t ** 2) * gaps)[..., None]
    paint(inner, teeth * smoothstep(0.92 - mouth.t, 0.06), ivory)
    paint(image, mouth.hole, inner * np.minimum(light, 1.05)[..., None] * tint)

"""The head: outline from a profile of half widths, and the height field of skull and cheeks.

The outline is w(Y), a monotone cubic (Fritsch & Carlson 1980) through crown, forehead, temple, cheekbone, jaw, chin, held
as w^2 so that both ends are round; inside is w^2 - X^2 > 0.  The relief is a height field H(X, Y) towards the camera:
an ellipsoid over the outline plus smooth bumps (brow ridge, sockets, cheekbones, chin).
"""
from __future__ import annotations

import numpy as np

from .raster import Plane, bump, signed_distance, smoothstep
from .stage import Stage
from .traits import Traits

DEPTH = 0.62  # height of the ellipsoid at its middle, head units


def _monotone_cubic(knots: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Fritsch-Carlson interpolation: no overshoot between the knots."""
    h, slope = np.diff(knots), np.diff(values) / np.diff(knots)
    m = np.concatenate([slope[:1], np.where(slope[1:] * slope[:-1] > 0, 2 * slope[1:] * slope[:-1]
                                            / np.where(slope[1:] + slope[:-1] == 0, 1, slope[1:] + slope[:-1]), 0), slope[-1:]])
    i = np.clip(np.searchsorted(knots, at) - 1, 0, len(h) - 1)
    t = (at - knots[i]) / h[i]
    return ((1 + 2 * t) * (1 - t) ** 2 * values[i] + t * (1 - t) ** 2 * h[i] * m[i]
            + t * t * (3 - 2 * t) * values[i + 1] + t * t * (t - 1) * h[i] * m[i + 1])


def half_width_squared(traits: Traits, smile: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Table (Y, w^2) of the outline from above the crown to below the chin; negative outside."""
    W, chin = traits.face_width, traits.chin
    cheek = W * traits.cheekbone * (1 + 0.02 * smile)
    jaw = W * (traits.jaw + traits.fullness)
    low = W * (traits.chin_width + 0.6 * traits.fullness)
    top = np.array([-1.0, -0.97, -0.88, -0.70, -0.45])
    forehead = W * traits.forehead * np.sqrt(np.clip(1 - ((-0.1 - top) / 0.9) ** traits.crown, 0, 1))
    knots = np.concatenate([top, [-0.12, 0.26, 0.60 * chin, 0.83 * chin, 0.945 * chin, chin]])
    widths = np.concatenate([forehead, [W * (0.5 + 0.5 * traits.forehead), cheek, jaw, 0.42 * jaw + 0.50 * low + 0.04, low * 0.66, 0.0]])
    table = np.linspace(-1.0, chin, 300)
    squared = _monotone_cubic(knots, widths ** 2, table)
    return (np.concatenate([[-2.0], table, [chin + 1.0]]).astype(np.float32),
            np.concatenate([[-2.0], squared, [-3.0 * low]]).astype(np.float32))


def outline(stage: Stage) -> tuple[Plane, Plane]:
    """Signed distance to the outline (head units, positive inside) and half width at every pixel's height."""
    table, squared = half_width_squared(stage.traits, stage.units.au12)
    w2 = np.interp(stage.Yjaw, table, squared).astype(np.float32)
    return signed_distance(w2 - stage.X ** 2, stage.pixel), np.sqrt(np.clip(w2, 0.0025, None))


def relief(stage: Stage, width: Plane) -> Plane:
    """Height field of skull, brow ridge, sockets, eyeballs, cheeks and chin (head units towards the camera)."""
    t, u = stage.traits, stage.units
    aX, Y, Yjaw, out = stage.aX, stage.Y, stage.Yjaw, stage.from_eye
    down, up = np.clip((Yjaw + 0.12) / (t.chin + 0.12), 0, 1), np.clip((-0.12 - Y) / 0.9, 0, 1)
    rise = np.sqrt(np.clip((1 - down ** 3.4) * (1 - up ** 2.4), 0, 1))
    H = DEPTH * rise * np.clip(1 - (aX / width) ** 2, 0, 1) ** 0.5
    H += 0.8 * t.ridge * bump(out, Y - t.brow_y - 0.02, 0.26, 0.09)
    H -= 0.75 * t.eye_depth * bump(out + 0.05, Y - t.eye_y + 0.02, 0.2, 0.12)
    H += 0.030 * bump(out, Y - t.eye_y, t.eye_width * 0.95, 0.085)
    lift = 0.04 * u.au6 + 0.03 * u.au12 + 0.03 * min(1.0, 0.5 * (u.au9 + u.au10))
    H += (t.cheek + lift) * bump(aX - 0.42, Y - 0.30 + 0.05 * u.au6, 0.17, 0.13)
    H -= t.cheek_hollow * bump(aX - 0.43, Y - 0.56, 0.13, 0.15)
    H += 0.6 * t.fullness * bump(aX - 0.34, Y - 0.55, 0.2, 0.2)
    H += 0.09 * bump(stage.X, Y - stage.mouth_y, 0.3, 0.2)
    H += 0.55 * t.chin_bump * bump(stage.X, Yjaw - t.chin + 0.16, 0.17, 0.13)
    H -= 0.04 * bump(stage.X, Yjaw - stage.mouth_y - 0.16, 0.16, 0.045)
    return H


def silhouette(stage: Stage, distance: Plane) -> Plane:
    """Anti-aliased cover of the face."""
    return smoothstep(distance, stage.pixel * 1.1)

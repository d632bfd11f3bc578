"""The brows: a tapered band along a curve over q = 0 (inner end) .. 1 (outer end)."""
from __future__ import annotations

import numpy as np

from .raster import Plane, noise, smoothstep
from .stage import Stage

INNER = 0.09  # |X| of the inner end at rest


def curve(stage: Stage) -> tuple[Plane, Plane]:
    """Centre line Y(q) of the brow under the displayed units, and q."""
    t, u = stage.traits, stage.units
    q = np.clip((stage.aX - INNER + 0.025 * u.au4) / t.brow_length, 0, 1)
    y = t.brow_y - t.brow_arch * np.sin(np.pi * q ** 1.3) + t.brow_slope * (0.5 - q)
    y = y - 0.135 * u.au1 * (1 - q) ** 1.4 - 0.105 * u.au2 * np.sin(0.5 * np.pi * q) ** 1.5 * (1 - 0.35 * q)
    y = y + 0.130 * u.au4 * max(0.35, 1 - 0.6 * u.au1) * (1 - q) ** 1.2 + 0.05 * u.au1 * max(0.0, 1 - u.au2) * q
    y = y + 0.02 * u.au4 + 0.045 * u.au9 + 0.015 * u.au6 + t.asymmetry[0] * stage.side
    return y, q


def cover(stage: Stage) -> Plane:
    """How much of a pixel brow hair hides."""
    t, u = stage.traits, stage.units
    y, q = curve(stage)
    half = t.brow_thickness * (1 - 0.65 * q ** 2) * smoothstep(q, 0.1)
    band = smoothstep(half - np.abs(stage.Y - y), 0.012)
    band = band * smoothstep(stage.aX - (INNER - 0.01 - 0.025 * u.au4), 0.03)
    band = band * smoothstep(INNER + t.brow_length - stage.aX, 0.05)
    strands = noise(stage.X * 60 + stage.Y * 50 * stage.side, stage.Y * 20 + 60, 0.7)
    return band * np.clip(0.92 + 0.12 * strands, 0, 1) * t.brow_density


def colour(stage: Stage) -> np.ndarray:
    """Brow hair is darker than head hair, and fair brows are drawn darker than they are, as cameras see them."""
    hair = stage.traits.hair
    return hair * np.float32(stage.traits.brow_colour * (0.72 if hair.mean() > 150 else 1.0))

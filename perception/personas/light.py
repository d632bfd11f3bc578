"""Light: one wrapped Lambert key, hemispheric fill, soft gloss, and the camera's automatic exposure.

    n = (-dH/dx, -dH/dy, 1) / norm,   k = fill + key * max(0, (n.l + w) / (1 + w)),   gloss = (n.h)^24

(Phong 1975; Blinn 1977; wrap lighting after Green, GPU Gems 2004.)  Cameras meter on the face: the exposure moves its
mean luminance part of the way to middle grey, which is what keeps contrast in dark and in pale skin.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .raster import Plane
from .shot import Shot

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_TARGET = 146.0    # luminance that the exposure aims at
_STRENGTH = 0.55   # 0 fixed exposure, 1 every face equally bright
_GLOSS_EXPONENT = 24


@dataclass(frozen=True)
class Light:
    """Unit direction to the key light, strengths, and colour factor."""

    direction: np.ndarray
    key: float
    fill: float
    tint: np.ndarray


def light_of(shot: Shot) -> Light:
    """The light of a shot."""
    d = np.array([shot.light_x, shot.light_y, 0.95])
    tint = np.array([1.02 + 0.05 * shot.warmth, 1.0, 0.97 - 0.07 * shot.warmth], np.float32)
    return Light((d / np.linalg.norm(d)).astype(np.float32), shot.key, shot.fill, tint)


def shine(light: Light, albedo: np.ndarray, height: Plane, pixel: float, gloss: float, wrap: float = 0.35) -> tuple[np.ndarray, Plane]:
    """Lit image (H, W, 3) of a height field, and the shading factor k (H, W)."""
    hy, hx = np.gradient(height, pixel)
    n = 1 / np.sqrt(hx * hx + hy * hy + 1)
    lx, ly, lz = (float(v) for v in light.direction)
    facing = (lz - hx * lx - hy * ly) * n
    k = light.fill * (0.88 - 0.12 * hy * n) + light.key * np.clip((facing + wrap) / (1 + wrap), 0, 1)
    half = np.array([lx, ly, lz + 1.0])
    half = half / np.linalg.norm(half)
    shining = np.clip((half[2] - hx * half[0] - hy * half[1]) * n, 0, 1).astype(np.float32) ** _GLOSS_EXPONENT
    lit = albedo * k[..., None] ** np.array([0.94, 1.02, 1.05], np.float32) * light.tint
    return lit + (shining * gloss)[..., None] * light.tint, k


def exposure(image: np.ndarray, face: Plane) -> float:
    """Gain of the automatic exposure, metered on the face region of `image`."""
    seen = float((image @ _LUMA * face).sum() / max(float(face.sum()), 1.0))
    return float(np.clip((_TARGET / max(seen, 1.0)) ** _STRENGTH, 0.85, 1.6))


def expose(image: np.ndarray, gain: float) -> np.ndarray:
    """Apply a gain with a soft shoulder, so that highlights roll off instead of clipping."""
    v = image * (gain / 255.0)
    return 255.0 * np.where(v < 0.8, v, 1 - 0.2 * np.exp(-(v - 0.8) / 0.2))

"""Skin: albedo with blush, mottle, freckles and moles, and the shade that skin gathers in hollows and folds.

Four shades follow expressions, because a frown, a sneer, a smile and a sad brow are read from them as much as from
edges: the socket darkens under lowered brows, a sneer bunches the skin between nose and cheek, a smile lights the cheek and
shades the fold below it, and a raised inner brow leaves an oblique shadow above the eye.
"""
from __future__ import annotations

import numpy as np

from . import nose
from .folds import nasolabial
from .mouth import Mouth
from .raster import Plane, bump, line, noise, smoothstep
from .stage import Stage


def albedo(stage: Stage) -> np.ndarray:
    """Bare skin colour (H, W, 3), sRGB 0..255 as float32."""
    t, X, Y, aX = stage.traits, stage.X, stage.Y, stage.aX
    A = np.empty(X.shape + (3,), np.float32)
    A[:] = t.skin
    red = (0.5 * t.blush + 0.25 * stage.units.au6) * bump(aX - 0.44, Y - 0.33, 0.19, 0.15) + 0.3 * bump(X, Y - stage.nose_y, 0.1, 0.09)
    A *= 1 - (red * (1 - 0.55 * t.dark))[..., None] * np.array([0.02, 0.2, 0.17], np.float32)
    A *= (1 + 0.016 * noise(X * 55 + 99 + t.seed, Y * 55 + 37, 2.0) + 0.02 * noise(X * 9 + t.seed * 3, Y * 9 + 5, 2.0))[..., None]
    if t.freckle > 0.05:
        spots = smoothstep(noise(X * 95 + t.seed * 17, Y * 95 + 11, 0.7) - 1.3, 0.3) * bump(aX - 0.2, Y - 0.25, 0.42, 0.2)
        A *= 1 - (spots * min(0.55, t.freckle))[..., None] * np.array([0.3, 0.5, 0.6], np.float32)
    for mole_x, mole_y, radius in t.moles:
        A *= (1 - 0.45 * smoothstep(radius - np.hypot(X - mole_x, Y - mole_y), 0.010))[..., None]
    if t.eye_shadow_strength > 0:
        lid = bump(stage.from_eye, Y - t.eye_y + 0.075, t.eye_width, 0.05) * t.eye_shadow_strength
        A += (t.eye_shadow * 0.9 - A) * lid[..., None]
    A *= 1 - (0.10 + 0.25 * t.bag) * (0.6 * bump(stage.from_eye, Y - t.eye_y - 0.09, 0.13, 0.045))[..., None]
    return A


def _expression_shade(stage: Stage, mouth: Mouth) -> Plane:
    t, u, Y, aX, out = stage.traits, stage.units, stage.Y, stage.aX, stage.from_eye
    sneer = min(1.2, u.au9 * u.au10)
    frown = 0.30 * u.au4 * max(0.0, 1 - u.au1) + 0.32 * u.au9 + 0.15 * sneer
    k = 1 - 0.5 * frown * bump(out, Y - t.eye_y + 0.085, 0.21, 0.06)
    across, extent = nasolabial(stage, mouth)
    bunch = min(1.2, 0.5 * u.au9 + 0.5 * u.au10)
    k *= 1 + bunch * (0.20 * bump(aX - 0.29, Y - 0.20, 0.2, 0.06) + 0.12 * line(aX - across - 0.075, 0.035) * extent)
    k *= 1 - 0.22 * sneer * line(aX - across - 0.01, 0.05) * extent
    k *= 1 + 0.36 * sneer * line(aX - across + 0.06, 0.045) * extent
    k *= 1 - 0.42 * sneer * line(aX - across - 0.12, 0.05) * extent
    smile = 0.30 * u.au12
    k *= (1 - smile * line(aX - across - 0.015, 0.05) * extent) * (1 + 0.5 * smile * bump(aX - 0.36, Y - 0.27, 0.14, 0.09))
    tent = 0.42 * min(1.1, u.au1) * max(0.0, 1 - 0.8 * u.au2)
    slant = Y - t.eye_y + 0.08 - 0.62 * (out + 0.02)
    k *= 1 - tent * line(slant, 0.055) * bump(out + 0.02, stage.blank, 0.17, 1.0)
    return k * (1 + 0.25 * tent * line(slant + 0.2, 0.05) * bump(out + 0.08, stage.blank, 0.19, 1.0))


def shade(stage: Stage, mouth: Mouth, grooves: Plane) -> Plane:
    """Factor on albedo: sockets, nose, under the lip, folds and expression."""
    t, out, Y = stage.traits, stage.from_eye, stage.Y
    k = 1 - 0.38 * bump(out + 0.04, Y - t.eye_y + 0.045, 0.21, 0.105) * (0.6 + 4 * t.eye_depth) * (0.85 + 0.3 * stage.units.au4)
    k *= _expression_shade(stage, mouth)
    k *= 1 + 0.10 * bump(stage.aX - 0.2, stage.Yjaw - t.chin + 0.18, 0.15, 0.1)  # cushion of the chin
    k *= nose.shade(stage)
    k *= 1 - 0.25 * bump(stage.X, stage.Yjaw - stage.mouth_y - 0.15, 0.15, 0.035)
    return k * (1 - 0.26 * np.clip(grooves, 0, 1))


def darken(A: np.ndarray, k: Plane) -> None:
    """Multiply albedo by shade `k` in place; shaded skin turns redder, since light scatters under it."""
    A *= k[..., None] + (1 - k)[..., None] * np.array([0.18, 0.04, 0.02], np.float32)

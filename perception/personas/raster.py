"""Raster helpers: soft steps, bumps, paint through a cover, tileable noise.

Everything is drawn on float32 planes of one value per pixel.  A *cover* is a plane in [0, 1] that says how much of a
pixel a shape owns, so anti-aliasing is a soft step of a signed distance (positive inside), one pixel wide:

    smoothstep(d, s) = t^2 (3 - 2 t),  t = clip(d / 2s + 1/2, 0, 1)

Perlin, K. (1985). An image synthesizer. SIGGRAPH 19(3), 287-296 (smooth steps, noise as texture).
"""
from __future__ import annotations

from functools import lru_cache

import numpy as np

Plane = np.ndarray
Colour = tuple[float, float, float] | np.ndarray

_TILE = 512  # side of a noise tile, pixels; a power of two, so that wrapping is a bit mask
_NOISE_SEED = 7


def smoothstep(distance: Plane, softness: float) -> Plane:
    """Rise from 0 to 1 where `distance` (any unit) goes from -softness to +softness."""
    t = np.clip(distance * (0.5 / softness) + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def bump(x: Plane, y: Plane, rx: float, ry: float) -> Plane:
    """Gaussian hill exp(-(x/rx)^2 - (y/ry)^2), height 1 at the origin."""
    return np.exp(-((x * (1.0 / rx)) ** 2 + (y * (1.0 / ry)) ** 2))


def line(distance: Plane, width: float) -> Plane:
    """Soft line exp(-(d/width)^2) along the zero set of `distance`."""
    return np.exp(-((distance * (1.0 / width)) ** 2))


def signed_distance(field: Plane, pixel: float) -> Plane:
    """First-order distance f / |grad f| (units of `pixel`) of a smooth implicit field, positive inside.

    Taubin, G. (1994). Distance approximations for rasterizing implicit curves. ACM TOG 13(1), 3-42.
    """
    dy, dx = np.gradient(field)
    return field / (np.hypot(dy, dx) + 1e-4) * pixel


def paint(image: np.ndarray, cover: Plane, colour: Colour) -> None:
    """Blend `colour` (one RGB or an image (H, W, 3)) into `image` (H, W, 3) in place, in the box that `cover` touches."""
    rows, columns = np.flatnonzero(cover.max(1) > 0.002), np.flatnonzero(cover.max(0) > 0.002)
    if len(rows):
        box = np.s_[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        colour = np.asarray(colour, np.float32)
        image[box] += ((colour[box] if colour.ndim == 3 else colour) - image[box]) * cover[box][..., None]


@lru_cache(maxsize=8)
def _tile(sigma: float) -> Plane:
    """White noise smoothed by a Gaussian of `sigma` pixels on a torus (so that it tiles), unit variance."""
    white = np.random.default_rng(_NOISE_SEED).normal(size=(_TILE, _TILE))
    f = np.fft.fftfreq(_TILE)
    kernel = np.exp(-2 * (np.pi * sigma) ** 2 * (f[:, None] ** 2 + f[None] ** 2))
    smooth = np.fft.ifft2(np.fft.fft2(white) * kernel).real
    return (smooth / smooth.std()).astype(np.float32)


def noise(u: Plane, v: Plane, sigma: float) -> Plane:
    """Stationary noise of unit variance at texture coordinates (u, v), grain about `sigma` units."""
    tile = _tile(float(sigma))
    return tile[np.floor(v * 2).astype(np.int32) & (_TILE - 1), np.floor(u * 2).astype(np.int32) & (_TILE - 1)]

"""The eyes: sclera, iris, pupil, catch light, lids and lashes, painted over the lit skin.

Per eye, t = outward distance / half width; the lids are -h_u (1 - t^2)^.62 and h_l (1 - t^2)^.8 around a tilted axis.
"""
from __future__ import annotations

import numpy as np

from .raster import Plane, bump, line, paint, smoothstep
from .stage import Stage

_LASH = np.array([26, 18, 16], np.float32)
_SCLERA = (228, 222, 216)
IRIS_RADIUS = 0.091


def openings(stage: Stage) -> tuple[float, float]:
    """Heights of upper and lower lid over the eye's axis (head units) for the displayed units."""
    t, u = stage.traits, stage.units
    upper = 1 + 0.60 * u.au5 - 0.30 * u.au7 - 0.18 * u.au6 - 0.16 * u.au9 - 0.15 * max(0.0, u.au4 - 0.5) - 0.3 * u.gaze
    lower = 1 + 0.20 * u.au5 - 0.42 * u.au7 - 0.42 * u.au6 - 0.3 * u.au9
    return max(0.026, 0.070 * t.eye_opening * upper), max(0.016, 0.064 * t.eye_opening * lower)


def _eyeball(stage: Stage, sign: int, out: Plane, axis: Plane, upper: Plane, t: Plane) -> np.ndarray:
    """Sclera, iris, pupil and catch light as an image (h, w, 3)."""
    tr, u, pixel = stage.traits, stage.units, stage.pixel
    ball = np.empty(out.shape + (3,), np.float32)
    ball[:] = _SCLERA
    ball *= (1 - 0.28 * t ** 4)[..., None]
    ball *= (1 - 0.42 * line(axis - upper, 0.028))[..., None]
    radius = IRIS_RADIUS * (0.9 + 0.13 * tr.eye_width / 0.15) * (1 + 0.08 * tr.child)
    ix, iy = out - sign * stage.shot.gaze_x, axis + 0.012 - 0.035 * u.gaze
    r = np.hypot(ix, iy)
    iris = tr.iris * (1 + 0.5 * bump(ix, iy - 0.03, 0.045, 0.035)[..., None])
    iris = iris * (1 - 0.55 * smoothstep(r - radius * 0.8, 0.02)[..., None])
    paint(ball, smoothstep(radius - r, pixel), iris)
    paint(ball, smoothstep(radius * 0.43 - r, pixel), (12, 10, 10))
    glint = np.hypot(ix * sign + 0.02 * np.sign(-stage.shot.light_x), iy + 0.028)
    paint(ball, smoothstep(0.016 - glint, pixel) * 0.95, (255, 255, 255))
    paint(ball, bump(out + tr.eye_width * 0.95, axis, 0.03, 0.03), (206, 140, 130))
    return ball


def paint_eyes(stage: Stage, image: np.ndarray, light: Plane) -> None:
    """Paint both eyes into the lit `image`; `light` is the shading factor of the skin around."""
    tr, u = stage.traits, stage.units
    half = tr.eye_width
    height_up, height_low = openings(stage)
    slope = 0.14 * u.au1 * (1 - 0.7 * min(1.0, u.au2)) - 0.12 * u.au4 * max(0.0, 1 - u.au1)  # sad lids rise inward
    for sign, bend in ((-1, tr.asymmetry[1]), (1, tr.asymmetry[2])):
        near = (np.abs(stage.X * sign - tr.eye_x) < 0.34) & (np.abs(stage.Y - tr.eye_y) < 0.3)
        rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        box = np.s_[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        X, Y, lit, view = stage.X[box], stage.Y[box], light[box], image[box]
        out = X * sign - tr.eye_x
        axis = Y - tr.eye_y - 0.6 * bend + tr.eye_tilt * out
        t = np.clip(out / half, -1, 1)
        lens = np.clip(1 - t * t, 0, 1)
        upper = -height_up * lens ** 0.62 + slope * out * lens
        lower = height_low * lens ** 0.8
        soft = stage.pixel * 0.9
        opening = smoothstep(axis - upper, soft) * smoothstep(lower - axis, soft) * smoothstep(half - np.abs(out), 0.012)
        ball = _eyeball(stage, sign, out, axis, upper, t)
        paint(view, opening, ball * (np.clip(lit, 0.6, 1.05) * (1 - 0.15 * tr.dark))[..., None])
        within = smoothstep(half * 1.08 - np.abs(out), 0.02)
        thick = (0.014 + 0.014 * tr.lash) * (0.7 + 0.5 * t)
        paint(view, smoothstep(thick - np.abs(axis - upper + thick * 0.4), stage.pixel) * within * (0.62 + 0.36 * tr.lash), _LASH)
        if tr.lash > 0.6:
            wing = smoothstep(0.012 - np.abs(axis + 0.30 * (out - half) + 0.004), stage.pixel)
            paint(view, 0.7 * wing * smoothstep(out - half * 0.9, 0.02) * smoothstep(half * 1.3 - out, 0.03), _LASH)
        paint(view, line(axis - lower, 0.010) * within * (0.28 + 0.25 * tr.lash), tr.skin * np.float32(0.34))
        crease = upper - tr.lid_fold * max(0.2, 1 + 0.25 * u.au5 - 0.4 * u.au7 - 0.4 * u.au9) - 0.01
        folded = line(axis - crease, 0.011) * smoothstep(half * 1.05 - np.abs(out), 0.05)
        paint(view, folded * min(0.75, 0.15 + 6 * tr.lid_fold), tr.skin * np.float32(0.45))

"""Wrinkles: nasolabial and marionette folds, frown and forehead lines, crow's feet, bags, chin boss.

Each is a soft groove whose strength grows with age and with the action units that fold the skin there (Ekman, Friesen &
Hager 2002).  The sum lowers the height field and darkens the albedo a little.
"""
from __future__ import annotations

import numpy as np

from .mouth import Mouth
from .nose import wing_width
from .raster import Plane, bump, line, smoothstep
from .stage import Stage


def nasolabial(stage: Stage, mouth: Mouth) -> tuple[Plane, Plane]:
    """|X| of the fold from nose wing to mouth corner at every height, and the cover of its extent."""
    u, nose_y = stage.units, stage.nose_y
    span = (stage.Y - nose_y + 0.06) / (stage.mouth_y - nose_y + 0.1)
    start = wing_width(stage) + 0.045
    across = start + (mouth.half_width * 1.08 - start + 0.045) * np.clip(span, 0, 1.3) ** 1.1 + 0.03 * u.au12
    reach = 1.02 + 0.2 * stage.traits.old + 0.30 * min(1.0, u.au9 + u.au10) + 0.2 * u.au15
    return across, smoothstep(span - 0.05, 0.15) * smoothstep(reach - span, 0.25)


def _face(stage: Stage, mouth: Mouth) -> Plane:
    t, u, aX, Y = stage.traits, stage.units, stage.aX, stage.Y
    across, extent = nasolabial(stage, mouth)
    strength = 0.10 + 0.38 * t.old + 0.45 * u.au12 + 0.3 * u.au10 * (1 - 0.4 * min(1.0, u.au12)) + 0.6 * u.au9 + 0.3 * u.au15
    groove = strength * line(aX - across, 0.034 + 0.008 * u.au9) * extent
    drawn = aX - mouth.half_width - 0.035 - 0.15 * (Y - stage.mouth_y)
    groove += (0.35 * t.old + 0.6 * u.au15) * bump(drawn, Y - stage.mouth_y - 0.06, 0.022, 0.09)
    chin = stage.Yjaw - stage.mouth_y - 0.165 + 1.2 * stage.X ** 2
    return groove + 0.6 * u.au17 * line(chin, 0.022) * smoothstep(0.17 - aX, 0.06)


def _forehead(stage: Stage) -> Plane:
    t, u, aX, Y = stage.traits, stage.units, stage.aX, stage.Y
    groove = (0.75 * u.au4 + 0.2 * t.old) * bump(aX - 0.05 - 0.08 * (Y - t.brow_y), Y - t.brow_y + 0.01, 0.016, 0.085)
    strength = 0.5 * t.old + 0.45 * u.au1 + 0.4 * u.au2
    if strength > 0.06:
        fy = Y - t.brow_y + 0.13 + 0.05 * np.cos(aX * 5) * (u.au2 - 0.6 * u.au1)
        lines = np.clip(np.cos(fy * (2 * np.pi / 0.095)), 0, 1) ** 6
        groove += strength * 0.7 * lines * smoothstep(0.03 - fy, 0.03) * smoothstep(fy + 0.3, 0.04) * smoothstep(0.45 - aX, 0.2)
    if u.au9 > 0.06:
        root = Y - 0.02 + 0.35 * aX
        groove += 0.6 * u.au9 * np.clip(np.cos(root * (2 * np.pi / 0.075)), 0, 1) ** 3 * bump(stage.X, Y, 0.13, 0.1)
        groove += 0.5 * u.au9 * bump(aX - 0.15 - 0.35 * (Y - 0.15), Y - 0.17, 0.025, 0.12)
    return groove


def _eyes(stage: Stage) -> Plane:
    t, u, Y, out = stage.traits, stage.units, stage.Y, stage.from_eye
    under = Y - t.eye_y - 0.135 - 0.3 * out * out + 0.06 * out
    groove = (0.14 + 0.35 * t.bag + 0.4 * u.au6 + 0.2 * u.au7) * line(under, 0.02) * bump(out + 0.02, stage.blank, 0.14, 1.0)
    feet = 0.4 * t.old + 0.45 * u.au6
    if feet > 0.06:
        angle = np.arctan2(Y - t.eye_y, out - t.eye_width + 0.02)
        groove += feet * np.clip(np.cos(angle * 11), 0, 1) ** 3 * bump(out - t.eye_width - 0.09, Y - t.eye_y - 0.02, 0.07, 0.12)
    return groove


def grooves(stage: Stage, mouth: Mouth) -> Plane:
    """Depth of all folds, dimensionless (1 is a deep fold)."""
    return _face(stage, mouth) + _forehead(stage) + _eyes(stage)

"""The stage: pixel grid in head units, turned with the head, plus the landmarks that all parts share.

Everything is drawn on the frontal head (X, Y).  A pixel (x, y) is looked up there through the head's own depth z,

    X = x - z(X, Y) sin(yaw),   Y = y - z(X, Y) sin(pitch)

(three fixed-point steps), so that turning the head moves nose and brows by parallax while the silhouette stays.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .expressions import Units
from .raster import Plane, bump, smoothstep
from .shot import Shot
from .traits import Traits

JAW_DROP = 0.15   # head units that a full au26 lowers the chin
_NOD = 0.08       # radians of pitch that a full nod adds


@dataclass(frozen=True)
class Stage:
    """Coordinates (planes of head units) and landmarks of one picture; `pixel` is one pixel in head units."""

    traits: Traits
    units: Units
    shot: Shot
    size: int
    pixel: float
    yaw: float      # sine of the turn
    pitch: float
    x: Plane        # on the picture plane, roll undone
    y: Plane
    X: Plane        # on the frontal head
    Y: Plane
    aX: Plane       # |X|  # noqa: N815
    side: Plane     # sign of X
    Yjaw: Plane     # Y of the relaxed jaw: the chin hangs lower when the jaw drops
    drop: float
    nose_y: float
    mouth_y: float

    @property
    def from_eye(self) -> Plane:
        """Distance outward from the centre of the nearer eye."""
        return self.aX - self.traits.eye_x

    @property
    def blank(self) -> Plane:
        """A plane of zeros."""
        return np.zeros_like(self.X)


def set_stage(traits: Traits, units: Units, shot: Shot, size: int) -> Stage:
    """Grid and landmarks for a picture of `size` x `size` pixels."""
    pixel = 1.0 / (size * shot.scale)
    row, column = np.mgrid[0:size, 0:size].astype(np.float32)
    x0 = (column + (0.5 - size * (0.5 + shot.dx))) * pixel
    y0 = (row + (0.5 - size * (0.5 + shot.dy))) * pixel
    cosine, sine = float(np.cos(shot.roll)), float(np.sin(shot.roll))
    x, y = x0 * cosine + y0 * sine, y0 * cosine - x0 * sine
    yaw, pitch = float(np.sin(shot.yaw)), float(np.sin(shot.pitch + _NOD * units.nod))
    X, Y = x, y
    for _ in range(3):
        z = 0.55 * np.clip(1 - (X / traits.face_width) ** 2 * 0.9 - (Y * 0.85) ** 2, 0, 1)
        z += 0.2 * bump(X, Y - (traits.nose_y - 0.08), 0.13, 0.22)
        X, Y = x - z * yaw, y - z * pitch
    drop = JAW_DROP * units.au26
    return Stage(traits=traits, units=units, shot=shot, size=size, pixel=pixel, yaw=yaw, pitch=pitch, x=x, y=y, X=X, Y=Y,
                 aX=np.abs(X), side=np.sign(X), Yjaw=Y - drop * smoothstep(Y - 0.72, 0.3), drop=drop,
                 nose_y=traits.nose_y - 0.035 * units.au9, mouth_y=traits.mouth_y - 0.02 * units.au17)

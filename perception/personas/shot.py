"""One shot: all that changes from picture to picture of the same person (pose, framing, light, vigour, backdrop, clothes)."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_STREAM = 97  # keeps shot randomness apart from identity randomness
MAX_YAW = 0.25  # radians; a kiosk camera sees people who look at it


@dataclass(frozen=True)
class Shot:
    """Pose in radians, framing as fractions of the picture, light direction and strength, vigour of the expression."""

    seed: int
    yaw: float
    pitch: float
    roll: float
    scale: float    # head units per picture side: face width is about 1.5 * scale of the picture
    dx: float
    dy: float
    light_x: float  # direction to the key light, x right, y down (negative: from above), z towards the camera
    light_y: float
    key: float
    fill: float
    warmth: float   # -1 cool .. 1 warm
    gaze_x: float
    vigour: float   # multiplies every action unit

    def rng(self, stream: int) -> np.random.Generator:
        """Independent generator of this shot for one purpose (0 expression, 1 backdrop, 2 clothes, 3 mask, 4 grain)."""
        return np.random.default_rng([_STREAM, self.seed, stream])


def take_shot(seed: int, *, yaw: float | None = None, vigour: float | None = None) -> Shot:
    """Draw a shot.

    Parameters
    ----------
    seed : int
        Non-negative; the same seed gives the same shot.
    yaw : float, optional
        Turn of the head in radians instead of a random one (guided enrolment: "turn a little to the left").
    vigour : float, optional
        Strength of the expression instead of U(.75, 1.05).
    """
    r = np.random.default_rng([_STREAM, seed])
    draws = dict(
        yaw=float(np.clip(r.normal(0, 0.11), -MAX_YAW, MAX_YAW)), pitch=float(np.clip(r.normal(0, 0.05), -0.11, 0.11)),
        roll=float(np.clip(r.normal(0, 0.04), -0.1, 0.1)), scale=float(r.uniform(0.345, 0.385)),
        dx=float(r.normal(0, 0.015)), dy=float(r.normal(-0.025, 0.012)),
        light_x=float(r.uniform(-0.75, 0.75)), light_y=float(r.uniform(-0.7, -0.25)),
        key=float(r.uniform(0.52, 0.74)), fill=float(r.uniform(0.38, 0.54)), warmth=float(r.uniform(-0.5, 1.0)),
        gaze_x=float(r.normal(0, 0.010)), vigour=float(r.uniform(0.75, 1.05)))
    if yaw is not None:
        draws["yaw"] = float(yaw)
    if vigour is not None:
        draws["vigour"] = float(vigour)
    return Shot(seed=seed, **draws)

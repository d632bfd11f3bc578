"""The nose: ramp of the bridge, tip, wings, nostrils, as relief and as shade."""
from __future__ import annotations

import numpy as np

from .raster import Plane, bump, line, smoothstep
from .stage import Stage


def wing_width(stage: Stage) -> float:
    """Half width of the nose at its wings; wrinkling (au9) and smiling (au12) widen it."""
    return stage.traits.nose_width * (1 + 0.10 * stage.units.au9 + 0.07 * stage.units.au12)


def relief(stage: Stage) -> Plane:
    """Height of the nose (head units)."""
    t, X, Y, tip_y = stage.traits, stage.X, stage.Y, stage.nose_y
    ramp = np.clip((Y + 0.12) / (tip_y + 0.12), 0, 1)
    ridge = t.nose_height * (ramp ** 1.3 + t.nose_hump / 0.2 * np.sin(np.pi * ramp)) * smoothstep(tip_y + 0.06 - Y, 0.07)
    H = ridge * np.exp(-(X / (t.bridge + (0.25 * t.nose_width + 0.02) * ramp)) ** 2)
    H += 0.8 * t.nose_tip * bump(X, Y - tip_y + 0.01, t.nose_tip * 1.1, t.nose_tip * 0.9)
    wing = wing_width(stage)
    H += 0.07 * bump(stage.aX - wing * 0.82, Y - tip_y - 0.005, 0.05, 0.055)
    H -= 0.02 * bump(X, Y - (tip_y + stage.mouth_y) / 2 - 0.02, 0.025, 0.06)  # philtrum
    return H


def shade(stage: Stage) -> Plane:
    """Factor on albedo: shadow under the tip, nostrils, crease around the wings."""
    wing, Y, tip_y = wing_width(stage), stage.Y, stage.nose_y
    k = 1 - 0.26 * bump(stage.X, Y - tip_y - 0.075, wing * 1.2, 0.04)
    k = k * (1 - 0.72 * bump(stage.aX - wing * 0.5, Y - tip_y - 0.045, wing * 0.3, 0.024))
    return k * (1 - 0.38 * line(stage.aX - wing * 1.12, 0.014) * np.exp(-((Y - tip_y - 0.005) / 0.05) ** 2))

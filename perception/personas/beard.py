"""Beards: stubble, full, moustache, goatee, as cover over the lower face."""
from __future__ import annotations

import numpy as np

from .mouth import Mouth
from .raster import Plane, noise, smoothstep
from .stage import Stage

_DENSITY = {"stubble": 0.32, "full": 0.92, "moustache": 0.94, "goatee": 0.92}


def cover(stage: Stage, mouth: Mouth) -> Plane | None:
    """How much of a pixel beard hair hides; None for a shaven face."""
    t, aX, Y = stage.traits, stage.aX, stage.Y
    if t.beard == "none":
        return None
    hairs = noise(stage.X * 70 + 5, Y * 26, 0.7)
    edge = 0.60 - 0.5 * np.clip(aX / t.face_width, 0, 1) ** 2 + 0.02 * hairs
    cheeks = smoothstep(stage.Yjaw - edge, 0.06)
    lip = smoothstep(mouth.upper + 0.02 + 0.25 * np.clip(aX - mouth.half_width * 0.7, 0, 1) - Y, 0.03)
    moustache = smoothstep(Y - stage.nose_y - 0.085, 0.03) * lip * smoothstep(mouth.half_width * 1.15 - aX, 0.05)
    tuft = smoothstep(stage.Yjaw - stage.mouth_y - 0.02, 0.04) * smoothstep(0.21 - aX, 0.06)
    area = {"stubble": np.maximum(cheeks, moustache), "full": np.maximum(cheeks, moustache), "moustache": moustache,
            "goatee": np.maximum(moustache, tuft)}[t.beard]
    return area * _DENSITY[t.beard] * (1 - mouth.lips) * (1 - mouth.hole) * np.clip(0.88 + 0.12 * hairs, 0, 1)


def thickness(stage: Stage, beard: Plane) -> Plane:
    """Height that the beard adds (head units)."""
    return (0.025 if stage.traits.beard == "full" else 0.008) * beard

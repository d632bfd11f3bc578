"""What is worn and what carries the head: glasses, ears and earrings, neck and clothes."""
from __future__ import annotations

import numpy as np

from .light import Light
from .raster import noise, paint, smoothstep
from .stage import Stage
from .traits import CLOTH

# exponent of the rim's superellipse, half width, half height, half thickness (head units)
_RIMS = {"round": (2.0, 0.2, 0.19, 0.014), "square": (4.5, 0.22, 0.16, 0.019), "thin": (2.8, 0.215, 0.16, 0.008),
         "dark": (3.4, 0.225, 0.175, 0.022)}


def paint_glasses(stage: Stage, image: np.ndarray) -> None:
    """Rims, bridge, temples and a faint reflection."""
    t, aX, pixel = stage.traits, stage.aX, stage.pixel
    if t.glasses == "none":
        return
    power, half_x, half_y, thick = _RIMS[t.glasses]
    x, y = aX - (t.eye_x + 0.005), stage.Y - (t.eye_y + 0.015)
    rim = ((np.abs(x / half_x) ** power + np.abs(y / half_y) ** power) ** (1 / power) - 1) * ((half_x + half_y) / 2)
    colour = np.array([30, 28, 30], np.float32) if t.glasses in ("dark", "square") else t.frame + 12
    lens = smoothstep(-rim, pixel)
    paint(image, lens * 0.04, (200, 220, 235))
    streak = lens * smoothstep(0.035 - np.abs(x * stage.side + y * 0.8 - 0.06), 0.015)
    paint(image, streak * 0.08, (255, 255, 255))
    paint(image, smoothstep(thick - np.abs(rim), pixel), colour)
    inner = t.eye_x + 0.005 - half_x
    bridge = smoothstep(thick - np.abs(y + 0.05 + 0.21 * (inner - aX)), pixel) * smoothstep(inner - aX + 0.012, pixel)
    paint(image, bridge, colour)
    temple = smoothstep(thick - np.abs(y + 0.04), pixel) * smoothstep(aX - (t.eye_x + half_x), pixel)
    paint(image, temple * smoothstep(t.face_width - aX, pixel), colour)


def paint_ears(stage: Stage, image: np.ndarray, light: Light) -> None:
    """Ears and earrings of those whose hair leaves them free."""
    t, x, Y, pixel = stage.traits, stage.x, stage.Y, stage.pixel
    for sign in (-1, 1):
        across = (x - sign * t.face_width * 0.985 + stage.yaw * 0.1) / (0.085 * t.ear)
        along = (Y - 0.08) / (0.19 * t.ear)
        cover = smoothstep((1 - np.hypot(across, along)) * 0.1, pixel * 1.3)
        hollow = np.exp(-((np.hypot(across * 1.5, along * 1.3) - 0.45) ** 2) / 0.05)
        side = light.fill + light.key * (0.45 + 0.25 * sign * np.sign(light.direction[0]))
        paint(image, cover, t.skin * np.array([0.93, 0.80, 0.76], np.float32) * side * (1 - 0.25 * hollow[..., None]) * light.tint)
        if t.earring:
            drop = np.hypot(x - sign * t.face_width, Y - 0.08 - 0.21 * t.ear)
            paint(image, smoothstep(0.035 - drop, 0.012), (236, 206, 120))


def paint_body(stage: Stage, image: np.ndarray, light: Light) -> None:
    """Neck with the shadow of the chin, shoulders and clothes (which change from shot to shot)."""
    t, x, y, pixel = stage.traits, stage.x, stage.y, stage.pixel
    rng = stage.shot.rng(2)
    tone = light.fill + 0.55 * light.key
    chin = t.chin + stage.drop
    half = (0.52 + (0.0 if t.female else 0.13 * (1 - t.child))) * t.face_width
    ax = np.abs(x)
    neck = smoothstep(half + 0.6 * np.clip(y - 0.95, 0, 1) ** 2 - ax, pixel * 1.5) * smoothstep(y - 0.3, 0.05)
    under = 1 - 0.4 * smoothstep(chin + 0.28 - y + 0.12 * np.cos(x * 3), 0.16)
    round_ = 1 + 0.21 * float(light.direction[0]) * x / half - 0.25 * (ax / half) ** 2
    paint(image, neck, t.skin * np.array([0.96, 0.9, 0.87], np.float32) * (tone * round_ * under)[..., None] * light.tint)
    span = 1.25 - 0.2 * t.female - 0.25 * t.child
    slope = (y - 1.08) - 0.42 * (ax / span) ** 2.4
    neckline = 0.14 * np.clip(1 - (ax / 0.46) ** 2, 0, 1) * (1.0 if t.seed % 3 else 2.0)
    cloth = CLOTH[rng.integers(len(CLOTH))] * np.float32(rng.uniform(0.85, 1.1))
    folds = 0.05 * noise(x * 14 + 3, y * 9, 5.0) - 0.15 * np.exp(-np.abs(slope - neckline) / 0.05)
    paint(image, smoothstep(slope - neckline, pixel * 2), cloth * (tone * (1 + 0.25 * float(light.direction[0]) * x + folds))[..., None])

"""Face masks: surgical, cloth, black, FFP2, draped over nose and chin in the same height field as the face."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import PersonaError
from .nose import wing_width
from .raster import Plane, bump, line, noise, paint, smoothstep
from .stage import Stage
from .traits import CLOTH

KINDS: tuple[str, ...] = ("surgical", "cloth", "black", "ffp2")
_SURGICAL = np.array([[158, 202, 226], [182, 218, 210], [238, 206, 214]], np.float32)


@dataclass(frozen=True)
class Mask:
    """Cover, height field and albedo image of a worn mask; `edge` is the signed distance to its rim."""

    kind: str
    cover: Plane
    edge: Plane
    height: Plane
    albedo: np.ndarray
    colour: np.ndarray


def _colour(kind: str, rng: np.random.Generator) -> np.ndarray:
    tint = rng.integers(len(CLOTH))
    return {"surgical": _SURGICAL[tint % 3], "cloth": CLOTH[tint] * np.float32(0.7) + 60, "black": np.array([72, 72, 79], np.float32),
            "ffp2": np.array([236, 236, 232], np.float32)}[kind]


def put_on(stage: Stage, kind: str, distance: Plane, width: Plane) -> Mask:
    """Drape a mask over the face whose outline lies at `distance` and whose half width is `width`.

    Raises
    ------
    PersonaError
        Unknown kind of mask.
    """
    if kind not in KINDS:
        raise PersonaError(f"unknown kind of mask {kind!r}; choose one of {', '.join(KINDS)}")
    rng = stage.shot.rng(3)
    t, X, Y, Yjaw, pixel = stage.traits, stage.X, stage.Y, stage.Yjaw, stage.pixel
    W, chin = t.face_width, t.chin + stage.drop
    colour = _colour(kind, rng)
    across = stage.aX / W
    rim_top = 0.5 * stage.nose_y + 0.125 - 0.08 * line(X, 0.15) + 0.05 * across ** 2
    rim_low = chin + 0.03 - 0.5 * np.clip(across, 0, 1.2) ** 3
    edge = np.minimum(np.minimum(Y - rim_top, rim_low - Y), (0.84 - across - 0.1 * np.clip(Y - 0.55, 0, 1)) * W)
    cover = smoothstep(edge, pixel * 1.2) * smoothstep(distance + 0.03, pixel * 2)
    height = 0.62 * np.clip(1 - (stage.aX / (width + 0.04)) ** 2, 0, 1) ** 0.55
    height += (0.22 + 0.8 * t.nose_height) * bump(X, Y - stage.nose_y + 0.03, 0.13 + 0.3 * wing_width(stage), 0.16)
    height += 0.34 * bump(X, Y - stage.mouth_y - 0.02, 0.26, 0.12) + 0.25 * bump(X, Yjaw - t.chin + 0.16, 0.2, 0.12)
    if kind == "surgical":
        for pleat in (0.42, 0.55, 0.68):
            d = Y - pleat - stage.drop * (pleat - 0.3) + 0.12 * across ** 2
            height -= 0.022 * np.exp(-np.clip(d / 0.03, -3, 3) ** 2) * smoothstep(0.9 - across, 0.1)
    else:
        height += 0.12 * np.exp(-stage.aX / 0.22) * smoothstep(Y - 0.25, 0.2)
    height += 0.006 * noise(X * 16 + rng.integers(99), Y * 22, 5.0)
    shade = 1 - 0.16 * smoothstep(0.03 - np.abs(edge - 0.02), 0.02)
    shade = shade * (1 - 0.18 * bump(X, Y - stage.nose_y - 0.11, 0.15, 0.045) - 0.15 * bump(X, Y - stage.mouth_y - 0.17, 0.2, 0.04))
    if kind != "surgical":
        shade = shade * (1 - 0.22 * line(X, 0.012))
    return Mask(kind, cover, edge, height, colour * shade[..., None], colour)


def lay_over(mask: Mask, albedo: np.ndarray, height: Plane) -> Plane:
    """Paint the mask and its shadow into `albedo` in place and return the height field with the mask on it."""
    paint(albedo, mask.cover, mask.albedo)
    shadow = smoothstep(0.04 - np.abs(mask.edge), 0.04) * (1 - mask.cover)
    albedo *= (1 - 0.2 * shadow)[..., None]
    return height * (1 - mask.cover) + mask.height * mask.cover


def paint_loops(stage: Stage, mask: Mask, image: np.ndarray) -> None:
    """Ear loops, where hair or scarf does not hide them."""
    W, aX, Y, pixel = stage.traits.face_width, stage.aX, stage.Y, stage.pixel
    for start, end in ((0.28, 0.0), (0.64, 0.2)):
        f = np.clip((aX - W * 0.84) / (W * 0.16), 0, 1)
        slope = float(np.hypot(1, (end - start) / (0.16 * W)))
        loop = smoothstep(0.011 - np.abs(Y - (start + (end - start) * f)) / slope, pixel)
        loop = loop * smoothstep(aX - W * 0.80, 0.03) * smoothstep(W - aX, 0.03)
        paint(image, loop * 0.85, np.minimum(mask.colour * np.float32(0.9) + 12, 235))

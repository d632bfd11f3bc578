"""Hair and head scarf: a volume around the skull with a window through which the face shows.

A style is a `Cut`: how far the volume stands off (top, side), how far it falls, and the shape of the window.  The back
layer is painted before the neck and the face, the front layer after it.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .raster import Plane, bump, line, noise, signed_distance, smoothstep
from .stage import Stage


@dataclass(frozen=True)
class Cut:
    """Head units; `power` is the exponent of the window's outline (large: square corners, low forehead)."""

    top: float
    side: float
    length: float
    window: float
    shift: float
    power: float


CUTS: dict[str, Cut] = {
    "short": Cut(0.09, 0.015, 0.12, 1.0, -0.05, 3.4), "buzz": Cut(0.035, 0.0, 0.1, 0.99, 0.0, 3.0),
    "side": Cut(0.13, 0.035, 0.15, 1.0, -0.03, 3.0), "swept": Cut(0.19, 0.02, 0.12, 1.01, -0.06, 3.5),
    "receding": Cut(0.05, 0.05, 0.2, 1.0, -0.22, 2.3), "curly": Cut(0.2, 0.13, 0.5, 0.94, 0.03, 2.4),
    "afro": Cut(0.34, 0.3, 0.62, 0.95, 0.02, 2.4), "fringe": Cut(0.12, 0.06, 0.3, 0.95, 0.2, 5.0),
    "pixie": Cut(0.13, 0.06, 0.22, 0.93, 0.1, 2.2), "bob": Cut(0.14, 0.13, 0.82, 0.93, 0.04, 2.3),
    "long": Cut(0.12, 0.14, 1.75, 0.93, 0.0, 2.1), "wavy": Cut(0.16, 0.22, 1.6, 0.94, 0.02, 2.2),
    "bun": Cut(0.07, 0.03, 0.1, 0.98, 0.0, 2.3), "scarf": Cut(0.09, 0.07, 1.9, 0.93, 0.04, 2.2),
}
COVERS_EARS = ("scarf", "long", "bob", "wavy", "afro", "curly")
_FRIZZY = ("curly", "afro")
_CROPPED = ("short", "side", "swept", "buzz", "receding", "bun", "fringe", "pixie")


@dataclass(frozen=True)
class Hair:
    """Covers of the two layers, height field, colour image."""

    back: Plane
    front: Plane
    height: Plane
    colour: np.ndarray


def _volume(stage: Stage, cut: Cut, x: Plane, y: Plane, angle: Plane) -> tuple[Plane, Plane]:
    """Implicit field of the hair's volume (positive inside) and its cover, cut off at the style's length."""
    style, seed, pixel = stage.traits.style, stage.traits.seed, stage.pixel
    wobble = stage.blank
    if style in _FRIZZY:
        wobble = 0.022 * noise(np.abs(angle) * 30 + seed, (angle > 0) * np.float32(9), 2.0)
    elif style == "wavy":
        wobble = 0.03 * np.sin(y * 9 + seed % 7)
    top = -1.04 - cut.top - (0.5 * wobble if style in _FRIZZY else 0)
    rise = np.clip((-0.1 - y) / (-0.1 - top), 0, 3)
    flare: Plane | float = 1.0
    if style == "scarf":
        flare = 1 + 0.8 * np.clip(y - 0.8, 0, 1)
    elif cut.length > 0.7:
        flare = 1 + 0.10 * np.clip(y, 0, 1)
    field = 1 - rise ** 2.3 - (np.abs(x) / ((stage.traits.face_width + cut.side + wobble) * flare)) ** 2.3
    if style in _FRIZZY:
        field = field - np.clip((y + 0.1) / (cut.length + 0.1), 0, 3) ** 2.3
    cover = smoothstep(signed_distance(field, pixel), pixel * 1.4)
    ends = 0.02 * np.sin(x * 40) if cut.length > 0.5 and style != "scarf" else 0.0
    cover = cover * smoothstep(cut.length + ends - y, 0.04)
    if style == "bun":
        knot = 1 - (x / 0.27) ** 2 - ((y + 1.2) / 0.22) ** 2
        cover = np.maximum(cover, smoothstep(signed_distance(knot, pixel), pixel * 1.4))
    return field, cover


def _window(stage: Stage, cut: Cut) -> Plane:
    """Implicit field (positive inside) of the opening through which the face shows: the hairline."""
    t, X, Y = stage.traits, stage.X, stage.Y
    style, W = t.style, t.face_width
    if style == "receding":
        return 1 - np.clip((0.1 - Y) / 1.0, 0, 4) ** 4 - (np.abs(X) / (W * 0.95)) ** 8
    top = np.clip((0.05 - Y) / (0.05 - (t.hairline + cut.shift)), 0, 4)
    parted = style in ("side", "swept", "pixie", "bob", "long", "wavy")
    slant = (0.9 if style in ("side", "pixie", "swept") else 0.32) * (t.part if parted else 0.0) * X / W
    jag = stage.blank
    if style in ("fringe", "pixie", "short", "curly", "afro", "swept"):
        jag = 0.03 * noise(X * 22 + t.seed * 7, Y * 3, 2.0)
    sides = (np.abs(X) / (W * cut.window)) ** (cut.power + (0.0 if style == "scarf" else 2.0))
    field = 1 - (top * (1 + slant) + jag * (top > 0.4)) ** cut.power - sides
    if style == "scarf":
        field = field - np.clip((Y - 0.05) / (t.chin + stage.drop - 0.02), 0, 4) ** 2.6
    if style in ("bob", "long") and t.fringe:
        edge = t.brow_y - 0.09 + 0.04 * np.sin(t.seed) - 0.02 * noise(X * 20, Y * 2, 2.0)
        field = np.minimum(field, (Y - edge) * 4)
    return field


def _strands(stage: Stage, x: Plane, y: Plane, window: Plane, height: Plane) -> tuple[Plane, Plane]:
    """Relative brightness of the strands, and the height field with their relief."""
    t = stage.traits
    X, Y, style = stage.X, stage.Y, t.style
    if style in _FRIZZY:
        coarse = noise(x * 34 + t.seed, y * 34, 2.0)
        texture = 0.17 * coarse + 0.10 * noise(x * 60 + 8 * coarse, y * 60, 0.7)
        height = height + 0.02 * coarse
    elif style in ("buzz", "receding"):
        texture = 0.10 * noise(x * 90, y * 90, 0.7)
    else:
        combed = style in ("side", "swept", "pixie")
        root_x, root_y = (0.62 * (1 if t.part > 0 else -1), 0.95) if combed else (t.part * 0.6, 1.5)
        along = np.arctan2(X - root_x, Y + root_y) + (0.05 * np.sin(y * 8) if style == "wavy" else 0.02 * np.sin(y * 3))
        fine = noise(along * 210 + t.seed, y * 6 + 31, 0.7)
        wide = noise(along * 90 + t.seed, y * 4 + 11, 2.0)
        gloss = bump(stage.blank, np.hypot(x, y + 0.1) - 0.78, 1.0, 0.1)
        texture = 0.08 * fine + 0.12 * wide + 0.26 * gloss * (0.6 + 0.4 * wide)
        height = height + 0.006 * wide
    texture = texture * (1 - 0.45 * min(1.0, float(t.hair.mean()) / 200))
    if style not in ("buzz", "receding"):  # roots lie in shade
        texture = texture - 0.3 * np.exp(-np.clip(-signed_distance(window, stage.pixel), 0, 1) / 0.06)
    return texture, height


def grow(stage: Stage) -> Hair | None:
    """Hair or scarf of this picture; None for a bald head."""
    t = stage.traits
    if t.style == "bald":
        return None
    cut = CUTS[t.style]
    x, y = (stage.x + stage.X) * 0.5, (stage.y + stage.Y) * 0.5  # hair turns half as much as the face before it
    angle = np.arctan2(x, -(y + 0.2))
    field, back = _volume(stage, cut, x, y, angle)
    window = _window(stage, cut)
    edge = stage.pixel * (3.5 if t.style in ("buzz", "receding") else 2.0)
    front = back * (1 - smoothstep(signed_distance(window, stage.pixel), edge))
    if t.style in _CROPPED:
        front = front * smoothstep((-0.05 if t.style == "bun" else 0.16) - stage.Y, 0.12)
    if t.style == "buzz":
        front = front * 0.82
    height = 0.55 * np.clip(field, 0, 1) ** 0.6
    if t.style == "scarf":
        texture = 0.07 * noise(np.abs(angle) * 26 + 9 * y, np.hypot(x, y) * 9, 5.0)
        rim = line(signed_distance(window, stage.pixel) + 0.03, 0.02)
        return Hair(back, front, height + 0.02 * texture, t.scarf * (1 + texture - 0.2 * rim)[..., None])
    texture, height = _strands(stage, x, y, window, height)
    return Hair(back, front, height, (t.hair * np.float32(1.05) + 6) * (1 + texture)[..., None])

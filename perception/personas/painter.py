"""The painter: one picture of one rendered person.

Order: backdrop, hair behind, body, ears, lit skin (or skin under mask), eyes, mouth, hair in front, glasses, exposure,
grain.  Nothing in here sees any model's verdict.
"""
from __future__ import annotations

import numpy as np

from . import beard, brows, folds, head, mask, mouth, nose, skin
from .backdrop import backdrop
from .errors import PersonaError
from .expressions import EXPRESSIONS, Units, displayed
from .eyes import paint_eyes
from .hair import COVERS_EARS, grow
from .light import expose, exposure, light_of, shine
from .raster import paint, smoothstep
from .shot import Shot, take_shot
from .stage import set_stage
from .traits import Traits
from .wear import paint_body, paint_ears, paint_glasses

SIZE = 200      # pixels of a shipped picture
MIN_SIZE = 48
_GRAIN = 1.3    # standard deviation of sensor noise, grey levels


def render(traits: Traits, emotion: str = "neutral", shot: Shot | int = 0, size: int = SIZE, mask_kind: str | None = None,
           units: Units | None = None) -> np.ndarray:
    """Paint one picture.

    Parameters
    ----------
    traits : Traits
        Who (see `persona`).
    emotion : str
        One of EXPRESSIONS; ignored where `units` is given.
    shot : Shot or int
        Pose, light and the rest, or the seed of a shot.
    size : int
        Side of the square picture in pixels, 48 at least.
    mask_kind : str, optional
        One of mask.KINDS; None for an uncovered face.
    units : Units, optional
        Action units instead of those of `emotion`, before vigour.

    Returns
    -------
    numpy.ndarray
        (size, size, 3) uint8 RGB; a pure function of the arguments.

    Raises
    ------
    PersonaError
        Unknown emotion or mask, or a picture too small to draw in.
    """
    if units is None and emotion not in EXPRESSIONS:
        raise PersonaError(f"unknown emotion {emotion!r}; choose one of {', '.join(EXPRESSIONS)}")
    if size < MIN_SIZE:
        raise PersonaError(f"a persona picture needs a side of {MIN_SIZE} pixels at least, got {size}")
    if isinstance(shot, int):
        shot = take_shot(shot)
    shown = displayed(EXPRESSIONS[emotion] if units is None else units, shot.vigour, shot.rng(0))
    stage = set_stage(traits, shown, shot, size)
    light, pixel = light_of(shot), stage.pixel
    distance, width = head.outline(stage)
    face = head.silhouette(stage, distance)
    lips = mouth.shape_mouth(stage)
    grooves = folds.grooves(stage, lips)
    H = head.relief(stage, width) + nose.relief(stage) + mouth.relief(lips) - 0.0095 * grooves
    A = skin.albedo(stage)
    skin.darken(A, skin.shade(stage, lips, grooves))
    mouth.colour_lips(stage, lips, A)
    whiskers = beard.cover(stage, lips)
    if whiskers is not None:
        paint(A, whiskers, traits.hair * np.float32(0.85))
        H = H + beard.thickness(stage, whiskers)
    paint(A, brows.cover(stage), brows.colour(stage))
    worn = None
    if mask_kind is not None:
        worn = mask.put_on(stage, mask_kind, distance, width)
        H = mask.lay_over(worn, A, H)
        face = np.maximum(face, worn.cover)

    image = backdrop(shot.rng(1), size)
    hair = grow(stage)
    if hair is not None:
        hair_lit, _ = shine(light, hair.colour, hair.height, pixel, 4 if traits.style == "scarf" else 16, 0.5)
        paint(image, hair.back, hair_lit * 0.66)
    paint_body(stage, image, light)
    if traits.style not in COVERS_EARS:
        paint_ears(stage, image, light)
    turned = H - stage.X * (stage.yaw * 0.5) - stage.Y * (stage.pitch * 0.5)
    lit, k = shine(light, A, turned, pixel, (24 if worn is None else 14) * (1 + 0.6 * traits.dark))
    paint(image, face, lit)
    k = np.clip(k, 0.35, 1.25)
    paint_eyes(stage, image, k)
    if worn is None:
        mouth.paint_opening(stage, lips, image, k, light.tint)
    elif traits.style not in COVERS_EARS:
        mask.paint_loops(stage, worn, image)
    if hair is not None:
        paint(image, hair.front, hair_lit)
    paint_glasses(stage, image)
    metered = face * smoothstep(stage.Y + 0.35, 0.05)
    if worn is not None:
        metered = metered * (1 - worn.cover)
    image = expose(image, exposure(image, metered))
    image += shot.rng(4).normal(0, _GRAIN, (size, size, 1)).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)

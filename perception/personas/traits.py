"""Identity: some seventy traits that stay with a rendered person from picture to picture.

Lengths are in head units (crown at y = -1, chin near +1, eyes near 0, y downwards); colours are sRGB 0..255.
`persona(seed)` places the person in the maximin Latin hypercube of its block of forty (see design.py), so any aligned
forty persons cover ages 10-77, the range of skin tones, skull and jaw shapes, eyes, brows, noses, lips, hair, beards,
glasses.  No trait looks at a model's verdict.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .design import Axis, place_in_design

_STREAM = 41

SKINS = np.array([[252, 224, 206], [244, 208, 184], [233, 192, 162], [215, 170, 136], [192, 144, 110],
                  [168, 120, 90], [140, 98, 74], [112, 79, 61]], np.float32)
HAIRS = np.array([[30, 25, 25], [58, 40, 30], [98, 66, 44], [146, 104, 64], [206, 168, 112], [146, 68, 36],
                  [170, 168, 166], [228, 226, 222]], np.float32)
IRISES = np.array([[74, 48, 28], [104, 72, 38], [66, 104, 140], [112, 138, 150], [92, 114, 66], [48, 34, 26]], np.float32)
CLOTH = np.array([[52, 74, 110], [126, 46, 54], [74, 104, 84], [198, 186, 164], [66, 66, 72], [212, 150, 76],
                  [120, 96, 140], [226, 226, 222], [60, 120, 132], [176, 92, 80]], np.float32)
WOMEN = ("long", "bob", "bun", "wavy", "curly", "scarf", "fringe", "pixie", "afro", "side")
MEN = ("short", "buzz", "side", "bald", "curly", "receding", "swept", "fringe", "afro", "long")
BEARDS = ("none", "stubble", "full", "none", "moustache", "goatee", "none", "full")
GLASSES = ("round", "square", "thin", "dark")
_GLASSES_SHARE = 0.35

# salience: how much a trait separates two faces at a glance, in the distance of the design
AXES: tuple[Axis, ...] = (
    Axis("female", 3, 2), Axis("age", 3), Axis("skin", 5), Axis("hair_colour", 2.5), Axis("style", 3, 10),
    Axis("beard", 2, 8), Axis("glasses", 3, 3), Axis("frame", 1, 4), Axis("face_width", 2.5), Axis("jaw", 2),
    Axis("forehead", 1), Axis("cheekbone", 1), Axis("chin_width", 1), Axis("chin", 1.5), Axis("crown", 0.5),
    Axis("eye_spacing", 2), Axis("eye_width", 2), Axis("eye_opening", 2), Axis("eye_tilt", 1.5), Axis("lid_fold", 1),
    Axis("eye_depth", 1), Axis("iris", 1), Axis("brow_height", 1.5), Axis("brow_thickness", 2.5), Axis("brow_arch", 1),
    Axis("brow_slope", 1.5), Axis("brow_length", 0.5), Axis("brow_density", 1), Axis("nose_width", 2),
    Axis("nose_length", 2), Axis("nose_height", 1), Axis("bridge", 1), Axis("nose_tip", 1), Axis("mouth_height", 1.5),
    Axis("mouth_width", 1.5), Axis("upper_lip", 1), Axis("lower_lip", 1), Axis("lip_colour", 1), Axis("hairline", 1.5),
    Axis("undertone"), Axis("grey"), Axis("bag"), Axis("lash"), Axis("cheek_bone_height"), Axis("ridge"),
    Axis("mouth_rest"), Axis("ear"), Axis("scarf"), Axis("freckle", 0.5), Axis("fullness", 1.0), Axis("eye_height", 1),
    Axis("cheek_hollow", 0.5))


@dataclass(frozen=True)
class Traits:
    """All that stays with a person; lengths in head units, angles as slopes, colours sRGB 0..255."""

    seed: int
    female: bool
    age: float
    child: float
    old: float
    dark: float            # 1 - mean skin / 225: how dark the skin is
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    style: str
    beard: str
    glasses: str
    frame: np.ndarray
    scarf: np.ndarray
    # skull
    face_width: float      # half width at the temples
    forehead: float        # widths relative to face_width
    cheekbone: float
    jaw: float
    chin_width: float
    chin: float            # y of the chin
    crown: float           # roundness of the crown (exponent)
    chin_bump: float
    cheek: float           # height of the cheekbones
    cheek_hollow: float
    fullness: float
    ridge: float           # brow ridge
    ear: float
    # eyes and brows
    eye_x: float
    eye_y: float
    eye_width: float       # half width of one eye
    eye_opening: float
    eye_tilt: float        # outer corner up
    lid_fold: float        # height of the crease above the lid
    bag: float
    eye_depth: float
    lash: float
    eye_shadow: np.ndarray
    eye_shadow_strength: float
    brow_y: float
    brow_thickness: float
    brow_arch: float
    brow_slope: float
    brow_length: float
    brow_density: float
    brow_colour: float
    # nose and mouth
    nose_width: float
    nose_y: float
    nose_height: float
    bridge: float
    nose_tip: float
    nose_hump: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    mouth_rest: float
    lip_red: float
    lip_hue: np.ndarray
    # skin and hair detail
    hairline: float
    part: float
    fringe: bool
    freckle: float
    moles: tuple[tuple[float, float, float], ...]
    blush: float
    earring: bool
    asymmetry: tuple[float, float, float, float]


def _blend(colours: np.ndarray, place: float) -> np.ndarray:
    """Colour at `place` in [0, 1) along a row of colours, linear in sRGB."""
    position = place * (len(colours) - 1)
    i = int(position)
    return colours[i] + (colours[i + 1] - colours[i]) * np.float32(position - i)


def _pick(items: Sequence | np.ndarray, place: float) -> Any:
    return items[int(place * len(items))]


def _age(place: float) -> float:
    """Years: 12 % are children of 10-15, the rest falls off from 17 to 77."""
    return 10 + 5 * place / 0.12 if place < 0.12 else 17 + 60 * ((place - 0.12) / 0.88) ** 1.4


def _hair(u: dict[str, float], dark: float, age: float) -> np.ndarray:
    """Natural colour by skin tone, greying from about 42 on."""
    palette = HAIRS[:6] if dark < 0.25 else HAIRS[[0, 0, 1, 1, 2, 5]] if dark < 0.5 else HAIRS[[0, 0, 0, 1, 1, 5]]
    colour = _pick(palette, u["hair_colour"])
    grey = float(np.clip((age - 42) / 28 + 0.5 * (u["grey"] - 0.5), 0, 1))
    return (colour * (1 - grey) + HAIRS[6 + (age > 66)] * grey).astype(np.float32)


def persona(seed: int) -> Traits:
    """The person of a painter seed.

    Parameters
    ----------
    seed : int
        0..; persons of one aligned block of forty (seed // 40) are designed to differ from each other.

    Returns
    -------
    Traits

    Raises
    ------
    PersonaError
        Negative seed.
    """
    u = place_in_design(seed, AXES)
    rng = np.random.default_rng([_STREAM, seed])

    def span(name: str, low: float, high: float) -> float:
        return low + (high - low) * u[name]

    female = u["female"] < 0.5
    age = _age(u["age"])
    child = max(0.0, (16 - age) / 8)
    old = float(np.clip((age - 40) / 36, 0, 1))
    undertone = 2 * u["undertone"] - 1
    skin = (_blend(SKINS, u["skin"]) * np.array([1.01 + 0.02 * undertone, 1, 1.02 - 0.07 * undertone])).astype(np.float32)
    dark = float(1 - skin.mean() / 225)
    style = _pick(WOMEN if female else MEN, u["style"])
    if age < 30 and style in ("bald", "receding"):
        style = "swept"
    worn = u["glasses"] >= 1 - _GLASSES_SHARE
    painted = female and age > 17 and rng.random() < 0.6
    return Traits(
        seed=seed, female=female, age=age, child=child, old=old, dark=dark, skin=skin, hair=_hair(u, dark, age),
        iris=_pick(IRISES, u["iris"]) if dark < 0.3 else _pick(IRISES[[0, 1, 5]], u["iris"]),
        style=style, beard="none" if female or age < 19 else _pick(BEARDS, u["beard"]),
        glasses=_pick(GLASSES, u["frame"]) if worn else "none", frame=CLOTH[rng.integers(10)] * np.float32(0.5),
        scarf=_pick(CLOTH, u["scarf"]),
        face_width=span("face_width", 0.64, 0.86) + 0.03 * child, forehead=span("forehead", 0.88, 1.0),
        cheekbone=span("cheekbone", 0.96, 1.06) + 0.03 * child, jaw=span("jaw", 0.73, 0.95) - (0.03 if female else 0.0),
        chin_width=span("chin_width", 0.34, 0.58) - (0.03 if female else 0.0), chin=span("chin", 0.91, 1.10) - 0.06 * child,
        crown=span("crown", 2.0, 2.6), chin_bump=float(rng.uniform(0.08, 0.2)), cheek=span("cheek_bone_height", 0.03, 0.11),
        cheek_hollow=span("cheek_hollow", -0.02, 0.06) * (1 - child), fullness=span("fullness", 0.0, 0.07) + 0.05 * child,
        ridge=span("ridge", 0.02, 0.11) * (0.5 if female or child > 0 else 1.0), ear=span("ear", 0.8, 1.2),
        eye_x=span("eye_spacing", 0.255, 0.365), eye_y=span("eye_height", -0.03, 0.05) + 0.05 * child,
        eye_width=span("eye_width", 0.13, 0.195), eye_opening=span("eye_opening", 0.74, 1.18) * (1 + 0.1 * child),
        eye_tilt=span("eye_tilt", -0.16, 0.24), lid_fold=span("lid_fold", 0.008, 0.08), bag=span("bag", 0, 0.5) + 0.4 * old,
        eye_depth=span("eye_depth", 0.02, 0.13), lash=span("lash", 0.6, 1.0) if female else span("lash", 0.25, 0.5),
        eye_shadow=_pick(CLOTH, float(rng.random())), eye_shadow_strength=float(rng.uniform(0.15, 0.5)) if painted else 0.0,
        brow_y=span("brow_height", -0.222, -0.14), brow_thickness=span("brow_thickness", 0.015, 0.064) * (0.8 if female else 1.1),
        brow_arch=span("brow_arch", 0.0, 0.085), brow_slope=span("brow_slope", -0.055, 0.035),
        brow_length=span("brow_length", 0.34, 0.46), brow_density=span("brow_density", 0.6, 0.98),
        brow_colour=float(rng.uniform(0.55, 0.95)),
        nose_width=span("nose_width", 0.085, 0.2) * (1 - 0.12 * child), nose_y=span("nose_length", 0.32, 0.48) - 0.04 * child,
        nose_height=span("nose_height", 0.14, 0.33), bridge=span("bridge", 0.032, 0.08), nose_tip=span("nose_tip", 0.055, 0.115),
        nose_hump=float(rng.uniform(-0.03, 0.05)) * (1 - child), mouth_y=span("mouth_height", 0.60, 0.725),
        mouth_width=span("mouth_width", 0.175, 0.30), upper_lip=span("upper_lip", 0.018, 0.075),
        lower_lip=span("lower_lip", 0.035, 0.095), mouth_rest=span("mouth_rest", -0.025, 0.008),
        lip_red=span("lip_colour", 0.0, 0.5) + (0.45 if painted else 0.0),
        lip_hue=np.array([rng.uniform(0.68, 0.9), rng.uniform(0.38, 0.58), rng.uniform(0.42, 0.62)], np.float32),
        hairline=span("hairline", -0.70, -0.46) - 0.06 * old, part=float(rng.uniform(-0.35, 0.35)), fringe=bool(rng.random() < 0.45),
        freckle=max(0.0, 2.2 * u["freckle"] - 1.5) if dark < 0.4 else 0.0,
        moles=tuple((float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.05, 0.85)), float(rng.uniform(0.007, 0.012)))
                    for _ in range(int(rng.integers(0, 3)))),
        blush=float(rng.uniform(0.1, 0.6)), earring=bool(female and rng.random() < 0.5),
        asymmetry=(float(rng.normal(0, 0.012)), float(rng.normal(0, 0.012)), float(rng.normal(0, 0.012)),
                   float(rng.normal(0, 0.012))))

"""The plan of a gallery of personas: which pictures of whom are painted, and what their truth is.

Per person: every emotion plain in three shots and masked in two (35 pictures of role `camera`), and eight plain pictures
of role `enrol` that differ in turn of the head and hold mild expressions, as in a guided enrolment ("a little to the
left, now a smile, now a frown").  The plan is fixed before anything is painted; no picture is dropped or painted again because of
what a model makes of it.
"""
from __future__ import annotations

from dataclasses import dataclass

from .errors import PersonaError
from .expressions import EXPRESSIONS
from .mask import KINDS

PLAIN_SHOTS = 3
MASKED_SHOTS = 2
FIRST_SEED = 20_000     # the shipped block; 0-9,999 are for tuning, 10,000-19,999 for measuring before shipping
PERSONS = 40
_SHOTS_PER_PERSON = 100  # shot seeds set aside for each painter seed
_CAMERA_FROM = 20        # enrolment shots come first

# emotion, turn of the head (radians), vigour
ENROLMENT: tuple[tuple[str, float, float], ...] = (
    ("neutral", -0.16, 0.6), ("neutral", 0.0, 0.6), ("neutral", 0.16, 0.6), ("happy", -0.08, 0.6), ("angry", 0.10, 0.6),
    ("surprise", 0.05, 0.4), ("sad", -0.05, 0.5), ("disgust", 0.0, 0.6))


@dataclass(frozen=True)
class Picture:
    """One picture to paint: `image` is its path in the gallery, relative and posix."""

    image: str
    person: str
    emotion: str
    mask_kind: str | None
    role: str
    seed: int
    shot_seed: int
    yaw: float | None = None
    vigour: float | None = None

    @property
    def mask(self) -> bool:
        """True where a mask is worn."""
        return self.mask_kind is not None


def plan_pictures(first_seed: int = FIRST_SEED, persons: int = PERSONS) -> list[Picture]:
    """All pictures of a gallery, ordered by person; ids are opaque (p00, p01, ...).

    Parameters
    ----------
    first_seed : int
        Painter seed of p00; a multiple of forty keeps the block's design whole.
    persons : int
        How many persons, 1 at least.

    Raises
    ------
    PersonaError
        Negative seed or no person.
    """
    if first_seed < 0 or persons < 1:
        raise PersonaError(f"a gallery needs a first seed >= 0 and at least one person, got seed {first_seed} and {persons} persons")
    width = max(2, len(str(persons - 1)))
    pictures = []
    for number in range(persons):
        person, seed = f"p{number:0{width}d}", first_seed + number
        base = seed * _SHOTS_PER_PERSON
        for i, (emotion, yaw, vigour) in enumerate(ENROLMENT):
            pictures.append(Picture(f"images/{person}/enrol_{i}.webp", person, emotion, None, "enrol", seed, base + i, yaw, vigour))
        shot = base + _CAMERA_FROM
        for e, emotion in enumerate(EXPRESSIONS):
            for i in range(PLAIN_SHOTS):
                pictures.append(Picture(f"images/{person}/{emotion}_{i}.webp", person, emotion, None, "camera", seed, shot))
                shot += 1
            for i in range(MASKED_SHOTS):
                kind = KINDS[(number + 2 * e + i + e // 2) % len(KINDS)]
                pictures.append(Picture(f"images/{person}/{emotion}_mask_{i}.webp", person, emotion, kind, "camera", seed, shot))
                shot += 1
    return pictures

"""Who the persons are: a maximin Latin hypercube over each block of forty."""
from __future__ import annotations

import numpy as np
import pytest

from perception.personas.design import BLOCK, Axis, _distances, place_in_design
from perception.personas.traits import AXES, persona

SALIENCE = np.array([a.salience for a in AXES])
LEVELS = np.array([a.levels for a in AXES])


def block(first: int) -> np.ndarray:
    return np.array([list(place_in_design(seed, AXES).values()) for seed in range(first, first + BLOCK)])


def nearest(u: np.ndarray) -> float:
    d = _distances(u, np.arange(BLOCK), SALIENCE, LEVELS)
    np.fill_diagonal(d, np.inf)
    return float(d.min())


@pytest.mark.parametrize("first", [0, 4000])
def test_every_trait_uses_each_fortieth_of_its_range_exactly_once(first: int) -> None:
    strata = np.sort(np.floor(block(first) * BLOCK).astype(int), axis=0)
    assert (strata == np.arange(BLOCK)[:, None]).all()


def test_the_closest_two_persons_of_a_block_are_a_quarter_further_apart_than_by_shuffling_alone() -> None:
    u = block(80)
    rng = np.random.default_rng(0)
    shuffled = [nearest(np.stack([rng.permutation(column) for column in u.T], axis=1)) for _ in range(20)]
    assert nearest(u) > 1.25 * np.mean(shuffled)


def test_a_level_axis_counts_only_whether_the_level_differs() -> None:
    u = np.array([[0.01], [0.49], [0.51], [0.99]])
    d = _distances(u, np.arange(4), np.array([3.0]), np.array([2]))
    assert d.tolist() == [[0, 0, 3, 3], [0, 0, 3, 3], [3, 3, 0, 0], [3, 3, 0, 0]]


def test_a_block_has_twenty_women_and_ages_from_below_16_to_above_70() -> None:
    people = [persona(seed) for seed in range(120, 160)]
    assert sum(p.female for p in people) == 20
    assert min(p.age for p in people) < 16 and max(p.age for p in people) > 70
    assert all(10 <= p.age <= 77 for p in people)


def test_skin_spans_the_palette_and_nobody_under_19_has_a_beard() -> None:
    people = [persona(seed) for seed in range(160, 200)]
    brightness = [float(p.skin.mean()) for p in people]
    assert min(brightness) < 95 and max(brightness) > 215
    assert all(p.beard == "none" for p in people if p.female or p.age < 19)


def test_the_same_seed_is_the_same_person_and_forty_seeds_are_forty_persons() -> None:
    first, again = persona(7), persona(7)
    assert all(np.array_equal(getattr(first, f), getattr(again, f)) for f in first.__dataclass_fields__)
    assert len({(p.face_width, p.eye_x, p.nose_y) for p in map(persona, range(40))}) == 40


def test_a_negative_seed_is_refused_with_the_number() -> None:
    with pytest.raises(ValueError, match="-3"):
        persona(-3)
    with pytest.raises(ValueError, match="-1"):
        place_in_design(-1, (Axis("age"),))

"""Numbers that are not finite, or absurd, are named where they enter: gallery, parameters; and no observation carries one."""

import dataclasses

import numpy as np
import pytest

from sim.evaluation.rollout import rollout
from sim.shop.observation import check_observation
from sim.shop.parameters import MECHANISMS, PopulationParams, ShopError, read
from tests.sim.conftest import UniformPolicy, make_shop
from tests.sim.synthetic import synthetic_table


def spoiled(column, number, opaque=False):
    table = synthetic_table()
    row = table.index[(table["status"] == "face") & table["identity"].notna() & (table["person"] == "p07")][3]
    table.loc[row, column] = number
    return table, table.loc[row, "image"]


@pytest.mark.parametrize(
    ("column", "number", "allowed"),
    [
        ("emotion_happy", np.nan, "is nan; it must be from 0 to 1"),
        ("emotion_sad", np.inf, "is inf; it must be from 0 to 1"),
        ("emotion_angry", -0.2, "is -0.2; it must be from 0 to 1"),
        ("emotion_neutral", 0.9, "sum to 1.[0-9]+; the seven probabilities must sum to 1"),
        ("mask_probability", 1.5, "is 1.5; it must be from 0 to 1"),
        ("mask_probability", -np.inf, "is -inf; it must be from 0 to 1"),
        ("similarity", np.inf, "is inf; it must be from -1 to 1"),
    ],
)
def test_a_feature_out_of_range_is_named_by_picture_and_column(column, number, allowed):
    table, image = spoiled(column, number)
    shown = "emotion_[*]" if "sum" in allowed else column
    with pytest.raises(ShopError, match=f"population.gallery: picture {image}: {shown} {allowed}; extract"):
        make_shop(table=table)


def test_what_no_face_has_may_be_null():
    table = synthetic_table()
    assert table.loc[table["status"] == "no_face", "emotion_happy"].isna().all()
    table.loc[table["status"] == "no_face", "mask_probability"] = np.nan
    table["mask_probability"] = table["mask_probability"].where(table["person"] != "p03")  # without FaceNet there is no mask head
    log = rollout(UniformPolicy(), make_shop(table=table), customers=30, seed=1)
    assert np.isfinite(log.camera).all()


def test_a_picture_of_a_real_customer_is_named_by_number_only():
    from sim.shop.gallery import build_gallery

    table, image = spoiled("emotion_happy", np.nan)
    with pytest.raises(ShopError, match=r"picture \d+: emotion_happy is nan") as error:
        build_gallery(table, 0.3, 0, opaque=True)
    assert image not in str(error.value)


GROUPS = {f"env.{name}": kind for name, kind in MECHANISMS.items()} | {"population.traits": PopulationParams}
EVERY = [(group, f) for group, kind in GROUPS.items() for f in dataclasses.fields(kind)]


@pytest.mark.parametrize(("group", "field"), EVERY, ids=lambda x: x if isinstance(x, str) else x.name)
def test_every_parameter_names_its_range_and_unit_when_it_is_impossible(group, field):
    """Negative hazards, probabilities beyond 1, a horizon of 0, and all the others."""
    low, high, unit = (field.metadata[key] for key in ("low", "high", "unit"))
    kind, valid = GROUPS[group], {f.name: f.metadata["low"] for f in dataclasses.fields(GROUPS[group])}
    assert getattr(read(kind, valid, group), field.name) == low
    for number in (low - 1e-3, high * (1 + 1e-9) + 1e-3, np.nan, np.inf, -np.inf):
        with pytest.raises(ShopError) as error:
            read(kind, valid | {field.name: number}, group)
        text = f"{group}.{field.name} = {number} is out of range; allowed is {low:g} to {high:g} ({unit})"
        assert str(error.value) == text and error.value.exit_code == 2
    for number in ("often", True, None):
        with pytest.raises(ShopError, match=rf"{group}.{field.name} must be a number \(.*\), not"):
            read(kind, valid | {field.name: number}, group)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_parameter_that_is_not_finite_is_refused_by_name(shop, number):
    with pytest.raises(ShopError, match="env.choice.taste_weight = (nan|inf) is out of range; allowed is 0 to 20"):
        make_shop([f"env.choice.taste_weight={number}"])
    with pytest.raises(ShopError, match=r"with_params\(mood_rate=(nan|inf)\): give a parameter of the shop a finite number"):
        shop.with_params(mood_rate=number)
    with pytest.raises(ShopError, match="with_params"):
        shop.with_params(mood_rat=0.1)


@pytest.mark.parametrize(("number", "column"), [(np.nan, 5), (np.inf, 40), (-21.0, 88)])
def test_an_observation_out_of_bounds_is_named_by_row_part_and_range(shop, number, column):
    observation = np.zeros((4, shop.observation_size), np.float32)
    check_observation(observation, shop.layout)
    observation[2, column] = number
    part = next(name for name, (a, b) in shop.layout.items() if a <= column < b)
    with pytest.raises(ShopError, match=rf"customer row 2, part '{part}' \(number {column}\) is .*from -20 to 20"):
        check_observation(observation, shop.layout)


def test_a_rollout_stops_at_an_observation_that_is_not_finite(shop):
    emotion = shop.gallery.emotion.copy()
    emotion[:] = np.nan
    broken = dataclasses.replace(shop, gallery=dataclasses.replace(shop.gallery, emotion=emotion))
    with pytest.raises(ShopError, match="part 'emotion' .* is nan"):
        rollout(UniformPolicy(), broken, customers=10, seed=1)

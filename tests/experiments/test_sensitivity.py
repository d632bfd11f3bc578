"""A design varies exactly the factors it names, within the ranges the shop allows, and its answer counts what survives."""

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments import sensitivity, sensitivity_figure
from experiments.command import Settings
from experiments.designs import FACTORS, Factor, main_effects, one_at_a_time, own_values, point, sobol
from experiments.gaps import estimate
from sim.config import CONF
from sim.shop.parameters import read_all


@pytest.fixture(scope="module")
def own():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return own_values(FACTORS, compose("shop", []))


def test_scale_halves_and_doubles_and_shift_moves_half_a_logit():
    scale, shift = Factor("env.reward.push_price"), Factor("env.choice.click_intercept", "shift")
    assert (scale.value(0.05, -1), scale.value(0.05, 0), scale.value(0.05, 1)) == (0.025, 0.05, 0.1)
    assert (shift.value(-0.7, -1), shift.value(-0.7, 1)) == pytest.approx((-1.2, -0.2))
    assert scale.name == "push_price"


def test_one_at_a_time_has_one_override_a_shop_and_two_shops_a_factor(own):
    shops = one_at_a_time(FACTORS, own)
    assert len(shops) == 1 + 2 * len(FACTORS) == len({shop.name for shop in shops})
    assert shops[0].shop == () and all(len(shop.shop) == 1 for shop in shops[1:])


def test_sobol_fills_the_cube_evenly_and_is_the_same_every_time(own):
    shops = sobol(FACTORS, own)
    levels = np.array([shop.levels for shop in shops])
    assert levels.shape == (16, len(FACTORS)) and np.abs(levels).max() <= 1
    assert np.array_equal(np.sort(np.floor((levels + 1) * 8), axis=0), np.tile(np.arange(16.0)[:, None], len(FACTORS)))
    assert sobol(FACTORS, own) == shops


def test_every_shop_of_both_designs_is_allowed(own):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        base = compose("shop", [])
    for shop in (*one_at_a_time(FACTORS, own), *sobol(FACTORS, own)):
        plain = OmegaConf.to_container(OmegaConf.merge(base, OmegaConf.from_dotlist(list(shop.shop))), resolve=True)
        read_all(plain["env"], plain["population"], plain["camera"])


def test_main_effects_of_a_linear_outcome_are_its_slopes_times_two():
    rng = np.random.default_rng(0)
    levels = rng.uniform(-1, 1, (4000, 3))
    effects = main_effects(levels, 5 + levels @ np.array([1.0, -0.5, 0.0]))
    assert effects == pytest.approx([2.0, -1.0, 0.0], abs=0.01)


def test_survival_counts_positive_and_clear_gaps_and_names_the_smallest():
    faces = np.arange(200) % 12
    noise = np.random.default_rng(1).normal(0, 1, (1, 200))
    noise -= noise.mean()
    found = {name: estimate(mean + noise, faces) for name, mean in (("base", 2.0), ("a", 0.01), ("b", -3.0))}
    assert sensitivity.survival(found, ["base", "a", "b"]) == (2, 1, "b")
    assert sensitivity.survival(found, ["base", "a"]) == (2, 1, "a")


def test_the_answer_names_the_factor_that_moves_a_gap_and_draws_it(own, tmp_path):
    shops = one_at_a_time(FACTORS, own) + sobol(FACTORS, own)
    noise = np.random.default_rng(2).normal(0, 1, (1, 60))
    noise -= noise.mean()
    faces = np.arange(60) % 12
    moved = [f.name for f in FACTORS].index("tone_weight")
    found = {
        what: {shop.name: estimate(2.0 + shop.levels[moved] + noise, faces) for shop in shops}
        for _, _, what in sensitivity.CONCLUSIONS
    }
    header, rows = sensitivity.movers(found, shops)
    assert len(header) == len(rows[0]) and all(row[1].startswith("tone_weight +2.00 / +1.") for row in rows)
    sensitivity_figure.draw(tmp_path / "figure.png", found, shops)
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_every_shop_gets_every_policy_and_the_users_own_setting_moves_the_centre():
    shops = sensitivity.points(Settings(shop=("env.reward.push_price=.2",)))
    by_name = {shop.name: shop.shop for shop in shops}
    assert by_name["push_price_low"] == ("env.reward.push_price=0.1",)
    assert len(sensitivity.arms(shops)) == len(shops) * (len(sensitivity.POLICIES) + len(sensitivity.PLANNERS))
    assert point("x", FACTORS[:1], [1.0], [0.0]).shop == ()

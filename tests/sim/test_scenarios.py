"""The shipped scenarios: each composes, is stepped, and does what its file says."""

import dataclasses
import re

import numpy as np
import pytest
from omegaconf import OmegaConf

from sim.evaluation.rollout import rollout
from sim.shop.parameters import CONF, MECHANISMS, PopulationParams
from sim.shop.types import SELF
from tests.sim.conftest import ConstantPolicy, UniformPolicy, make_shop

RESPONSES = ("click_probability", "purchase_probability", "opt_out_probability")


WITHOUT_PURCHASES = ("long_term_satisfaction", "long_term_satisfaction_past_threshold", "organic")


@pytest.mark.parametrize("name", ["bandit", "masked", "cold_start", "drift", "twin", "slate", *WITHOUT_PURCHASES])
def test_a_scenario_composes_and_lives_whole_lives(name, shop):
    other = make_shop([f"env={name}"])
    log = rollout(UniformPolicy(), other, customers=100, seed=1)
    assert other.name == name and other.digest != shop.digest
    assert (log.events["terminated"] | log.events["truncated"]).sum() == 100
    assert np.isfinite(log.events["reward"]).all() and log.events["clicked"].any()
    assert log.events["bought"].any() == (name not in WITHOUT_PURCHASES)


def histories(shop, number=400, steps=6, seed=2):
    """Two lives of the same customers: never pushed, and pushed at random; then the same push at the same moment."""
    a, b = shop.customers(number, seed), shop.customers(number, seed)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        a.step(np.zeros(number, int))
        b.step(rng.integers(1, 13, number))
    return a, b


def test_in_the_bandit_nothing_depends_on_earlier_actions():
    shop = make_shop(["env=bandit"])
    a, b = histories(shop)
    live = ~a.done
    assert (live == ~b.done).all() and live.sum() > 300
    np.testing.assert_array_equal(a.observation[live, :11], b.observation[live, :11])
    np.testing.assert_array_equal(a.action_masks()[live], b.action_masks()[live])
    assert (a.observation[live, 11:] != b.observation[live, 11:]).any()  # the record, and only it, remembers
    seen = b.state.labels["pushes"].sum()
    assert seen > 1000
    for k in range(1, 13):
        a, b = histories(shop)
        for lives in (a, b):
            lives.step(np.full(400, k))
        for name in (*RESPONSES, "clicked", "bought", "reward", "gap", "valence", "arousal", "mood", "image", "relevance", "budget"):
            np.testing.assert_array_equal(a.state.events[name][live], b.state.events[name][live], err_msg=name)
    assert (b.state.events["opt_out_probability"] < 1e-20).all()


def test_in_the_default_shop_they_do(shop):
    a, b = histories(shop)
    live = ~a.done & ~b.done
    for lives in (a, b):
        lives.step(np.full(400, 4))
    for name in ("click_probability", "opt_out_probability", "mood", "valence"):
        assert (a.state.events[name][live] != b.state.events[name][live]).mean() > 0.9, name


def test_the_masked_crowd_is_masked_and_recognised_less(shop):
    crowd = make_shop(["env=masked"]).customers(2000, 1)
    assert crowd.state.customers["masked"].all()
    plain = shop.customers(2000, 1).state.customers
    enrolled = plain["enrolled"] == 1
    assert (crowd.state.customers["recognised"][enrolled] == SELF).mean() < (plain["recognised"][enrolled] == SELF).mean() - 0.1


def test_cold_start_lives_are_two_weeks_and_a_handful_of_opportunities():
    log = rollout(ConstantPolicy(0), make_shop(["env=cold_start"]), customers=1000, seed=1)
    last = log.events[log.events["truncated"] == 1]
    assert (last["day"] < 14).all() and (last["day"] + last["gap"] >= 14).all()
    assert 4 < len(log.events) / 1000 < 9


def test_drift_changes_taste_and_the_default_shop_does_not(shop):
    moved = []
    for s in (make_shop(["env=drift"]), shop):
        lives = s.customers(300, 1)
        before = lives.state.taste.copy()
        for t in range(20):
            lives.step(np.full(300, 1 + t % 12))
        long_lives = lives.state.customers["opportunity"] == 20
        moved.append(np.linalg.norm(lives.state.taste - before, axis=1)[long_lives].mean())
    assert moved[1] == 0 and 0.1 < moved[0] < 0.8


@pytest.mark.parametrize("file", ["env/shop.yaml", "population/default.yaml"])
def test_every_parameter_of_the_default_shop_stands_beside_its_unit_and_reason(file):
    bare = []
    for line in (CONF / file).read_text().splitlines():
        setting = re.match(r"\s*(\w+):\s*[^\s#]", line)
        if setting and "# " not in line and setting.group(1) not in ("_target_", "_partial_"):
            bare.append(setting.group(1))
    assert bare == []
    shop, population = (OmegaConf.load(CONF / name) for name in ("env/shop.yaml", "population/default.yaml"))
    declared = {name: {f.name for f in dataclasses.fields(kind)} for name, kind in MECHANISMS.items()}
    assert {name: set(shop[name]) for name in declared} == declared
    assert set(population.traits) == {f.name for f in dataclasses.fields(PopulationParams)}

"""Taste drift: the equation, its limits, and that it is off by default."""

import numpy as np
import pytest

from sim.shop import taste
from tests.sim.conftest import make_shop


def drifting(click=0.0, ignore=0.0, noise=0.0):
    return make_shop([f"env.taste.taste_click_rate={click}", f"env.taste.taste_ignore_rate={ignore}", f"env.taste.taste_noise={noise}"])


def test_taste_is_fixed_for_life_by_default(shop):
    lives = shop.customers(50, 1)
    before, relevance = lives.state.taste.copy(), lives.state.labels["relevance"].copy()
    for action in range(13):
        lives.step(np.full(50, action))
    assert (lives.state.taste == before).all() and (lives.state.labels["relevance"] == relevance).all()


def test_one_step_is_the_equation_and_relevance_follows():
    shop = drifting(click=0.2, ignore=0.1)
    lives = shop.customers(400, 1)
    before, phi = lives.state.taste.copy(), shop.catalog.features[2]
    lives.step(np.full(400, 3))
    clicked = lives.state.events["clicked"][:, None] == 1
    after = 0.8 * before + np.where(clicked, 0.2, -0.1) * phi
    after /= np.linalg.norm(after, axis=1, keepdims=True)
    np.testing.assert_allclose(lives.state.taste, after, atol=1e-12)
    np.testing.assert_allclose(lives.state.labels["relevance"], after @ shop.catalog.features.T, atol=1e-6)
    rise = (after - before) @ phi
    assert clicked.any() and (rise[clicked[:, 0]] >= 0).all() and (rise[~clicked[:, 0]] <= 0).all()


def test_holding_back_moves_taste_only_by_noise():
    lives = drifting(click=0.3, ignore=0.3).customers(50, 1)
    before = lives.state.taste.copy()
    lives.step(np.zeros(50, int))
    np.testing.assert_allclose(lives.state.taste, before, atol=1e-12)


def test_noise_is_a_random_walk_on_the_sphere_with_its_step_length():
    lives = drifting(noise=0.05).customers(4000, 1)
    before = lives.state.taste.copy()
    lives.step(np.zeros(4000, int))
    step = lives.state.taste - before
    np.testing.assert_allclose(np.linalg.norm(lives.state.taste, axis=1), 1, atol=1e-12)
    # the part along the sphere has D - 1 of D dimensions: E|step|^2 = .05^2 (D - 1) / D
    d = before.shape[1]
    assert (step**2).sum(1).mean() == pytest.approx(0.05**2 * (d - 1) / d, rel=0.06)
    assert np.abs(step.mean(0)).max() < 0.003
    # the steps of two opportunities are independent of each other
    middle = lives.state.taste.copy()
    lives.step(np.zeros(4000, int))
    live = ~lives.done
    assert abs(((lives.state.taste - middle) * step)[live].sum(1).mean()) < 0.0003


def test_taste_drift_does_not_depend_on_who_stands_beside():
    shop = drifting(0.05, 0.02, 0.03)
    many, alone = shop.customers(8, 4), shop.customers(1, 4, first=5)
    for action in (3, 0, 12, 4, 4):
        many.step(np.full(8, action))
        alone.step(np.full(1, action))
    assert many.state.taste[5].tobytes() == alone.state.taste[0].tobytes()
    assert many.observation[5].tobytes() == alone.observation[0].tobytes()


def test_repeated_clicks_pull_taste_to_the_label(shop):
    assert not taste.drifts(shop.params[0])
    lives = make_shop(["env.taste.taste_click_rate=.2", "env.choice.click_intercept=20"]).customers(300, 1)
    for _ in range(12):
        lives.step(np.full(300, 7))
    long_lives = lives.state.customers["opportunity"] == 12
    # the angle shrinks by about 1 - rho a click: .8^12 = .07
    assert long_lives.sum() > 30 and np.quantile(lives.state.labels["relevance"][long_lives, 6], 0.1) > 0.9

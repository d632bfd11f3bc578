"""Logistic Thompson sampling: the posterior of scipy's optimiser, and values that are money."""

from __future__ import annotations

import numpy as np
import pytest
from toy_env import HintEnv, build, hint_value

from agents.errors import AgentConfigError
from agents.logistic import LogisticTS, laplace, sigmoid


def clicks(n, size=6, seed=0):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((n, size)), rng.standard_normal(size)
    return x, (rng.random(n) < sigmoid(x @ w - 1)).astype(float), w


def test_verification_the_mode_is_scipys_and_the_precision_is_the_hessian_there():
    """300 clicks, prior N(.1, diag(1..7)^-1): BFGS on the negative log posterior, and its Hessian by differences."""
    optimize = pytest.importorskip("scipy.optimize")
    x, paid, _ = clicks(300, 7)
    mean, precision = np.full(7, 0.1), np.diag(np.arange(1.0, 8.0))

    def loss(w):
        return 0.5 * (w - mean) @ precision @ (w - mean) + (np.logaddexp(0, x @ w) - paid * (x @ w)).sum()

    def slope(w):
        return precision @ (w - mean) + x.T @ (sigmoid(x @ w) - paid)

    found = optimize.minimize(loss, mean, jac=slope, method="BFGS", options={"gtol": 1e-9})
    mode, hessian = laplace(x, paid, mean, precision)
    print("mode", mode.round(6), "scipy", found.x.round(6))
    np.testing.assert_allclose(mode, found.x, rtol=0, atol=1e-6)
    assert np.abs(slope(mode)).max() < 1e-8
    differences = np.array([(slope(mode + 1e-5 * e) - slope(mode - 1e-5 * e)) / 2e-5 for e in np.eye(7)])
    np.testing.assert_allclose(hessian, differences, rtol=0, atol=1e-5)


def test_verification_one_refresh_of_the_agent_is_scikit_learns_ridge_logistic_regression():
    """Prior N(0, I / ridge) on weights and intercept is an L2 penalty with C = 1 / ridge on all of them."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, paid, _ = clicks(500, 12)
    agent = build(LogisticTS, HintEnv(), ridge=2.0)
    agent.start()
    action = np.arange(500) % 2 + 1
    agent.update(x, action, paid)
    agent.refresh()
    for a in (1, 2):
        rows, design = action == a, np.c_[np.ones(500), x]
        peer = linear_model.LogisticRegression(C=0.5, fit_intercept=False, tol=1e-10, solver="newton-cholesky")
        peer.fit(design[rows], paid[rows])
        np.testing.assert_allclose(agent.mode_[a], peer.coef_[0], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(agent.mode_[0], 0)


def test_refreshing_in_steps_ends_near_the_mode_of_all_clicks_at_once():
    """Ten refreshes of 400 clicks: early curvatures linger, so the precision is up to a fifth too high
    and the mode lags by up to 1.5 posterior standard deviations."""
    x, paid, _ = clicks(4000, 12)
    agents = [build(LogisticTS, HintEnv()) for _ in range(2)]
    for agent, parts in zip(agents, (1, 10), strict=True):
        agent.start()
        for rows in np.array_split(np.arange(4000), parts):
            agent.update(x[rows], np.ones(len(rows), int), paid[rows])
            agent.refresh()
    deviation = np.sqrt(np.diag(np.linalg.inv(agents[0].precision_[1])))
    assert (np.abs(agents[0].mode_[1] - agents[1].mode_[1]) < 1.5 * deviation).all()
    np.testing.assert_allclose(np.diag(agents[0].precision_[1]), np.diag(agents[1].precision_[1]), rtol=0.2)


def test_the_posterior_covers_the_truth():
    """Of 60 problems x 7 weights some 90 % lie within 1.645 posterior standard deviations: 85 to 95 % here."""
    inside = []
    for seed in range(60):
        x, paid, w = clicks(600, 6, seed)
        design, truth = np.c_[np.ones(600), x], np.r_[-1.0, w]
        mode, precision = laplace(design, paid, np.zeros(7), 0.5 * np.eye(7))
        inside.append(np.abs(mode - truth) < 1.645 * np.sqrt(np.diag(np.linalg.inv(precision))))
    assert 0.85 < np.mean(inside) < 0.95


def test_a_hand_computed_value_is_the_loss_plus_the_spread_times_the_chance():
    """4 of 8 uses paid 2, the others -.5; pooled means are the same, so G = 2, L = -.5: at logit 0 worth .75."""
    agent = build(LogisticTS, HintEnv())
    agent.start()
    agent.update(np.zeros((8, 12)), np.ones(8, int), np.array([2, -0.5] * 4))
    agent.refresh()
    assert agent.values(np.zeros((1, 5)))[0, 1] == pytest.approx(0.75)


def test_separable_and_huge_inputs_keep_newton_finite():
    x = np.c_[np.ones(40), np.linspace(-1e3, 1e3, 40)]
    mode, precision = laplace(x, (x[:, 1] > 0).astype(float), np.zeros(2), 1e-6 * np.eye(2))
    assert np.isfinite(mode).all() and np.isfinite(precision).all() and mode[1] > 0


def test_it_earns_99_percent_of_the_optimum_where_the_best_label_is_in_plain_sight():
    env = HintEnv(num_envs=64, mask_rate=0.2)
    agent = build(LogisticTS, env)
    agent.learn(env, steps=12_800)
    assert hint_value(agent) > 0.99


@pytest.mark.parametrize("settings", [{"alpha": -1}, {"ridge": 0}, {"pooling": 0}])
def test_impossible_settings_are_refused_by_name(settings):
    with pytest.raises(AgentConfigError, match=next(iter(settings))):
        build(LogisticTS, HintEnv(), **settings)

"""The neural-linear bandit: closed-form Bayesian regression on frozen features, and features worth learning."""

from __future__ import annotations

import numpy as np
import pytest
from toy_env import HintEnv, build, hint_value

from agents.errors import AgentConfigError, DivergedError
from agents.neural_bandits import PRIOR_SHAPE, NeuralLinear

SMALL = {"net_arch": (16, 8), "train_every": 5, "train_updates": 30, "batch_size": 64}


def interactions(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 12)).astype(np.float32), rng.integers(0, 5, n), rng.standard_normal(n)


def test_verification_on_frozen_features_beliefs_are_those_of_bayesian_regression():
    """theta = (Z'Z + ridge I)^-1 Z'r, covariance s^2 (Z'Z + ridge I)^-1, s^2 = beta / (shape - 1), by plain inverses."""
    agent = build(NeuralLinear, HintEnv(), ridge=1.5, alpha=1.0, **{**SMALL, "train_every": 10_000})
    agent.start()
    x, action, reward = interactions(600)
    for rows in np.array_split(np.arange(600), 5):
        agent.update(x[rows], action[rows], reward[rows])
    agent.refresh()
    z, fresh = agent.features(x), agent.features(interactions(20, 1)[0])
    mean, width = agent.mean_and_width(interactions(20, 1)[0])
    for a in range(5):
        rows = action == a
        inverse = np.linalg.inv(z[rows].T @ z[rows] + 1.5 * np.eye(9))
        theta = inverse @ z[rows].T @ reward[rows]
        shape = PRIOR_SHAPE + rows.sum() / 2
        beta = (PRIOR_SHAPE - 1) + 0.5 * (reward[rows] @ reward[rows] - theta @ z[rows].T @ reward[rows])
        np.testing.assert_allclose(mean[:, a], fresh @ theta, rtol=0, atol=1e-9)
        np.testing.assert_allclose(width[:, a], np.sqrt(np.einsum("ni,ij,nj->n", fresh, inverse, fresh)), rtol=0, atol=1e-9)
        assert agent._noise[a] ** 2 == pytest.approx(beta / (shape - 1), rel=1e-10)
    print("noise", agent._noise, "expected about 1")


def test_features_are_the_hidden_layers_by_hand():
    agent = build(NeuralLinear, HintEnv(), **SMALL)
    agent.start()
    x = interactions(7)[0]
    w1, b1, w2, b2 = (array.astype(float) for array in agent.network_.arrays[:4])
    expected = np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0)
    np.testing.assert_allclose(agent.features(x), np.c_[np.ones(7), expected], rtol=0, atol=1e-12)


def test_after_a_fit_the_regressions_are_those_of_the_remembered_rows_on_the_new_features():
    agent = build(NeuralLinear, HintEnv(), memory=150, **SMALL)
    agent.start()
    x, action, reward = interactions(250)
    before = [array.copy() for array in agent.network_.arrays]
    for rows in np.array_split(np.arange(250), 5):
        agent.update(x[rows], action[rows], reward[rows])
    agent.refresh()
    assert any((a != b).any() for a, b in zip(before, agent.network_.arrays, strict=True))
    z, kept = agent.features(x[100:]), action[100:]
    for a in range(5):
        rows = z[kept == a]
        np.testing.assert_allclose(agent.gram_[a], rows.T @ rows + agent.ridge * np.eye(9), rtol=0, atol=1e-9)
        np.testing.assert_allclose(agent.moment_[a], reward[100:][kept == a] @ rows, rtol=0, atol=1e-4)   # float32 rewards
    np.testing.assert_array_equal(agent.count_, np.bincount(kept, minlength=5))


def test_the_network_learns_a_reward_that_no_line_fits():
    """r = x_1 x_2: a line on the observation explains nothing, the learned features explain 90 % on fresh rows."""
    agent = build(NeuralLinear, HintEnv(), net_arch=(64, 32), train_every=1, train_updates=600, batch_size=256, learning_rate=3e-3)
    agent.start()
    x = interactions(6000)[0]
    agent.update(x, np.ones(6000, int), x[:, 0] * x[:, 1])
    agent.refresh()
    fresh = interactions(2000, 9)[0]
    truth = fresh[:, 0] * fresh[:, 1]
    miss = truth - agent.mean_and_width(fresh)[0][:, 1]
    assert miss.var() < 0.1 * truth.var()


def test_it_earns_98_percent_of_the_optimum_where_the_best_label_is_in_plain_sight():
    env = HintEnv(num_envs=64, mask_rate=0.2)
    agent = build(NeuralLinear, env, net_arch=(32, 32), train_every=20, train_updates=100, batch_size=256)
    agent.learn(env, steps=12_800)
    assert hint_value(agent) > 0.98


def test_neither_torchs_global_generator_nor_its_threads_are_touched():
    import torch

    torch.manual_seed(3)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(3)
    env = HintEnv()
    build(NeuralLinear, env, **SMALL).learn(env, steps=256)
    assert torch.equal(torch.rand(3), expected) and torch.get_num_threads() == threads


def test_a_loss_that_is_not_finite_stops_training():
    agent = build(NeuralLinear, HintEnv(), learning_rate=1e30, **SMALL)
    agent.start()
    x, action, reward = interactions(100)
    for _ in range(5):
        agent.update(x, action, reward)
    with pytest.raises(DivergedError, match="lower learning_rate"):
        agent.refresh()


@pytest.mark.parametrize("settings", [{"alpha": -1}, {"net_arch": ()}, {"net_arch": (0,)}, {"train_every": 0},
                                      {"memory": 0}, {"batch_size": 0}])
def test_impossible_settings_are_refused_by_name(settings):
    with pytest.raises(AgentConfigError, match=next(iter(settings))):
        build(NeuralLinear, HintEnv(), **settings)

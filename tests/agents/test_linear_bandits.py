"""LinUCB against hand-worked numbers, one-by-one updates and a problem whose best arm is known."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from toy_env import HintEnv, build, hint_value

from agents.errors import AgentConfigError
from agents.linear_bandits import ChargedLinUCB, LinUCB
from agents.ridge import inverse_lower


def small(**settings):
    """One observation number and two actions: d = 2 with the leading 1."""
    agent = LinUCB(observation_space=spaces.Box(-9, 9, (1,)), action_space=spaces.Discrete(2), layout={}, seed=0,
                   **settings)
    agent.start()
    return agent


def test_scores_equal_the_hand_computed_two_dimensional_example():
    """ridge 1; action 1 saw x = (1, 2) with r = 3 and x = (1, 0) with r = 1.

    A = I + (1,2)(1,2)' + (1,0)(1,0)' = [[3, 2], [2, 5]], det 11, A^-1 = [[5, -2], [-2, 3]] / 11, b = (4, 6),
    theta = (8, 10) / 11. At x = (1, 1): theta'x = 18/11, x'A^-1 x = 4/11. Action 0 saw nothing: width sqrt(2).
    """
    agent = small(ridge=1.0)
    agent.update(np.array([[2.0], [0.0]]), np.array([1, 1]), np.array([3.0, 1.0]))
    agent.refresh()
    np.testing.assert_allclose(agent.weights_[1], [8 / 11, 10 / 11], rtol=1e-14)
    np.testing.assert_allclose(agent.scores(np.array([[1.0]]), alpha=0.5),
                               [[0.5 * 2**0.5, 18 / 11 + 0.5 * (4 / 11) ** 0.5]], rtol=1e-14)
    np.testing.assert_array_equal(agent.count_, [0, 2])


def test_a_batch_of_400_updates_equals_400_sherman_morrison_updates():
    """(A + xx')^-1 = A^-1 - A^-1 x x' A^-1 / (1 + x' A^-1 x), one interaction after the other."""
    env, rng = HintEnv(size=20), np.random.default_rng(0)
    agent = build(LinUCB, env, ridge=2.0)
    agent.start()
    x, action, reward = rng.standard_normal((400, 20)), rng.integers(0, 5, 400), rng.standard_normal(400)
    for rows in np.array_split(np.arange(400), 7):
        agent.update(x[rows], action[rows], reward[rows])
    agent.refresh()
    inverse, moment = np.repeat(np.eye(21)[None] / 2, 5, axis=0), np.zeros((5, 21))
    for z, a, r in zip(np.c_[np.ones(400), x], action, reward, strict=True):
        ahead = inverse[a] @ z
        inverse[a] -= np.outer(ahead, ahead) / (1 + z @ ahead)
        moment[a] += r * z
    z = np.c_[np.ones(50), rng.standard_normal((50, 20))]
    expected = z @ np.einsum("aij,aj->ai", inverse, moment).T + 0.7 * np.sqrt(np.einsum("ni,aij,nj->na", z, inverse, z))
    np.testing.assert_allclose(agent.scores(z[:, 1:], alpha=0.7), expected, atol=1e-9)


@pytest.mark.parametrize("d", [1, 24, 25, 97])
def test_the_triangular_inverse_is_the_inverse(d):
    matrix = np.random.default_rng(d).standard_normal((3, d, 2 * d))
    lower = np.linalg.cholesky(matrix @ matrix.transpose(0, 2, 1) + np.eye(d))
    inverse = inverse_lower(lower)
    np.testing.assert_allclose(inverse @ lower, np.broadcast_to(np.eye(d), lower.shape), atol=1e-10)
    assert (np.triu(inverse, 1) == 0).all()


def test_only_refreshed_updates_count():
    agent = small()
    agent.update(np.array([[1.0]]), np.array([1]), np.array([5.0]))
    np.testing.assert_array_equal(agent.scores(np.array([[1.0]]), 0.0), [[0.0, 0.0]])
    agent.refresh()
    assert agent.scores(np.array([[1.0]]), 0.0)[0, 1] > 0


def test_ties_go_to_the_lowest_allowed_action():
    agent = small()
    np.testing.assert_array_equal(agent.act(np.zeros((2, 1)), np.ones((2, 2), bool), [0.1, 0.9]).action, [0, 0])


def test_the_first_batch_tries_every_action():
    """Random ties while learning: of 512 lanes no action of 5 gets fewer than 60 in the first batch."""
    env = HintEnv(num_envs=512)
    agent = build(LinUCB, env)
    agent.learn(env, steps=512)
    assert agent.count_.min() > 60


def test_linucb_earns_99_percent_of_the_optimum_where_the_best_label_is_in_plain_sight():
    env = HintEnv(num_envs=64, mask_rate=0.2)
    agent = build(LinUCB, env)
    agent.learn(env, steps=12_800)
    assert hint_value(agent) > 0.99
    assert agent.learning_curve[-1][1]["rollout/value_per_step"] > 0.8      # exploration included


def test_greedy_at_evaluation_unless_asked_to_explore():
    """A little-tried action wins only with its confidence bonus."""
    for explore, action in ((False, 0), (True, 1)):
        agent = small(alpha=5.0, explore_at_evaluation=explore)
        agent.update(np.zeros((100, 1)), np.zeros(100, dtype=int), np.full(100, 0.5))
        agent.refresh()
        decision = agent.act(np.zeros((1, 1)), np.ones((1, 2), bool), [0.5])
        assert decision.action == action and decision.propensity == 1


def test_a_charge_above_what_a_push_earns_teaches_to_hold_back():
    env = HintEnv(num_envs=64)
    for charge, value in ((0.5, 1.0), (1.5, 0.0)):
        agent = build(LinUCB, env, push_charge=charge)
        agent.learn(env, steps=6400)
        assert hint_value(agent) == pytest.approx(value, abs=0.01)


def test_the_charge_that_earns_most_on_tuning_customers_is_used_for_the_full_training():
    env, lengths = HintEnv(num_envs=64), []
    agent = build(ChargedLinUCB, env, charges=(0.0, 0.5, 1.5), tuning_steps=1280)

    def evaluate(candidate):
        lengths.append(int(candidate.count_.sum()))
        return {0: 1.0, 1: 2.0, 2: 0.5}[len(lengths) - 1]

    agent.learn(env, steps=6400, evaluate=evaluate)
    assert lengths == [1280] * 3 and int(agent.count_.sum()) == 6400
    assert agent.push_charge_ == 0.5
    assert agent.tuning_ == [{"push_charge": 0.0, "value": 1.0}, {"push_charge": 0.5, "value": 2.0},
                             {"push_charge": 1.5, "value": 0.5}]
    plain = build(LinUCB, env, push_charge=0.5)
    plain.learn(env, steps=6400)
    np.testing.assert_array_equal(agent.weights_, plain.weights_)


def test_of_equally_good_charges_the_lowest_is_taken_and_budget_counts_the_tuning():
    env = HintEnv(num_envs=64)
    agent = build(ChargedLinUCB, env, charges=(0.2, 0.4), tuning_steps=640)
    agent.learn(env, steps=1280, evaluate=lambda candidate: 3.0)
    assert agent.push_charge_ == 0.2 and agent.budget(1280) == 1280 + 2 * 640 == agent.learning_curve[-1][0]


def test_tuning_without_evaluate_is_refused_and_one_charge_needs_none():
    env = HintEnv()
    with pytest.raises(AgentConfigError, match="evaluate"):
        build(ChargedLinUCB, env).learn(env, steps=64)
    agent = build(ChargedLinUCB, env, charges=(0.3,))
    agent.learn(env, steps=64)
    assert agent.push_charge_ == 0.3 and agent.tuning_ == []


@pytest.mark.parametrize("settings", [{"alpha": -1}, {"ridge": 0}, {"reward_scale": 0}, {"refresh_every": 0}])
def test_impossible_settings_are_refused_by_name(settings):
    with pytest.raises(AgentConfigError, match=next(iter(settings))):
        build(LinUCB, HintEnv(), **settings)

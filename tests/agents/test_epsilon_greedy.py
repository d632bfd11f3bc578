"""Epsilon-greedy: closed-form propensities, and shares that keep to them."""

from __future__ import annotations

import numpy as np
import pytest
from toy_env import HintEnv, build, hint_value, views

from agents.epsilon_greedy import EpsilonGreedy
from agents.errors import AgentConfigError


def test_verification_propensities_are_1_minus_epsilon_plus_its_share_and_its_share():
    """epsilon .2, three actions allowed: .8 + .2/3 for the best of them, .2/3 for each other, 0 for the masked."""
    agent = build(EpsilonGreedy, HintEnv(), epsilon=0.2, explore_at_evaluation=True)
    agent.start()
    agent.absorb(np.zeros((4, 12)), np.array([1, 2, 3, 4]), np.array([1.0, 2.0, 3.0, 4.0]))
    mask = np.array([[True, True, True, False, False]])
    found = agent.action_probabilities(np.zeros((1, 12)), mask)
    np.testing.assert_allclose(found, [[0.2 / 3, 0.2 / 3, 0.8 + 0.2 / 3, 0, 0]], rtol=1e-14)
    agent.explore_at_evaluation = False
    np.testing.assert_array_equal(agent.action_probabilities(np.zeros((1, 12)), mask), [[0, 0, 1, 0, 0]])


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_while_learning_the_greedy_action_has_the_same_share(epsilon):
    env = HintEnv(num_envs=64)
    agent = build(EpsilonGreedy, env, epsilon=epsilon)
    agent.learn(env, steps=6400)
    observation, _, _ = views(env, 20_000)
    allowed = np.ones((20_000, 5), bool)
    action = agent._explore(observation, allowed, np.random.default_rng(0))
    best = agent._greedy_scores(observation).argmax(1)
    assert (action == best).mean() == pytest.approx(1 - epsilon + epsilon / 5, abs=4 * 0.5 / 20_000**0.5)


def test_it_earns_99_percent_of_the_optimum_where_the_best_label_is_in_plain_sight():
    env = HintEnv(num_envs=64, mask_rate=0.2)
    agent = build(EpsilonGreedy, env, epsilon=0.1)
    agent.learn(env, steps=12_800)
    assert hint_value(agent) > 0.99


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan")])
def test_an_epsilon_that_is_no_probability_is_refused(epsilon):
    with pytest.raises(AgentConfigError, match="epsilon must lie in"):
        build(EpsilonGreedy, HintEnv(), epsilon=epsilon)

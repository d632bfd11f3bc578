"""UCB1 against numbers worked out by hand, and its regret on Bernoulli arms against the published bound."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from agents.ucb import UCB1


def small(actions=3, **settings):
    agent = UCB1(observation_space=spaces.Box(-9, 9, (1,)), action_space=spaces.Discrete(actions), layout={}, seed=0, **settings)
    agent.start()
    return agent


def choose(agent, lanes=1, mask=None):
    allowed = np.ones((lanes, agent.num_actions), bool) if mask is None else np.array(mask, bool)
    return agent._explore(np.zeros((len(allowed), 1)), allowed, np.random.default_rng(0))


def test_verification_bounds_equal_the_hand_computed_example():
    """Uses 4, 2, 1 with rewards 2, 1.5, .25 in sum, t = 7: sqrt(2 ln 7 / n) = .986385, 1.394959, 1.972770.

    Bounds .5 + .986385, .75 + 1.394959, .25 + 1.972770 = 1.486385, 2.144959, 2.222770: the third action is next.
    """
    agent = small()
    agent.update(np.zeros((7, 1)), np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0.5, 0.5, 0.5, 0.5, 0.75, 0.75, 0.25]))
    print("bounds", agent.bounds(), "expected", [1.486385, 2.144959, 2.222770])
    np.testing.assert_allclose(agent.bounds(), [1.486385, 2.144959, 2.222770], atol=1e-6)
    assert choose(agent) == [2]
    assert choose(agent, mask=[[True, True, False]]) == [1]
    assert agent.act(np.zeros((1, 1)), np.ones((1, 3), bool), [0.5]).action == [1]      # greedy: the highest mean


def test_every_action_is_used_once_before_any_is_used_twice():
    agent = small(5)
    np.testing.assert_array_equal(choose(agent, 5), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(choose(agent, mask=[[True, False, True, True, True]] * 2), [0, 2])


def test_eight_lanes_at_once_are_served_as_if_each_counted_before_its_reward_is_known():
    agent = small()
    agent.update(np.zeros((6, 1)), np.array([0, 0, 1, 1, 2, 2]), np.array([0.0, 0.2, 0.5, 0.5, 0.6, 0.4]))
    mean, count, expected = np.array([0.1, 0.5, 0.5]), np.array([2.0, 2.0, 2.0]), []
    for _ in range(8):
        expected.append(int((mean + np.sqrt(2 * np.log(count.sum()) / count)).argmax()))
        count[expected[-1]] += 1
    np.testing.assert_array_equal(choose(agent, 8), expected)
    assert set(expected) == {0, 1, 2}


def test_regret_on_bernoulli_arms_keeps_below_the_bound_of_auer_et_al():
    """Arms .2 .5 .6, 20,000 rounds: at most sum over arms of 8 ln n / gap + (1 + pi^2 / 3) gap (theorem 1), and logarithmic."""
    rng, probability, agent = np.random.default_rng(4), np.array([0.2, 0.5, 0.6]), small()
    regret = np.zeros(20_000)
    for t in range(20_000):
        action = choose(agent)
        agent.absorb(np.zeros((1, 1)), action, (rng.random(1) < probability[action]).astype(float))
        regret[t] = 0.6 - probability[action[0]]
    gaps = np.array([0.4, 0.1])
    bound = (8 * np.log(20_000) / gaps + (1 + np.pi**2 / 3) * gaps).sum()
    assert regret.sum() < bound and regret[10_000:].sum() < 0.35 * regret.sum()


def test_an_action_that_was_never_used_is_not_chosen_greedily():
    agent = small()
    agent.update(np.zeros((1, 1)), np.array([1]), np.array([-0.5]))
    assert agent.act(np.zeros((1, 1)), np.ones((1, 3), bool), [0.5]).action == [1]
    assert agent.act(np.zeros((1, 1)), np.array([[True, False, True]]), [0.5]).action == [0]


@pytest.mark.parametrize("settings", [{"alpha": -1}, {"reward_scale": 0}])
def test_impossible_settings_are_refused_by_name(settings):
    from agents.errors import AgentConfigError

    with pytest.raises(AgentConfigError, match=next(iter(settings))):
        small(**settings)

"""Thompson sampling: it explores by doubt, and its logged probabilities are those it acts by."""

from __future__ import annotations

import numpy as np
import pytest
from toy_env import HintEnv, build, hint_value, views

from agents.errors import AgentConfigError
from agents.linear_bandits import LinUCB
from agents.thompson import LinTS


def test_lints_earns_99_percent_of_the_optimum_where_the_best_label_is_in_plain_sight():
    env = HintEnv(num_envs=64, mask_rate=0.2)
    agent = build(LinTS, env)
    agent.learn(env, steps=12_800)
    assert hint_value(agent) > 0.99
    assert agent.learning_curve[-1][1]["rollout/value_per_step"] > 0.8      # exploration included


def test_alpha_0_is_greedy_and_draws_spread_as_alpha_times_width():
    env = HintEnv()
    agent = build(LinTS, env, alpha=0.0)
    agent.start()
    x, action = np.random.default_rng(0).standard_normal((500, 12)), np.arange(500) % 5
    agent.absorb(x, action, x[:, 0] * action)
    np.testing.assert_array_equal(agent.draw(x, np.random.default_rng(1)), agent._greedy_scores(x))
    agent.alpha = 0.3
    one = np.repeat(x[:1], 20_000, axis=0)
    drawn, (mean, width) = agent.draw(one, np.random.default_rng(1)), agent.mean_and_width(x[:1])
    np.testing.assert_allclose(drawn.mean(0), mean[0], rtol=0, atol=4 * 0.3 * width.max() / 20_000**0.5)
    np.testing.assert_allclose(drawn.std(0), 0.3 * width[0], rtol=0.03)


def test_when_it_keeps_exploring_its_choices_have_the_shares_that_it_logs():
    """20,000 uniforms at one customer: the shares of the actions are the logged probabilities, to four errors."""
    env = HintEnv(num_envs=64)
    agent = build(LinTS, env, explore_at_evaluation=True, alpha=1.0)
    agent.learn(env, steps=640)
    observation, mask, _ = views(env, 1)
    mask[:] = True
    decision = agent.act(np.repeat(observation, 20_000, 0), np.repeat(mask, 20_000, 0), np.random.default_rng(0).random(20_000))
    p = decision.probabilities[0]
    assert (p > 0.02).sum() >= 2
    np.testing.assert_allclose(np.bincount(decision.action, minlength=5) / 20_000, p, rtol=0, atol=4 * (0.25 / 20_000) ** 0.5)
    drawn = np.bincount(agent.draw(np.repeat(observation, 50_000, 0), np.random.default_rng(1)).argmax(1), minlength=5)
    np.testing.assert_allclose(drawn / 50_000, p, rtol=0, atol=0.009)


def test_lints_and_linucb_know_the_same_after_the_same_interactions():
    x, action, reward = np.random.default_rng(0).standard_normal((300, 12)), np.arange(300) % 5, np.arange(300) / 300
    agents = [build(cls, HintEnv()) for cls in (LinTS, LinUCB)]
    for agent in agents:
        agent.start()
        agent.absorb(x, action, reward)
    np.testing.assert_array_equal(agents[0].weights_, agents[1].weights_)


def test_a_negative_alpha_is_refused():
    with pytest.raises(AgentConfigError, match="alpha"):
        build(LinTS, HintEnv(), alpha=-0.1)

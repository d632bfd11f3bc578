"""Learning from a log: the same estimates as by interacting, warm starts, refusals, and fitted Q iteration that plans."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from toy_env import HintEnv, build, hint_value

from agents.baselines import CappedPopularity, HoldBack, Popularity, Random
from agents.epsilon_greedy import EpsilonGreedy
from agents.errors import AgentConfigError, DivergedError, ShapeMismatchError
from agents.fitted_q import FittedQ
from agents.linear_bandits import ChargedLinUCB, LinUCB
from agents.logistic import LogisticTS
from agents.neural_bandits import NeuralLinear
from agents.ppo import PPOAgent
from agents.thompson import LinTS
from agents.ucb import UCB1

CONTEXTUAL = [LinUCB, LinTS, EpsilonGreedy, LogisticTS, NeuralLinear]


class Log(NamedTuple):
    start: np.ndarray
    observation: np.ndarray
    action_mask: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    day: np.ndarray


def random_log(steps=4000, seed=0):
    """Uniform actions on hints, every row a life of its own."""
    env = HintEnv(num_envs=steps)
    observation, _ = env.reset(seed=seed)
    mask = env.action_masks()
    action = np.where(mask, np.random.default_rng(seed).random(mask.shape), -1).argmax(1)
    return Log(np.arange(steps + 1), observation, mask, action, env.step(action)[1], np.zeros(steps))


@pytest.mark.parametrize("agent_class", CONTEXTUAL)
def test_every_contextual_bandit_earns_more_than_90_percent_of_the_optimum_after_4000_logged_rows(agent_class):
    agent = build(agent_class, HintEnv())
    agent.learn_from_log(random_log())
    assert hint_value(agent) > 0.9


def test_a_log_teaches_linucb_the_regression_that_its_rows_give_by_hand():
    log, agent = random_log(500), build(LinUCB, HintEnv())
    agent.learn_from_log(log)
    for a in range(5):
        x = np.column_stack([np.ones((log.action == a).sum()), log.observation[log.action == a]]).astype(float)
        theta = np.linalg.solve(x.T @ x + agent.ridge * np.eye(x.shape[1]), x.T @ (agent.reward_scale * log.reward[log.action == a]))
        np.testing.assert_allclose(agent.weights_[a], theta, atol=1e-10)


def test_ucb1_and_popularity_learn_the_means_of_the_log():
    log = random_log(1000)
    means = np.array([log.reward[log.action == a].mean() for a in range(5)])
    ucb, popularity = build(UCB1, HintEnv()), build(Popularity, HintEnv())
    ucb.learn_from_log(log)
    popularity.learn_from_log(log)
    np.testing.assert_allclose(ucb.total_ / ucb.count_, ucb.reward_scale * means)
    np.testing.assert_allclose(popularity.value_, means)


@pytest.mark.parametrize("agent_class", [LinUCB, LinTS, EpsilonGreedy, UCB1, LogisticTS, NeuralLinear, ChargedLinUCB])
def test_a_warm_start_is_in_the_estimates_after_one_further_batch(agent_class):
    settings = {"charges": (0.0,)} if agent_class is ChargedLinUCB else {}
    cold, warm = (build(agent_class, HintEnv(), **settings) for _ in range(2))
    warm.warm_start(random_log(2000))
    for agent in (cold, warm):
        agent.learn(HintEnv(num_envs=16), steps=16)
    assert cold.count_.sum() == 16 and warm.count_.sum() == 2016 if hasattr(cold, "count_") else warm.tally_.sum() != cold.tally_.sum()
    if agent_class is not UCB1:
        assert hint_value(warm) > hint_value(cold) + 0.3


def test_a_charged_bandit_tunes_its_charge_on_the_log_and_keeps_the_best():
    agent = build(ChargedLinUCB, HintEnv(), charges=(0.0, 5.0))
    agent.learn_from_log(random_log(), evaluate=hint_value)
    assert agent.push_charge_ == 0.0 and hint_value(agent) > 0.9
    assert [row["push_charge"] for row in agent.tuning_] == [0.0, 5.0] and agent.tuning_[1]["value"] == 0.0
    with pytest.raises(AgentConfigError, match="needs `evaluate`"):
        agent.learn_from_log(random_log())


def test_a_capped_popularity_tunes_its_cap_on_the_log():
    agent = build(CappedPopularity, HintEnv(), caps=(1.0, None))
    agent.learn_from_log(random_log(), evaluate=lambda candidate: candidate.cap_)
    assert agent.cap_ == np.inf


def test_agents_that_know_nothing_agree_and_those_that_must_interact_say_so():
    for agent_class in (Random, HoldBack):
        build(agent_class, HintEnv()).learn_from_log(random_log(10))
    with pytest.raises(AgentConfigError, match="ppo cannot learn from a log; it needs an environment"):
        build(PPOAgent, HintEnv()).learn_from_log(random_log(10))
    with pytest.raises(AgentConfigError, match="ppo cannot start from a log"):
        build(PPOAgent, HintEnv()).warm_start(random_log(10))


def test_a_log_of_another_shop_or_with_wrong_rows_is_refused_with_sizes_and_rows():
    log = random_log(10)
    with pytest.raises(ShapeMismatchError, match="takes 12 observation numbers and 5 actions, the log has 11 and 5"):
        build(LinUCB, HintEnv()).learn_from_log(log._replace(observation=log.observation[:, :11]))
    with pytest.raises(ShapeMismatchError, match="row 4 took action 7"):
        build(LinUCB, HintEnv()).learn_from_log(log._replace(action=np.where(np.arange(10) == 3, 7, log.action)))
    with pytest.raises(DivergedError, match="row 2 holds"):
        build(FittedQ, HintEnv()).learn_from_log(log._replace(reward=np.where(np.arange(10) == 1, np.nan, log.reward)))


# ---------------------------------------------------------------------- fitted Q iteration
def bait_log(lives=600, seed=0):
    """Two opportunities a life; pushing label 1 first pays 1 and spoils the second, where label 2 pays 3 to the unspoilt."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 3, lives), rng.integers(0, 3, lives)
    spoilt = first == 1
    observation = np.zeros((lives, 2, 12), np.float32)
    observation[:, 0, 0], observation[:, 1, 1], observation[:, 1, 2] = 1, ~spoilt, spoilt
    action = np.stack([first, second], 1)
    reward = np.stack([spoilt * 1.0, (~spoilt & (second == 2)) * 3.0], 1)
    start = 2 * np.arange(lives + 1)
    return Log(start, observation.reshape(-1, 12), np.ones((2 * lives, 3), bool), action.ravel(), reward.ravel(), np.zeros(2 * lives))


def bait_agent(agent_class, **settings):
    env = HintEnv(labels=2, size=12)
    return build(agent_class, env, **settings)


def test_fitted_q_forgoes_1_now_for_3_later_and_a_bandit_does_not():
    log = bait_log()
    planner, bandit = bait_agent(FittedQ, iterations=3, updates=400, net_arch=(16,), gamma=1.0), bait_agent(LinUCB)
    for agent in (planner, bandit):
        agent.learn_from_log(log)
    first, mask = log.observation[:1], np.ones((1, 3), bool)
    assert bandit.action_probabilities(first, mask)[0, 1] == 1
    assert planner.action_probabilities(first, mask)[0, 1] == 0
    np.testing.assert_allclose(planner.values(first)[0], [3, 1, 3], atol=0.2)
    assert planner.action_probabilities(log.observation[[1]], np.array([[True, True, False]]))[0, 2] == 0


def test_fitted_q_with_epsilon_a_tenth_gives_every_allowed_action_its_share():
    agent = bait_agent(FittedQ, iterations=1, updates=5, net_arch=(4,), epsilon=0.1)
    agent.learn_from_log(bait_log(20))
    p = agent.action_probabilities(np.zeros((1, 12), np.float32), np.array([[True, False, True]]))[0]
    assert sorted(p) == pytest.approx([0, 0.05, 0.95])


def test_fitted_q_learns_hints_from_its_own_random_log_and_from_one_it_is_given():
    agent = build(FittedQ, HintEnv(), iterations=2, updates=400, net_arch=(32,), gamma=0.0, learning_rate=3e-3)
    agent.learn(HintEnv(num_envs=64), steps=6400)
    assert hint_value(agent) > 0.9
    warm = build(FittedQ, HintEnv(), iterations=1, updates=400, net_arch=(32,), gamma=0.0, learning_rate=3e-3)
    warm.warm_start(random_log(6000))
    warm.learn(HintEnv(num_envs=16), steps=16)
    assert hint_value(warm) > 0.9


def test_the_same_seed_gives_the_same_bits():
    a, b = (bait_agent(FittedQ, iterations=2, updates=20, net_arch=(8,)) for _ in range(2))
    for agent in (a, b):
        agent.learn_from_log(bait_log(50))
    for one, other in zip(a.networks_, b.networks_, strict=True):
        for x, y in zip(one.arrays, other.arrays, strict=True):
            np.testing.assert_array_equal(x, y)

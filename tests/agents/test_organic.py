"""Agents that read organic views: hand-counted tables, and a factorisation that finds what it was planted with."""

from __future__ import annotations

import numpy as np
import pytest
from toy_env import HintEnv, build, hint_value

from agents.errors import AgentConfigError
from agents.organic import Factorisation, OrganicCount, OrganicPopularity
from agents.ranked import Ranked


def test_popularity_pushes_in_proportion_to_views_and_only_what_is_allowed():
    agent = build(OrganicPopularity, HintEnv(), views="hint")
    agent.views_ = np.array([6.0, 3.0, 1.0, 0.0])
    mask = np.array([[True, True, True, True, True], [True, False, True, True, False], [True, False, False, False, False]])
    p = agent.action_probabilities(np.zeros((3, 12)), mask)
    np.testing.assert_allclose(p, [[0, 0.6, 0.3, 0.1, 0], [0, 0, 0.75, 0.25, 0], [1, 0, 0, 0, 0]], atol=1e-12)
    agent.greedy = True
    assert agent.action_probabilities(np.zeros((3, 12)), mask).argmax(1).tolist() == [1, 2, 0]


def test_popularity_counts_the_views_of_lives_that_ended():
    """Each life of the toy ends with one hinted label, that is log(1 + n)/1 = 1: e - 1 views, on top of the one to begin with."""
    env = HintEnv(num_envs=16)
    agent = build(OrganicPopularity, env, views="hint", views_scale=1.0)
    ended = []
    step = env.step

    def counted(actions):
        result = step(actions)
        if result[4]:
            ended.append(result[4]["final_obs"][result[4]["_final_obs"]][:, 7:11])
        return result

    env.step = counted
    agent.learn(env, steps=1600)
    np.testing.assert_allclose(agent.views_, 1 + np.expm1(np.concatenate(ended)).sum(0), rtol=1e-6)
    assert len(np.concatenate(ended)) > 100


def test_count_is_the_table_of_click_rates_by_last_view():
    env = HintEnv(num_envs=16)
    agent = build(OrganicCount, env, last_view="hint")
    agent.learn(env, steps=8000)
    rate = agent.clicks_ / agent.pushes_
    np.testing.assert_array_equal(rate, np.eye(4))      # in the toy only the hinted label pays
    assert agent.pushes_.sum() == pytest.approx(8000 * 0.8, rel=0.05)
    assert hint_value(agent) == 1.0


def test_an_unseen_pair_has_the_prior_rate_of_one_half():
    agent = build(OrganicCount, HintEnv(), last_view="hint")
    agent.pushes_, agent.clicks_ = np.full((4, 4), 98.0), np.full((4, 4), 9.0)
    agent.pushes_[2, 3] = agent.clicks_[2, 3] = 0.0     # (0 + 1)/(0 + 2) = .5 against (9 + 1)/(98 + 2) = .1
    observation = np.zeros((1, 12))
    observation[0, 9] = 1.0                             # last view: label 3, in column 7 + 2
    assert agent.action_probabilities(observation, np.ones((1, 5), bool)).argmax() == 4


def test_factorisation_learns_which_view_goes_with_which_label():
    env = HintEnv(num_envs=64)
    agent = build(Factorisation, env, parts=("hint",), n_epochs=30, batch_size=512)
    agent.learn(env, steps=8000)
    assert hint_value(agent) > 0.99 and hint_value(agent, labels_masked=0.5) > 0.99
    assert agent.learning_curve[-1][1]["train/loss"] < 0.1


def test_factorisation_recovers_planted_click_rates():
    """60,000 pushes with P(click) = sigma(b_k + (E'x).v_k), d = 2: fitted rates within .02 of the planted ones on average."""
    rng = np.random.default_rng(0)
    agent = build(Factorisation, HintEnv(), parts=("hint",), dimensions=2, n_epochs=30, batch_size=2048, weight_decay=0.0)
    e, v, b = rng.standard_normal((4, 2)), rng.standard_normal((4, 2)), rng.normal(-1, 0.5, 4)
    x = rng.dirichlet(np.ones(4), 60_000).astype(np.float32)
    label = rng.integers(0, 4, 60_000)
    truth = 1 / (1 + np.exp(-(b + x @ e @ v.T)))
    agent._fit(x, label, rng.random(60_000) < truth[np.arange(60_000), label])
    fitted = 1 / (1 + np.exp(-(agent.bias_ + x @ agent.embedding_ @ agent.label_.T)))
    assert abs(fitted - truth).mean() < 0.02


@pytest.mark.parametrize("highest, expected", [(True, [2, 4, 0]), (False, [4, 3, 0])])
def test_ranked_takes_the_extreme_of_what_is_allowed(highest, expected):
    agent = build(Ranked, HintEnv(), part="hint", highest=highest)
    observation = np.zeros((3, 12))
    observation[:, 7:11] = [[0.3, 0.9, 0.5, 0.1], [0.3, 0.9, 0.5, 0.6], [0.3, 0.9, 0.5, 0.1]]
    mask = np.array([[True] * 5, [True, False, False, True, True], [True, False, False, False, False]])
    assert agent.action_probabilities(observation, mask).argmax(1).tolist() == expected


@pytest.mark.parametrize("agent_class, setting", [(Ranked, "part"), (OrganicPopularity, "views"), (OrganicCount, "last_view")])
def test_a_part_that_is_missing_or_not_one_number_per_label_is_refused(agent_class, setting):
    with pytest.raises(AgentConfigError, match="needs the observation part 'nowhere'; this one has .*hint, .*noise, .*recent_pushes"):
        build(agent_class, HintEnv(), **{setting: "nowhere"})
    with pytest.raises(AgentConfigError, match=r"one number per label \(4\) in the observation part 'noise', this one has 7"):
        build(agent_class, HintEnv(), **{setting: "noise"})
    with pytest.raises(AgentConfigError, match="at least one part"):
        build(Factorisation, HintEnv(), parts=())

"""Random, hold-back, popularity and the frequency cap."""

from __future__ import annotations

import numpy as np
import pytest
from toy_env import HintEnv, build, views

from agents.baselines import CappedPopularity, HoldBack, Popularity, Random
from agents.errors import AgentConfigError


class PricedEnv(HintEnv):
    """Pushing label k pays `prices[k - 1]`, whoever the customer is."""

    prices = (0.2, 0.9, -0.3, 0.5)

    def step(self, actions):
        observation, _, *rest = super().step(actions)
        return observation, np.r_[0.0, self.prices][actions], *rest


def popularity(agent_class=Popularity, **settings):
    env = PricedEnv(num_envs=32, mask_rate=0.3)
    agent = build(agent_class, env, **settings)
    agent.learn(env, steps=3200, evaluate=settings.get("evaluate"))
    return agent


def test_random_gives_each_of_3_allowed_actions_a_third():
    agent = build(Random, HintEnv())
    mask = np.array([[True, False, True, True, False]])
    np.testing.assert_allclose(agent.action_probabilities(np.zeros((1, 12)), mask), [[1 / 3, 0, 1 / 3, 1 / 3, 0]])


def test_hold_back_never_pushes():
    observation, mask, uniform = views(HintEnv(), 100)
    assert (build(HoldBack, HintEnv()).act(observation, mask, uniform).action == 0).all()


def test_popularity_measures_each_labels_money_per_push_exactly_where_rewards_are_sure():
    agent = popularity()
    np.testing.assert_allclose(agent.value_, [0.0, 0.2, 0.9, -0.3, 0.5], atol=1e-12)
    assert agent.count_.sum() == 3200 and agent.count_.min() > 300


def test_popularity_pushes_the_best_allowed_label_and_never_the_one_that_loses_money():
    agent = popularity()
    masks = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 0, 1, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 0]], dtype=bool)
    np.testing.assert_array_equal(agent.act(np.zeros((5, 12)), masks, np.full(5, 0.5)).action, [2, 4, 1, 0, 0])


def test_popularity_ignores_a_label_the_log_never_pushed():
    env = PricedEnv(num_envs=32)
    agent = build(Popularity, env)
    env.action_masks = lambda: np.tile(np.array([True, True, False, True, True]), (32, 1))
    env.step, honest = lambda actions: honest(actions), env.step
    agent.learn(env, steps=640)
    assert agent.count_[2] == 0 and np.isnan(agent.value_[2])
    assert agent.act(np.zeros((1, 12)), np.ones((1, 5), bool), [0.5]).action == 4


def test_the_cap_holds_back_from_2_recent_pushes_on():
    agent = popularity(CappedPopularity, caps=(2.0,))
    observation = np.zeros((4, 12))
    observation[:, -1] = np.array([0.0, 1.9, 2.0, 5.0]) / 3         # the observation is decayed pushes / 3
    np.testing.assert_array_equal(agent.act(observation, np.ones((4, 5), bool), np.zeros(4)).action, [2, 2, 0, 0])


def test_without_a_cap_capped_popularity_is_popularity():
    capped, plain = popularity(CappedPopularity, caps=(None,)), popularity()
    observation, mask, uniform = views(HintEnv(), 200)
    observation[:, -1] = 100.0
    np.testing.assert_array_equal(capped.act(observation, mask, uniform).action,
                                  plain.act(observation, mask, uniform).action)


def test_the_cap_that_earns_most_on_tuning_customers_is_taken_and_all_are_recorded():
    env = PricedEnv(num_envs=32)
    agent = build(CappedPopularity, env, caps=(0.5, 1.0, 2.0, None))
    agent.learn(env, steps=640, evaluate=lambda candidate: -abs(candidate.cap_ - 1.2))
    assert agent.cap_ == 1.0
    assert [row["cap"] for row in agent.tuning_] == [0.5, 1.0, 2.0, None]
    np.testing.assert_allclose([row["value"] for row in agent.tuning_[:3]], [-0.7, -0.2, -0.8])


def test_a_cap_on_an_observation_without_recent_pushes_is_refused_with_the_parts_there_are():
    env = HintEnv()
    del env.observation_layout["recent_pushes"]
    with pytest.raises(AgentConfigError, match="'recent_pushes'; this one has affinity, .*hint, .*noise"):
        build(CappedPopularity, env)


@pytest.mark.parametrize("settings, words", [({"caps": ()}, "caps"), ({"caps": (1.0, -2.0)}, "above 0"),
                                             ({"total_steps": -1}, "total_steps"), ({"num_envs": 0}, "num_envs")])
def test_impossible_settings_are_refused_by_name(settings, words):
    with pytest.raises(AgentConfigError, match=words):
        build(CappedPopularity, HintEnv(), **settings)


def test_tuning_a_cap_without_evaluate_is_refused():
    with pytest.raises(AgentConfigError, match="evaluate"):
        env = HintEnv()
        build(CappedPopularity, env).learn(env, steps=64)

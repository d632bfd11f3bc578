"""LinUCB's quick choice is its slow one."""

from __future__ import annotations

import numpy as np
import pytest
from toy_env import HintEnv, build

from agents.bandit import random_argmax
from agents.linear_bandits import LinUCB
from agents.screened_argmax import screen_of, sure_choices


def learned(size=40, labels=15, rows=3000, ridge=1.0, scale=1.0):
    agent, rng = build(LinUCB, HintEnv(labels=labels, size=size), ridge=ridge, alpha=0.8), np.random.default_rng(size)
    agent.start()
    x = scale * rng.standard_normal((rows, size))
    agent.absorb(x, rng.integers(0, labels + 1, rows), rng.standard_normal(rows))
    return agent, scale * rng.standard_normal((1000, size)), rng


@pytest.mark.parametrize("size, ridge, scale", [(1, 1.0, 1.0), (7, 0.01, 1.0), (40, 1.0, 1.0), (88, 5.0, 30.0), (88, 1e-6, 1e-3)])
def test_choices_are_those_of_the_double_precision_scores(size, ridge, scale):
    agent, x, rng = learned(size, ridge=ridge, scale=scale)
    allowed = rng.random((1000, 16)) < 0.7
    allowed[:, 0] = True
    expected = random_argmax(agent.scores(x, agent.alpha), allowed, np.random.default_rng(3).random((1000, 16)))
    np.testing.assert_array_equal(agent._explore(x, allowed, np.random.default_rng(3)), expected)


def test_of_1000_ordinary_rows_all_are_sure_and_of_tied_ones_none():
    agent, x, _ = learned()
    allowed = np.ones((1000, 16), bool)
    features = agent.features(x)
    choice = sure_choices(features, agent.means(features), allowed, 0.8, screen_of(agent.whitener_))
    assert (choice >= 0).all()
    agent.start()
    assert (sure_choices(features, agent.means(features), allowed, 0.8, screen_of(agent.whitener_)) == -1).all()


def test_a_row_with_one_allowed_action_takes_it():
    agent, x, _ = learned()
    allowed = np.zeros((1000, 16), bool)
    allowed[:, 0] = True
    assert (agent._explore(x, allowed, np.random.default_rng(0)) == 0).all()


def test_one_by_one_the_choice_is_that_of_the_double_precision_scores_for_1000_rows():
    agent, x, _ = learned(64, 31)
    expected = agent.scores(x, agent.alpha).argmax(1)
    assert [agent.choose_one(row) for row in x] == expected.tolist()

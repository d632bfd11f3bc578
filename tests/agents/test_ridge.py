"""The two ways through the regressions, row by row and in batches, end with the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from toy_env import HintEnv, build

from agents.errors import DivergedError, ShapeMismatchError
from agents.linear_bandits import LinUCB
from agents.ridge import FEW, with_bias
from agents.thompson import LinTS


def log(size, actions, n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, size)), rng.integers(0, actions, n), rng.standard_normal(n)


def started(agent_class=LinUCB, size=64, labels=31, **settings):
    agent = build(agent_class, HintEnv(labels=labels, size=size), **settings)
    agent.start()
    return agent


def test_verification_5000_updates_one_by_one_equal_one_solve_to_1e_9():
    """d = 65, 32 actions: Sherman and Morrison row by row, blocks of 7, and one Cholesky solve of the sums."""
    observation, action, reward = log(64, 32, 5000)
    whole, single, blocks = started(ridge=1.0), started(ridge=1.0), started(ridge=1.0)
    whole.absorb(observation, action, reward)
    for i in range(5000):
        single.absorb(observation[i:i + 1], action[i:i + 1], reward[i:i + 1])
    for i in range(0, 5000, 7):
        blocks.absorb(observation[i:i + 7], action[i:i + 7], reward[i:i + 7])
    fresh = np.random.default_rng(1).standard_normal((FEW, 64))
    mean, width = whole.means(with_bias(fresh)), whole.widths(with_bias(fresh))
    for other in (single, blocks):
        ours = other.mean_and_width(fresh)              # FEW rows: by the inverses
        np.testing.assert_allclose(ours[0], mean, rtol=0, atol=1e-9)
        np.testing.assert_allclose(ours[1], width, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(other.count_, whole.count_)
        np.testing.assert_allclose(other.gram_, whole.gram_, rtol=0, atol=1e-9)
        np.testing.assert_allclose(other.scores(fresh, 0.5), whole.scores(fresh, 0.5), rtol=0, atol=1e-9)
    print("largest difference of a score", np.abs(single.scores(fresh, 0.5) - whole.scores(fresh, 0.5)).max())


def test_choosing_one_by_one_takes_the_highest_bound_and_no_masked_action():
    agent, (observation, action, reward) = started(size=20, labels=6), log(20, 7, 300)
    agent.absorb(observation, action, reward)
    rng = np.random.default_rng(2)
    for _ in range(100):
        x, mask = rng.standard_normal((1, 20)), rng.random(7) < 0.6
        mask[0] = True
        expected = np.where(mask, agent.scores(x, agent.alpha)[0], -np.inf).argmax()
        assert agent.choose_one(x[0], mask) == expected
        assert agent.choose_one(x[0]) == agent.scores(x, agent.alpha)[0].argmax()


def learned_arrays(agent):
    arrays = agent._learner().arrays
    return {name: array.copy() for name, array in arrays.items() if name != "whitener"}     # that waits for a batch


def test_one_interaction_is_absorbed_as_a_batch_of_one_is_to_the_bit():
    ones, rows = started(size=20, labels=6), started(size=20, labels=6)
    observation, action, reward = log(20, 7, 300)
    for i in range(300):
        ones.absorb_one(observation[i], int(action[i]), float(reward[i]))
        rows.absorb(observation[i:i + 1], action[i:i + 1], reward[i:i + 1])
    for name, array in learned_arrays(ones).items():
        np.testing.assert_array_equal(array, learned_arrays(rows)[name], err_msg=name)


@pytest.mark.parametrize(("size", "action", "reward", "spoilt", "error", "words"), [
    (21, 0, 1.0, None, ShapeMismatchError, r"\(20,\), got \(21,\)"),
    (20, 7, 1.0, None, ShapeMismatchError, "actions 0 to 6, got 7"),
    (20, -1, 1.0, None, ShapeMismatchError, "actions 0 to 6, got -1"),
    (20, 0, np.nan, None, DivergedError, "reward .nan. is not finite"),
    (20, 0, 1.0, -np.inf, DivergedError, "not finite"),
    (20, 0, 1.0, np.nan, DivergedError, "not finite"),
])
def test_an_interaction_that_cannot_be_learned_is_refused_and_changes_nothing(size, action, reward, spoilt, error, words):
    agent, (observation, actions, rewards) = started(size=20, labels=6), log(20, 7, 50)
    agent.absorb(observation, actions, rewards)
    before, row = learned_arrays(agent), np.ones(size)
    if spoilt is not None:
        row[3] = spoilt
    with pytest.raises(error, match=words):
        agent.absorb_one(row, action, reward)
    for name, array in learned_arrays(agent).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_choosing_one_by_one_refuses_wrong_sizes_and_what_is_not_finite():
    agent = started(size=20, labels=6)
    with pytest.raises(ShapeMismatchError, match=r"\(20,\), got \(19,\)"):
        agent.choose_one(np.zeros(19))
    with pytest.raises(ShapeMismatchError, match=r"\(7,\), got \(6,\)"):
        agent.choose_one(np.zeros(20), np.ones(6, bool))
    with pytest.raises(ShapeMismatchError, match="holding back"):
        agent.choose_one(np.zeros(20), np.zeros(7, bool))
    with pytest.raises(DivergedError, match="not finite"):
        agent.choose_one(np.full(20, np.nan))


@pytest.mark.parametrize("scale", [0.0, 1e-25, 1e8, 1e14, 1e16, 1e25])
def test_the_choice_is_that_of_the_scores_however_large_or_small_the_observation(scale):
    agent, (observation, action, reward) = started(size=20, labels=6), log(20, 7, 300)
    agent.absorb(observation, action, reward)
    for row in scale * observation[:50]:
        assert agent.choose_one(row) == agent.scores(row[None], agent.alpha)[0].argmax()


def test_choosing_one_by_one_takes_the_lowest_allowed_action_on_a_tie():
    agent = started(size=20, labels=6)
    assert agent.choose_one(np.ones(20)) == 0
    assert agent.choose_one(np.ones(20), np.arange(7) >= 3) == 3


@pytest.mark.parametrize("agent_class", [LinUCB, LinTS])
def test_row_by_row_and_batches_may_take_turns(agent_class):
    """Batches of 1, 300, 5, 200 (lazily), 2, ...: whatever came before, the sums and solves are those of all rows."""
    agent, (observation, action, reward) = started(agent_class, size=10, labels=4), log(10, 5, 1000)
    first = 0
    for turn, size in enumerate((1, 300, 5, 200, 2, 128, 129, 1, 100, 134)):
        rows = slice(first, first + size)
        if turn % 2 == 0:
            agent.absorb(observation[rows], action[rows], reward[rows])
        else:
            agent.update(observation[rows], action[rows], reward[rows])
        first += size
    agent.refresh()
    assert first == 1000
    whole = started(agent_class, size=10, labels=4)
    whole.absorb(observation, action, reward)
    few, many = log(10, 5, FEW, 3)[0], log(10, 5, FEW + 1, 3)[0]
    for fresh in (few, many):
        for ours, theirs in zip(agent.mean_and_width(fresh), whole.mean_and_width(fresh), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)


def test_updates_between_refreshes_do_not_count_even_after_updates_one_by_one():
    agent, (observation, action, reward) = started(size=10, labels=4), log(10, 5, 50)
    agent.absorb(observation[:3], action[:3], reward[:3])
    before = agent.mean_and_width(observation)
    agent.update(observation[3:], action[3:], reward[3:])
    for now, then in zip(agent.mean_and_width(observation), before, strict=True):
        np.testing.assert_allclose(now, then, rtol=0, atol=1e-12)
    agent.refresh()
    assert np.abs(agent.mean_and_width(observation)[0] - before[0]).max() > 0.01


def test_an_agent_with_one_lane_learns_like_one_with_cholesky_alone():
    """refresh_every 1 and 2 lanes go row by row; 2 lanes solved by Cholesky at each batch choose the same actions."""
    counts = []
    for solver in ("rows", "cholesky"):
        env = HintEnv(num_envs=2)
        agent = build(LinUCB, env, refresh_every=1)
        if solver == "cholesky":
            agent.absorb = lambda *batch, agent=agent: (agent.update(*batch), agent.refresh())
        agent.learn(env, steps=2000)
        counts.append((agent.count_.copy(), agent.weights_.copy()))
    np.testing.assert_array_equal(counts[0][0], counts[1][0])
    np.testing.assert_allclose(counts[0][1], counts[1][1], rtol=0, atol=1e-9)

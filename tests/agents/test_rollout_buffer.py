"""Rollouts hold what plain SB3 would collect, and credit a life that was cut with its expected future."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sb3_reference import GAMMA, LAMBDA, SCALE, SEED, STEPS, hint_env, reference, same_model

from agents.rollout_buffer import RolloutBuffer, advantages, inverse_cdf


class TorchUniforms:
    """Gives the numbers that SB3's policy draws from torch's generator, as a NumPy generator would."""

    def random(self, shape, dtype):
        return np.stack([torch.rand(shape[1], 1).numpy()[:, 0] for _ in range(shape[0])]).astype(dtype)


@pytest.fixture(scope="module")
def both():
    model, collect = reference()
    ours = same_model(model.policy)
    torch.manual_seed(11)
    collect()
    torch.manual_seed(11)
    buffer = RolloutBuffer(hint_env(), ours, STEPS, SCALE, SEED)
    buffer.collect(TorchUniforms(), GAMMA)
    return model.rollout_buffer, buffer


def test_a_rollout_equals_plain_sb3s_with_many_lives_cut_by_the_horizon(both):
    theirs, ours = both
    assert theirs.episode_starts.sum() > 40
    np.testing.assert_array_equal(ours.observation, theirs.observations[:, :, : ours.observation.shape[2]])
    np.testing.assert_array_equal(ours.mask, theirs.observations[:, :, ours.observation.shape[2] :] > 0.5)
    np.testing.assert_array_equal(ours.action, theirs.actions[:, :, 0])
    np.testing.assert_allclose(ours.reward, theirs.rewards, atol=1e-6)
    np.testing.assert_allclose(ours.value[:-1], theirs.values, atol=1e-6)
    np.testing.assert_allclose(ours.log_probability, theirs.log_probs, atol=1e-6)
    transitions = ours.transitions(GAMMA, LAMBDA)
    np.testing.assert_allclose(transitions.advantage, theirs.advantages.reshape(-1), atol=2e-6)
    np.testing.assert_allclose(transitions.returns, theirs.returns.reshape(-1), atol=2e-6)


def test_statistics_count_money_not_scaled_rewards(both):
    _, ours = both
    fresh = RolloutBuffer(ours.env, ours.model, 6, SCALE, SEED)
    seen = []
    step = fresh.env.step
    fresh.env.step = lambda actions: seen.append(step(actions)) or seen[-1]
    fresh.collect(np.random.default_rng(0), GAMMA)
    fresh.env.step = step
    statistics = fresh.statistics()
    assert statistics["rollout/value_per_step"] == pytest.approx(np.mean([s[1] for s in seen]))
    assert fresh.statistics() == {}


def test_verification_a_life_cut_by_the_horizon_is_credited_with_its_expected_future_and_a_left_one_is_not():
    """With a constant critic of 2 and gamma .9, truncation adds 1.8 to the scaled reward of at most .2."""
    model = same_model(reference()[0].policy)
    model.flat.zero_()
    model.flat[-1] = 2.0  # the bias of the value
    buffer = RolloutBuffer(hint_env(), model, STEPS, SCALE, SEED)
    seen, step = [], buffer.env.step
    buffer.env.step = lambda actions: seen.append(step(actions)) or seen[-1]
    buffer.collect(np.random.default_rng(0), GAMMA)
    reward, terminated, truncated = (np.stack([s[i] for s in seen]) for i in (1, 2, 3))
    assert truncated.sum() > 10 and terminated.sum() > 5
    np.testing.assert_allclose(buffer.reward, 0.2 * reward + 1.8 * truncated, atol=1e-6)


def test_verification_advantages_of_a_hand_computed_rollout():
    """gamma .5, lambda .5; A_1 = 2 - .5 (done), A_0 = 1 + .5 (.5) - 0 + .25 A_1 = 1.625; a third step bootstraps from 4."""
    reward, done = torch.tensor([[1.0], [2.0], [0.0]]), torch.tensor([[False], [True], [False]])
    value = torch.tensor([[0.0], [0.5], [1.0], [4.0]])
    found = advantages(reward, value, done, 0.5, 0.5)
    print("expected 1.625 1.5 1.0, found", found[:, 0].tolist())
    torch.testing.assert_close(found[:, 0], torch.tensor([1.625, 1.5, 1.0]))


def test_inverse_cdf_takes_the_first_action_beyond_u_and_never_one_of_probability_zero():
    p = torch.tensor([[0.25, 0.0, 0.75]]).repeat(4, 1)
    uniform = torch.tensor([0.0, 0.2499, 0.25, 1 - 2**-24])
    assert inverse_cdf(p, uniform).tolist() == [0, 0, 2, 2]

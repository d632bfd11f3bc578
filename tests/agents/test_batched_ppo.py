"""BatchedPPO fills the rollout buffer with what plain SB3 would."""

from __future__ import annotations

import numpy as np
import torch
from toy_env import HintEnv

from agents.batched_ppo import BatchedPPO
from agents.masked_policy import MaskedActorCriticPolicy
from agents.sb3 import PPO
from agents.sb3_vec_env import SB3VecEnv

COLUMNS = ("observations", "actions", "rewards", "episode_starts", "values", "log_probs", "advantages", "returns")


def rolled(model_class, **more):
    lanes = SB3VecEnv(HintEnv(num_envs=8, horizon=5, leave=0.1, mask_rate=0.3), reward_scale=0.2)
    model = model_class(MaskedActorCriticPolicy, lanes, n_steps=24, batch_size=64, n_epochs=1, gamma=0.9, seed=5,
                        policy_kwargs={"net_arch": [16]}, device="cpu", **more)
    _, callback = model._setup_learn(1000)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, 24)
    return model


def test_a_rollout_equals_plain_sb3s_with_many_lives_cut_by_the_horizon():
    plain, batched = rolled(PPO), rolled(BatchedPPO, after_update=lambda model: None)
    assert plain.rollout_buffer.episode_starts.sum() > 40
    for column in COLUMNS:
        np.testing.assert_allclose(getattr(batched.rollout_buffer, column), getattr(plain.rollout_buffer, column),
                                   atol=1e-6, err_msg=column)
    assert batched.num_timesteps == plain.num_timesteps == 192


def test_a_life_cut_by_the_horizon_is_credited_with_its_expected_future_and_a_left_one_is_not():
    """With a constant critic of 2 and gamma .9, truncation adds 1.8 to the scaled reward of at most .2."""
    lanes = SB3VecEnv(HintEnv(num_envs=8, horizon=5, leave=0.1), reward_scale=0.2)
    model = BatchedPPO(MaskedActorCriticPolicy, lanes, n_steps=24, batch_size=64, gamma=0.9, seed=5, device="cpu",
                       after_update=lambda model: None)
    with torch.no_grad():
        model.policy.value_net.weight.zero_()
        model.policy.value_net.bias.fill_(2.0)
    seen = []
    lanes.step_wait, honest = lambda: seen.append(honest()) or seen[-1], lanes.step_wait
    _, callback = model._setup_learn(1000)
    honest_rewards = []
    lanes.env.step, raw = lambda actions: honest_rewards.append(raw(actions)) or honest_rewards[-1], lanes.env.step
    model.collect_rollouts(model.env, callback, model.rollout_buffer, 24)
    truncated = np.stack([step[3] for step in honest_rewards])
    terminated = np.stack([step[2] for step in honest_rewards])
    reward = np.stack([step[1] for step in honest_rewards])
    assert truncated.sum() > 10 and terminated.sum() > 5
    np.testing.assert_allclose(model.rollout_buffer.rewards, 0.2 * reward + 1.8 * truncated, atol=1e-6)


def test_minibatches_hold_every_transition_once_with_its_own_columns():
    buffer = rolled(BatchedPPO, after_update=lambda model: None).rollout_buffer
    batches = list(buffer.get(50))
    assert [len(batch.actions) for batch in batches] == [50, 50, 50, 42]
    observations = torch.cat([batch.observations for batch in batches]).numpy()
    returns = torch.cat([batch.returns for batch in batches]).numpy()
    order, expected = np.lexsort(observations.T), buffer.observations.reshape(192, -1)
    expected_order = np.lexsort(expected.T)
    np.testing.assert_array_equal(observations[order], expected[expected_order])
    np.testing.assert_array_equal(returns[order], buffer.returns.reshape(-1)[expected_order])

"""The adapter from Gymnasium's vector environment to SB3's, on terminations made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from toy_env import HintEnv

from agents.errors import AgentConfigError
from agents.sb3_vec_env import SB3VecEnv


class Scripted(HintEnv):
    """Four lanes, two labels, three numbers seen: 0 goes on, 1 leaves, 2 reaches the horizon, 3 does both at once."""

    def __init__(self):
        super().__init__(num_envs=4, labels=2, size=5)
        self.seeds = []

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        super().reset(seed=seed)
        return np.zeros((4, 5), np.float32), {}

    def step(self, actions):
        self.sent = actions
        final = np.arange(20, dtype=np.float32).reshape(4, 5)
        info = {"final_obs": final, "_final_obs": np.array([False, True, True, True])}
        return (np.full((4, 5), 7, np.float32), np.array([1.0, 2.0, 3.0, -4.0]), np.array([False, True, False, True]),
                np.array([False, False, True, True]), info)

    def action_masks(self):
        return np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1], [1, 0, 0]], dtype=bool)


@pytest.fixture
def stepped():
    lanes = SB3VecEnv(Scripted(), reward_scale=0.2)
    first = lanes.reset()
    return lanes, first, lanes.step(np.array([0, 1, 2, 0]))


def test_terminated_and_truncated_become_done_and_the_flag_marks_only_the_horizon(stepped):
    _, _, (_, _, done, infos) = stepped
    np.testing.assert_array_equal(done, [False, True, True, True])
    assert infos[0] == {}
    assert [info["TimeLimit.truncated"] for info in infos[1:]] == [False, True, False]


def test_terminal_observations_are_the_last_ones_of_their_lane_with_an_open_mask(stepped):
    _, _, (observation, _, _, infos) = stepped
    np.testing.assert_array_equal(infos[2]["terminal_observation"], [10, 11, 12, 13, 14, 1, 1, 1])
    assert infos[2]["terminal_observation"].dtype == np.float32
    np.testing.assert_array_equal(observation[:, :5], 7)            # the new customers' first ones


def test_the_mask_stands_behind_the_observation(stepped):
    lanes, first, (observation, *_) = stepped
    assert first.shape == observation.shape == (4, 8) == (4, *lanes.observation_space.shape)
    np.testing.assert_array_equal(observation[:, 5:], lanes.env.action_masks())
    assert lanes.observation_space.contains(observation[0]) and not np.shares_memory(first, observation)


def test_rewards_are_scaled_for_sb3_and_counted_in_money(stepped):
    lanes, _, (_, reward, _, _) = stepped
    np.testing.assert_allclose(reward, [0.2, 0.4, 0.6, -0.8], rtol=1e-6)
    assert reward.dtype == np.float32
    assert lanes.statistics() == pytest.approx({"rollout/value_per_step": 0.5, "rollout/value_per_customer": 1 / 3})
    assert lanes.statistics() == {}
    lanes.step(np.zeros(4, int))
    lanes.step(np.zeros(4, int))
    assert lanes.statistics()["rollout/value_per_customer"] == pytest.approx(1 / 3)     # a life is one step in lanes 1-3


def test_a_seed_is_used_by_one_reset_only():
    lanes = SB3VecEnv(Scripted())
    lanes.seed(11)
    lanes.reset()
    lanes.reset()
    assert lanes.env.seeds == [11, None]


def test_without_the_mask_observations_pass_unchanged():
    lanes = SB3VecEnv(Scripted(), append_mask=False)
    assert lanes.reset().shape == (4, 5)
    assert lanes.step(np.zeros(4, int))[3][1]["terminal_observation"].tolist() == [5, 6, 7, 8, 9]


def test_sb3_contrib_finds_one_mask_row_per_lane():
    lanes = SB3VecEnv(Scripted())
    np.testing.assert_array_equal(np.stack(lanes.env_method("action_masks")), lanes.env.action_masks())
    np.testing.assert_array_equal(np.stack(lanes.env_method("action_masks", indices=[1])), [[1, 0, 1]])
    assert lanes.get_attr("labels", indices=[0, 1]) == [2, 2] and lanes.env_is_wrapped(object, indices=0) == [False]


def test_next_step_autoreset_is_refused():
    env = HintEnv()
    env.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    with pytest.raises(AgentConfigError, match="same-step"):
        SB3VecEnv(env)

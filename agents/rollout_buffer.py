"""Rollouts of a policy in a batched environment, and what every step of them was worth.

Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438), with lambda-returns as targets of the critic:

    A_t = delta_t + gamma lambda (1 - done_t) A_{t+1},   delta_t = r_t + gamma (1 - done_t) V_{t+1} - V_t,   R_t = A_t + V_t

A life cut by the horizon goes on: its last reward is credited with gamma V(last observation) (Pardo et al. 2018,
arXiv:1712.00378). A life that ended by itself is not. `tests/agents/test_rollout_buffer.py` holds this against SB3.

Actions are drawn by inverse CDF: where the cumulative sum first exceeds u times its total, u < 1, the probability is
positive, whatever the rounding, so a masked action is never drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from agents.checks import check_reward
from agents.ppo_update import BLOCK, Transitions, masked_log_softmax
from agents.tanh_network import slices


def inverse_cdf(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """One action per row of (n, K + 1), for uniforms (n,) in [0, 1)."""
    cumulative = probabilities.cumsum(1)
    return (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(1)


def advantages(reward: Tensor, value: Tensor, done: Tensor, gamma: float, gae_lambda: float) -> Tensor:
    """Generalised advantage estimates (T, N) of rewards (T, N), values (T + 1, N), and done (T, N)."""
    goes_on = 1.0 - done.float()
    delta = reward + gamma * goes_on * value[1:] - value[:-1]
    result, carry = torch.empty_like(delta), torch.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        carry = delta[t] + gamma * gae_lambda * goes_on[t] * carry
        result[t] = carry
    return result


class RolloutBuffer:
    """T steps of every one of N lanes, in memory that the next rollout uses again.

    Parameters
    ----------
    env : gymnasium.vector.VectorEnv
        Same-step autoreset, with `action_masks() -> (N, K + 1) bool`. It is reset with `seed`.
    model : e.g. `agents.actor_critic.ActorCritic`
    n_steps : int
        T.
    reward_scale : float
        Reward units per money; `statistics` counts money.
    seed : int
        Of the environment.
    kept : dict, optional
        `arrays()` of a buffer that is to be gone on from; the environment, which stands where it stood then, is not reset.
    """

    def __init__(
        self,
        env: VectorEnv,
        model: Any,
        n_steps: int,
        reward_scale: float,
        seed: int,
        kept: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.env, self.model, self.n_steps, self.reward_scale = env, model, n_steps, reward_scale
        lanes, actions = env.num_envs, int(env.single_action_space.n)  # type: ignore[attr-defined]
        self.observation = torch.empty(n_steps, lanes, model.inputs)
        self.mask = torch.empty(n_steps, lanes, actions, dtype=torch.bool)
        self.action = torch.empty(n_steps, lanes, dtype=torch.int64)
        self.log_probability = torch.empty(n_steps, lanes)
        self.value = torch.empty(n_steps + 1, lanes)
        self.reward = torch.empty(n_steps, lanes)
        self.done = torch.empty(n_steps, lanes, dtype=torch.bool)
        self._space = model.space(min(BLOCK, lanes))
        self._next = torch.from_numpy(kept["observation"] if kept else model.prepare(env.reset(seed=seed)[0]))
        self._return = kept["return"] if kept else np.zeros(lanes)  # money so far in each lane's life
        self._clear()

    def arrays(self) -> dict[str, np.ndarray]:
        """What the next rollout needs of this one, copied; after `statistics`, whose sums it does not hold."""
        return {"observation": self._next.numpy().copy(), "return": self._return.copy()}

    def collect(self, rng: np.random.Generator, gamma: float) -> None:
        """Fill the buffer with the next `n_steps` of every lane.

        Raises
        ------
        DivergedError
            If a reward is not finite.
        """
        uniform = torch.from_numpy(rng.random(self.reward.shape, dtype=np.float32))
        cut: list[tuple[int, np.ndarray, np.ndarray]] = []  # (step, lanes, their last observations)
        for t in range(self.n_steps):
            self.observation[t] = self._next
            self.mask[t] = torch.from_numpy(self.env.action_masks())  # type: ignore[attr-defined]
            self._act(t, uniform[t])
            observation, reward, terminated, truncated, info = self.env.step(self.action[t].numpy())
            check_reward(reward)
            done = terminated | truncated
            self.reward[t] = torch.from_numpy(self.reward_scale * reward)
            self.done[t] = torch.from_numpy(done)
            lanes = np.flatnonzero(truncated & ~terminated)
            if len(lanes):
                cut.append((t, lanes, self.model.prepare(info["final_obs"][lanes])))
            self._count(reward, done)
            self._next = torch.from_numpy(self.model.prepare(observation))
        self.value[-1] = self._values(self._next)
        if cut:
            expected = self._values(torch.from_numpy(np.concatenate([last for _, _, last in cut])))
            steps = np.concatenate([np.full(len(lanes), t) for t, lanes, _ in cut])
            self.reward[steps, np.concatenate([lanes for _, lanes, _ in cut])] += gamma * expected

    def transitions(self, gamma: float, gae_lambda: float) -> Transitions:
        """The T N transitions, step by step, with advantages and returns; views of this buffer where they can be."""
        advantage = advantages(self.reward, self.value, self.done, gamma, gae_lambda)
        columns = (
            self.observation,
            self.mask,
            self.action,
            self.log_probability,
            self.value[:-1],
            advantage,
            advantage + self.value[:-1],
        )
        return Transitions(*(column.flatten(0, 1) for column in columns))

    def statistics(self) -> dict[str, float]:
        """Money per step, and per finished life where one finished, since the last call."""
        result = {"rollout/value_per_step": self._money / self._steps} if self._steps else {}
        if self._lives:
            result["rollout/value_per_customer"] = self._life_money / self._lives
        self._clear()
        return result

    def _act(self, t: int, uniform: Tensor) -> None:
        for part in slices(len(uniform), BLOCK):
            x = self.observation[t, part]
            self.value[t, part] = self.model.values(x, self._space)
            log_p = masked_log_softmax(self.model.logits(x, self._space), self.mask[t, part])
            self.action[t, part] = action = inverse_cdf(log_p.exp(), uniform[part])
            self.log_probability[t, part] = log_p.gather(1, action[:, None])[:, 0]

    def _values(self, x: Tensor) -> Tensor:
        return torch.cat(
            [self.model.values(x[part], self._space).clone() for part in slices(len(x), min(BLOCK, len(self._next)))]
        )

    def _count(self, reward: np.ndarray, done: np.ndarray) -> None:
        self._return += reward
        self._money += float(reward.sum())
        self._steps += len(reward)
        self._lives += int(done.sum())
        self._life_money += float(self._return[done].sum())
        self._return[done] = 0.0

    def _clear(self) -> None:
        self._money, self._steps, self._lives, self._life_money = 0.0, 0, 0, 0.0

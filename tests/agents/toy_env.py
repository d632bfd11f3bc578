"""A vector environment that follows the agents' contract and whose best policy is known by heart.

Each observation holds a one-hot "hint" over the K labels and noise. Pushing the hinted label pays 1, another label
-0.25, holding back 0, so the optimum is 1 per step. Lives end by leaving (terminated) at a given rate or after
`horizon` steps (truncated). Labels other than the hinted one are masked at `mask_rate`; a masked action raises, so a
test that only runs already shows that none was sent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

RECORD = ("log_pushes", "click_lift", "log_purchases", "recency", "affinity", "label_valence")


class HintEnv(VectorEnv):
    """K labels hinted at in plain sight; see the module docstring.

    Observation (D,) float32: noise (D - K - 1), hint (K), recent_pushes (1).
    """

    def __init__(self, num_envs: int = 16, labels: int = 4, size: int = 12, horizon: int = 10, leave: float = 0.05,
                 mask_rate: float = 0.0) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs, self.labels, self.horizon, self.leave, self.mask_rate = num_envs, labels, horizon, leave, mask_rate
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.single_action_space = spaces.Discrete(labels + 1)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        noise = size - labels - 1
        self.observation_layout = {"noise": (0, noise), "hint": (noise, noise + labels),
                                   "recent_pushes": (noise + labels, size)}
        if noise >= labels:         # a till's record of nothing but noise, for agents that cannot do without one
            self.observation_layout |= {part: (0, labels) for part in RECORD}
        self.rng = np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.age = np.zeros(self.num_envs, dtype=np.int64)
        self.recent = np.zeros(self.num_envs)
        return self._look(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        lane = np.arange(self.num_envs)
        assert self.mask[lane, actions].all(), "a masked action was sent"
        reward = np.where(actions == 0, 0.0, np.where(actions == self.hint + 1, 1.0, -0.25))
        self.age += 1
        self.recent = self.recent * 0.8 + (actions > 0)
        terminated = self.rng.random(self.num_envs) < self.leave
        truncated = ~terminated & (self.age >= self.horizon)
        done, info = terminated | truncated, {}
        observation = self._look()
        if done.any():
            info = {"final_obs": observation.copy(), "_final_obs": done}
            self.age[done], self.recent[done] = 0, 0.0
            observation = self._look()      # every lane looks again: only done lanes' last view matters
        return observation, reward, terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        return self.mask.copy()

    def visits(self) -> np.ndarray:
        """(N, 2): a visit begins at every third step of a life; the odd lanes' customers are recognised."""
        return np.stack([self.age % 3 == 0, np.arange(self.num_envs) % 2 == 1], axis=1)

    def _look(self) -> np.ndarray:
        n, k = self.num_envs, self.labels
        self.hint = hint = self.rng.integers(0, k, n)
        self.mask = np.ones((n, k + 1), dtype=bool)
        self.mask[:, 1:] = (self.rng.random((n, k)) >= self.mask_rate) | np.eye(k, dtype=bool)[hint]
        size = self.single_observation_space.shape[0]
        observation = np.empty((n, size), dtype=np.float32)
        observation[:, : size - k - 1] = self.rng.standard_normal((n, size - k - 1), dtype=np.float32)
        observation[:, size - k - 1:-1] = np.eye(k, dtype=np.float32)[hint]
        observation[:, -1] = self.recent / 3
        return observation


def build(agent_class: Any, env: HintEnv, seed: int = 0, **settings: Any) -> Any:
    """An agent that fits `env`."""
    return agent_class(observation_space=env.single_observation_space, action_space=env.single_action_space,
                       layout=env.observation_layout, seed=seed, **settings)


def views(env: HintEnv, n: int, seed: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n observations, random masks (hold-back allowed) and uniforms that fit `env`."""
    rng = np.random.default_rng(seed)
    mask = rng.random((n, env.labels + 1)) < 0.6
    mask[:, 0] = True
    return rng.standard_normal((n, *env.single_observation_space.shape), dtype=np.float32), mask, rng.random(n)


def hint_value(agent: Any, n: int = 4000, labels_masked: float = 0.0, seed: int = 99) -> float:
    """Mean reward per step of a trained agent on fresh observations; 1 is the optimum."""
    env = HintEnv(n, labels=agent.num_actions - 1, size=agent.observation_size, mask_rate=labels_masked)
    observation, _ = env.reset(seed=seed)
    decision = agent.act(observation, env.action_masks(), np.random.default_rng(seed).random(n))
    return float(env.step(decision.action)[1].mean())

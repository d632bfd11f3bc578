"""Many customers side by side, as a Gymnasium vector environment: the same compiled step, mapped over rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from sim.envs import spaces
from sim.envs.buffers import Buffers
from sim.shop.lives import LiveCustomers
from sim.shop.world import Shop


class ProductPushVectorEnv(gymnasium.vector.VectorEnv):
    """N rows of `sim.shop`; see `ProductPushEnv` for spaces and reward.

    Same-step autoreset: where an episode ends, the row's next customer (id + N) has already stepped up in the observation
    returned, and `info["final_obs"]` holds the last observation of the one who left (`info["_final_obs"]` says which rows).
    Row i of a vector environment equals, bit for bit, a single environment with `options={"customer": i}`, however many
    `threads` share the rows (None: the processors there are, where the rows are worth it).
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        num_envs: int = 1,
        shop: Shop | None = None,
        overrides: Sequence[str] = (),
        split: str = "train",
        render_mode: None = None,
        threads: int | None = None,
    ):
        self.threads = threads
        self.shop = spaces.resolve(shop, overrides)
        self.split, self.render_mode, self.num_envs = split, render_mode, num_envs
        self.single_observation_space = spaces.observation_space(self.shop)
        self.single_action_space = spaces.action_space(self.shop)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_layout = self.shop.layout
        self._lives: LiveCustomers | None = None
        self._observations = Buffers((num_envs, self.shop.observation_size), np.float32)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        seed = seed[0] if isinstance(seed, list) else seed
        super().reset(seed=seed)
        if seed is not None or self._lives is None:
            own = int(seed) if seed is not None else int(self.np_random.integers(2**32))
            self._lives = LiveCustomers(
                self.shop, self.num_envs, own % 2**32, self.split, autoreset=True, keep_events=False, threads=self.threads
            )
        else:
            self._lives.reset(int(self._lives.ids.max()) + 1)
        return self._lives.observation.copy(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self._lives is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        # written once, where the caller reads it: a copy would cost as much as a third of the step
        observation, final = self._observations.take(), self._observations.take()
        reward = self._lives.step(np.asarray(actions), observation, final).copy()
        state = self._lives.state
        ended = state.terminated | state.truncated
        info: dict[str, Any] = {"final_obs": final, "_final_obs": ended} if ended.any() else {}
        return observation, reward, state.terminated.copy(), state.truncated.copy(), info

    def action_masks(self) -> np.ndarray:
        """(N, K + 1) bool, S of them side by side with slates; True where an action is allowed now."""
        if self._lives is None:
            raise gymnasium.error.ResetNeeded("call reset() before action_masks()")
        return spaces.slot_masks(self._lives.action_masks(), self.shop)

    def visits(self) -> np.ndarray:
        """(N, 2) bool: a visit begins; the till took the customer for the right one.  See `LiveCustomers.visits`."""
        if self._lives is None:
            raise gymnasium.error.ResetNeeded("call reset() before visits()")
        return self._lives.visits()

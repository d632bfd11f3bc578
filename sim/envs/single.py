"""One customer at a time, as a Gymnasium environment.

## Action space
`Discrete(K + 1)`: 0 holds back, 1..K push label k.  A masked action executes as hold-back (`env.strict_mask=true`: an error);
`action_masks()` gives the mask as sb3-contrib expects it.  With `env.slate_size` S > 1 it is `MultiDiscrete([K + 1] * S)`, the
labels of a slate: 0 leaves a slot empty, a label named twice is shown once, and the masks of the S slots stand one behind the other.

## Observation space
`Box((11 + 6 K + 6,), float32)`: what the camera perceived on this visit, and the till's record of whom it took the customer
for; named slices in `observation_layout`.

## Reward
Money of this opportunity: margin of a purchase - push cost - opt-out cost (see `sim.shop.reward`).

## Episode
The life of one customer.  `terminated`: opted out or lapsed; `truncated`: the horizon in days.

## References
DESIGN of the shop: the modules of `sim.shop`, each with its equation and source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from sim.envs import spaces
from sim.shop.lives import LiveCustomers
from sim.shop.parameters import ShopError
from sim.shop.world import Shop


class ProductPushEnv(gymnasium.Env):
    """Gymnasium environment over one row of `sim.shop`.

    Parameters
    ----------
    shop : a `Shop`; None composes one from `conf/` with `overrides` (Hydra syntax, e.g. `["camera=blind"]`).
    split : whose customers: "train" or "evaluate".

    `reset(seed=s)` starts customer 0 of seed s; `reset()` the next customer; `reset(options={"customer": i})` customer i.
    """

    metadata = {"render_modes": []}

    def __init__(
        self, shop: Shop | None = None, overrides: Sequence[str] = (), split: str = "train", render_mode: None = None
    ):
        self.shop = spaces.resolve(shop, overrides)
        self.split, self.render_mode = split, render_mode
        self.observation_space = spaces.observation_space(self.shop)
        self.action_space = spaces.action_space(self.shop)
        self.observation_layout = self.shop.layout
        self._lives: LiveCustomers | None = None
        self._next = 0
        self._action = np.zeros(1, np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or self._lives is None:
            # without a seed Gymnasium still owns one, drawn from entropy: it names the customers of this environment
            own = int(seed) if seed is not None else int(self.np_random.integers(2**32))
            self._lives = self.shop.customers(1, own % 2**32, self.split)
            self._next = 0
        first = int((options or {}).get("customer", self._next))
        self._next = first + 1
        return self._lives.reset(first)[0].copy(), {}

    def step(self, action: int | np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self._lives is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        state = self._lives.state
        if state.customers["done"][0]:
            raise gymnasium.error.ResetNeeded("this customer's episode has ended; call reset()")
        if self.shop.slate_size == 1:
            try:
                self._action[0] = action
            except (TypeError, ValueError):
                self._action[0] = -1
            if self._action[0] != action:  # a fraction, or nothing that is a number
                raise ShopError(f"action {action!r} is no integer; 0 holds back, 1 to {self.shop.labels} push a label")
        else:
            self._action = np.asarray(action)[None]
        reward = float(self._lives.step(self._action)[0])
        return state.observation[0].copy(), reward, bool(state.terminated[0]), bool(state.truncated[0]), {}

    def action_masks(self) -> np.ndarray:
        """(K + 1,) bool, S of them one behind the other with slates; True where an action is allowed now."""
        if self._lives is None:
            raise gymnasium.error.ResetNeeded("call reset() before action_masks()")
        return spaces.slot_masks(self._lives.action_masks(), self.shop)[0]

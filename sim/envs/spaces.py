"""Spaces shared by the single and the vector environment."""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium
import numpy as np

from sim.shop.observation import BOUND
from sim.shop.scenarios import load_shop
from sim.shop.world import Shop


def resolve(shop: Shop | None, overrides: Sequence[str]) -> Shop:
    """The shop given, or the one that the Hydra overrides compose."""
    return load_shop(overrides) if shop is None else shop


def observation_space(shop: Shop) -> gymnasium.spaces.Box:
    """Box (O,) float32; the camera's eleven features lie in [0, 1]."""
    high = np.full(shop.observation_size, BOUND, np.float32)
    low = -high
    low[:11], high[:11] = 0.0, 1.0
    start, stop = shop.layout["similarity"]
    low[start:stop] = -1.0  # a cosine
    return gymnasium.spaces.Box(low, high, dtype=np.float32)


def action_space(shop: Shop) -> gymnasium.spaces.Discrete:
    """0 holds back, 1..K push label k."""
    return gymnasium.spaces.Discrete(shop.labels + 1)

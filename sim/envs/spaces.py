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


def label_space(shop: Shop) -> gymnasium.spaces.Discrete:
    """Of one push: 0 holds back, 1..K push label k.  What agents choose from, with slates once per slot."""
    return gymnasium.spaces.Discrete(shop.labels + 1)


def action_space(shop: Shop) -> gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete:
    """`label_space`, or one of it per slot of a slate, 0 an empty slot: MultiDiscrete (S,)."""
    if shop.slate_size == 1:
        return label_space(shop)
    return gymnasium.spaces.MultiDiscrete([shop.labels + 1] * shop.slate_size)


def slot_masks(masks: np.ndarray, shop: Shop) -> np.ndarray:
    """Masks (N, K + 1) as a copy, one beside the other for every slot (N, S (K + 1)), as sb3-contrib takes a MultiDiscrete's."""
    return np.tile(masks, (1, shop.slate_size))

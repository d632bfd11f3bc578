"""The customers of a vector environment mid-life, as plain arrays: what a killed training goes on from.

Every draw of the shop is a function of (seed, customer, step), so the arrays of `sim.shop.types.Lives` are the whole state:
no generator, no clock.  Records are kept as bytes beside the names and types of their fields, so that another version of the
shop is recognised instead of misread.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.envs.vector import ProductPushVectorEnv
from sim.shop.lives import LiveCustomers

_PASSING = ("events", "final_observation")  # what one step says: the next one writes it anew


class ForeignStateError(ValueError):
    """A saved state does not fit this environment; the text says what differs."""


def environment_state(env: ProductPushVectorEnv) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and JSON values of an environment that was reset; views, not copies."""
    lives = env._lives
    if lives is None:
        return {}, {}
    kept = {name: np.ascontiguousarray(array) for name, array in lives.state._asdict().items() if name not in _PASSING}
    arrays = {name: array.view(np.uint8) if array.dtype.names else array for name, array in kept.items() if array.size}
    return arrays, {"seed": lives.seed, "layout": _layout(lives)}


def restore_environment(env: ProductPushVectorEnv, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
    """Put the environment where `environment_state` found it.

    Raises
    ------
    ForeignStateError
        If the state is that of another number of customers, another catalog, or another version of the shop.
    """
    if not values:
        return
    lives = LiveCustomers(
        env.shop, env.num_envs, int(values["seed"]), env.split, autoreset=True, keep_events=False, threads=env.threads
    )
    own, saved = _layout(lives), values["layout"]
    for name in own.keys() | saved.keys():
        if own.get(name) != saved.get(name):
            raise ForeignStateError(f"the saved customers' {name!r} is laid out otherwise than in this version of the shop")
    for name, array in lives.state._asdict().items():
        if name in arrays:
            array[...] = arrays[name].view(array.dtype).reshape(array.shape)
    env._lives = lives


def _layout(lives: LiveCustomers) -> dict[str, Any]:
    """Shape and fields of every array; as JSON gives them back."""
    return {
        name: [list(array.shape), str(array.dtype.descr if array.dtype.names else array.dtype.str)]
        for name, array in lives.state._asdict().items()
        if name not in _PASSING
    }

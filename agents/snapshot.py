"""Where an agent stands in the middle of learning, so that a killed training goes on as if nothing had happened.

A snapshot is taken between two updates, where no half-done work lies about: everything that later draws, steps or sums depend
on, as named arrays and JSON values. An agent that goes on from one ends with the bits of an agent that was never stopped.
Taking one changes nothing.

An agent speaks of it in `learn`, with two methods of `Agent`: `_kept()` gives the snapshot to go on from, or None, and
`_offer(take)` says that here one could be taken. Whoever calls `learn` decides when, and keeps the environment's own state
beside it. An agent that offers none, a user's for instance, simply learns from the start again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Snapshot(NamedTuple):
    """State of a learning agent.

    Attributes
    ----------
    arrays : dict of ndarray
        Weights, moments of optimisers, sums, memories; any shape and numeric type.
    values : dict
        Counters and generators, as JSON values.
    """

    arrays: dict[str, NDArray]
    values: dict[str, Any]


class Keeper(Protocol):
    """Keeps snapshots; see `Agent.keep`."""

    def kept(self) -> Snapshot | None:
        """The snapshot to go on from, None to begin; with it the environment stands where it stood."""

    def offer(self, take: Callable[[], Snapshot]) -> None:
        """Called between two updates; calls `take` where a snapshot is due."""


def generator_state(generator: np.random.Generator) -> dict[str, Any]:
    """A NumPy generator as JSON values (its integers are long, which JSON allows)."""
    state: dict[str, Any] = dict(generator.bit_generator.state)
    return state


def generator_from(state: dict[str, Any]) -> np.random.Generator:
    """Inverse of `generator_state`, for the PCG64 of `numpy.random.default_rng`."""
    generator = np.random.default_rng(0)
    generator.bit_generator.state = state
    return generator


def optimiser_arrays(optimiser: Any, prefix: str = "optimiser") -> dict[str, NDArray]:
    """The moments of a torch optimiser, `prefix/<parameter>/<name>`; settings such as the rate are the agent's own."""
    return {f"{prefix}/{index}/{name}": np.array(value.numpy() if hasattr(value, "numpy") else value)
            for index, state in optimiser.state_dict()["state"].items() for name, value in state.items()}


def set_optimiser(optimiser: Any, arrays: dict[str, NDArray], prefix: str = "optimiser") -> None:
    """Inverse of `optimiser_arrays`."""
    import torch

    state: dict[int, dict[str, Any]] = {}
    for name, array in arrays.items():
        if name.startswith(f"{prefix}/"):
            _, index, part = name.rsplit("/", 2)
            state.setdefault(int(index), {})[part] = torch.from_numpy(np.array(array))
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})

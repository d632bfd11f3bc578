"""Libraries that draw from the global generators, without a trace of it left behind.

Stable-Baselines3 seeds and uses Python's, NumPy's and torch's global generators. Here they are lent to it: seeded for the
duration, and put back as they were, so that nobody else's draws depend on whether an agent was trained before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray


@contextmanager
def lent_generators() -> Iterator[None]:
    """Put Python's, NumPy's and torch's global generators back at the end; the borrower seeds them."""
    import torch

    former = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(former[0])
        np.random.set_state(former[1])
        torch.set_rng_state(former[2])


def global_generators() -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Where Python's, NumPy's and torch's global generators stand, as arrays and JSON values."""
    import torch

    version, words, gauss = random.getstate()
    name, key, position, has_gauss, cached = np.random.get_state()
    arrays = {"generator/python": np.array(words, np.uint32), "generator/numpy": np.array(key, np.uint32),
              "generator/torch": torch.get_rng_state().numpy().copy()}
    return arrays, {"python_generator": [version, gauss], "numpy_generator": [name, int(position), int(has_gauss), float(cached)]}


def set_global_generators(arrays: dict[str, NDArray], values: dict[str, Any]) -> None:
    """Inverse of `global_generators`."""
    import torch

    version, gauss = values["python_generator"]
    random.setstate((version, tuple(arrays["generator/python"].tolist()), gauss))
    name, *rest = values["numpy_generator"]
    np.random.set_state((name, arrays["generator/numpy"], *rest))
    torch.set_rng_state(torch.from_numpy(arrays["generator/torch"]))

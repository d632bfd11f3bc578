"""Libraries that draw from the global generators, without a trace of it left behind.

Stable-Baselines3 seeds and uses Python's, NumPy's and torch's global generators. Here they are lent to it: seeded for the
duration, and put back as they were, so that nobody else's draws depend on whether an agent was trained before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


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

"""Arrays that are the caller's own, without asking the system for fresh memory at every step.

A batch of observations is megabytes; memory of that size is returned to the system when it is freed, and every new page of
it costs a fault: more than the simulation itself.  So a buffer that nobody refers to any more is used again.  Nobody can
tell: as long as the caller, or a view or tensor of it, holds the array, its reference count says so and it is left alone.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

_UNSHARED = sys.getrefcount(object()) + 2  # the pool's list, the loop variable, and the argument itself
_KEEP = 8


class Buffers:
    """Hands out arrays of one shape and type, of whatever content."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._shape, self._dtype = shape, dtype
        self._buffers: list[np.ndarray] = []

    def take(self) -> np.ndarray:
        """An array that no one else holds."""
        for buffer in self._buffers:
            if sys.getrefcount(buffer) <= _UNSHARED:
                return buffer
        fresh = np.empty(self._shape, self._dtype)
        if len(self._buffers) < _KEEP:
            self._buffers.append(fresh)
        return fresh

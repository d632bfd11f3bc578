"""Copies that are the caller's own, without asking the system for fresh memory at every step.

A batch of observations is megabytes; memory of that size is returned to the system when it is freed, and every new page of
it costs a fault: more than the simulation itself.  So a buffer that nobody refers to any more is used again.  Nobody can
tell: as long as the caller, or a view or tensor of it, holds the array, its reference count says so and it is left alone.
"""

from __future__ import annotations

import sys

import numpy as np

_UNSHARED = sys.getrefcount(object()) + 2  # the pool's list, the loop variable, and the argument itself
_KEEP = 8


class Copies:
    """Hands out copies of arrays of one shape and type."""

    def __init__(self) -> None:
        self._buffers: list[np.ndarray] = []

    def of(self, source: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """A copy of `source` that no one else holds; only `rows` (N,) bool of it are sure to be copied, where given."""
        for buffer in self._buffers:
            if sys.getrefcount(buffer) <= _UNSHARED:
                if rows is None:
                    np.copyto(buffer, source)
                else:
                    buffer[rows] = source[rows]
                return buffer
        fresh = source.copy()
        if len(self._buffers) < _KEEP:
            self._buffers.append(fresh)
        return fresh

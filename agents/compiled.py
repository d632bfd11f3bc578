"""Numba for the few loops of the agents that NumPy cannot write without waste.

Compiled code is kept beside the source (or wherever Numba is told to keep it); where nothing can be written, it is
compiled at every start. Each compiled function lives in a file that calls no compiled code of other files, since Numba's
cache watches only the file of the function itself.
"""

from __future__ import annotations

from typing import Any

import numba


def compiled(function: Any) -> Any:
    """`numba.njit` without fast-math: the same bits in any batch."""
    return _njit(function, fastmath=False)


def reassociated(function: Any) -> Any:
    """As `compiled`, but sums may be taken in another order: SIMD, and the same numbers to rounding."""
    return _njit(function, fastmath={"reassoc", "contract"})


def _njit(function: Any, fastmath: Any) -> Any:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:            # "no locator available": neither the source folder nor the home folder is writable
        return numba.njit(**options)(function)

"""Compilation of the few loops over pixels that no library has fast enough, kept on disk where the disk can be written."""

from __future__ import annotations

from typing import Any

import numba


def compiled(function: Any) -> Any:
    """Machine code at the first call, from numba's cache at later starts.

    Multiplications and additions may be fused ("contract"); nothing else that changes rounding is allowed.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        return numba.njit(**options)(function)

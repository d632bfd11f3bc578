"""Who the forty persons of a block are: a maximin Latin hypercube over the traits.

Forty persons drawn independently would hold look-alikes and gaps.  Every trait is therefore a Latin hypercube (McKay,
Beckman & Conover 1979) over a block of forty seeds: each fortieth of its range is used exactly once.  Among those, the
columns are shuffled by swaps that lower

    phi = sum_{i<j} d_ij^-p,   d_ij = sum_k w_k |u_ik - u_jk|  (levels: w_k [level differs])

(Morris & Mitchell 1995, Exploratory designs for computational experiments), so that no two persons are close in the
traits that are seen first.  It looks at trait values only; no picture and no model takes part.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .errors import PersonaError

BLOCK = 40
_SWAPS = 6000
_POWER = 8
_STREAM = 43


@dataclass(frozen=True)
class Axis:
    """One trait axis: `salience` weighs it in the distance; `levels` > 0 says that only the level counts."""

    name: str
    salience: float = 0.0
    levels: int = 0


def _distances(u: np.ndarray, rows: np.ndarray, salience: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Weighted L1 distance of the given rows of u (n, k) to all rows: (len(rows), n)."""
    seen = np.where(levels > 0, np.floor(u * np.maximum(levels, 1)), u)
    gap = np.abs(seen[rows][:, None] - seen[None])
    return np.where(levels > 0, np.minimum(gap, 1.0), gap) @ salience


@lru_cache(maxsize=16)
def _design(block: int, axes: tuple[Axis, ...]) -> np.ndarray:
    rng = np.random.default_rng([_STREAM, block])
    u = np.stack([(rng.permutation(BLOCK) + rng.random(BLOCK)) / BLOCK for _ in axes], axis=1)
    salience = np.array([a.salience for a in axes])
    levels = np.array([a.levels for a in axes])
    movable = np.flatnonzero(salience > 0)
    close = _distances(u, np.arange(BLOCK), salience, levels)
    np.fill_diagonal(close, np.inf)
    crowd = (close ** -_POWER).sum(1)  # how crowded each person's neighbourhood is
    for _ in range(_SWAPS):
        # move one of the most crowded persons: a swap elsewhere hardly changes phi
        i = int(np.argmax(crowd * rng.random(BLOCK)))
        j = int(rng.integers(BLOCK - 1))
        j += j >= i
        k = movable[int(rng.integers(len(movable)))]
        u[[i, j], k] = u[[j, i], k]
        rows = np.array([i, j])
        new = _distances(u[:, movable], rows, salience[movable], levels[movable])
        new[[0, 1], rows] = np.inf
        old = close[rows]
        if (new ** -_POWER).sum() - new[0, j] ** -_POWER < (old ** -_POWER).sum() - old[0, j] ** -_POWER:
            crowd += (new ** -_POWER - old ** -_POWER).sum(0)
            close[rows], close[:, rows] = new, new.T
            crowd[rows] = (close[rows] ** -_POWER).sum(1)
        else:
            u[[i, j], k] = u[[j, i], k]
    return u


def place_in_design(seed: int, axes: tuple[Axis, ...]) -> dict[str, float]:
    """Coordinates in [0, 1) of person `seed` on every axis, within the design of its block (seed // 40).

    Parameters
    ----------
    seed : int
        Non-negative painter seed.
    axes : tuple of Axis
        Trait axes; names are unique.

    Returns
    -------
    dict
        name -> coordinate in [0, 1).

    Raises
    ------
    PersonaError
        Negative seed.
    """
    if seed < 0:
        raise PersonaError(f"the painter seed of a persona is a whole number from 0 on, got {seed}")
    block, place = divmod(seed, BLOCK)
    return {axis.name: float(value) for axis, value in zip(axes, _design(block, axes)[place], strict=True)}

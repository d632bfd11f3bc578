"""Intervals for means, ratios of means and paired differences over customers.

Customers are independent draws, so for the n customers of an evaluation

    mean            x_bar +- t_{n-1} s / sqrt(n)
    ratio           r = sum y / sum x, linearised (delta method): the mean of the influence (y - r x) / x_bar
    paired          the same customer under two policies on common random numbers: intervals of differences

The intervals say how surely *these* policies differ on customers like these, given the gallery's faces.  They hold no
training luck: train several seeds for that.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from scipy.special import stdtrit


class Interval(TypedDict):
    """Estimate with a 95 % interval over n customers."""

    mean: float
    low: float
    high: float
    n: int


def _around(mean: float, influence: np.ndarray, level: float) -> Interval:
    n = len(influence)
    half = float(stdtrit(n - 1, 0.5 + level / 2) * influence.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf")
    return {"mean": float(mean), "low": float(mean) - half, "high": float(mean) + half, "n": n}


def mean_interval(x: np.ndarray, level: float = 0.95) -> Interval:
    """Mean of x (n,) with a Student interval; infinite for a single customer."""
    return _around(float(np.mean(x)), np.asarray(x, float) - np.mean(x), level)


def ratio_influence(y: np.ndarray, x: np.ndarray) -> tuple[float, np.ndarray]:
    """Ratio of sums and each customer's influence on it, y (n,) over x (n,); 0 where nothing is in the denominator."""
    total = float(np.sum(x))
    if total == 0.0:
        return 0.0, np.zeros(len(x))
    ratio = float(np.sum(y)) / total
    return ratio, (np.asarray(y, float) - ratio * np.asarray(x, float)) / np.mean(x)


def ratio_interval(y: np.ndarray, x: np.ndarray, level: float = 0.95) -> Interval:
    """Ratio of sums y / x (each (n,)), by the delta method."""
    ratio, influence = ratio_influence(y, x)
    return _around(ratio, influence, level)


def paired_interval(a: tuple[float, np.ndarray], b: tuple[float, np.ndarray], level: float = 0.95) -> Interval:
    """Difference a - b of two estimates on the same customers, each (estimate, influence (n,))."""
    return _around(a[0] - b[0], a[1] - b[1], level)


def clear_of_zero(interval: Interval) -> bool:
    """Whether the interval excludes zero."""
    return interval["low"] > 0 or interval["high"] < 0

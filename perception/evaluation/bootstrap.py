"""Percentile bootstrap over clusters [1]_: whole persons (or, where persons are not known, images) are drawn anew.

Images of one person resemble one another, so drawing images alone would make intervals too narrow.  Where every draw
agrees on 0 or 1 (no error seen, or nothing but errors), the bootstrap has no width to give; the interval is then Wilson's
for as many trials as there are clusters (none in n: about 3 / n, the "rule of 3").

References
----------
.. [1] A. C. Davison, D. V. Hinkley, "Bootstrap Methods and their Application", 1997, sections 2.4 and 3.8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypedDict

import numpy as np

DRAWS = 500
LEVEL = 0.95


class Measure(TypedDict):
    """A measured number: ``value`` with its 95 % interval and the count it rests on; None where it cannot be told."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def bootstrap(measure: Callable[[np.ndarray], Mapping[str, float]], clusters: int, counts: Mapping[str, int],
              draws: int = DRAWS, seed: int = 0) -> dict[str, Measure]:
    """Values and intervals of several measures at once, on the same draws.

    Parameters
    ----------
    measure : callable
        Maps weights of the clusters, shape (clusters,), to named values; NaN for what cannot be told.
    clusters : int
    counts : mapping of str to int
        ``n`` of every name (of those missing: the number of clusters).
    draws, seed : int

    Returns
    -------
    dict of str to Measure
    """
    from perception.mask import wilson

    point = measure(np.ones(clusters))
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in point}
    if clusters > 1:
        for weights in generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=draws).astype(float):
            for name, value in measure(weights).items():
                drawn[name].append(value)
    result: dict[str, Measure] = {}
    for name, value in point.items():
        values = np.array(drawn[name], float)
        values = values[np.isfinite(values)]
        low = high = None
        if np.isfinite(value) and len(values) >= draws // 2 and clusters > 1:
            low, high = (float(q) for q in np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
            if low == high and value in (0.0, 1.0):
                low, high = wilson(round(value * clusters), clusters)
        result[name] = Measure(value=float(value) if np.isfinite(value) else None, low=low, high=high,
                               n=counts.get(name, clusters))
    return result


def codes(names: np.ndarray) -> tuple[np.ndarray, int]:
    """Numbers 0 .. k - 1 for the distinct values of an array, and k."""
    _, inverse = np.unique(np.asarray(names).astype(str), return_inverse=True)
    return inverse, int(inverse.max()) + 1 if len(inverse) else 0


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> float:
    """Mean, or NaN where the weights sum to nothing."""
    total = float(weights.sum())
    return float((values * weights).sum() / total) if total > 0 else float("nan")

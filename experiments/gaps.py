"""Gaps between policies, with an interval for every kind of luck they may owe to.

Let y[s, i] be the money of customer i under the policy of training seed s, and d = y_a - y_b on the same customers with the
same luck.  The gap is the mean of d, with three intervals of 95 %:

    customers   mean over seeds of d[:, i], Student over the n customers: would other customers like these agree?
    faces       the same, customers summed by the face they wear (clusters): would other faces agree?
    seeds       mean over customers of d[s, :], Student over the S seeds: would another training agree?

None contains another, so a gap is called clear when all three exclude zero (two, when only one seed was trained).
Beside them stands each seed's own paired interval over customers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sim.evaluation.statistics import Interval, clear_of_zero, mean_interval, ratio_interval


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over customers and seeds, of money or of a difference in money."""

    customers: Interval
    faces: Interval
    seeds: Interval
    each: tuple[Interval, ...]

    @property
    def mean(self) -> float:
        return self.customers["mean"]

    @property
    def clear(self) -> bool:
        """Whether every interval that exists excludes zero."""
        pooled = [self.customers, self.faces, self.seeds]
        return all(clear_of_zero(interval) for interval in pooled if interval["n"] > 1)

    def as_json(self) -> dict[str, Any]:
        return {"mean": self.mean, "clear": self.clear, **dataclasses.asdict(self)}


def estimate(y: np.ndarray, faces: np.ndarray) -> Estimate:
    """Mean of y (S, n) with its intervals; `faces` (n,) tells which customers wear the same face."""
    pooled = y.mean(axis=0)
    _, cluster = np.unique(faces, return_inverse=True)
    return Estimate(
        customers=mean_interval(pooled),
        faces=ratio_interval(np.bincount(cluster, pooled), np.bincount(cluster).astype(float)),
        seeds=mean_interval(y.mean(axis=1)),
        each=tuple(mean_interval(row) for row in y),
    )


def gap(a: np.ndarray, b: np.ndarray, faces: np.ndarray) -> Estimate:
    """Paired difference a - b, each (S, n): seed by seed, customer by customer."""
    return estimate(a - b, faces)


@dataclasses.dataclass(frozen=True)
class Gap:
    """A named difference between two policies, or between two worlds of one policy."""

    name: str
    what: str
    estimate: Estimate

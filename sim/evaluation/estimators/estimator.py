"""An estimator as sums over customers, so that one bootstrap, one delta method and one test serve them all.

Every estimator here is a function f of the means over customers of m columns,

    V = f(c_bar),   c_bar = 1/n sum_i c_i,

e.g. IPS with one column and f the identity, SNIPS with c = (sum w r, sum w, opportunities) and f = c_1 / c_2 c_3.
Customers are independent, so a resample of customers is a reweighting of c (no model is fitted again), and the influence of
customer i on V is grad f(c_bar) (c_i - c_bar).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np


def first(means: np.ndarray) -> np.ndarray:
    """(..., 1) -> (...): an estimator that is a plain mean over customers."""
    return np.asarray(means[..., 0])


@dataclasses.dataclass(frozen=True)
class Estimator:
    """columns (n, m) of each customer; combine (..., m) -> (...) money per customer; `note` what it is fit for."""

    name: str
    columns: np.ndarray
    combine: Callable[[np.ndarray], np.ndarray] = first
    note: str = ""

    @property
    def value(self) -> float:
        """Money per customer."""
        return float(self.combine(self.columns.mean(0)))

    @property
    def is_mean(self) -> bool:
        """Whether the estimate is a plain mean of independent contributions, as concentration bounds want it."""
        return self.combine is first

    def influence(self) -> np.ndarray:
        """(n,) influence of each customer, by central differences of `combine` along each column's own scale."""
        centred = self.columns - self.columns.mean(0)
        if self.is_mean:
            return centred[:, 0]
        middle = self.columns.mean(0)
        scale = np.maximum(np.abs(middle), 1e-9) * 1e-6
        around = middle + np.concatenate([np.diag(scale), -np.diag(scale)])
        with np.errstate(divide="ignore", invalid="ignore"):
            high, low = np.split(self.combine(around), 2)
        return np.asarray(centred @ np.nan_to_num((high - low) / (2 * scale)))


def mean_of(name: str, contribution: np.ndarray, note: str = "") -> Estimator:
    """An estimator that is the mean of one contribution (n,) per customer."""
    return Estimator(name, contribution[:, None], first, note)

"""Intervals of an estimate over customers.

    student    V +- t_{n-1} s / sqrt(n), s of the customers' influences (delta method)
    bootstrap  percentiles of V over resamples of whole customers (Efron 1979); models are not fitted again
    bernstein  V +- sqrt(2 s^2 ln(4/d) / n) + 7 R ln(4/d) / (3 (n - 1))     Maurer & Pontil 2009, COLT, theorem 4, two-sided

R is the range of a customer's contribution.  With a known range the last one holds at every n; taken from the log, as here
unless it is given, it is a guide.  It is wide, and honest about rare large weights that the others have not met.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtrit

from sim.evaluation.estimators.errors import OffPolicyError
from sim.evaluation.estimators.estimator import Estimator
from sim.evaluation.statistics import Interval

METHODS = ("bootstrap", "student", "bernstein")
RESAMPLES = 1000
_BLOCK = 2_000_000  # weights held at once


def student(estimator: Estimator, level: float = 0.95) -> Interval:
    """By the delta method; infinite for a single customer."""
    influence, n = estimator.influence(), len(estimator.columns)
    half = float(stdtrit(n - 1, 0.5 + level / 2) * influence.std(ddof=1) / math.sqrt(n)) if n > 1 else math.inf
    return {"mean": estimator.value, "low": estimator.value - half, "high": estimator.value + half, "n": n}


def resampled(estimator: Estimator, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """(resamples,) values over bootstrap samples of customers."""
    rng, n = np.random.default_rng(seed), len(estimator.columns)
    out, block = np.empty(resamples), max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        weights = rng.multinomial(n, np.full(n, 1.0 / n), size=rows) / n
        out[start : start + rows] = estimator.combine(weights @ estimator.columns)
    return out


def bootstrap(estimator: Estimator, level: float = 0.95, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Percentile interval over customers."""
    low, high = np.quantile(resampled(estimator, seed, resamples), [0.5 - level / 2, 0.5 + level / 2])
    return {"mean": estimator.value, "low": float(low), "high": float(high), "n": len(estimator.columns)}


def bernstein(estimator: Estimator, level: float = 0.95, spread: float | None = None) -> Interval | None:
    """Empirical Bernstein; None for an estimator that is no plain mean. `spread` is the known range of a contribution."""
    if not estimator.is_mean or len(estimator.columns) < 2:
        return None
    x, n = estimator.columns[:, 0], len(estimator.columns)
    spread = float(x.max() - x.min()) if spread is None else spread
    log_term = math.log(4.0 / (1.0 - level))
    half = math.sqrt(2.0 * float(x.var(ddof=1)) * log_term / n) + 7.0 * spread * log_term / (3.0 * (n - 1))
    return {"mean": estimator.value, "low": estimator.value - half, "high": estimator.value + half, "n": n}


def interval(
    estimator: Estimator, method: str, level: float = 0.95, seed: int = 0, resamples: int = RESAMPLES
) -> Interval | None:
    """By one of `METHODS`."""
    if method == "student":
        return student(estimator, level)
    if method == "bootstrap":
        return bootstrap(estimator, level, seed, resamples)
    if method == "bernstein":
        return bernstein(estimator, level)
    raise OffPolicyError(f"interval={method} is unknown; choose from {', '.join(METHODS)}")

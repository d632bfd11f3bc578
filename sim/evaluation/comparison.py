"""Comparison of policies over training seeds and customers, on common random numbers.

Let y_p[s, i] be the money (or any total) of customer i under policy p trained with seed s: every policy meets the same n
customers with the same luck.  Two kinds of luck remain, the seed's and the customers', and both are resampled:

    crossed bootstrap   seeds and customers are drawn with replacement, the same customers for both policies of a pair
                        (the "pigeonhole" bootstrap of crossed random effects: Owen 2007, Ann. Appl. Stat. 1:386, which is
                        mildly conservative)
    Holm                the p-values of all pairs are stepped up (Holm 1979), so that one false finding among all of them
                        stays below the level

and, as Agarwal et al. recommend for few runs ("Deep RL at the edge of the statistical precipice", NeurIPS 2021; rliable),
with the faces that customers wear as the tasks:

    normalised score    x_p[s, f] = (v_p[s, f] - v_low[f]) / (v_high[f] - v_low[f])   of the customers with face f, with two
                        reference policies at 0 and 1
    IQM                 mean of the middle half of all x_p[s, f]
    profile             share of x_p[s, f] above tau, as a function of tau
    P(a > b)            mean over faces of P(x_a > x_b) + P(x_a = x_b) / 2 over all pairs of seeds

A policy that does not learn has one seed (S = 1) and is compared with every seed of the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from sim.evaluation.statistics import Interval

RESAMPLES = 2000
_BLOCK = 4_000_000  # weights held at once


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Difference a - b: mean with its interval, two-sided p-value, and the same after Holm's correction."""

    a: str
    b: str
    interval: Interval
    p: float
    corrected: float

    @property
    def verdict(self) -> str:
        """In words, after correction at the 5 % level."""
        if self.corrected >= 0.05:
            return "not distinguishable"
        return "better" if self.interval["mean"] > 0 else "worse"


def _weights(rng: np.random.Generator, rows: int, n: int) -> np.ndarray:
    """(rows, n) shares of a bootstrap sample of n, each row summing to one."""
    return rng.multinomial(n, np.full(n, 1.0 / n), size=rows) / n


def crossed_bootstrap(y: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """(resamples,) means of y (S, n), seeds and customers drawn with replacement; one seed is not resampled."""
    rng = np.random.default_rng(seed)
    seeds, n = y.shape
    out, block = np.empty(resamples), max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        by_seed = _weights(rng, rows, n) @ y.T  # (rows, S)
        chosen = _weights(rng, rows, seeds) if seeds > 1 else np.ones((rows, 1))
        out[start : start + rows] = (by_seed * chosen).sum(1)
    return out


def paired(a: np.ndarray, b: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> tuple[Interval, float]:
    """Mean of a - b with a 95 % interval and a two-sided p-value; a (S, n), b (S', n) on the same customers.

    With S = S' the seeds are paired as they come; else the policy with fewer seeds enters by its mean over them.
    """
    if len(a) == len(b):
        difference = a - b
    elif len(a) > len(b):
        difference = a - b.mean(0)
    else:
        difference = a.mean(0) - b
    means = crossed_bootstrap(difference, seed, resamples)
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min((means <= 0).mean(), (means >= 0).mean())
    p = min(1.0, 2.0 * max(float(tail), 1.0 / (resamples + 1)))
    if not difference.any():
        p = 1.0
    return {"mean": float(difference.mean()), "low": float(low), "high": float(high), "n": a.shape[1]}, p


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-up correction of p-values (m,)."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty(len(p))
    out[order] = np.minimum(stepped, 1.0)
    return out


def compare_all(values: Mapping[str, np.ndarray], pairs: list[tuple[str, str]], seed: int = 0) -> list[Comparison]:
    """Every pair (a, b), corrected for their number; `values[policy]` (S, n)."""
    found = [paired(values[a], values[b], seed + i) for i, (a, b) in enumerate(pairs)]
    corrected = holm(np.array([p for _, p in found]))
    return [
        Comparison(a, b, interval, p, float(q))
        for (a, b), (interval, p), q in zip(pairs, found, corrected, strict=True)
    ]


# ---------------------------------------------------------------------- faces as tasks
def by_face(y: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Means (S, F) of y (S, n) over the customers of each face."""
    _, index = np.unique(faces, return_inverse=True)
    counts = np.bincount(index)
    return np.stack([np.bincount(index, row) / counts for row in y])


def normalised(y: np.ndarray, low: np.ndarray, high: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Scores (S, F) of y (S, n) between the reference policies `low` (S', n) at 0 and `high` (S'', n) at 1."""
    zero, one = by_face(low, faces).mean(0), by_face(high, faces).mean(0)
    return np.asarray((by_face(y, faces) - zero) / (one - zero))


def interquartile_mean(scores: np.ndarray) -> float:
    """Mean of the middle half of all scores, as rliable (scipy's trimmed mean at a quarter on each side)."""
    from scipy.stats import trim_mean

    return float(trim_mean(scores, 0.25, axis=None))


def iqm_interval(scores: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """IQM of scores (S, F) with a 95 % interval by a bootstrap stratified by face (rliable).

    With a single seed there is nothing to resample within a face, so the faces are.
    """
    rng = np.random.default_rng(seed)
    seeds, faces = scores.shape
    means = np.empty(resamples)
    for i in range(resamples):
        if seeds > 1:
            sample = scores[rng.integers(0, seeds, scores.shape), np.arange(faces)]
        else:
            sample = scores[:, rng.integers(0, faces, faces)]
        means[i] = interquartile_mean(sample)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": interquartile_mean(scores), "low": float(low), "high": float(high), "n": scores.size}


def probability_of_improvement(a: np.ndarray, b: np.ndarray) -> float:
    """P(a > b), ties by half, over all pairs of seeds and averaged over faces; a (S, F), b (S', F)."""
    above = (a[:, None, :] > b[None, :, :]).mean()
    level = (a[:, None, :] == b[None, :, :]).mean()
    return float(above + 0.5 * level)


def performance_profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of all scores (S, F) above each threshold (T,)."""
    return np.asarray((scores.reshape(-1, 1) > thresholds).mean(0))

"""Comparison of policies over training seeds and customers, on common random numbers.

Let y_p[s, i] be the money (or any total) of customer i under policy p trained with seed s: every policy meets the same n
customers with the same luck.  Two kinds of luck remain, the seed's and the customers', and both are resampled:

    crossed bootstrap   seeds and customers are drawn with replacement, the same customers for both policies of a pair
                        (the "pigeonhole" bootstrap of crossed random effects: Owen 2007, Ann. Appl. Stat. 1:386, which is
                        mildly conservative); p-values below its resolution are Student's (`student_p`)
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
FEW_BEYOND = 10  # bootstrap means beyond zero, below which their share is too coarse a p-value
GROUPS = 20_000  # customers, or groups of them, that a bootstrap draws
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
    """(resamples,) means of y (S, n), seeds and customers drawn with replacement; one seed is not resampled.

    Of more than twice `GROUPS` customers, means over groups are drawn (batch means): customers are independent, so intervals are as
    right, in a time that does not grow with n.  Groups differ in size by one customer at most, which widens the interval by 2 %
    where they hold two or three, and by nothing to speak of where they hold more.
    """
    rng = np.random.default_rng(seed)
    if y.shape[1] > 2 * GROUPS:
        starts = np.linspace(0, y.shape[1], GROUPS, endpoint=False).astype(int)
        groups = np.add.reduceat(y, starts, axis=1) / np.diff(np.append(starts, y.shape[1]))
        y = groups + (y.mean(1) - groups.mean(1))[:, None]
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
    tail = min((means <= 0).sum(), (means >= 0).sum())
    p = min(1.0, 2.0 * float(tail) / resamples)
    if tail < FEW_BEYOND:
        p = min(student_p(difference), 2.0 * FEW_BEYOND / resamples)
    if not difference.any():
        p = 1.0
    return {"mean": float(difference.mean()), "low": float(low), "high": float(high), "n": a.shape[1]}, p


def student_p(difference: np.ndarray) -> float:
    """Two-sided p-value of the mean of (S, n) being zero, seeds and customers crossed.

        t = mean / sqrt(v_s + v_c),   v_s = var of the seeds' means / S,   v_c = var of the customers' means / n

    with the degrees of freedom of Satterthwaite (1946, Biometrics Bulletin 2:110), v^2 / (v_s^2 / (S - 1) + v_c^2 / (n - 1)).
    For what lies beyond the resolution of a bootstrap, where many comparisons are to be corrected for.
    """
    from scipy.stats import t as student

    seeds, n = difference.shape
    by_seed = difference.mean(1).var(ddof=1) / seeds if seeds > 1 else 0.0
    by_customer = difference.mean(0).var(ddof=1) / n
    total = by_seed + by_customer
    if total == 0.0:
        return 0.0
    freedom = total**2 / (by_seed**2 / max(seeds - 1, 1) + by_customer**2 / (n - 1))
    return float(2.0 * student.sf(abs(difference.mean()) / np.sqrt(total), freedom))


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
    means = [interquartile_mean(*resampled(rng, scores)) for _ in range(resamples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": interquartile_mean(scores), "low": float(low), "high": float(high), "n": scores.size}


def probability_of_improvement(a: np.ndarray, b: np.ndarray) -> float:
    """P(a > b), ties by half, over all pairs of seeds and averaged over faces; a (S, F), b (S', F)."""
    above = (a[:, None, :] > b[None, :, :]).mean()
    level = (a[:, None, :] == b[None, :, :]).mean()
    return float(above + 0.5 * level)


def improvement_interval(a: np.ndarray, b: np.ndarray, seed: int = 0, resamples: int = 500) -> Interval:
    """P(a > b) with a 95 % interval, by the same bootstrap as `iqm_interval`."""
    rng = np.random.default_rng(seed)
    found = [probability_of_improvement(*resampled(rng, a, b)) for _ in range(resamples)]
    low, high = np.quantile(found, [0.025, 0.975])
    return {"mean": probability_of_improvement(a, b), "low": float(low), "high": float(high), "n": a.shape[1]}


def resampled(rng: np.random.Generator, *scores: np.ndarray) -> list[np.ndarray]:
    """A bootstrap sample of each of several policies' scores (S, F) on the same F faces.

    Seeds are drawn anew within every face (stratified: rliable), where all policies have several; else the faces are, the same
    ones for all.
    """
    faces = scores[0].shape[1]
    if min(len(s) for s in scores) > 1:
        return [s[rng.integers(0, len(s), s.shape), np.arange(faces)] for s in scores]
    chosen = rng.integers(0, faces, faces)
    return [s[:, chosen] for s in scores]


def performance_profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of all scores (S, F) above each threshold (T,)."""
    return np.asarray((scores.reshape(-1, 1) > thresholds).mean(0))


def profile_band(scores: np.ndarray, thresholds: np.ndarray, seed: int = 0, resamples: int = 500) -> np.ndarray:
    """95 % of the profile at each threshold, pointwise: (2, T)."""
    rng = np.random.default_rng(seed)
    found = [performance_profile(resampled(rng, scores)[0], thresholds) for _ in range(resamples)]
    return np.quantile(found, [0.025, 0.975], axis=0)

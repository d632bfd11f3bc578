"""1:1 comparisons: false match rate against false non-match rate, over thresholds.

FMR(t) = share of impostor comparisons with a score >= t; FNMR(t) = share of genuine comparisons with a score < t
(ISO/IEC 19795-1).  TAR = 1 - FNMR at the lowest threshold whose FMR does not exceed the target; EER where the two rates
cross (linear between neighbouring thresholds).  Intervals: persons are drawn anew; a person drawn k times counts k times
in its genuine comparisons and k times l times in those with a person drawn l times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perception.evaluation.bootstrap import DRAWS, Measure, bootstrap

TARGETS = (1e-2, 1e-3)
"""False match rates at which the true accept rate is reported."""
MAX_IMPOSTORS = 500_000
"""Impostor comparisons kept (drawn with a seed where there are more)."""
KINDS = ("plain_plain", "plain_masked", "masked_masked")


@dataclass(frozen=True)
class Comparisons:
    """Scored comparisons.

    Attributes
    ----------
    score : ndarray, shape (n,), float64
        Cosine.
    genuine : ndarray, shape (n,), bool
    first, second : ndarray, shape (n,), int
        Persons compared, 0 .. persons - 1.
    masked : ndarray, shape (n,), int
        How many of the two faces wear a mask.
    group : ndarray, shape (n,), object
        Group of both, None where they differ or none is known.
    persons : int
    """

    score: np.ndarray
    genuine: np.ndarray
    first: np.ndarray
    second: np.ndarray
    masked: np.ndarray
    group: np.ndarray
    persons: int

    def part(self, keep: np.ndarray) -> Comparisons:
        """A selection."""
        return Comparisons(self.score[keep], self.genuine[keep], self.first[keep], self.second[keep], self.masked[keep],
                           self.group[keep], self.persons)

    def weights(self, persons: np.ndarray) -> np.ndarray:
        """Weights of the comparisons from those of the persons."""
        return np.where(self.genuine, persons[self.first], persons[self.first] * persons[self.second])

    def count(self) -> dict[str, int]:
        """Numbers of comparisons."""
        return {"genuine": int(self.genuine.sum()), "impostor": int((~self.genuine).sum())}


def all_pairs(embeddings: np.ndarray, person: np.ndarray, persons: int, masked: np.ndarray, group: np.ndarray,
              seed: int = 0, limit: int = MAX_IMPOSTORS) -> Comparisons:
    """Every image against every other: all genuine pairs, and impostor pairs up to ``limit``.

    Parameters
    ----------
    embeddings : ndarray, shape (n, 512)
        Unit length.
    person : ndarray, shape (n,), int
    masked : ndarray, shape (n,), bool
    group : ndarray, shape (n,), object
    """
    vectors = np.asarray(embeddings, np.float64)
    order = np.argsort(person, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(person[order]) > 0, True])
    genuine = [np.stack([order[a:b][i] for i in np.triu_indices(b - a, 1)], 1) for a, b in zip(starts, starts[1:], strict=False)]
    n = len(vectors)
    total = n * (n - 1) // 2
    if total <= 2 * limit:
        i, j = np.triu_indices(n, 1)
    else:  # uniform pairs, each once
        flat = np.unique(np.random.default_rng(seed).integers(0, n * n, 6 * limit))
        i, j = flat // n, flat % n
        i, j = i[i < j], j[i < j]
    impostor = np.flatnonzero(person[i] != person[j])
    if len(impostor) > limit:
        impostor = np.sort(np.random.default_rng(seed).choice(impostor, limit, replace=False))
    pairs = np.concatenate([*genuine, np.stack([i[impostor], j[impostor]], 1)])
    parts = np.array_split(pairs, 1 + len(pairs) // 50_000)  # bounded memory
    score = np.concatenate([np.einsum("ij,ij->i", vectors[part[:, 0]], vectors[part[:, 1]]) for part in parts])
    return assemble(score, pairs, person, persons, masked, group)


def assemble(score: np.ndarray, pairs: np.ndarray, person: np.ndarray, persons: int, masked: np.ndarray,
             group: np.ndarray) -> Comparisons:
    """Comparisons of given pairs of rows, shape (k, 2)."""
    a, b = pairs[:, 0], pairs[:, 1]
    same = np.array([x is not None and x == y for x, y in zip(group[a], group[b], strict=True)], dtype=bool)
    return Comparisons(score, person[a] == person[b], person[a], person[b], np.asarray(masked[a].astype(int) + masked[b].astype(int)),
                       np.where(same, group[a], np.array(None, object)), persons)


class RateCurve:
    """FMR and FNMR at every distinct score, highest first; built once, weighted as often as needed.

    Attributes
    ----------
    thresholds : ndarray
        Starting with +inf (nothing is accepted).
    """

    def __init__(self, comparisons: Comparisons) -> None:
        self._order = np.argsort(-comparisons.score, kind="stable")
        ranked = comparisons.score[self._order]
        self._genuine = comparisons.genuine[self._order]
        self._last = np.flatnonzero(np.r_[np.diff(ranked) != 0, True]) if len(ranked) else np.empty(0, int)
        self.thresholds = np.r_[np.inf, ranked[self._last]]

    def rates(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """FMR and FNMR, both in the order of ``thresholds``; NaN where there is no such comparison."""
        w = weights[self._order]
        accepted = [np.r_[0.0, np.cumsum(np.where(side, w, 0.0))[self._last]] for side in (~self._genuine, self._genuine)]
        with np.errstate(invalid="ignore", divide="ignore"):
            return accepted[0] / accepted[0][-1], 1.0 - accepted[1] / accepted[1][-1]


def at_fmr(fmr: np.ndarray, target: float) -> int:
    """Position of the lowest threshold whose FMR does not exceed the target."""
    return int(np.searchsorted(fmr, target * (1 + 1e-12), side="right")) - 1


def equal_error_rate(fmr: np.ndarray, fnmr: np.ndarray) -> float:
    """Where FMR and FNMR cross, linear in between."""
    if not (np.isfinite(fmr).all() and np.isfinite(fnmr).all()):
        return float("nan")
    k = int(np.argmax(fmr >= fnmr))
    if k == 0:
        return float(fmr[0])
    before, after = fnmr[k - 1] - fmr[k - 1], fmr[k] - fnmr[k]
    share = before / (before + after) if before + after > 0 else 0.0
    return float(fmr[k - 1] + share * (fmr[k] - fmr[k - 1]))


def verify_all(comparisons: Comparisons, draws: int = DRAWS, seed: int = 0,
               targets: Sequence[float] = TARGETS) -> tuple[dict[str, Measure], dict[str, float], RateCurve]:
    """EER, FNMR and TAR at the target FMRs, by mask and by group.

    Returns
    -------
    metrics : dict of str to Measure
    thresholds : dict of str to float
        The score of every operating point.
    curve : RateCurve
    """
    curve = RateCurve(comparisons)
    count = comparisons.count()
    resolved = [t for t in targets if count["impostor"] * t >= 1.0]
    fmr, _ = curve.rates(np.ones(len(comparisons.score)))
    thresholds = {f"fmr_{t:g}": float(curve.thresholds[at_fmr(fmr, t)]) for t in resolved}
    fixed = thresholds.get(f"fmr_{resolved[-1]:g}") if resolved else None
    parts = _parts(comparisons) if fixed is not None else {}

    def measure(persons: np.ndarray) -> dict[str, float]:
        false_match, false_non_match = curve.rates(comparisons.weights(persons))
        values = {"eer": equal_error_rate(false_match, false_non_match)}
        for target in targets:
            if target in resolved and np.isfinite(false_match[-1]) and np.isfinite(false_non_match[-1]):
                fnmr = float(false_non_match[at_fmr(false_match, target)])
            else:
                fnmr = float("nan")
            values |= {f"fnmr_at_fmr_{target:g}": fnmr, f"tar_at_far_{target:g}": 1.0 - fnmr}
        for name, part in parts.items():
            w = part.weights(persons)
            accepted = part.score >= fixed
            for kind, rows, wrong in (("fmr", ~part.genuine, accepted), ("fnmr", part.genuine, ~accepted)):
                total = w[rows].sum()
                values[f"{name}/{kind}"] = float(w[rows & wrong].sum() / total) if total > 0 else float("nan")
        return values

    counts = {"eer": len(comparisons.score)} | {f"{k}_{t:g}": count["genuine"] for t in targets for k in ("fnmr_at_fmr", "tar_at_far")}
    for name, part in parts.items():
        counts |= {f"{name}/fmr": part.count()["impostor"], f"{name}/fnmr": part.count()["genuine"]}
    return bootstrap(measure, comparisons.persons, counts, draws, seed), thresholds, curve


def _parts(comparisons: Comparisons) -> dict[str, Comparisons]:
    """Comparisons by mask (where anybody wears one) and within each group."""
    parts = {}
    if comparisons.masked.any():
        parts = {f"mask/{kind}": comparisons.part(comparisons.masked == k) for k, kind in enumerate(KINDS)}
    for group in sorted({str(g) for g in comparisons.group if g is not None}):
        parts[f"group/{group}"] = comparisons.part(comparisons.group == group)
    return {name: part for name, part in parts.items() if len(part.score)}


def rate_table(comparisons: Comparisons, draws: int = DRAWS, seed: int = 0) -> list[dict[str, float | None]]:
    """FMR and FNMR with their intervals at cosines .20, .21, ... .80, for those who choose a threshold."""
    at = np.round(np.arange(0.20, 0.805, 0.01), 2)
    order = np.argsort(comparisons.score, kind="stable")
    genuine = comparisons.genuine[order]
    below = np.searchsorted(comparisons.score[order], at, side="left")

    def measure(persons: np.ndarray) -> dict[str, float]:
        w = comparisons.weights(persons)[order]
        values: dict[str, float] = {}
        for name, side in (("fmr", ~genuine), ("fnmr", genuine)):
            mass = np.r_[0.0, np.cumsum(np.where(side, w, 0.0))]
            share = mass[below] / mass[-1] if mass[-1] > 0 else np.full(len(at), np.nan)
            values |= {f"{name}_{t:.2f}": float(v) for t, v in zip(at, share if name == "fnmr" else 1.0 - share, strict=True)}
        return values

    found = bootstrap(measure, comparisons.persons, {}, draws, seed)
    table = []
    for t in at:
        row: dict[str, float | None] = {"threshold": float(t)}
        for name in ("fmr", "fnmr"):
            m = found[f"{name}_{t:.2f}"]
            for tail, value in (("", m["value"]), ("_low", m["low"]), ("_high", m["high"])):
                row[f"{name}{tail}"] = None if value is None else float(f"{value:.6g}")
        table.append(row)
    return table

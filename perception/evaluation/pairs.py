"""Pair protocol: a list of picture pairs, each the same person or not (as LFW's and deepface's lists are).

Accuracy at the calibrated threshold: the pairs are dealt into ten folds, same and different alike; each fold is decided
at the threshold that is right most often on the other nine (LFW's protocol [1]_).  Beside it stand the accuracies at a
threshold that owes nothing to these pairs: the shipped default, or ``threshold=``.

Persons are not named in such a list; pictures joined by a chain of "same" pairs are one person, and intervals draw
persons anew.

References
----------
.. [1] G. B. Huang, M. Ramesh, T. Berg, E. Learned-Miller, "Labeled Faces in the Wild", TR 07-49, 2007, section 3.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from perception.errors import InputError
from perception.evaluation.bootstrap import DRAWS, Measure, bootstrap, weighted_mean
from perception.evaluation.verification import Comparisons, RateCurve, verify_all

FOLDS = 10


def persons_of_pairs(first: Sequence[Hashable], second: Sequence[Hashable], same: np.ndarray) -> dict[Hashable, int]:
    """Person of every picture: the connected parts of the graph of "same" pairs.

    Raises
    ------
    InputError
        If a pair said to differ lies within one person.
    """
    parent: dict[Hashable, Hashable] = {name: name for pair in zip(first, second, strict=True) for name in pair}

    def root(name: Hashable) -> Hashable:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for a, b, equal in zip(first, second, same, strict=True):
        if equal:
            parent[root(a)] = root(b)
    for a, b, equal in zip(first, second, same, strict=True):
        if not equal and root(a) == root(b):
            raise InputError(f"the pairs contradict one another: {a} and {b} are said to differ, yet other pairs join them")
    numbers: dict[Hashable, int] = {}
    return {name: numbers.setdefault(root(name), len(numbers)) for name in parent}


def best_threshold(score: np.ndarray, same: np.ndarray) -> float:
    """The threshold with the most right decisions: midway between neighbouring scores, the middle one of equals."""
    order = np.argsort(score, kind="stable")
    ranked, truth = score[order], same[order]
    # right(k): the k lowest are rejected, the others accepted
    right = np.r_[0, np.cumsum(~truth)] + np.r_[np.cumsum(truth[::-1])[::-1], 0]
    middle = np.r_[ranked[0] - 1e-6, (ranked[1:] + ranked[:-1]) / 2, ranked[-1] + 1e-6]
    possible = np.r_[True, np.diff(ranked) > 0, True]
    best = np.flatnonzero(possible & (right == right[possible].max()))
    return float(middle[best[len(best) // 2]])


def cross_calibrated(score: np.ndarray, same: np.ndarray, seed: int = 0, folds: int = FOLDS) -> tuple[np.ndarray, float]:
    """Right or wrong for every pair, decided at the threshold of the other folds; and the mean of those thresholds."""
    generator = np.random.default_rng(seed)
    fold = np.empty(len(score), int)
    for side in (True, False):
        rows = generator.permutation(np.flatnonzero(same == side))
        fold[rows] = np.arange(len(rows)) % folds
    right, thresholds = np.zeros(len(score), bool), []
    for f in np.unique(fold):
        held = fold == f
        if held.all() or not 0 < same[~held].sum() < (~held).sum():
            raise InputError("a pair protocol needs at least two pairs of the same person and two of different persons")
        thresholds.append(best_threshold(score[~held], same[~held]))
        right[held] = (score[held] >= thresholds[-1]) == same[held]
    return right, float(np.mean(thresholds))


def evaluate_pairs(comparisons: Comparisons, fixed: float, draws: int = DRAWS,
                   seed: int = 0) -> tuple[dict[str, Measure], dict[str, float], RateCurve]:
    """Metrics, thresholds and curve of a pair list.

    Parameters
    ----------
    comparisons : Comparisons
    fixed : float
        Threshold that owes nothing to the pairs.
    """
    right, threshold = cross_calibrated(comparisons.score, comparisons.genuine, seed)
    at_fixed = (comparisons.score >= fixed) == comparisons.genuine

    def measure(persons: np.ndarray) -> dict[str, float]:
        w = comparisons.weights(persons)
        return {"accuracy_calibrated": weighted_mean(right, w), "accuracy_fixed": weighted_mean(at_fixed, w),
                "fmr_fixed": weighted_mean(~at_fixed[~comparisons.genuine], w[~comparisons.genuine]),
                "fnmr_fixed": weighted_mean(~at_fixed[comparisons.genuine], w[comparisons.genuine])}

    count = comparisons.count()
    counts = dict.fromkeys(("accuracy_calibrated", "accuracy_fixed"), len(comparisons.score))
    counts |= {"fmr_fixed": count["impostor"], "fnmr_fixed": count["genuine"]}
    metrics = bootstrap(measure, comparisons.persons, counts, draws, seed)
    more, thresholds, curve = verify_all(comparisons, draws, seed)
    return metrics | more, {"calibrated": threshold, "fixed": fixed} | thresholds, curve

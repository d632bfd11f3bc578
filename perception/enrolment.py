"""Enrolment strategies: how some pictures of a person become one score for a probe.

==========  ==============================================================================================
top_mean    mean of the ``top`` largest cosines between the probe and the person's embeddings (default)
centroid    cosine between the probe and the normalised mean of the person's embeddings
logistic    probability by one L2 logistic regression per person, the person's embeddings against all others'
==========  ==============================================================================================

Every strategy can leave the probe's own row out (a picture must not vouch for itself): the first two exactly, the
logistic one by cross-fitting, each row scored by a fit that saw four fifths of every person, not the row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STRATEGIES = ("top_mean", "centroid", "logistic")
FOLDS = 5
"""Folds of the logistic strategy's cross-fit."""
PENALTY = 0.1
"""L2 penalty of the logistic strategy on unit-length embeddings (1 / C of scikit-learn)."""


def person_scores(probes: np.ndarray, vectors: np.ndarray, owner: np.ndarray, persons: int,
                  leave_out: Sequence[int | None], strategy: str = "top_mean", top: int = 3) -> np.ndarray:
    """Score of every probe against every person.

    Parameters
    ----------
    probes : ndarray, shape (n, 512)
    vectors : ndarray, shape (m, 512)
        Enrolled embeddings, unit length.
    owner : ndarray, shape (m,), int
        Person of every enrolled row, 0 .. persons - 1.
    leave_out : sequence of int or None, length n
        Enrolled row that *is* the probe.
    strategy : str
        One of :data:`STRATEGIES`.
    top : int
        Cosines averaged by ``top_mean``.

    Returns
    -------
    ndarray, shape (n, persons), float64
        -inf where leaving out left nothing to compare with.
    """
    probes, vectors = np.asarray(probes, np.float64), np.asarray(vectors, np.float64)
    own = np.array([-1 if row is None else row for row in leave_out], dtype=np.int64)
    if strategy == "top_mean":
        return _top_mean(probes, vectors, owner, persons, own, top)
    if strategy == "centroid":
        return _centroid(probes, vectors, owner, persons, own)
    if strategy == "logistic":
        return _logistic(probes, vectors, owner, persons, own)
    raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}")


def _top_mean(probes: np.ndarray, vectors: np.ndarray, owner: np.ndarray, persons: int, own: np.ndarray,
              top: int) -> np.ndarray:
    cosines = probes @ vectors.T
    cosines[own >= 0, own[own >= 0]] = -np.inf
    result = np.empty((len(probes), persons))
    for j in range(persons):
        best = -np.sort(-cosines[:, owner == j], axis=1)[:, :top]
        count = np.isfinite(best).sum(1)
        total = np.where(np.isfinite(best), best, 0.0).sum(1)
        result[:, j] = np.divide(total, count, out=np.full(len(best), -np.inf), where=count > 0)
    return result


def _centroid(probes: np.ndarray, vectors: np.ndarray, owner: np.ndarray, persons: int, own: np.ndarray) -> np.ndarray:
    sums = np.zeros((persons, vectors.shape[1]))
    np.add.at(sums, owner, vectors)
    result = probes @ (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).T
    for i in np.flatnonzero(own >= 0):
        j = owner[own[i]]
        rest = sums[j] - vectors[own[i]]
        alone = (owner == j).sum() == 1
        result[i, j] = -np.inf if alone else probes[i] @ rest / max(float(np.linalg.norm(rest)), 1e-12)
    return result


def _logistic(probes: np.ndarray, vectors: np.ndarray, owner: np.ndarray, persons: int, own: np.ndarray) -> np.ndarray:
    result = np.empty((len(probes), persons))
    rank = np.zeros(len(owner), dtype=np.int64)  # 0, 1, 2, ... within each person
    for j in range(persons):
        rank[owner == j] = np.arange((owner == j).sum())
    fold = np.where(own >= 0, rank[np.maximum(own, 0)] % FOLDS, -1)
    for f in np.unique(fold):
        alone = np.bincount(owner, minlength=persons)[owner] == 1
        kept = np.ones(len(owner), bool) if f < 0 else (rank % FOLDS != f) | alone
        rows = fold == f
        result[rows] = _fit_one_against_rest(vectors[kept], owner[kept], persons, probes[rows])
        for i in np.flatnonzero(rows & (own >= 0)):
            if alone[own[i]]:
                result[i, owner[own[i]]] = -np.inf
    return result


def _fit_one_against_rest(vectors: np.ndarray, owner: np.ndarray, persons: int, probes: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    result = np.full((len(probes), persons), -np.inf)
    for j in np.unique(owner):
        if len(np.unique(owner)) < 2:
            result[:, j] = (probes @ vectors.T).max(1)
            continue
        fit = LogisticRegression(C=1.0 / PENALTY, class_weight="balanced", max_iter=500).fit(vectors, owner == j)
        result[:, j] = fit.predict_proba(probes)[:, 1]
    return result

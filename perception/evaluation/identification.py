"""1:N search: is the right person first, and are strangers turned away?

Of every person some images are enrolled, the others are probes (:func:`perception.gallery.choose_roles`: at most five,
at most half).  Each probe is searched twice: as it is (mated), and with its own person left out of the gallery
(non-mated: what a stranger would meet).  Rank-1: share of mated searches that put the right person first.  DIR at a
false positive identification rate (FPIR): share of mated searches that put the right person first *and* reach the
threshold that the stated share of non-mated searches reaches (NISTIR 8271).  The gallery stays as it is while probes are
drawn anew, person by person.
"""

from __future__ import annotations

import numpy as np

from perception.enrolment import STRATEGIES
from perception.errors import InputError
from perception.evaluation.bootstrap import DRAWS, Measure, bootstrap, codes, weighted_mean
from perception.gallery import choose_roles
from perception.recognition import EnrolledGallery

FPIRS = (0.1, 0.01)


def leave_one_out_rank1(embeddings: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Whether the nearest other image is the same person's, for every image of a person with two or more."""
    vectors = np.asarray(embeddings, np.float64)
    right = np.zeros(len(vectors), bool)
    for start in range(0, len(vectors), 1000):
        cosines = vectors[start:start + 1000] @ vectors.T
        rows = np.arange(start, start + len(cosines))
        cosines[rows - start, rows] = -np.inf
        right[rows] = person[cosines.argmax(1)] == person[rows]
    return right


def evaluate_identification(embeddings: np.ndarray, person: np.ndarray, images: np.ndarray, draws: int = DRAWS,
                            seed: int = 0) -> dict[str, Measure]:
    """Rank-1 and DIR at FPIR for every enrolment strategy.

    Parameters
    ----------
    embeddings : ndarray, shape (n, 512)
    person : ndarray, shape (n,), str
    images : ndarray, shape (n,), str
        Names, on which (with the seed) the choice of enrolled images depends.

    Raises
    ------
    InputError
        If fewer than two persons have two images each.
    """
    names, counts = np.unique(person, return_counts=True)
    known = names[counts >= 2]
    if len(known) < 2:
        raise InputError("identity needs at least two persons with two usable images each")
    several = np.isin(person, known)
    alone = leave_one_out_rank1(embeddings, person)[several]
    cluster, clusters = codes(person[several])

    roles = choose_roles(images, person.astype(object), np.full(len(person), None, object), np.ones(len(person), bool), seed)
    enrolled = {str(name): embeddings[(person == name) & (roles == "enrol")] for name in known}
    probes = several & (roles == "camera")
    own = person[probes][:, None] == np.array(list(enrolled))[None, :]
    place = {name: k for k, name in enumerate(np.unique(person[several]))}
    probe_cluster = np.array([place[name] for name in person[probes]])
    searches = {strategy: _search(EnrolledGallery(enrolled, strategy=strategy).scores(embeddings[probes]), own)
                for strategy in STRATEGIES}
    resolved = [f for f in FPIRS if probes.sum() * f >= 1.0]

    def measure(persons: np.ndarray) -> dict[str, float]:
        w = persons[probe_cluster]
        values = {"rank1_leave_one_out": weighted_mean(alone, persons[cluster])}
        for strategy, (first, score, stranger) in searches.items():
            values[f"{strategy}/rank1"] = weighted_mean(first, w)
            order = np.argsort(-stranger, kind="stable")
            passed = np.cumsum(w[order]) / max(w.sum(), 1e-12)
            for fpir in FPIRS:
                k = int(np.searchsorted(passed, fpir * (1 + 1e-12), side="right"))
                threshold = np.nextafter(stranger[order[k]], np.inf) if k < len(order) else -np.inf
                hit = weighted_mean(first & (score >= threshold), w) if fpir in resolved else float("nan")
                values[f"{strategy}/dir_at_fpir_{fpir:g}"] = hit
        return values

    n = int(probes.sum())
    counts_by_name = {f"{s}/{m}": n for s in STRATEGIES for m in ("rank1", *(f"dir_at_fpir_{f:g}" for f in FPIRS))}
    return bootstrap(measure, clusters, counts_by_name | {"rank1_leave_one_out": int(several.sum())}, draws, seed)


def _search(scores: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether the right person came first, the best score, and the best score with the own person left out."""
    first = own[np.arange(len(scores)), scores.argmax(1)]
    return first, scores.max(1), np.where(own, -np.inf, scores).max(1)

"""Recognition: whose face is it, or nobody's that is known; enrolment and calibrated thresholds.

Recognition is open-set [1]_: the score of a probe against a person is the mean of its ``top`` largest cosines with that
person's enrolled embeddings; the best person is reported only if the score reaches the threshold *and* leads the
runner-up by the margin; otherwise the probe is unknown.  The threshold is the one at which the gallery's own impostor
comparisons give the stated false match rate (FMR).

A mask changes the scores: two people in masks look alike (measured: the FMR of a fixed threshold rises twelvefold), while
a masked face scores low against bare templates, its own included.  So masked probes have their own threshold, measured on
masked impostor comparisons at a stricter rate, :data:`MASKED_FMR_SHARE` of the FMR; without such comparisons it is the
plain one plus :data:`MASK_OFFSET`.

References
----------
.. [1] P. Grother, M. Ngan, K. Hanaoka, "Face Recognition Vendor Test Part 2: Identification", NISTIR 8271, 2019
   (open-set identification: false positive and false negative identification rates).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perception.enrolment import STRATEGIES, person_scores
from perception.errors import GalleryError

DEFAULT_THRESHOLD = 0.50
"""Cosine used where a gallery has too few comparisons to measure its own: L2 distance 1.00, FMR below 1e-3 measured."""
DEFAULT_MARGIN = 0.05
"""Lead over the runner-up; on 40 people it turned a quarter of the strangers' mistaken identities into unknown at an FMR
of .001 (.065 to .050) and cost no right one."""
MARGIN_LOSS = 0.01
"""Share of the right identifications that a calibrated margin may turn into unknown."""
MASKED_FMR_SHARE = 0.5
"""Masked probes may be mistaken at this share of the rate allowed to bare ones."""
MASK_OFFSET = 0.10
"""Added to the plain threshold for masked probes where a gallery has no masked comparisons: the plain FMR 1e-3 threshold
(cosine .41) lets masked impostors pass at .011; about a tenth more was needed to bring them back."""


@dataclass(frozen=True)
class Match:
    """An open-set decision: ``person`` is None for unknown; ``similarity`` is the best score either way."""

    person: str | None
    similarity: float


@dataclass(frozen=True)
class Thresholds:
    """The operating point of a gallery.

    Attributes
    ----------
    plain, masked : float
        Smallest accepted score of a bare and of a masked face.
    margin : float
        Smallest lead over the runner-up.
    fmr : float
        The false match rate asked for.
    comparisons, masked_comparisons : int
        Impostor comparisons that each threshold was calibrated on (0: the stated default or offset was used).
    measured_fmr, fnmr : float or None
        Share of those impostor comparisons that reach ``plain``, and of the genuine ones that do not.
    genuine : int
        Genuine comparisons behind ``fnmr``.
    strategy : str
        Enrolment strategy that the scores come from.
    """

    plain: float = DEFAULT_THRESHOLD
    masked: float = DEFAULT_THRESHOLD + MASK_OFFSET
    margin: float = DEFAULT_MARGIN
    fmr: float = 1e-3
    comparisons: int = 0
    masked_comparisons: int = 0
    measured_fmr: float | None = None
    fnmr: float | None = None
    genuine: int = 0
    strategy: str = "top_mean"


class EnrolledGallery:
    """Enrolled embeddings of some persons; scores and recognises probes.

    Parameters
    ----------
    enrolled : mapping of str to ndarray, shape (k, 512)
        Unit-length embeddings per person, k >= 1.
    top : int
        Cosines averaged by the strategy ``top_mean`` (all, where fewer are enrolled).
    strategy : str
        How a person's embeddings become one score (:mod:`perception.enrolment`).

    Raises
    ------
    GalleryError
        If a person has no embedding, or there is no such strategy.
    """

    def __init__(self, enrolled: Mapping[str, np.ndarray], top: int = 3, strategy: str = "top_mean") -> None:
        if strategy not in STRATEGIES:
            raise GalleryError(f"the enrolment strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}")
        self.persons = tuple(enrolled)
        self.top = top
        self.strategy = strategy
        sizes = [len(vectors) for vectors in enrolled.values()]
        if not sizes or min(sizes) == 0:
            raise GalleryError("every enrolled person needs at least one usable face")
        self._vectors = np.concatenate([np.asarray(v, np.float32).reshape(-1, 512) for v in enrolled.values()])
        self._owner = np.repeat(np.arange(len(sizes)), sizes)

    def scores(self, probes: np.ndarray, leave_out: Sequence[int | None] | None = None) -> np.ndarray:
        """Score of every probe against every person.

        Parameters
        ----------
        probes : ndarray, shape (n, 512)
            Unit-length embeddings.
        leave_out : sequence of int or None, length n, optional
            Row (in enrolment order) that *is* the probe, and so must not vouch for it.

        Returns
        -------
        ndarray, shape (n, persons), float64
            -inf where leaving out left nothing to compare with.
        """
        return person_scores(probes, self._vectors, self._owner, len(self.persons),
                             leave_out or [None] * len(probes), self.strategy, self.top)

    def decide(self, scores: np.ndarray, thresholds: Thresholds, masked: np.ndarray) -> list[Match]:
        """Open-set decisions from scores.

        Parameters
        ----------
        scores : ndarray, shape (n, persons)
            -inf excludes a person.
        masked : ndarray, shape (n,), bool

        Returns
        -------
        list of Match
            ``similarity`` is NaN where nobody was left to compare with.
        """
        decisions = []
        for row, hidden in zip(scores, np.asarray(masked, dtype=bool), strict=True):
            order = np.argsort(-row, kind="stable")
            best = float(row[order[0]])
            if not np.isfinite(best):
                decisions.append(Match(None, float("nan")))
                continue
            second = float(row[order[1]]) if len(order) > 1 else -np.inf
            accepted = best >= (thresholds.masked if hidden else thresholds.plain) and best - second >= thresholds.margin
            decisions.append(Match(self.persons[order[0]] if accepted else None, best))
        return decisions


def calibrate(impostors: np.ndarray, masked_impostors: np.ndarray, fmr: float = 1e-3, margin: float | None = DEFAULT_MARGIN,
              genuine: np.ndarray | None = None, leads: np.ndarray | None = None, strategy: str = "top_mean") -> Thresholds:
    """Set a gallery's operating point from its own comparisons.

    A threshold is the smallest score that at most a share ``fmr`` of the comparisons reach (masked:
    ``MASKED_FMR_SHARE * fmr``).  Fewer comparisons than one over that rate cannot show it: then the plain threshold is
    the larger of :data:`DEFAULT_THRESHOLD` and the largest impostor score, and the masked one ``plain + MASK_OFFSET``.

    Parameters
    ----------
    impostors : ndarray, shape (n,)
        Scores of bare enrolled faces against every *other* person.
    masked_impostors : ndarray, shape (m,)
        The same of the gallery's masked faces, of whatever role (people are seldom enrolled in a mask).
    fmr : float
        False match rate asked for, in (0, 1).
    margin : float or None
        Smallest lead over the runner-up; None: calibrated on ``leads``.
    genuine : ndarray, shape (k,), optional
        Scores of bare enrolled faces against their own person, themselves left out; for the FNMR.
    leads : ndarray, shape (k,), optional
        Lead of the own person over the best other one, of the same faces; see :func:`calibrated_margin`.
    strategy : str
        Recorded.
    """
    if not 0.0 < fmr < 1.0:
        raise GalleryError(f"fmr must lie between 0 and 1, got {fmr}")
    plain = impostor_threshold(impostors, fmr)
    enough = len(masked_impostors) * fmr * MASKED_FMR_SHARE >= 1.0
    masked = impostor_threshold(masked_impostors, fmr * MASKED_FMR_SHARE) if enough else plain + MASK_OFFSET
    if margin is None:
        passed = None if genuine is None or leads is None else leads[genuine >= plain]
        margin = DEFAULT_MARGIN if passed is None else calibrated_margin(passed)
    finite = impostors[np.isfinite(impostors)]
    own = np.empty(0) if genuine is None else genuine[np.isfinite(genuine)]
    return Thresholds(plain, masked, margin, fmr, len(impostors), len(masked_impostors) if enough else 0,
                      float((finite >= plain).mean()) if len(finite) else None, float((own < plain).mean()) if len(own) else None,
                      len(own), strategy)


def calibrated_margin(leads: np.ndarray) -> float:
    """The largest lead to ask for that loses at most :data:`MARGIN_LOSS` of the right identifications.

    Parameters
    ----------
    leads : ndarray, shape (k,)
        Lead of the right person over the runner-up in searches that reach the threshold.

    Returns
    -------
    float
        In [0, ``2 * DEFAULT_MARGIN``]; the default where ``MARGIN_LOSS`` of them is less than one search.
    """
    leads = leads[np.isfinite(leads)]
    if len(leads) * MARGIN_LOSS < 1.0:
        return DEFAULT_MARGIN
    return float(np.clip(np.quantile(leads, MARGIN_LOSS, method="lower"), 0.0, 2 * DEFAULT_MARGIN))


def impostor_threshold(impostors: np.ndarray, fmr: float) -> float:
    """Smallest threshold that at most a share ``fmr`` of the impostor scores reach (see :func:`calibrate`)."""
    ranked = np.sort(impostors[np.isfinite(impostors)])[::-1]
    if len(ranked) * fmr < 1.0:
        return float(np.nextafter(max(DEFAULT_THRESHOLD, ranked[0] if len(ranked) else -1.0), 2.0))
    return float(np.nextafter(ranked[int(len(ranked) * fmr)], 2.0))

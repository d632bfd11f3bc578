"""Estimators that take every opportunity by itself, as of a contextual bandit.

With w = pi(a|x) / mu(a|x), a reward model q(x, a) and v(x) = sum_a pi(a|x) q(x, a), summed over a customer's opportunities:

    IPS        w r                                            Horvitz & Thompson 1952
    SNIPS      sum w r / sum w, times the opportunities       Swaminathan & Joachims 2015, NeurIPS
    DM         v                                              the model alone
    DR         v + w (r - q)                                  Dudik, Langford & Li 2011, ICML, arXiv:1103.4601
    SNDR       v, and w (r - q) self-normalised
    SWITCH-DR  v + w 1[w <= tau] (r - q)                      Wang, Agarwal & Dudik 2017, ICML, arXiv:1612.01205

IPS and DR are unbiased where later opportunities do not depend on actions and propensities are right; SNIPS is consistent
and never leaves the range of the rewards; DM is as right as its model.
"""

from __future__ import annotations

import numpy as np

from sim.evaluation.estimators.data import LoggedLives
from sim.evaluation.estimators.estimator import Estimator, mean_of

_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


def _normalised(c: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(c[..., 1] > 0, c[..., 0] / np.where(c[..., 1] > 0, c[..., 1], 1.0) * c[..., 2], 0.0))


def _doubly_normalised(c: np.ndarray) -> np.ndarray:
    return np.asarray(c[..., 0] + _normalised(c[..., 1:]))


def ips(log: LoggedLives, discount: float = 1.0) -> Estimator:
    """Inverse propensity score."""
    return mean_of("ips", log.total(log.discount(discount) * log.ratio * log.reward))


def snips(log: LoggedLives, discount: float = 1.0) -> Estimator:
    """Self-normalised IPS."""
    g = log.discount(discount)
    columns = np.column_stack([log.total(g * log.ratio * log.reward), log.total(g * log.ratio), log.total(g)])
    return Estimator("snips", columns, _normalised)


def _value(log: LoggedLives, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """v (T,) and r - q at the logged action (T,)."""
    return (log.target * q).sum(1), log.reward - q[np.arange(len(log)), log.action]


def dm(log: LoggedLives, q: np.ndarray, discount: float = 1.0) -> Estimator:
    """Direct method with q (T, A); its interval holds no error of the model."""
    return mean_of("dm", log.total(log.discount(discount) * _value(log, q)[0]), "no model error in its interval")


def dr(log: LoggedLives, q: np.ndarray, discount: float = 1.0) -> Estimator:
    """Doubly robust."""
    v, residual = _value(log, q)
    return mean_of("dr", log.total(log.discount(discount) * (v + log.ratio * residual)))


def sndr(log: LoggedLives, q: np.ndarray, discount: float = 1.0) -> Estimator:
    """Doubly robust with a self-normalised correction."""
    g, (v, residual) = log.discount(discount), _value(log, q)
    columns = [log.total(g * v), log.total(g * log.ratio * residual), log.total(g * log.ratio), log.total(g)]
    return Estimator("sndr", np.column_stack(columns), _doubly_normalised)


def switch_dr(log: LoggedLives, q: np.ndarray, discount: float = 1.0, tau: float | None = None) -> Estimator:
    """Doubly robust where the ratio is at most tau, the model alone beyond; None chooses tau from the log.

    tau minimises the estimated variance plus the square of a bound on the bias, the target's probability of actions beyond
    tau times the largest residual (Wang et al. 2017, section 4).
    """
    g, w, (v, residual) = log.discount(discount), log.ratio, _value(log, q)

    def contribution(bound: float) -> np.ndarray:
        return log.total(g * (v + np.where(w <= bound, w, 0.0) * residual))

    if tau is None:
        largest = float(np.abs(residual).max(initial=0.0))
        risks = []
        taus = np.unique(np.quantile(w, _QUANTILES))
        for bound in taus:
            bias = largest * float(log.total(g * np.where(w > bound, w, 0.0)).mean())
            risks.append(contribution(bound).var() / log.customers + bias**2)
        tau = float(taus[int(np.argmin(risks))])
    return mean_of("switch_dr", contribution(tau), f"tau {tau:.3g}")

"""Estimators of whole lives by products of importance ratios.

With rho_t = w_0 ... w_t (rho_{-1} = 1), q and v the target's value from an opportunity on, and gamma_t the discount of day t:

    FQE    v(x_0)                                                      the model alone (Le, Voloshin & Yue 2019, ICML)
    PDIS   sum_t gamma_t rho_t r_t                                     Precup, Sutton & Singh 2000, ICML
    WPDIS  each step's rho_t divided by its mean over customers        the same
    SDR    sum_t gamma_t [rho_t (r_t - q_t) + rho_{t-1} v_t]           Jiang & Li 2016, ICML, arXiv:1511.03722
    WDR    the same with rho divided by its mean over customers        Thomas & Brunskill 2016, ICML, arXiv:1604.00923

A life that has ended keeps its rho and earns nothing.  PDIS and SDR are unbiased for every shop, hidden states included,
but their variance grows exponentially with the length of a life; `overlap` tells when a few lives carry all the weight.
"""

from __future__ import annotations

import numpy as np

from sim.evaluation.estimators.data import LoggedLives
from sim.evaluation.estimators.estimator import Estimator, mean_of

LARGEST = 1e100  # its square is still a number


def products(log: LoggedLives) -> np.ndarray:
    """rho (n, H): a row a customer, frozen after the end of a life; cut at `LARGEST`, where no estimate is left to ruin."""
    with np.errstate(over="ignore"):
        return np.minimum(np.cumprod(log.padded(log.ratio, 1.0), axis=1), LARGEST)


def _before(rho: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(rho), 1)), rho[:, :-1]], axis=1)


def _share(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Ratio by step; a step that no weight reaches adds nothing."""
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), 0.0)


def fqe(log: LoggedLives, q: np.ndarray, discount: float = 1.0) -> Estimator:
    """The model's value of the first opportunity."""
    first = log.start[:-1]
    return mean_of("fqe", (log.target[first] * q[first]).sum(1), "no model error in its interval")


def pdis(log: LoggedLives, discount: float = 1.0) -> Estimator:
    """Per-decision importance sampling."""
    return mean_of("pdis", (products(log) * log.padded(log.discount(discount) * log.reward)).sum(1))


def wpdis(log: LoggedLives, discount: float = 1.0) -> Estimator:
    """Self-normalised per-decision importance sampling."""
    rho = products(log)

    def combine(c: np.ndarray) -> np.ndarray:
        earned, weight = np.split(c, 2, axis=-1)
        return np.asarray(_share(earned, weight).sum(-1))

    return Estimator("wpdis", np.hstack([rho * log.padded(log.discount(discount) * log.reward), rho]), combine)


def _parts(log: LoggedLives, q: np.ndarray, discount: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    g = log.discount(discount)
    residual = log.padded(g * (log.reward - q[np.arange(len(log)), log.action]))
    return products(log), residual, log.padded(g * (log.target * q).sum(1))


def sdr(log: LoggedLives, q: np.ndarray, discount: float = 1.0) -> Estimator:
    """Doubly robust for sequences."""
    rho, residual, value = _parts(log, q, discount)
    return mean_of("sdr", (rho * residual + _before(rho) * value).sum(1))


def wdr(log: LoggedLives, q: np.ndarray, discount: float = 1.0) -> Estimator:
    """Weighted doubly robust for sequences."""
    rho, residual, value = _parts(log, q, discount)
    earlier = _before(rho)

    def combine(c: np.ndarray) -> np.ndarray:
        corrected, expected, weight, former = np.split(c, 4, axis=-1)
        return np.asarray((_share(corrected, weight) + _share(expected, former)).sum(-1))

    return Estimator("wdr", np.hstack([rho * residual, earlier * value, rho, earlier]), combine)

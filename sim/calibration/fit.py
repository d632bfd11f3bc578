"""Penalised maximum simulated likelihood by Fisher scoring.

    maximise  sum_i log L_i(theta) - 1/2 sum_j ((theta_j - mu_j) / s_j)^2

The information matrix is the sum of outer products of the customers' scores (Berndt, Hall, Hall & Hausman 1974), centred so
that it is one away from the maximum too, plus the precision of the prior.  Its inverse at the maximum gives standard errors,
and with `robust` the sandwich of both estimates of the information (White 1982), which also holds where the model does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from sim.calibration.coefficients import Coefficients
from sim.calibration.model import LifeLikelihood

_ENOUGH = 1e-3  # stop when a step would gain less than half of this in log-likelihood
FOCUS = 2  # times that the draws are moved to where each customer's traits are likely
_COARSE = 0.5  # draws that are not the last are left when a step promises less than this


@dataclasses.dataclass(frozen=True)
class Fit:
    """theta (P,) at the maximum, covariance (P, P), log-likelihood, iterations, whether it converged, and the
    effective number of draws (N,)."""

    theta: np.ndarray
    covariance: np.ndarray
    log_likelihood: float
    iterations: int
    converged: bool
    effective_draws: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        return np.sqrt(np.diag(self.covariance))


def _score(model: LifeLikelihood, c: Coefficients, theta: np.ndarray, draws: int) -> tuple[np.ndarray, ...]:
    """log L (N,), score (N, P), effective draws (N,)."""
    params, appeal = c.apply(theta)
    value, score, weights = model.evaluate(params, appeal, draws=draws, with_score=True)
    return value, score[:, c.columns], 1.0 / (weights**2).sum(1)


def _penalty(c: Coefficients, theta: np.ndarray) -> float:
    return float(0.5 * (((theta - c.centre) / c.deviation) ** 2).sum())


def maximise(
    model: LifeLikelihood,
    c: Coefficients,
    *,
    start: np.ndarray | None = None,
    seed: int,
    iterations: int = 60,
    report: Callable[[int, float, float], None] | None = None,
) -> Fit:
    """Fit `c` to the log of `model`: first on few draws from the prior, then on all, drawn where each customer's traits are
    likely (`LifeLikelihood.focus`); `seed` is that of the second draws.

    `report(iteration, log_likelihood, gain)` is told of every iteration: `gain` is what the next step promises.
    """
    theta = np.clip(c.centre if start is None else start, c.low, c.high)
    precision = 1.0 / c.deviation**2
    draws, focused, done, iteration = min(model.draws, max(16, model.draws // 4)), 0, False, 0
    here = _score(model, c, theta, draws)
    while True:
        iteration += 1
        value, score, effective = here
        objective = value.sum() - _penalty(c, theta)
        gradient = score.sum(0) - precision * (theta - c.centre)
        free = ~((theta <= c.low) & (gradient < 0) | (theta >= c.high) & (gradient > 0))
        centred = score - score.mean(0)
        information = centred.T @ centred + np.diag(precision)
        step = np.zeros(len(theta))
        step[free] = np.linalg.solve(information[np.ix_(free, free)], gradient[free])
        gain, length = float(gradient @ step), 1.0
        if report is not None:
            report(iteration, float(value.sum()), gain)
        done = gain < (_ENOUGH if focused == FOCUS else _COARSE)
        while not done and length > 1e-3:
            trial = np.clip(theta + length * step, c.low, c.high)
            there = _score(model, c, trial, draws)
            if there[0].sum() - _penalty(c, trial) > objective:
                theta, here = trial, there
                break
            length *= 0.3
        if iteration >= iterations or focused == FOCUS and (done or length <= 1e-3):
            break
        if done or length <= 1e-3:
            model.focus(*c.apply(theta), seed=seed + focused)
            draws, focused = model.draws, focused + 1
            here = _score(model, c, theta, draws)
    covariance = np.linalg.inv(information)  # of a coefficient at its bound too: what is known of it, bound aside
    return Fit(theta, covariance, float(value.sum()), iteration, done, effective)

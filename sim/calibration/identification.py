"""What a fit says of every parameter, and how much of that is the log's own word.

With s_j the prior's and e_j the fitted standard error, the share of variance that the log took away is

    c_j = 1 - e_j^2 / s_j^2          yes: at least .95     weakly: at least .5     no: less (the starting value speaks)

(the contraction of Betancourt 2018); the strongest correlation with another parameter names what it cannot be told apart from.
The click intercept and the labels' appeals share one degree of freedom: they are stated with appeals of mean zero.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.stats import norm

from sim.calibration.coefficients import LOGARITHMIC, Coefficients, natural, setting
from sim.calibration.fit import Fit

CLEAR, SOME = 0.95, 0.5
_Z = float(norm.ppf(0.975))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One parameter: where it stands, start and fitted value with standard error and 95 % interval in its own unit, and
    how surely the log determines it."""

    name: str
    setting: str
    start: float
    fitted: float
    error: float
    low: float
    high: float
    share: float
    verdict: str
    entangled: str
    correlation: float
    at_bound: bool


def centred(c: Coefficients, theta: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """theta (P,) and covariance (P, P) with appeals of mean zero, what they had in common moved to the intercept."""
    k = len(c.appeal)
    move = np.eye(len(theta))
    move[c.names.index("click_intercept"), -k:] = 1.0 / k
    move[-k:, -k:] -= 1.0 / k
    return move @ theta, move @ covariance @ move.T


def estimates(c: Coefficients, fit: Fit) -> list[Estimate]:
    """One estimate per coefficient, appeals last."""
    theta, covariance = centred(c, fit.theta, fit.covariance)
    start, before = centred(c, c.centre, np.diag(c.deviation**2))
    error = np.sqrt(np.diag(covariance))
    prior = np.sqrt(np.diag(before))
    correlation = covariance / np.maximum(np.outer(error, error), 1e-300)
    np.fill_diagonal(correlation, 0.0)
    out = []
    for j, name in enumerate(c.names):
        share = 1.0 - min(1.0, (error[j] / prior[j]) ** 2) if prior[j] > 0 else 1.0
        rival = int(np.abs(correlation[j]).argmax())
        x, half = theta[j], _Z * error[j]
        low, high = max(x - half, c.low[j]), min(x + half, c.high[j])
        value = natural(name, x)
        out.append(
            Estimate(
                name=name,
                setting="catalog: appeal" if name.startswith("appeal[") else setting(name),
                start=natural(name, start[j]),
                fitted=value,
                error=value * error[j] if name in LOGARITHMIC else error[j],
                low=natural(name, low),
                high=natural(name, high),
                share=float(share),
                verdict="yes" if share >= CLEAR else "weakly" if share >= SOME else "no",
                entangled=c.names[rival],
                correlation=float(correlation[j, rival]),
                at_bound=bool(fit.theta[j] <= c.low[j] or fit.theta[j] >= c.high[j]),
            )
        )
    return out


def warnings(rows: list[Estimate], fit: Fit, draws: int, entangled: float = 0.9) -> list[str]:
    """What a reader must know before believing the table, in plain words."""
    told: list[str] = []
    if not fit.converged:
        told.append("The fit did not settle: read no parameter from it. Use more draws, or more customers.")
    silent = [r.name for r in rows if r.verdict == "no"]
    if silent:
        told.append(
            f"The log says almost nothing of {', '.join(silent)}: the value is mostly the starting one, whatever the interval says."
        )
    vague = [r.name for r in rows if r.verdict == "weakly"]
    if vague:
        told.append(f"The log says little of {', '.join(vague)}: take the interval, not the value.")
    pairs = {tuple(sorted((r.name, r.entangled))): r.correlation for r in rows if abs(r.correlation) > entangled}
    told += [
        f"{a} and {b} can hardly be told apart (correlation {corr:+.2f}): trust what they do together."
        for (a, b), corr in pairs.items()
    ]
    bound = [r.name for r in rows if r.at_bound]
    if bound:
        told.append(f"{', '.join(bound)} ended at the edge of what the shop allows: the log would rather go beyond.")
    thin = float(np.percentile(fit.effective_draws, 5))
    if thin < 5:
        told.append(
            f"For one customer in twenty fewer than {thin + 1:.0f} of {draws} draws count: raise draws, or lower opportunities."
        )
    return told

"""How much of a log speaks about the target policy, in numbers and in words.

    effective sample size   (sum w)^2 / sum w^2     Kong 1992; Owen 2013, Monte Carlo theory, section 9.3

w by opportunity for one-step estimators, by life (the product of a life's ratios) for sequential ones.  The mean ratio must
be one: where it is not, the propensities are wrong, or the logging policy never did what the target does.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sim.evaluation.estimators.data import LoggedLives
from sim.evaluation.estimators.sequential import products

FEW = 0.05  # share of effective opportunities below which a warning is due
FEW_LIVES = 100  # effective lives below which sequential estimates are noise
HEAVY = 0.05  # of all weight on one opportunity


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Diagnostics of a log for one target policy."""

    rows: int
    customers: int
    effective_rows: float
    effective_customers: float
    mean_ratio: float
    mean_ratio_error: float
    largest_ratio: float
    heaviest_share: float
    smallest_propensity: float
    unsupported_share: float
    agreement: float

    def warnings(self) -> list[str]:
        """One sentence each; none where the log is fit."""
        found = []
        if self.unsupported_share > 0:
            found.append(
                f"{self.unsupported_share:.1%} of the target's decisions are actions that the logging policy never took there: "
                "every estimate is missing what they would earn"
            )
        if self.effective_rows < FEW * self.rows:
            found.append(
                f"poor overlap: of {self.rows:,} opportunities only {self.effective_rows:,.0f} count "
                f"({self.effective_rows / self.rows:.1%}); "
                "prefer DR or SWITCH-DR, or log a policy that is closer to the target or explores more"
            )
        if self.heaviest_share > HEAVY:
            found.append(f"one opportunity carries {self.heaviest_share:.0%} of all weight: IPS and SNIPS hang on it")
        if abs(self.mean_ratio - 1) > 4 * self.mean_ratio_error + 1e-9:
            found.append(
                f"the mean importance ratio is {self.mean_ratio:.3f} ±{2 * self.mean_ratio_error:.3f}, not 1: propensities are not "
                "those of the logging policy, or it never acts where the target does"
            )
        if self.effective_customers < min(FEW_LIVES, 0.5 * self.customers) and self.rows > self.customers:
            found.append(
                f"whole lives: the products of ratios leave {self.effective_customers:.1f} effective of {self.customers:,} customers, so "
                "PDIS, WPDIS, SDR and WDR are noise; FQE, MIS and MDR rest on their model alone; log something closer to the target"
            )
        return found


def effective(weight: np.ndarray) -> float:
    """(sum w)^2 / sum w^2; 0 where all are 0."""
    largest = float(weight.max(initial=0.0))
    if largest <= 0:
        return 0.0
    scaled = weight / largest
    return float(scaled.sum() ** 2 / np.square(scaled).sum())


class Weights:
    """Sums over a log, block by block, that the diagnostics are made of."""

    def __init__(self) -> None:
        self._rows = self._customers = 0
        self._w = self._w2 = self._largest = self._agreement = self._lost = 0.0
        self._life = self._life2 = 0.0  # of products of ratios over a life
        self._moments = np.zeros(3)  # over customers: W W, W T, T T, with W a life's sum of ratios and T its opportunities
        self._smallest = np.inf

    def add(self, log: LoggedLives, unsupported: float = 0.0) -> None:
        """Count a block of whole lives; `unsupported` as `LoggedLives.check` returned it."""
        w, lives = log.ratio, products(log)[:, -1]
        total, length = log.total(w), log.lengths.astype(float)
        self._rows, self._customers = self._rows + len(log), self._customers + log.customers
        self._w, self._w2 = self._w + float(w.sum()), self._w2 + float(np.square(w).sum())
        self._life, self._life2 = self._life + float(lives.sum()), self._life2 + float(np.square(lives).sum())
        self._moments += [total @ total, total @ length, length @ length]
        self._largest, self._smallest = max(self._largest, float(w.max())), min(self._smallest, float(log.propensity.min()))
        self._agreement += float(log.target[np.arange(len(log)), log.action].sum())
        self._lost += unsupported * len(log)

    def overlap(self) -> Overlap:
        """The diagnostics of all that was counted."""
        rows, n = self._rows, self._customers
        mean = self._w / rows
        spread = float(self._moments @ [1.0, -2.0 * mean, mean * mean])  # of W - mean T, whose sum is 0
        error = float(np.sqrt(max(spread, 0.0) / (n - 1) / n) / (rows / n)) if n > 1 else np.inf
        return Overlap(
            rows=rows, customers=n, effective_rows=_effective(self._w, self._w2),
            effective_customers=_effective(self._life, self._life2), mean_ratio=mean, mean_ratio_error=error,
            largest_ratio=self._largest, heaviest_share=self._largest / max(self._w, 1e-300), smallest_propensity=self._smallest,
            unsupported_share=self._lost / rows, agreement=self._agreement / rows,
        )  # fmt: skip


def _effective(total: float, squares: float) -> float:
    return total * total / squares if squares > 0 else 0.0


def overlap(log: LoggedLives, unsupported: float = 0.0) -> Overlap:
    """Diagnostics; `unsupported` as `LoggedLives.check` returned it."""
    weights = Weights()
    weights.add(log, unsupported)
    return weights.overlap()

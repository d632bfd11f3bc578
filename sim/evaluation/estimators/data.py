"""A log as estimators read it: T opportunities of n customers, with what the target policy would do at each.

    w_t = pi(a_t | x_t) / mu(a_t | x_t)

is the importance ratio of target policy pi and logging policy mu at the logged action; its mean under mu is one, so the
log of mu speaks about pi as far as mu acts where pi does (Horvitz & Thompson 1952, JASA 47:663).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sim.evaluation.estimators.errors import OffPolicyError

SUPPORT = (
    1e-6  # probability of the target below which an action counts as not taken (probabilities are logged in float32)
)


@dataclasses.dataclass(frozen=True)
class LoggedLives:
    """Opportunities sorted by (customer, step).

    Attributes
    ----------
    start : (n + 1,) int
        Customer i owns rows start[i] to start[i + 1].
    action : (T,) int
        Executed; 0 holds back.
    reward : (T,) float
        Money.
    propensity : (T,) float in (0, 1]
        Of the executed action under the logging policy.
    target : (T, A) float
        Probability of every action under the target policy.
    features : (T, d) float or None
        What a reward model may know before the action; None leaves only estimators without a model.
    behaviour : (T, A) float or None
        Probability of every action under the logging policy.
    day : (T,) float or None
        Days since the customer's first opportunity, for discounting.
    lines : (T,) int or None
        Row numbers of the table that the log was read from, from 1, for messages.
    longest : int or None
        Opportunities of the longest life of the log that this is a block of.
    """

    start: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    propensity: np.ndarray
    target: np.ndarray
    features: np.ndarray | None = None
    behaviour: np.ndarray | None = None
    day: np.ndarray | None = None
    lines: np.ndarray | None = None
    longest: int | None = None

    def __len__(self) -> int:
        return len(self.action)

    @property
    def customers(self) -> int:
        """n."""
        return len(self.start) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Opportunities (n,) of each customer."""
        return np.diff(self.start)

    @property
    def customer(self) -> np.ndarray:
        """Which customer (T,), from 0, each row is of."""
        return np.repeat(np.arange(self.customers), self.lengths)

    @property
    def step(self) -> np.ndarray:
        """Index (T,) of each row within its customer's life."""
        return np.arange(len(self)) - np.repeat(self.start[:-1], self.lengths)

    @property
    def ratio(self) -> np.ndarray:
        """w (T,)."""
        return self.target[np.arange(len(self)), self.action] / self.propensity

    def discount(self, per_day: float) -> np.ndarray:
        """Weight (T,) of each reward: per_day ** day."""
        if per_day == 1.0 or self.day is None:
            return np.ones(len(self))
        return np.asarray(per_day**self.day)

    def total(self, x: np.ndarray) -> np.ndarray:
        """Sum of x (T, ...) over each customer's rows, (n, ...)."""
        return np.add.reduceat(x, self.start[:-1], axis=0)

    def padded(self, x: np.ndarray, fill: float = 0.0) -> np.ndarray:
        """x (T,) as (n, H), a row a customer and a column a step; `fill` after a life has ended."""
        out = np.full((self.customers, max(int(self.lengths.max()), self.longest or 0)), fill)
        out[self.customer, self.step] = x
        return out

    def following(self, x: np.ndarray) -> np.ndarray:
        """x (T, ...) one opportunity later; 0 at the end of a life."""
        out = np.zeros_like(x)
        out[:-1] = x[1:]
        out[self.start[1:] - 1] = 0
        return out

    def of(self, customers: np.ndarray) -> LoggedLives:
        """The log of some customers (m,), in their order; one may come several times (a bootstrap sample)."""
        lengths = self.lengths[customers]
        start = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(self.start[customers] - start[:-1], lengths) + np.arange(start[-1])
        taken: dict[str, Any] = {
            field.name: None if (column := getattr(self, field.name)) is None else column[rows]
            for field in dataclasses.fields(self)
            if field.name not in ("start", "longest")
        }
        return LoggedLives(start=start, longest=self.longest, **taken)

    def line(self, row: int) -> int:
        """The number by which the user knows a row."""
        return int(row + 1 if self.lines is None else self.lines[row])

    def check(self, labels: tuple[str, ...] = (), *, unsupported: str = "refuse") -> float:
        """Refuse what no estimator can be right on; returns the share of the target's decisions that the log cannot speak of.

        Parameters
        ----------
        labels : names of actions 1, 2, ..., for messages.
        unsupported : "refuse", or "accept" where the target acts with no propensity in the log.

        Raises
        ------
        OffPolicyError
            Names the row (and what is wrong in it).
        """

        def first(wrong: np.ndarray) -> int | None:
            return int(np.argmax(wrong)) if wrong.any() else None

        if (
            row := first(~(np.isfinite(self.propensity) & (self.propensity > 0) & (self.propensity <= 1 + 1e-6)))
        ) is not None:
            raise OffPolicyError(
                f"row {self.line(row)}, column propensity: {self.propensity[row]} is no probability of an action that was taken; "
                "it must lie above 0 and at most at 1"
            )
        if (row := first(~np.isfinite(self.reward))) is not None:
            raise OffPolicyError(f"row {self.line(row)}, column reward: {self.reward[row]} is no finite number")
        off = np.abs(self.target.sum(1) - 1)
        if (row := first(~(off < 1e-3) | ~(self.target >= 0).all(1))) is not None:
            raise OffPolicyError(
                f"row {self.line(row)}: the target policy's probabilities sum to {self.target[row].sum():.4f}; they must be 0 or "
                "more and sum to 1"
            )
        if self.behaviour is None:
            return 0.0
        lost = np.where(self.behaviour > 0, 0.0, self.target)
        if unsupported == "refuse" and (row := first(lost.max(1) > SUPPORT)) is not None:
            action = int(lost[row].argmax())
            name = "hold back" if action == 0 else repr(labels[action - 1]) if labels else f"action {action}"
            rows = int((lost.max(1) > SUPPORT).sum())
            raise OffPolicyError(
                f"row {self.line(row)}, column action_probability_{action}: the target policy would take {name} with probability "
                f"{self.target[row, action]:.3g}, the logging policy never did (propensity 0), so the log cannot tell what comes "
                f"of it; so it is in {rows:,} of {len(self):,} rows. Log a policy that explores, or accept the loss with "
                "unsupported=accept"
            )
        return float(lost.sum(1).mean())

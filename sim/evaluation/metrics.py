"""Metrics of a policy over its customers, each with an interval, and paired differences between policies.

Every metric is a mean over customers or a ratio of two such means, so it is declared by its numerator and denominator.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sim.evaluation.rollout import SessionLog
from sim.evaluation.statistics import Interval, mean_interval, paired_interval, ratio_influence, ratio_interval


@dataclasses.dataclass(frozen=True)
class Metric:
    """`numerator` per customer, or numerator / denominator where given; `better` is +1 up, -1 down, 0 neither."""

    numerator: str
    denominator: str | None
    unit: str
    better: int
    meaning: str


METRICS: dict[str, Metric] = {
    "value_per_customer": Metric("value", None, "money", 1, "undiscounted reward of a customer's life"),
    "discounted_value": Metric("discounted", None, "money", 1, "reward discounted by day"),
    "purchases_per_customer": Metric("purchases", None, "purchases", 1, "purchases in a life"),
    "clicks_per_customer": Metric("clicks", None, "clicks", 1, "clicks in a life"),
    "pushes_per_customer": Metric("pushes", None, "pushes", 0, "pushes in a life"),
    "opportunities_per_customer": Metric("opportunities", None, "opportunities", 1, "push opportunities in a life"),
    "days_per_customer": Metric("days", None, "days", 1, "days until the customer left or the horizon"),
    "push_rate": Metric("pushes", "opportunities", "pushes per opportunity", 0, "how often the policy speaks"),
    "click_rate": Metric("clicks", "pushes", "clicks per push", 1, "click-through rate"),
    "purchase_rate": Metric("purchases", "pushes", "purchases per push", 1, "conversion of pushes"),
    "opt_out_rate": Metric("opted_out", None, "share of customers", -1, "customers who opted out of pushes for ever"),
    "lapse_rate": Metric("lapsed", None, "share of customers", -1, "customers who stayed away"),
}


def per_customer(log: SessionLog, discount_per_day: float) -> dict[str, np.ndarray]:
    """Totals of every customer, each (n,)."""
    e = log.events
    who = e["customer"] - e["customer"].min()

    def total(x: np.ndarray) -> np.ndarray:
        return np.bincount(who, x, minlength=log.customers)

    return {
        "value": total(e["reward"]),
        "discounted": total(e["reward"] * discount_per_day ** e["day"]),
        "purchases": total(e["bought"]),
        "clicks": total(e["clicked"]),
        "pushes": total(e["action"] > 0),
        "opportunities": total(np.ones(len(e))),
        "days": total(e["gap"]),
        "opted_out": total(e["opted_out"]),
        "lapsed": total(e["lapsed"]),
    }


Totals = dict[str, np.ndarray]


def summarise(totals: Totals) -> dict[str, Interval]:
    """Every metric of one policy with its 95 % interval over customers."""
    out = {}
    for name, metric in METRICS.items():
        y = totals[metric.numerator]
        out[name] = mean_interval(y) if metric.denominator is None else ratio_interval(y, totals[metric.denominator])
    return out


def _influence(totals: Totals, metric: Metric) -> tuple[float, np.ndarray]:
    y = totals[metric.numerator]
    return ratio_influence(y, np.ones(len(y)) if metric.denominator is None else totals[metric.denominator])


def compare(a: Totals, b: Totals) -> dict[str, Interval]:
    """Paired difference a - b of every metric: the same customers, the same luck."""
    return {name: paired_interval(_influence(a, metric), _influence(b, metric)) for name, metric in METRICS.items()}

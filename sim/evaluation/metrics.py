"""Metrics of a policy over its customers, each with an interval, and paired differences between policies.

Every metric is a mean over customers or a ratio of two such means, so it is declared by its numerator and denominator: totals
per customer that add up over opportunities, so that a million customers need no log.

Guard rails (metrics with `guard`) say whether a policy lives off negative affect.  An opportunity is negative where the
customer's true emotion is angry, disgust, fear or sad, or, in a gallery without labels, where valence is below zero.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from perception.features import EMOTIONS
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
    guard: bool = False


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
    "immediate_regret": Metric(
        "immediate_regret", "opportunities", "money per opportunity", 0,
        "expected reward of the action that is best for this opportunity alone, minus that of the executed one",
    ),
    "mean_valence": Metric("valence", "opportunities", "valence, -1 to 1", 1, "valence at an opportunity", True),
    "mean_mood": Metric("mood", "opportunities", "mood, -1 to 1", 1, "mood at an opportunity", True),
    "valence_over_life": Metric(
        "own_valence", None, "valence, -1 to 1", 1, "mean valence of a customer's life, every customer counting once", True
    ),
    "mood_over_life": Metric("own_mood", None, "mood, -1 to 1", 1, "mean mood of a life, every customer counting once", True),
    "valence_shift": Metric(
        "valence_shift", "opportunities", "valence", 1, "valence after an opportunity minus the customer's home valence", True
    ),
    "negative_affect_share": Metric(
        "negative_opportunities", "opportunities", "share of opportunities", -1, "opportunities in negative affect", True
    ),
    "negative_push_rate": Metric(
        "negative_pushes", "negative_opportunities", "pushes per opportunity", 0, "push rate in negative affect", True
    ),
    "other_push_rate": Metric("other_pushes", "other_opportunities", "pushes per opportunity", 0, "push rate otherwise", True),
    "negative_push_share": Metric("negative_pushes", "pushes", "share of pushes", -1, "pushes in negative affect", True),
    "negative_purchase_share": Metric(
        "negative_purchases", "purchases", "share of purchases", -1, "purchases made in negative affect", True
    ),
    "negative_opt_out_share": Metric(
        "negative_opt_outs", "opted_out", "share of opt-outs", 0, "opt-outs in negative affect", True
    ),
}  # fmt: skip
GUARD_RAILS = tuple(name for name, metric in METRICS.items() if metric.guard)


Totals = dict[str, np.ndarray]


def per_customer(log: SessionLog, discount_per_day: float) -> Totals:
    """Totals of every customer, each (n,), in the order of their ids."""
    e = log.events
    who = e["customer"] - e["customer"].min()

    def total(x: np.ndarray) -> np.ndarray:
        return np.bincount(who, x, minlength=log.customers)

    negative, pushed = log.truth["true_negative_affect"], e["action"] > 0
    opportunities, valence, mood = total(np.ones(len(e))), total(e["valence"]), total(e["mood"])
    totals = {
        "value": total(e["reward"]),
        "discounted": total(e["reward"] * discount_per_day ** e["day"]),
        "purchases": total(e["bought"]),
        "clicks": total(e["clicked"]),
        "pushes": total(pushed),
        "opportunities": opportunities,
        "days": total(e["gap"]),
        "opted_out": total(e["opted_out"]),
        "lapsed": total(e["lapsed"]),
        "valence": valence,
        "mood": mood,
        "own_valence": valence / opportunities,
        "own_mood": mood / opportunities,
        "valence_shift": total(e["valence_shift"]),
        "negative_opportunities": total(negative),
        "negative_pushes": total(negative & pushed),
        "negative_purchases": total(negative * e["bought"]),
        "negative_opt_outs": total(negative * e["opted_out"]),
        "other_opportunities": total(~negative),
        "other_pushes": total(~negative & pushed),
    }
    if "true_immediate_regret" in log.truth:
        totals["immediate_regret"] = total(log.truth["true_immediate_regret"])
    return totals


def by_emotion(log: SessionLog, true_emotion: np.ndarray) -> np.ndarray:
    """Counts (8, 5) int64 of opportunities, pushes, clicks, purchases, opt-outs by true emotion; the last row: unknown.

    `true_emotion` (I,) of the gallery's pictures.
    """
    e = log.events
    emotion = true_emotion[e["image"]].astype(np.int64)
    emotion[emotion < 0] = len(EMOTIONS)
    counted = (np.ones(len(e), bool), e["action"] > 0, e["clicked"] > 0, e["bought"] > 0, e["opted_out"] > 0)
    return np.stack([np.bincount(emotion[x], minlength=len(EMOTIONS) + 1) for x in counted], axis=1)


BY_EMOTION = ("opportunities", "pushes", "clicks", "purchases", "opt_outs")


def _known(totals: Totals) -> dict[str, Metric]:
    """The metrics for which there are totals: immediate regret is optional."""
    return {name: metric for name, metric in METRICS.items() if metric.numerator in totals}


def influence(totals: Totals, metric: Metric) -> tuple[float, np.ndarray]:
    """Estimate of a metric and each customer's influence (n,) on it."""
    y = totals[metric.numerator]
    return ratio_influence(y, np.ones(len(y)) if metric.denominator is None else totals[metric.denominator])


def summarise(totals: Totals) -> dict[str, Interval]:
    """Every metric of one policy with its 95 % interval over customers."""
    out = {}
    for name, metric in _known(totals).items():
        y = totals[metric.numerator]
        out[name] = mean_interval(y) if metric.denominator is None else ratio_interval(y, totals[metric.denominator])
    return out


def compare(a: Totals, b: Totals) -> dict[str, Interval]:
    """Paired difference a - b of every metric that both have: the same customers, the same luck."""
    known = {name: metric for name, metric in _known(a).items() if metric.numerator in b}
    return {name: paired_interval(influence(a, metric), influence(b, metric)) for name, metric in known.items()}


def compare_all(totals: dict[str, Totals]) -> dict[str, dict[str, Interval]]:
    """`compare` of all ordered pairs as `<a>_minus_<b>`, each influence computed once."""
    pairs: dict[str, dict[str, Interval]] = {f"{a}_minus_{b}": {} for a in totals for b in totals if a != b}
    for name, metric in METRICS.items():
        own = {policy: influence(t, metric) for policy, t in totals.items() if metric.numerator in t}
        for a, b in itertools.permutations(own, 2):
            pairs[f"{a}_minus_{b}"][name] = paired_interval(own[a], own[b])
    return pairs

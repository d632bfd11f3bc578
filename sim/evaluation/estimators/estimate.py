"""All estimators of one log and one target policy."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sim.evaluation.estimators import contextual, marginalised, sequential
from sim.evaluation.estimators.data import LoggedLives
from sim.evaluation.estimators.errors import OffPolicyError
from sim.evaluation.estimators.estimator import Estimator, mean_of
from sim.evaluation.estimators.intervals import METHODS, RESAMPLES, interval
from sim.evaluation.estimators.models import cross_fitted
from sim.evaluation.statistics import Interval

CONTEXTUAL = ("ips", "snips", "dm", "dr", "sndr", "switch_dr")
SEQUENTIAL = ("fqe", "pdis", "wpdis", "sdr", "wdr", "mis", "mdr")
ESTIMATORS = (*CONTEXTUAL, *SEQUENTIAL)
_MODEL_FREE = ("ips", "snips", "pdis", "wpdis")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Money per customer by one estimator; `intervals[method]`, None where the method does not apply."""

    name: str
    kind: str
    value: float
    intervals: dict[str, Interval | None]
    note: str


def fitting(log: LoggedLives) -> tuple[str, ...]:
    """The estimators that a log can feed: no model without features, no sequences where each customer is one row."""
    names = CONTEXTUAL if len(log) == log.customers else ESTIMATORS
    return names if log.features is not None else tuple(name for name in names if name in _MODEL_FREE)


def estimators_of(
    log: LoggedLives,
    names: tuple[str, ...],
    *,
    model: str = "ridge",
    discount: float = 1.0,
    folds: int = 2,
    seed: int = 0,
    slope: float = marginalised.SLOPE,
) -> list[Estimator]:
    """Those named, in that order; models are fitted once, `slope` as of `marginalised.lstdq`.

    Raises
    ------
    OffPolicyError
        An estimator is unknown, or needs features that the log does not have.
    """
    for name in names:
        if name not in ESTIMATORS:
            raise OffPolicyError(f"estimators: {name!r} is unknown; choose from {', '.join(ESTIMATORS)}")
    q = cross_fitted(log, model, folds, seed) if set(names) & {"dm", "dr", "sndr", "switch_dr"} else None
    course = (
        marginalised.lstdq(log, discount, folds, seed, slope)
        if set(names) & {"fqe", "sdr", "wdr", "mis", "mdr"}
        else None
    )
    found = []
    for name in names:
        if name in ("mis", "mdr"):
            found.append(getattr(marginalised, name)(log, course, discount))
        elif name in _MODEL_FREE:
            found.append(getattr(contextual if name in CONTEXTUAL else sequential, name)(log, discount))
        elif name in CONTEXTUAL:
            found.append(getattr(contextual, name)(log, q, discount))
        else:
            assert course is not None
            found.append(getattr(sequential, name)(log, course.q, discount))
    return found


def logged_value(log: LoggedLives, discount: float = 1.0) -> Estimator:
    """What the logging policy itself earned."""
    return mean_of("logged", log.total(log.discount(discount) * log.reward))


def estimates(
    log: LoggedLives,
    names: tuple[str, ...] = (),
    *,
    model: str = "ridge",
    discount: float = 1.0,
    folds: int = 2,
    level: float = 0.95,
    methods: tuple[str, ...] = METHODS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Estimate]:
    """Every estimate with its intervals; no names takes all that the log can feed (`fitting`)."""
    found = columns_of(log, names, model=model, discount=discount, folds=folds, seed=seed)
    return with_intervals(found, level=level, methods=methods, resamples=resamples, seed=seed)


def columns_of(log: LoggedLives, names: tuple[str, ...] = (), *, discount: float = 1.0, **models: Any) -> list[Estimator]:
    """What was logged, and the estimators of a log; no names takes all that it can feed."""
    return [logged_value(log, discount), *estimators_of(log, names or fitting(log), discount=discount, **models)]


def with_intervals(
    found: list[Estimator],
    *,
    level: float = 0.95,
    methods: tuple[str, ...] | None = None,
    resamples: int | None = None,
    seed: int = 0,
) -> list[Estimate]:
    """Value and intervals of every estimator.

    Raises
    ------
    OffPolicyError
        A value is not finite.
    """
    methods, resamples = methods or METHODS, resamples or RESAMPLES
    out = []
    for each in found:
        kind = "log" if each.name == "logged" else "one step" if each.name in CONTEXTUAL else "whole life"
        intervals = {method: interval(each, method, level, seed, resamples) for method in methods}
        if not np.isfinite(each.value):
            raise OffPolicyError(
                f"estimator {each.name} gives {each.value}: rewards or ratios are too large to be added"
            )
        out.append(Estimate(each.name, kind, each.value, intervals, each.note))
    return out

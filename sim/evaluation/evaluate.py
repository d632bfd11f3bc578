"""Evaluate a policy in memory that does not grow with its customers' lives: batch by batch, what is counted is let go.

The totals of every customer (some 20 numbers, 160 bytes) are kept, since paired intervals need them; the log of opportunities
(some 500 bytes each) goes to a `SessionWriter`, for as many customers as are asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from perception.features import EMOTIONS
from sim.evaluation.metrics import BY_EMOTION, Totals, by_emotion, per_customer
from sim.evaluation.rollout import Policy, StatePolicy, stream
from sim.evaluation.session_log import SessionWriter
from sim.shop.world import Shop

LOG_ALL, LOG_SOME = 20_000, 1_000  # `evaluate.log=auto`: all of up to so many customers, else of the first so many


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """totals: (n,) each, in the order of ids; emotions (8, 5): counts as of `metrics.by_emotion`."""

    totals: Totals
    emotions: np.ndarray

    def emotion_table(self) -> dict[str, dict[str, int]]:
        """Opportunities, pushes, ... by true emotion, as plain numbers; `unknown` where the gallery has no labels."""
        rows = zip((*EMOTIONS, "unknown"), self.emotions.tolist(), strict=True)
        return {emotion: dict(zip(BY_EMOTION, row, strict=True)) for emotion, row in rows if row[0]}


def logged_customers(log: str | int, customers: int) -> int:
    """How many customers' opportunities are logged, by the setting `evaluate.log`: all, none, auto or a number."""
    if log == "auto":
        return customers if customers <= LOG_ALL else LOG_SOME
    return {"all": customers, "none": 0}[log] if isinstance(log, str) else min(int(log), customers)


def evaluate(
    policy: Policy | StatePolicy,
    shop: Shop,
    *,
    customers: int,
    seed: int,
    discount_per_day: float = 1.0,
    writer: SessionWriter | None = None,
    logged: int = 0,
    regret: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Live `customers` evaluation customers under `policy`; the first `logged` of them are written with `writer`.

    regret : also what every decision cost against the best one for its opportunity (see `rollout.stream`).
    """
    totals: list[Totals] = []
    emotions = np.zeros((len(EMOTIONS) + 1, len(BY_EMOTION)), np.int64)
    logged = 0 if writer is None else logged
    for first, number, decisions in ((0, logged, True), (logged, customers - logged, False)):
        for log in stream(
            policy,
            shop,
            customers=number,
            seed=seed,
            first=first,
            decisions=decisions,
            regret=regret,
            progress=progress,
        ):
            if writer is not None and decisions:
                writer.write(log)
            totals.append(per_customer(log, discount_per_day))
            emotions += by_emotion(log, shop.gallery.true_emotion)
    return Evaluation(_joined(totals), emotions)


def _joined(totals: Sequence[Totals]) -> Totals:
    return {name: np.concatenate([part[name] for part in totals]) for name in totals[0]}

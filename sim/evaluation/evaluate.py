"""Evaluate a policy in memory that does not grow with its customers' lives: batch by batch, what is counted is let go.

The totals of every customer (some 20 numbers, 160 bytes) are kept, since paired intervals need them; the log of opportunities
(some 500 bytes each) goes to a `SessionWriter`, for as many customers as are asked for.

With an executor the customers are lived in shares of a batch, wherever there is room, and put together in their order: every
draw is a function of the customer, so the result is the same to the last bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from perception.features import EMOTIONS
from sim.evaluation.metrics import BY_EMOTION, Totals, by_emotion, per_customer
from sim.evaluation.rollout import BATCH, Policy, SessionLog, StatePolicy, stream
from sim.evaluation.session_log import SessionWriter
from sim.executors import Executor, Shared, Task, in_order, inside_worker, make_executor
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


@contextlib.contextmanager
def shared_work(settings: Any) -> Iterator[Executor | None]:
    """The executor of these settings (`conf/executor`); None where the work stays here, in a worker of a sweep for instance."""
    if settings.name == "serial" or inside_worker():
        yield None
        return
    with make_executor(settings.name, settings.workers, settings.address) as executor:
        yield executor


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
    executor: Executor | None = None,
) -> Evaluation:
    """Live `customers` evaluation customers under `policy`; the first `logged` of them are written with `writer`.

    regret : also what every decision cost against the best one for its opportunity (see `rollout.stream`).
    executor : who lives the lives; None lives them here, batch by batch.

    Raises
    ------
    EvaluationError
        A share of the customers could not be lived by any worker.
    """
    logged = 0 if writer is None else logged
    options = {"seed": seed, "regret": regret}
    if executor is None:
        shares = _lived_here(policy, shop, customers, logged, discount_per_day, options, progress)
    else:
        shares = _lived_by(executor, policy, shop, customers, logged, discount_per_day, options, progress)
    totals: list[Totals] = []
    emotions = np.zeros((len(EMOTIONS) + 1, len(BY_EMOTION)), np.int64)
    for share in shares:
        if writer is not None and share.log is not None:
            writer.write(share.log)
        totals.append(share.totals)
        emotions += share.emotions
    return Evaluation(_joined(totals), emotions)


class EvaluationError(RuntimeError):
    """Customers that could not be lived."""

    exit_code = 1


@dataclasses.dataclass(frozen=True)
class _Share:
    """A batch of customers: counts, and the log where it is kept."""

    log: SessionLog | None
    totals: Totals
    emotions: np.ndarray


def _counted(log: SessionLog, shop: Shop, discount_per_day: float, keep: bool) -> _Share:
    emotions = by_emotion(log, shop.gallery.true_emotion)
    return _Share(log if keep else None, per_customer(log, discount_per_day), emotions)


def _lived_here(
    policy: Any, shop: Shop, customers: int, logged: int, discount: float, options: dict[str, Any], progress: Any
) -> Iterator[_Share]:
    for first, number, decisions in ((0, logged, True), (logged, customers - logged, False)):
        span: dict[str, Any] = {"customers": number, "first": first, "decisions": decisions, "progress": progress}
        for log in stream(policy, shop, **span, **options):
            yield _counted(log, shop, discount, decisions)


def _lived_by(
    executor: Executor, policy: Any, shop: Shop, customers: int, logged: int, discount: float, options: dict[str, Any], progress: Any
) -> Iterator[_Share]:
    common = Shared((policy, shop, discount, options))
    spans = [
        (first, min(BATCH, end - first), decisions)
        for begin, end, decisions in ((0, logged, True), (logged, customers, False))
        for first in range(begin, end, BATCH)
    ]
    tasks = (
        Task(f"{policy.name}, customers {first:,} to {first + number - 1:,}", (common, first, number, decisions))
        for first, number, decisions in spans
    )
    for outcome in in_order(executor.run(_live_share, tasks)):
        if outcome.failure is not None:
            if outcome.failure.trace:
                print(outcome.failure.trace, file=sys.stderr)
            raise EvaluationError(f"evaluation of {outcome.name} failed: {outcome.failure.message}")
        if progress is not None:
            progress(outcome.task.argument[2])
        yield outcome.value


def _live_share(argument: tuple[Shared, int, int, bool]) -> _Share:
    common, first, number, decisions = argument
    policy, shop, discount, options = common.get()
    (log,) = stream(policy, shop, customers=number, first=first, decisions=decisions, **options)
    return _counted(log, shop, discount, decisions)


def _joined(totals: Sequence[Totals]) -> Totals:
    return {name: np.concatenate([part[name] for part in totals]) for name in totals[0]}

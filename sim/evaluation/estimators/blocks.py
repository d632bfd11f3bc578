"""Estimates from a log that does not fit into memory: in blocks of whole lives, put together by customer.

Every estimator is a function of the means over customers of its columns (`estimator`), so that blocks of customers are joined by
joining their columns.  Models (ridge, LSTDQ, tau of SWITCH-DR) are fitted within each block, cross-fitted as ever: a block has
some hundred thousand rows, beyond which they gain little.  Of several blocks, the columns are averaged over groups of g customers
(at most `GROUPS` groups): the mean over groups is the mean over customers (the last group may be smaller), groups are
independent, and intervals over groups (batch means) are as right as over customers, at a memory that does not grow with the log.
A log of one block is estimated as a whole, customer by customer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from sim.evaluation.estimators.data import LoggedLives
from sim.evaluation.estimators.estimate import Estimate, columns_of, with_intervals
from sim.evaluation.estimators.estimator import Estimator
from sim.evaluation.estimators.overlap import Overlap, Weights

GROUPS = 20_000


def grouped(columns: np.ndarray, size: int) -> np.ndarray:
    """Means (ceil(n / size), m) of columns (n, m) over consecutive customers."""
    starts = np.arange(0, len(columns), size)
    lengths = np.diff(np.append(starts, len(columns)))
    return np.asarray(np.add.reduceat(columns, starts, axis=0) / lengths[:, None])


def joined(blocks: list[list[Estimator]]) -> list[Estimator]:
    """Estimators of several blocks, with the columns below each other."""
    out = []
    for same in zip(*blocks, strict=True):
        notes = list(dict.fromkeys(each.note for each in same))
        note = notes[0] if len(notes) == 1 else f"{notes[0]} (and others by block)"
        out.append(Estimator(same[0].name, np.concatenate([each.columns for each in same]), same[0].combine, note))
    return out


def estimates_of_blocks(
    blocks: Iterable[LoggedLives],
    names: tuple[str, ...] = (),
    *,
    customers: int,
    single: bool,
    labels: tuple[str, ...] = (),
    unsupported: str = "refuse",
    level: float = 0.95,
    methods: tuple[str, ...] | None = None,
    resamples: int | None = None,
    seed: int = 0,
    **models: Any,
) -> tuple[list[Estimate], Overlap]:
    """Every estimate with its intervals, and the overlap; parameters as of `estimate.estimates`.

    Parameters
    ----------
    blocks : each once; lives that all have the same `longest`, where a block is not the whole log.
    customers : in all blocks together.
    single : there is one block only.
    labels, unsupported : as of `LoggedLives.check`, which every block has to pass.

    Raises
    ------
    OffPolicyError
        A row that no estimator can be right on, or an estimator that the log cannot feed.
    """
    size = 1 if single else -(-customers // GROUPS)
    found: list[list[Estimator]] = []
    weights = Weights()
    for block in blocks:
        lost = block.check(labels, unsupported=unsupported)
        weights.add(block, lost)
        own = columns_of(block, names, seed=seed, **models)
        found.append([dataclasses.replace(each, columns=grouped(each.columns, size)) if size > 1 else each for each in own])
    return with_intervals(joined(found), level=level, methods=methods, resamples=resamples, seed=seed), weights.overlap()

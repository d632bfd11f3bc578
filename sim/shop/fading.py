"""What days leave of everything that fades: one table for the gaps that occur, since days are whole numbers.

Each column is the exponential of its own module (`sim.shop.affect`, `fatigue`, `satiation`, `till`), taken once per shop and
day instead of once per customer and visit.  Days beyond the table are computed, with the same bits.  The logarithm by which
the till counts (`sim.shop.till.counted`) is of whole numbers too, and stands beside them.
"""

from __future__ import annotations

import numpy as np

from sim.shop.affect import affect_noise, inertia, mood_left
from sim.shop.compiled import aside, compiled, woven
from sim.shop.fatigue import fatigue_left
from sim.shop.satiation import satiation_left
from sim.shop.till import count_feature, memory_left, visit_left
from sim.shop.types import FADING

DAYS = 128  # beyond the longest gap and life of the default shop


@aside
def compute(p, days):
    """One row of the table: affect, affect_noise, mood, fatigue, satiation, memory, visit."""
    q = inertia(p, days)
    return (
        q, affect_noise(p, q), mood_left(p, days), fatigue_left(p, days), satiation_left(p, days), memory_left(days),
        visit_left(days),
    )  # fmt: skip


@woven
def fade(world, days):
    """What `days` leave: affect, affect_noise, mood, fatigue, satiation, memory, visit."""
    if 0 <= days < len(world.fading):
        left = world.fading[days]
        return left.affect, left.affect_noise, left.mood, left.fatigue, left.satiation, left.memory, left.visit
    return compute(world.params[0], days)


@compiled
def fill(params, table):
    """Fill the table (days,) of the shop with these parameters, in place."""
    for days in range(len(table)):
        left = table[days]
        left.affect, left.affect_noise, left.mood, left.fatigue, left.satiation, left.memory, left.visit = compute(
            params[0], days
        )
        left.log_count = count_feature(days)


def fading_table(params: np.ndarray) -> np.ndarray:
    """The table (DAYS,) FADING of the shop with these parameters."""
    table = np.zeros(DAYS, FADING)
    fill(params, table)
    return table

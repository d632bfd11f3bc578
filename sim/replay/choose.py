"""Whose sessions are worth watching: the ends of every scale, and some of no distinction."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Cast:
    """One list of customers to pick from, best example first."""

    key: str
    title: str
    meaning: str
    customers: np.ndarray


@dataclasses.dataclass(frozen=True)
class Everybody:
    """Per customer (N,): ids, money under both policies, and what happened under policy A."""

    ids: np.ndarray
    value: np.ndarray
    value_b: np.ndarray
    opted_out: np.ndarray
    lapsed: np.ndarray
    misread: np.ndarray  # visits whose likeliest perceived emotion is not the true one
    mistaken: np.ndarray  # visits taken for somebody else
    regret: np.ndarray  # money that better labels would have earned at once on average; NaN unknown


def choose(
    everybody: Everybody, number: int, a: str, b: str, wanted: int | None = None
) -> tuple[np.ndarray, list[Cast]]:
    """`number` customers and the lists that name them; every list gets a turn, then evenly spaced ids fill up.

    Returns
    -------
    ids (n,) in ascending order, and the lists restricted to them.
    """
    e, order = everybody, _order
    ranked = [
        ("best", "Best", f"most money under {a}", order(-e.value)),
        ("worst", "Worst", f"least money under {a}", order(e.value)),
        ("opted_out", "Opted out", f"asked {a} never to push again, dearest loss first", order(e.value - e.value_b, e.opted_out)),
        ("lapsed", "Stayed away", "came no more", order(e.value - e.value_b, e.lapsed)),
        ("misread", "Misread", "the camera took their emotion for another most often", order(-e.misread, e.misread > 0)),
        ("mistaken", "Mistaken", "taken for somebody else most often", order(-e.mistaken, e.mistaken > 0)),
        ("regret", "Dear choices", f"{a} passed over better labels most", order(-e.regret, np.nan_to_num(e.regret) > 0)),
        ("behind", f"{b} did better", f"most money lost against {b}", order(e.value - e.value_b, e.value < e.value_b)),
        ("ahead", f"{a} did better", f"most money won against {b}", order(e.value_b - e.value, e.value > e.value_b)),
    ]  # fmt: skip
    number = min(number, len(e.ids))
    chosen: dict[int, None] = {}
    if wanted is not None:
        chosen[int(np.flatnonzero(e.ids == wanted)[0])] = None
    share = max(1, number * 3 // (4 * len(ranked)))
    for place in range(share):
        for _, _, _, rows in ranked:
            if place < len(rows) and len(chosen) < number:
                chosen[int(rows[place])] = None
    for row in np.linspace(0, len(e.ids) - 1, max(4 * number, 2)).astype(int):
        if len(chosen) >= number:
            break
        chosen[int(row)] = None
    for row in range(len(e.ids)):
        if len(chosen) >= number:
            break
        chosen[row] = None
    inside = np.zeros(len(e.ids), bool)
    inside[list(chosen)] = True
    casts = [
        Cast(key, title, meaning, e.ids[[row for row in rows if inside[row]][: max(share, 10)]].astype(np.int64))
        for key, title, meaning, rows in ranked
    ]
    return e.ids[inside], [cast for cast in casts if len(cast.customers)]


def featured(casts: list[Cast], number: int) -> np.ndarray:
    """The first `number` customers when the lists take turns: those whose branches are computed ahead."""
    out: dict[int, None] = {}
    for place in range(max((len(c.customers) for c in casts), default=0)):
        for cast in casts:
            if place < len(cast.customers) and len(out) < number:
                out[int(cast.customers[place])] = None
    return np.array(sorted(out), np.int64)


def _order(key: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """Rows in ascending order of key, of those in `where` only."""
    rows = np.argsort(key, kind="stable")
    return rows if where is None else rows[np.asarray(where, bool)[rows]]

"""Who gains and who loses: every policy's value by segment, and how far apart the segments are.

Segments are known before any policy acts: true emotion at arrival, masked, recognised, and thirds of price sensitivity.
A policy's *gap* between the segments of a kind is its best minus its worst segment's value; what a change of policy does to a
segment is the paired difference there.  Values differ between segments for reasons that no policy makes (a sensitive
customer buys less), so a gap is to be read beside that of the reference policy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from sim.compare.gather import Gathered
from sim.evaluation.comparison import paired
from sim.evaluation.statistics import Interval

FEWEST = 30  # customers; a smaller segment is left out


@dataclasses.dataclass(frozen=True)
class Segment:
    """Customers of one kind: `value[policy]` is their mean, `change` the paired difference of two policies there."""

    kind: str
    name: str
    customers: int
    value: dict[str, float]
    change: Interval


def members(who: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str, np.ndarray]]:
    """(kind, name, mask (n,)) of every segment."""
    code, names = pd.factorize(who["emotion"], use_na_sentinel=True)
    for name, number in sorted([*((str(name), i) for i, name in enumerate(names)), ("unknown", -1)]):
        if (mask := code == number).any():
            yield "emotion at arrival", name, mask
    for trait, yes, no in (("masked", "masked", "bare"), ("known", "recognised", "not recognised")):
        yield f"{yes} at arrival", no, ~who[trait].astype(bool)
        yield f"{yes} at arrival", yes, who[trait].astype(bool)
    edges = np.quantile(who["price_sensitivity"], [1 / 3, 2 / 3])
    third = np.searchsorted(edges, who["price_sensitivity"])
    for i, name in enumerate(("low", "middle", "high")):
        yield "price sensitivity", name, third == i


def segments(data: Gathered, total: str, a: str, b: str) -> list[Segment]:
    """Every segment with the value of every policy and the change from b to a."""
    found = []
    for kind, name, mask in members(data.who):
        if mask.sum() < FEWEST:
            continue
        value = {policy: float(own[total][:, mask].mean()) for policy, own in data.totals.items()}
        change, _ = paired(data.values(a, total)[:, mask], data.values(b, total)[:, mask])
        found.append(Segment(kind, name, int(mask.sum()), value, change))
    return found


def fairness(found: list[Segment], policies: list[str]) -> dict[str, dict[str, tuple[float, str]]]:
    """`[kind][policy]`: best minus worst segment of the kind, and the name of the worst."""
    kinds = dict.fromkeys(segment.kind for segment in found)
    out: dict[str, dict[str, tuple[float, str]]] = {}
    for kind in kinds:
        own = [segment for segment in found if segment.kind == kind]
        out[kind] = {}
        for policy in policies:
            worst = min(own, key=lambda s: s.value[policy])
            best = max(s.value[policy] for s in own)
            out[kind][policy] = (best - worst.value[policy], worst.name)
    return out

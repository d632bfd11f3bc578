"""Which of the swappable customer models is at work: the shop's own, the tabular twin, choc/kale, or organic browsing.

A variant swaps the transition, what the agent sees, or the response; the loop, reward, log and adapters stay the shop's own.
The switches are parameters (`twin`, `long_term`, `organic`), of which at most one is on (`parameters.read_all`).
"""

from __future__ import annotations

from collections.abc import Mapping

from sim.shop import camera, long_term, organic, twin
from sim.shop.compiled import aside, inlined
from sim.shop.observation import observation_layout


@inlined
def keeps_till(p):
    """Does the till's record of the perceived identity count; else a variant keeps a record of its own."""
    return p.long_term == 0.0 and p.organic == 0.0


@inlined
def is_variant(p):
    """Is anything added to the traits and the record of a new customer."""
    return p.long_term > 0.0 or p.organic > 0.0


@inlined
def has_affect(p):
    """Do affect, mood and fatigue follow the shop's own equations."""
    return p.twin == 0.0 and p.long_term == 0.0 and p.organic == 0.0


@aside
def open_variant(world, lives, i, seed, split):
    """What a variant adds to the traits and the record of a new customer, in place."""
    if world.params[0].long_term > 0.0:
        long_term.begin_satisfaction(world.params[0], lives, i, seed, split)
    elif world.params[0].organic > 0.0:
        organic.begin_browsing(world, lives, i, seed, split)


def layout_of(switches: Mapping[str, float], labels: int) -> dict[str, tuple[int, int]]:
    """Named slices (start, stop) of the observation of a shop with K labels and these switches (`parameters.VARIANTS`)."""
    full = observation_layout(labels)
    if switches["twin"] > 0:
        parts = twin.LAYOUT
    elif switches["long_term"] > 0:
        parts = long_term.layout(labels)
    elif switches["organic"] > 0:
        parts = organic.layout(labels)
    else:
        return full
    start = camera.FEATURES
    out = {name: ends for name, ends in full.items() if ends[1] <= start}
    for name, size in parts.items():
        out[name] = (start, start + size)
        start += size
    return out

"""Satiation and exposure of each label.

    s_k' = exp(-Delta / tau_s) (s_k + 1[push k]),        n_k' = n_k + 1[push k]

A label's satiation is kept as it stood on the day of its last push and decays when it is read, so that a gap costs nothing.

The recursion of rebounding bandits (Leqi, Kilinc-Karzan, Lipton & Montgomery, NeurIPS 2021, arXiv 2011.06741), with the
factor per step written as a rate per day, since opportunities are not evenly spaced.
"""

from __future__ import annotations

from sim.shop.compiled import inlined
from sim.shop.elementary import exp


@inlined
def satiation_left(p, days):
    """Share of a label's satiation that is left after some days."""
    return exp(-days / p.satiation_days)


@inlined
def rebound(p, label, day):
    """Bring the satiation of one label to `day`, in place."""
    if label.satiation_day != day:
        wait_out(label, day, satiation_left(p, day - label.satiation_day))


@inlined
def wait_out(label, day, left):
    """As `rebound`, where the share `left` of the satiation is known."""
    label.satiation *= left
    label.satiation_day = day


@inlined
def satiate(label):
    """One more push of the label, in place."""
    label.satiation += 1.0
    label.exposures += 1.0

"""Satiation and exposure of each label.

    s_k' = exp(-Delta / tau_s) (s_k + 1[push k]),        n_k' = n_k + 1[push k]

A label's satiation is kept as it stood on the day of its last push and decays when it is read, so that a gap costs nothing.

The recursion of rebounding bandits (Leqi, Kilinc-Karzan, Lipton & Montgomery, NeurIPS 2021, arXiv 2011.06741), with the
factor per step written as a rate per day, since opportunities are not evenly spaced.
"""

from __future__ import annotations

import math

from sim.shop.compiled import inlined


@inlined
def rebound(p, label, day):
    """Bring the satiation of one label to `day`, in place."""
    if label.satiation_day != day:
        label.satiation *= math.exp((label.satiation_day - day) / p.satiation_days)
        label.satiation_day = day


@inlined
def satiate(label):
    """One more push of the label, in place."""
    label.satiation += 1.0
    label.exposures += 1.0

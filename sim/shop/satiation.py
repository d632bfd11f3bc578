"""Satiation and exposure of each label.

    s_k' = exp(-Delta / tau_s) (s_k + 1[push k]),        n_k' = n_k + 1[push k]

The recursion of rebounding bandits (Leqi, Kilinc-Karzan, Lipton & Montgomery, NeurIPS 2021, arXiv 2011.06741), with the
factor per step written as a rate per day, since opportunities are not evenly spaced.
"""

from __future__ import annotations

import math

from sim.shop.compiled import inlined, woven


@inlined
def satiate(label):
    label.satiation += 1.0
    label.exposures += 1.0


@woven
def rebound(world, lives, i, gap):
    """Satiation of all labels of the customer in row i after `gap` days, in place."""
    factor = math.exp(-gap / world.params[0].satiation_days)
    for k in range(lives.labels.shape[1]):
        lives.labels[i, k].satiation *= factor

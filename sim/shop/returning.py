"""When the next opportunity comes: at once, within the same visit, or after a gap of days.

    P(same visit) = r_s, up to `opportunities_per_visit`;   else   Delta ~ Geometric(sigma(r0 + r1 m + r2 v - r3 f))

in days (as KuaiSim's retention, and RLUR, arXiv 2302.01724).  A gap above `lapse_days` means that the customer has lapsed
(`terminated`).  With r1 = r2 = r3 = 0 and beta-distributed rates this is BG/BB (Fader, Hardie & Shang 2010).
"""

from __future__ import annotations

import numpy as np

from sim.shop.compiled import inlined
from sim.shop.elementary import exp, log, log1p


@inlined
def next_gap(p, customer, u_stay, u_gap):
    """Days to the next opportunity: 0 = within this visit."""
    return 0 if stays(p, customer, u_stay) else int(days_away(return_logit(p, customer), -log(u_gap)))


@inlined
def stays(p, customer, u_stay):
    """Does the next opportunity come within this visit."""
    return (customer.visit_opportunity + 1 < p.opportunities_per_visit) & (u_stay < p.same_visit_probability)


@inlined
def return_logit(p, customer):
    """logit of the probability per day of coming back."""
    return (
        p.return_intercept
        + p.return_mood_weight * customer.mood
        + p.return_valence_weight * customer.valence
        - p.return_fatigue_weight * customer.fatigue
    )


@inlined
def days_away(logit, patience):
    """Days (a whole float64, at least 1) until the customer comes back; `patience` is a standard exponential.

    The inverse of P(Delta > d) = (1 - rate)^d, where -log(1 - rate) = log(1 + exp(logit)).
    """
    return max(1.0, np.ceil(min(patience / log1p(exp(logit)), 100000.0)))

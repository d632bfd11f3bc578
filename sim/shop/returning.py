"""When the next opportunity comes: at once, within the same visit, or after a gap of days.

    P(same visit) = r_s, up to `opportunities_per_visit`;   else   Delta ~ Geometric(sigma(r0 + r1 m + r2 v - r3 f))

in days (as KuaiSim's retention, and RLUR, arXiv 2302.01724).  A gap above `lapse_days` means that the customer has lapsed
(`terminated`).  With r1 = r2 = r3 = 0 and beta-distributed rates this is BG/BB (Fader, Hardie & Shang 2010).
"""

from __future__ import annotations

import math

from sim.shop.choice import sigmoid
from sim.shop.compiled import inlined


@inlined
def next_gap(p, customer, u_stay, u_gap):
    """Days to the next opportunity: 0 = within this visit."""
    if customer.visit_opportunity + 1 < p.opportunities_per_visit and u_stay < p.same_visit_probability:
        return 0
    rate = sigmoid(
        p.return_intercept
        + p.return_mood_weight * customer.mood
        + p.return_valence_weight * customer.valence
        - p.return_fatigue_weight * customer.fatigue
    )
    days = math.ceil(math.log(u_gap) / math.log1p(-rate))  # inverse of P(Delta > d) = (1 - rate)^d
    return max(1, int(min(days, 100000.0)))

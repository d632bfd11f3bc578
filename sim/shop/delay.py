"""Delayed purchases: how long after the click-through the customer pays.

    D ~ Exp(lambda(v)),      lambda(v) = exp(w v) / delay_days

in days: an exponential delay whose rate is log-linear in the covariates (Chapelle, "Modeling delayed feedback in display
advertising", KDD 2014); valence is the covariate here, the positive sign of w (a good mood hurries) is assumed.  The
purchase itself is decided, felt and taken off the customer's budget at the click-through; what comes later is the money
and the news of it (`sim.shop.settlement`).  `delay_days` 0 switches the mechanism off: every purchase is paid at once.
"""

from __future__ import annotations

from sim.shop.compiled import inlined
from sim.shop.elementary import exp, log


@inlined
def purchase_delay(p, customer, u):
    """Days from the click-through to the payment; `u` uniform in (0, 1)."""
    return -log(u) * p.delay_days * exp(-p.delay_valence_weight * customer.valence)

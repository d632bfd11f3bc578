"""Returned purchases: some of what is bought comes back, and the money with it.

    P(returned | bought) = sigma(q0 - q1 rel_k - q2 v),      R ~ Exp(1 / refund_days) days after the payment

A purchase that fits badly, or was made in low spirits, comes back more often.  That returns depend on customer and product, and
belong into what a customer is worth, is reviewed by Minnema, Bijmolt, Petersen & Shulman ("Managing product returns within the
customer value framework", doi 10.1007/978-3-319-61985-9_5, abstract read); the logistic form, directions and sizes are assumed.
A return costs the shop the margin and `refund_price` of handling, gives the
customer the price back, and is logged as the term `refund` of the opportunity that caused it.  `refunds` 0 switches the
mechanism off.
"""

from __future__ import annotations

from sim.shop.choice import sigmoid
from sim.shop.compiled import inlined
from sim.shop.elementary import log


@inlined
def refund_probability(p, customer, label):
    """P(returned | bought) of one label; zero where the mechanism is off."""
    if p.refunds == 0.0:
        return 0.0
    return sigmoid(
        p.refund_intercept - p.refund_relevance_weight * label.relevance - p.refund_valence_weight * customer.valence
    )


@inlined
def refund_wait(p, u):
    """Days from the payment to the return; `u` uniform in (0, 1)."""
    return -log(u) * p.refund_days

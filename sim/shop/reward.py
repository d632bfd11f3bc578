"""Money of one opportunity:  r = margin 1[bought] + w_click w 1[click] - c_push 1[push] - c_opt 1[opt out] - refund 1[returned].

w is the engagement that follows a click, 1 in every scenario but `sim.shop.long_term`.

Every term is logged by itself, and booked to the opportunity that caused it; when it is paid is another matter
(`sim.shop.settlement`).  `opt_out_cost` must stay small against the worth of a life: near it, the future is priced
into the immediate reward and planning has nothing left to win.

The agent may learn from more than money.  `affect_price` lambda (money per unit of valence and opportunity, 0 = off) adds

    lambda (v' - v0 - b)          v' valence that the opportunity leaves behind, v0 the customer's home valence, b `affect_floor`

to what it *receives*; `reward`, and with it every value per customer, stays money.  This is the Lagrangian of the constrained
decision process (Altman 1999, ch. 3; Tessler, Mankowitz & Mannor 2019)

    max E[sum r]     subject to     E[sum (v' - v0)] / E[opportunities]  >=  b

A customer whom nobody pushes stays around home, so v' - v0 is what the pushes did, and with b = the shift under the hold-back
policy - epsilon the constraint says: on average customers feel at most epsilon worse than if left alone.  Measured against home
and not against a fixed valence, driving sad customers away satisfies nothing.
"""

from __future__ import annotations

from sim.shop.compiled import inlined


@inlined
def settle(p, event, item, pushed, clicked, bought, opted_out, returned=False, engagement=1.0):
    """Write the terms into the event and return the reward; a click is worth its price times the engagement that follows."""
    event.margin = item.margin if bought else 0.0
    event.click_value = p.click_price * engagement if clicked else 0.0
    event.push_cost = p.push_price if pushed else 0.0
    event.opt_out_cost = p.opt_out_price if opted_out else 0.0
    event.refund = item.margin + p.refund_price if returned else 0.0
    event.reward = event.margin + event.click_value - event.push_cost - event.opt_out_cost - event.refund
    return event.reward


@inlined
def affect_term(p, customer, event):
    """Write how far the opportunity leaves valence from home, and return the training term for it; 0 without a price."""
    event.valence_shift = customer.valence - customer.home_valence
    event.affect_term = p.affect_price * (customer.valence - customer.home_valence - p.affect_floor)
    return event.affect_term

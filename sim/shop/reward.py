"""Money of one opportunity:  r = margin 1[bought] + w_click 1[click] - c_push 1[push] - c_opt 1[opt out] - refund 1[returned].

Every term is logged by itself, and booked to the opportunity that caused it; when it is paid is another matter
(`sim.shop.settlement`).  `opt_out_cost` must stay small against the worth of a life: near it, the future is priced
into the immediate reward and planning has nothing left to win.
"""

from __future__ import annotations

from sim.shop.compiled import inlined


@inlined
def settle(p, event, item, pushed, clicked, bought, opted_out, returned=False):
    """Write the terms into the event and return the reward."""
    event.margin = item.margin if bought else 0.0
    event.click_value = p.click_price if clicked else 0.0
    event.push_cost = p.push_price if pushed else 0.0
    event.opt_out_cost = p.opt_out_price if opted_out else 0.0
    event.refund = item.margin + p.refund_price if returned else 0.0
    event.reward = event.margin + event.click_value - event.push_cost - event.opt_out_cost - event.refund
    return event.reward

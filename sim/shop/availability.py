"""Which labels may be pushed now: stock, frequency cap, quiet hours.  Holding back is always allowed.

Stock is drawn per (label, day) and so is the same for all customers of a day; the cap counts pushes of the customer itself,
per visit and per window of days, since it is a duty towards the customer and no matter of what the camera recognised;
quiet hours close the whole catalog.  An opt-out ends the episode and needs no mask.
"""

from __future__ import annotations

from sim.shop.compiled import inlined, woven
from sim.shop.random_streams import STOCK, uniforms


@inlined
def is_quiet(p, hour):
    """Quiet hours may span midnight."""
    if p.quiet_from_hour <= p.quiet_to_hour:
        return p.quiet_from_hour <= hour < p.quiet_to_hour
    return hour >= p.quiet_from_hour or hour < p.quiet_to_hour


@woven
def allowed_actions(world, lives, i, seed):
    """Fill the action mask (K + 1,) of the customer in row i."""
    p, customer = world.params[0], lives.customers[i]
    window = int(customer.day / p.cap_window_days)
    if window != customer.cap_window:
        customer.cap_window, customer.cap_pushes = window, 0
    closed = (
        customer.cap_pushes >= p.cap_pushes_per_window
        or customer.visit_pushes >= p.cap_pushes_per_visit
        or is_quiet(p, customer.hour)
    )
    if not lives.action_mask[i, 0] or lives.action_mask[i, 1] == closed or p.out_of_stock_probability > 0.0:
        lives.action_mask[i, 0] = True
        for k in range(1, lives.action_mask.shape[1]):
            lives.action_mask[i, k] = not closed
    if p.out_of_stock_probability > 0.0 and not closed:
        for k in range(1, lives.action_mask.shape[1]):
            u = uniforms(seed, 0, k, customer.day, STOCK)[0]
            lives.action_mask[i, k] = u >= p.out_of_stock_probability

"""Money under way: payments and refunds that are decided but have not yet happened.

The log books every term to the opportunity that caused it, at once; the agent's reward and the till's record learn of it only
when it falls due.  A payment or refund that falls due on or before the day of the next opportunity belongs to the reward of
the step that leads there; what is still open when the episode ends is settled with its last step.  So over an episode

    sum of the agent's rewards = sum of the logged rewards    (+ the affect terms, where they have a price: `sim.shop.reward`)

Each customer has room for `CAPACITY` open items; one more settles the earliest of them at once.
"""

from __future__ import annotations

import math

from sim.shop.compiled import woven
from sim.shop.till import book_purchase
from sim.shop.types import CAPACITY

_NEVER = 2**30  # a day beyond every horizon


@woven
def carry_out(world, lives, i, slot):
    """One open item happens now: tell the till, give back what was returned; returns the money and frees the slot."""
    customer, item = lives.customers[i], lives.pending[i, slot]
    money, price, label, booked = item.money, item.price, item.label, item.booked
    if price < 0.0:
        customer.budget = min(customer.budget - world.params[0].budget_enforced * price, customer.monthly_budget)
    if booked:
        book_purchase(world, lives, i, label, price)
    customer.awaited -= 1
    last = lives.pending[i, customer.awaited]
    item.due, item.label, item.booked = last.due, last.label, last.booked
    item.money, item.price = last.money, last.price
    return money


@woven
def await_money(world, lives, i, due, label, money, price, booked):
    """Open an item (a refund has negative money and price); returns the money of one that had to make room, else 0."""
    customer, early = lives.customers[i], 0.0
    if customer.awaited == CAPACITY:
        slot = 0
        for s in range(1, CAPACITY):
            if lives.pending[i, s].due < lives.pending[i, slot].due:
                slot = s
        early = carry_out(world, lives, i, slot)
    item = lives.pending[i, customer.awaited]
    item.due, item.label, item.booked = int(min(math.ceil(due), _NEVER)), label, booked
    item.money, item.price = money, price
    customer.awaited += 1
    return early


@woven
def settle_due(world, lives, i, ended):
    """Everything that has fallen due by the customer's day, or everything where the episode has `ended`; returns the money."""
    customer, money, slot = lives.customers[i], 0.0, 0
    while slot < customer.awaited:
        if ended or lives.pending[i, slot].due <= customer.day:
            money += carry_out(world, lives, i, slot)
        else:
            slot += 1
    return money

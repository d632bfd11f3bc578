"""Money that a customer can still spend: B' = min(B - price + B_month Delta / 30, B_month); never negative.

With `budget_enforced` 0 a purchase is not taken off it, so that B = B_month for ever: the size of a budget still decides what
is affordable, but nothing carries over.
"""

from __future__ import annotations

from sim.shop.compiled import inlined


@inlined
def spend(customer, price):
    customer.budget -= price


@inlined
def earn(customer, gap):
    """Budget after `gap` days, in place; what a month leaves unspent does not pile up."""
    customer.budget = min(customer.budget + customer.monthly_budget * gap / 30.0, customer.monthly_budget)

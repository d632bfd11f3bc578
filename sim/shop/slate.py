"""Slates: several labels pushed at once, of which the customer clicks at most one.

    P(click k) = e^{U_k} / (e^{U_0} + sum_{j shown} e^{U_j}),        P(no click) = e^{U_0} / (the same)

with the utilities U_k of a single push (`sim.shop.choice`; U_0 = 0): the multinomial logit (McFadden 1974), as RecSim's
`MultinomialLogitChoiceModel` has it.  One label shown gives sigma(U_k - U_0), the single push, bit for bit.  What follows a click
(purchase, delay, return) is that of the label clicked.

One slate is one interruption, however long: the volume that drives people away is that of messages (O'Brien et al. 2022;
Gupta et al. 2016), not of their lines.  So a slate costs one push price, counts once for the frequency cap, tires once, and risks one
opt-out, with the mean irrelevance and pressure of what it shows.  Every label shown is satiated, counts as an exposure, and is
booked by the till, clicked or not.  A click feels like that label's; a slate that is ignored feels like the mean of its labels,
and turns taste away from their mean.

Empty slots are 0.  A masked label leaves its slot empty; a label named twice is shown once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.shop.choice import sigmoid, utility
from sim.shop.compiled import aside, inlined
from sim.shop.elementary import exp, log
from sim.shop.satiation import rebound, satiate
from sim.shop.till import book_label
from sim.shop.types import SELF


class Impression(NamedTuple):
    """What a push is like as a whole: the numbers of the label pushed, or their means over a slate."""

    relevance: np.float32
    care: float
    pressure: float


@inlined
def is_slated(lives):
    """Does this shop show several labels at once."""
    return lives.slate.shape[1] > 0


@inlined
def impression_of(lives, i, label, item):
    """Of the push to the customer in row i: that of the slate shown, else of the one label."""
    if is_slated(lives):
        seen = lives.impression[i]
        return Impression(np.float32(seen[0]), seen[1], seen[2])
    return Impression(label.relevance, item.care, item.pressure)


@inlined
def any_click(utilities):
    """log sum_j e^{U_j} of a slate (n,): the utility of the slate as one, whose logistic is P(any click); one U stays as it is."""
    largest = utilities.max()
    total = 0.0
    for u in utilities:
        total += exp(u - largest)
    return largest + log(total)


@inlined
def click_share(utilities, k):
    """P(click on entry k) of a slate of these utilities (n,): 1 / (1 + e^{-U_k} + sum_{j != k} e^{U_j - U_k})."""
    total = exp(-utilities[k])
    for j in range(len(utilities)):
        if j != k:
            total += exp(utilities[j] - utilities[k])
    return 1.0 / (1.0 + total)


@inlined
def resolve(slate, action_mask):
    """Move the labels that can be shown to the front of the slate (S,), in place; returns how many, and the first masked one, or 0."""
    shown, refused = 0, 0
    for s in range(len(slate)):
        k = slate[s]
        slate[s] = 0
        if not action_mask[k]:
            refused = refused if refused > 0 else k
            k = 0
        for r in range(shown):
            if slate[r] == k:
                k = 0
        if k > 0:
            slate[shown] = k
            shown += 1
    return shown, refused


@inlined
def turn_away(world, lives, i, slate, first):
    """Prepare taste (D,) for `sim.shop.taste.drift_taste`, which turns it from label `first`, so that it turns from their mean."""
    p, taste = world.params[0], lives.taste[i]
    for d in range(len(taste)):
        mean = 0.0
        for k in slate:
            mean += world.label_features[k - 1, d] / len(slate)
        taste[d] -= p.taste_ignore_rate * (mean - world.label_features[first - 1, d]) / (1.0 - p.taste_click_rate)


@aside
def show_slate(world, lives, i, u):
    """Show what the slate of the customer in row i asks for; `u` uniform in (0, 1) decides the click.

    Leaves in `lives.slate` what was shown, in `lives.impression` what it is like over all labels shown (`care` is that of a
    clicked one), and books everything but the label of the action returned, which is the caller's.

    Returns
    -------
    action : label clicked, else the first one shown; 0 where nothing is.
    requested : the first masked label asked for, else `action`.
    inclination : logit of P(any click); minus infinity where nothing is shown.
    """
    p, customer, labels = world.params[0], lives.customers[i], lives.labels[i]
    shown, refused = resolve(lives.slate[i], lives.action_mask[i])
    slate = lives.slate[i, :shown]
    utilities = np.empty(shown)
    relevance = care = pressure = 0.0
    for s in range(shown):
        label, item = labels[slate[s] - 1], world.catalog[slate[s] - 1]
        rebound(p, label, customer.day)
        utilities[s] = utility(p, customer, label, item)
        relevance += label.relevance / shown
        care += item.care / shown
        pressure += item.pressure / shown
    inclination = any_click(utilities) if shown > 0 else -np.inf
    total, clicked = 0.0, -1
    if u < sigmoid(inclination):  # the very comparison by which the step decides
        for s in range(shown):
            total += click_share(utilities, s)
            if clicked < 0 and (u < total or s == shown - 1):
                clicked = s
    action = slate[max(clicked, 0)] if shown > 0 else 0
    if clicked >= 0:
        care = world.catalog[action - 1].care
    for s in range(shown):
        if slate[s] != action:
            satiate(labels[slate[s] - 1])
            if customer.recognised == SELF:
                book_label(world, lives, i, slate[s] - 1, False)
    if clicked < 0 and shown > 1 and p.taste_ignore_rate > 0.0:
        turn_away(world, lives, i, slate, action)
    seen = lives.impression[i]
    seen[0], seen[1], seen[2] = relevance, care, pressure
    return action, refused if refused > 0 else action, inclination

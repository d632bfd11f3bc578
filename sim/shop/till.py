"""The till's record of a customer, keyed by *perceived* identity: where identity joins emotion and history.

Recognised: the customer's own record.  Unknown: an empty one.  Mistaken for somebody else: a record drawn, as a pure
function of (seed, customer, visit), from a frozen table of typical records, and this visit is missing from the right one.
So identity has a measured value, and customers stay independent of each other.

Per label (features of order one; c_0 is a prior click rate with the weight of two pushes):

    log_pushes     log(1 + n)                          click_lift  4 l,   l = (clicks + 2 c_0)/(n + 2) - c_0
    log_purchases  log(1 + b)                          recency     exp(-days since pushed / 7)
    affinity       1/2 sum_j cos(phi_k, phi_j) l_j min(n_j, 5)     what the record says of similar labels
    valence        mean perceived valence at the pushes of the label
Overall: recent_pushes (7-day decayed count / 3), visits log(1+)/3, spent log(1+)/4, mood (moving average of perceived
valence), last_visit exp(-days / 5), segment (noisy price sensitivity).
"""

from __future__ import annotations

import numpy as np

from sim.shop.compiled import clear, inlined, woven
from sim.shop.elementary import exp, log

PER_LABEL = ("log_pushes", "click_lift", "log_purchases", "recency", "affinity", "label_valence")
OVERALL = ("recent_pushes", "visits", "spent", "valence_history", "last_visit", "segment")
PRIOR_CLICK_RATE, PRIOR_PUSHES, EVIDENCE_CAP = 0.22, 2.0, 5.0
MEMORY_DAYS, VISIT_DAYS, VALENCE_RATE = 7.0, 5.0, 0.2


def record_size(labels: int) -> int:
    return len(PER_LABEL) * labels + len(OVERALL)


@woven
def open_record(lives, i, labels):
    """Empty record of a new customer; the segment is known as soon as the customer is recognised."""
    clear(lives.record[i])
    lives.record[i, 6 * labels + 5] = lives.customers[i].segment


@inlined
def memory_left(days):
    """What is left after some days of a push in the record's recency and recent pushes."""
    return exp(-days / MEMORY_DAYS)


@inlined
def visit_left(days):
    """The record's feature `last_visit`, so many days after it."""
    return exp(-days / VISIT_DAYS)


@inlined
def count_feature(number):
    """log(1 + n), by which the record counts."""
    return log(1.0 + number)


@woven
def counted(world, number):
    """`count_feature` of a whole number, from the table of `sim.shop.fading` where it is that short."""
    return world.fading[int(number)].log_count if number < len(world.fading) else count_feature(number)


@woven
def age_record(lives, i, labels, left):
    """Let days pass over the record, of whose pushes the share `left` is remembered, in place."""
    factor, record = np.float32(left), lives.record[i]
    for k in range(labels):
        record[np.uintp(3 * labels + k)] *= factor  # an unsigned place cannot count from the end, so this is vectorised
    record[6 * labels] *= factor


@woven
def greet(lives, i, labels, left):
    """At the start of a visit: how long ago the last booked one was, as `left` by `visit_left`."""
    if lives.customers[i].visits_booked > 0:
        lives.record[i, 6 * labels + 4] = left


@woven
def book_purchase(world, lives, i, k, price):
    """Write a payment for label k into the customer's own record; a negative price takes a returned one out again."""
    customer, label, size = lives.customers[i], lives.labels[i, k], lives.labels.shape[1]
    label.purchases += 1.0 if price > 0.0 else -1.0
    customer.spent_booked += price  # rounding, and a return settled just before its payment, may leave it below zero
    lives.record[i, 2 * size + k] = counted(world, max(label.purchases, np.float32(0.0)))
    lives.record[i, 6 * size + 2] = log(1.0 + max(customer.spent_booked, 0.0)) / 4.0


@woven
def book_label(world, lives, i, k, clicked):
    """Write one showing of label k into the customer's own record."""
    customer, label, size = lives.customers[i], lives.labels[i, k], lives.labels.shape[1]
    label.pushes += 1.0
    label.clicks += 1.0 if clicked else 0.0
    lift = (label.clicks + PRIOR_PUSHES * PRIOR_CLICK_RATE) / (label.pushes + PRIOR_PUSHES) - PRIOR_CLICK_RATE
    evidence = lift * min(label.pushes, EVIDENCE_CAP)
    change, label.evidence = np.float32(0.5 * (evidence - label.evidence)), evidence
    lives.record[i, k] = counted(world, label.pushes)
    lives.record[i, size + k] = 4.0 * lift
    lives.record[i, 3 * size + k] = 1.0
    affinity, similar = lives.record[i], world.label_similarity[k]
    for j in range(size):
        affinity[np.uintp(4 * size + j)] += change * similar[j]
    lives.record[i, 5 * size + k] += (customer.seen_valence - lives.record[i, 5 * size + k]) / label.pushes


@woven
def book(world, lives, i, action, clicked, bought, price):
    """Write one opportunity into the customer's own record; called only where the camera recognised the customer."""
    customer, size = lives.customers[i], lives.labels.shape[1]
    overall = 6 * size
    if customer.visit_opportunity == 0:
        customer.visits_booked += 1
        lives.record[i, overall + 1] = counted(world, customer.visits_booked) / 3.0
        lives.record[i, overall + 3] += VALENCE_RATE * (customer.seen_valence - lives.record[i, overall + 3])
    customer.last_seen = customer.day
    if action > 0:
        book_label(world, lives, i, action - 1, clicked)
        lives.record[i, overall] += 1.0 / 3.0
        if bought:
            book_purchase(world, lives, i, action - 1, price)

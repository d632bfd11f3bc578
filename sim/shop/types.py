"""Records that flow through the shop.  N customers, K labels, D taste dimensions, I images, P persons.

A customer's life is one row of each array; nothing else holds state, so copying the arrays copies the life.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np

from sim.shop.catalog import CATALOG
from sim.shop.compiled import borrow, inlined
from sim.shop.parameters import packed_type

UNKNOWN, SELF, OTHER = 0, 1, 2  # whom the camera takes the customer for
CAPACITY = 8  # open payments and refunds of one customer

PARAMETERS = packed_type()

LINE = 64  # bytes that a processor moves together


def whole_lines(fields: list[tuple[Any, ...]]) -> np.dtype:
    """Type of a record with these fields: the widest first, so that none is lost between them, and room up to whole cache lines."""
    widest_first: Any = sorted(fields, key=lambda field: -np.dtype(field[1]).alignment)
    room = -np.dtype(widest_first).itemsize % LINE
    return np.dtype([*widest_first, ("room", np.uint8, room)], align=True)


CUSTOMER = whole_lines(
    [
        ("id", np.int64),  # counter of the random streams
        ("person", np.int32),  # whose face the customer wears
        ("opportunity", np.int32),  # index of the current push opportunity in this life
        ("visit", np.int32),
        ("visit_opportunity", np.int32),  # index of the opportunity within the visit
        ("day", np.int32),
        ("hour", np.float64),  # of the day, [0, 24)
        # traits, fixed for life
        ("enrolled", np.uint8),
        ("mask_habit", np.float64),  # probability to wear a mask on a visit
        ("price_sensitivity", np.float64),  # logit per reference price
        ("monthly_budget", np.float64),  # money per 30 days
        ("home_valence", np.float64),
        ("segment", np.float64),  # noisy reading of log price sensitivity, as a till would have it
        # latent state
        ("valence", np.float64),
        ("arousal", np.float64),
        ("mood", np.float64),
        ("expectation", np.float64),
        ("fatigue", np.float64),
        ("budget", np.float64),
        # what the camera saw at this visit
        ("image", np.int32),
        ("masked", np.uint8),
        ("recognised", np.int8),  # UNKNOWN, SELF or OTHER
        ("typical", np.int32),  # row of the table of typical records, where mistaken
        ("seen_valence", np.float64),  # valence that the perceived emotion stands for
        # the till
        ("last_seen", np.int32),  # day of the last visit booked to this customer
        ("visits_booked", np.int32),
        ("spent_booked", np.float64),
        # frequency cap
        ("cap_window", np.int32),
        ("cap_pushes", np.int32),
        ("visit_pushes", np.int32),
        ("awaited", np.int32),  # open items in `Lives.pending`
        ("done", np.uint8),
    ],
)

LABEL = np.dtype(  # one per customer and label; 32 bytes, so that a push touches one cache line
    [
        ("relevance", np.float32),  # cosine of taste and label
        ("satiation", np.float32),  # as it stood on `satiation_day`
        ("satiation_day", np.int32),
        ("exposures", np.float32),
        ("pushes", np.float32),  # booked by the till
        ("clicks", np.float32),
        ("purchases", np.float32),
        ("evidence", np.float32),  # click lift times the (capped) number of pushes
    ],
    align=True,
)

PENDING = np.dtype(  # a payment or refund under way; see `sim.shop.settlement`
    [
        ("due", np.int32),  # day
        ("label", np.int32),
        ("booked", np.uint8),  # will the till know whose it is
        ("money", np.float64),  # for the shop; negative for a refund
        ("price", np.float64),  # of the customer; negative for a refund
    ],
    align=True,
)

EVENT = np.dtype(  # what happened at one opportunity, and the hidden truth before it (for the log, never for an agent)
    [
        ("customer", np.int64),
        ("step", np.int32),
        ("day", np.int32),
        ("visit", np.int32),
        ("image", np.int32),
        ("recognised", np.int8),
        ("requested", np.int32),
        ("action", np.int32),
        ("clicked", np.uint8),
        ("bought", np.uint8),
        ("opted_out", np.uint8),
        ("lapsed", np.uint8),
        ("margin", np.float64),
        ("click_value", np.float64),
        ("push_cost", np.float64),
        ("opt_out_cost", np.float64),
        ("refund", np.float64),  # margin and handling lost by a return, booked to the purchase that is returned
        ("reward", np.float64),  # sum of the terms this opportunity caused, whenever they are paid
        ("received", np.float64),  # what the agent was rewarded with at this step
        ("affect_term", np.float64),  # the part of it that is no money (`affect_price`)
        ("price", np.float64),  # paid by the customer, 0 without a purchase; given back where `returned`
        ("delay", np.float32),  # days from click-through to payment
        ("pending", np.uint8),  # the purchase was not yet paid at the next opportunity
        ("returned", np.uint8),
        ("person", np.int32),
        ("masked", np.uint8),
        ("enrolled", np.uint8),
        ("valence", np.float32),
        ("arousal", np.float32),
        ("valence_shift", np.float32),  # valence after the opportunity minus home valence
        ("mood", np.float32),
        ("expectation", np.float32),
        ("fatigue", np.float32),
        ("budget", np.float32),
        ("relevance", np.float32),
        ("satiation", np.float32),
        ("price_sensitivity", np.float32),
        ("click_probability", np.float32),
        ("purchase_probability", np.float32),
        ("opt_out_probability", np.float32),
        ("gap", np.int32),  # days to the next opportunity
        ("terminated", np.uint8),
        ("truncated", np.uint8),
    ],
    align=True,
)


FADING = np.dtype(  # what a number of days leaves of each quantity that fades; see `sim.shop.fading`
    [
        ("affect", np.float64),
        ("affect_noise", np.float64),  # deviation that chance has added to core affect
        ("mood", np.float64),
        ("fatigue", np.float64),
        ("satiation", np.float64),
        ("memory", np.float64),  # of pushes, in the till's record
        ("visit", np.float64),  # of the last visit, in the till's record
        ("log_count", np.float64),  # not of days: the feature of the till's record for so many things counted
    ]
)

PICTURE = whole_lines(  # what the perception module made of a picture, and its truth
    [
        ("emotion", np.float32, 7),  # perceived probabilities
        ("mask_probability", np.float32),
        ("valence", np.float64),  # that the perceived emotion stands for
        ("similarity", np.float32, 2),  # first of a customer who is not enrolled, then of one who is
        ("recognised", np.int8, 2),  # the same
        ("has_face", np.uint8),
        ("true_emotion", np.int8),  # -1 unknown
        ("true_mask", np.uint8),
    ]
)

CELL = np.dtype([("start", np.int32), ("size", np.int32)])  # of a cell's pictures in `World.shown`

SHOWN = np.dtype([("cumulative", np.float64), ("image", np.int64)])  # a picture, its cumulative probability within the cell


class World(NamedTuple):
    """What never changes while customers live; read-only for the compiled equations."""

    params: Annotated[np.ndarray, PARAMETERS, 1]  # (1,) record of all parameters
    catalog: Annotated[np.ndarray, CATALOG, 1]  # (K,)
    label_features: Annotated[np.ndarray, np.float64, 2]  # (K, D) unit vectors
    feature_columns: Annotated[np.ndarray, np.float64, 2]  # (D, K up to a multiple of 8), label_features again, padded with zeros
    label_similarity: Annotated[np.ndarray, np.float32, 2]  # (K, K) cosines
    pictures: Annotated[np.ndarray, PICTURE, 1]  # (I,)
    persons: Annotated[np.ndarray, np.int32, 1]  # (P',) faces that customers of this split may wear
    masked_images: Annotated[np.ndarray, np.uint8, 1]  # (P,) has the person any masked picture
    cells: Annotated[np.ndarray, CELL, 3]  # (P, 2, 7) person, masked, expression
    shown: Annotated[np.ndarray, SHOWN, 1]  # (C,) pictures of the cells
    typical: Annotated[np.ndarray, np.float32, 2]  # (M + 1, R) records of strangers, the last one an empty record
    fading: Annotated[np.ndarray, FADING, 1]  # (days,) what is left after so many days


class Lives(NamedTuple):
    """State of N customers, and the buffers through which one step speaks."""

    customers: Annotated[np.ndarray, CUSTOMER, 1]  # (N,)
    labels: Annotated[np.ndarray, LABEL, 2]  # (N, K)
    taste: Annotated[np.ndarray, np.float64, 2]  # (N, D) unit vectors
    record: Annotated[np.ndarray, np.float32, 2]  # (N, R) the till's record as an agent would see it
    picture: Annotated[np.ndarray, np.float32, 2]  # (N, 11) the camera's features of this visit's picture
    observation: Annotated[np.ndarray, np.float32, 2]  # (N, O)
    action_mask: Annotated[np.ndarray, np.bool_, 2]  # (N, K + 1)
    final_observation: Annotated[np.ndarray, np.float32, 2]  # (N, O) valid where an episode has just ended
    reward: Annotated[np.ndarray, np.float64, 1]  # (N,)
    terminated: Annotated[np.ndarray, np.bool_, 1]  # (N,)
    truncated: Annotated[np.ndarray, np.bool_, 1]  # (N,)
    events: Annotated[np.ndarray, EVENT, 1]  # (N,), or (1,) where nobody reads them
    pending: Annotated[np.ndarray, PENDING, 2]  # (N, CAPACITY) of which the first `awaited` are open
    slate: Annotated[np.ndarray, np.int64, 2]  # (N, S) labels to show at once, after the step those shown; (N, 0) where one is pushed
    impression: Annotated[np.ndarray, np.float64, 2]  # (N, 3) relevance, care, pressure of the slate shown; (N, 0) where one is pushed


@inlined
def borrow_world(w):
    """The same arrays without reference counts.

    Numba counts a reference at every access to an array inside a tuple, which costs several times the equations.  The
    caller in Python holds the arrays for as long as the compiled call lasts, so nothing needs counting in there.
    """
    return World(
        borrow(w.params), borrow(w.catalog), borrow(w.label_features), borrow(w.feature_columns),
        borrow(w.label_similarity), borrow(w.pictures), borrow(w.persons), borrow(w.masked_images),
        borrow(w.cells), borrow(w.shown), borrow(w.typical), borrow(w.fading),
    )  # fmt: skip


@inlined
def borrow_lives(v):
    """As `borrow_world`."""
    return Lives(
        borrow(v.customers), borrow(v.labels), borrow(v.taste), borrow(v.record), borrow(v.picture),
        borrow(v.observation), borrow(v.action_mask), borrow(v.final_observation), borrow(v.reward),
        borrow(v.terminated), borrow(v.truncated), borrow(v.events), borrow(v.pending), borrow(v.slate),
        borrow(v.impression),
    )  # fmt: skip

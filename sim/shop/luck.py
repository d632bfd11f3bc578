"""What chance brings to the coming opportunity, and to the visit that may follow it, drawn for a block of customers at once.

Draws are pure functions of (seed, split, customer, moment, stream) (`sim.shop.random_streams`), so nothing but speed depends on
the block.
"""

from __future__ import annotations

from sim.shop.bench import (
    BUY,
    CLICK,
    EXPRESSION,
    FIRST,
    HOUR,
    IMAGE,
    LEAVE,
    MASK,
    NEXT_VISIT,
    OPPORTUNITY,
    PATIENCE,
    SECOND,
    STAY,
    WHO,
    Z_AROUSAL,
    Z_VALENCE,
)
from sim.shop.compiled import woven
from sim.shop.elementary import log
from sim.shop.random_streams import CAMERA, RESPONSE, RETURN, normals, woven_uniforms


@woven
def count(lives, start, stop, counters):
    """Put who the customers start, ..., stop - 1 are, and where in their lives, side by side: what their luck depends on."""
    for i in range(start, stop):
        customer, b = lives.customers[i], i - start
        counters[WHO + b], counters[OPPORTUNITY + b] = customer.id, customer.opportunity
        counters[NEXT_VISIT + b] = customer.visit + 1


@woven
def draw_response_luck(number, seed, split, counters, bench):
    """Click, purchase and opt-out of `number` customers."""
    for b in range(number):
        bench[CLICK + b], bench[BUY + b], bench[LEAVE + b], _ = woven_uniforms(
            seed, split, counters[WHO + b], counters[OPPORTUNITY + b], RESPONSE
        )


@woven
def draw_return_luck(number, seed, split, counters, bench):
    """When they come back, and how affect wanders meanwhile."""
    for b in range(number):
        bench[STAY + b], bench[PATIENCE + b], bench[FIRST + b], bench[SECOND + b] = woven_uniforms(
            seed, split, counters[WHO + b], counters[OPPORTUNITY + b], RETURN
        )
    for b in range(number):
        bench[PATIENCE + b] = -log(bench[PATIENCE + b])
    for b in range(number):
        bench[Z_VALENCE + b], bench[Z_AROUSAL + b] = normals(bench[FIRST + b], bench[SECOND + b])


@woven
def draw_camera_luck(number, seed, split, counters, bench):
    """The picture of a next visit."""
    for b in range(number):
        bench[EXPRESSION + b], bench[MASK + b], bench[IMAGE + b], bench[HOUR + b] = woven_uniforms(
            seed, split, counters[WHO + b], counters[NEXT_VISIT + b], CAMERA
        )

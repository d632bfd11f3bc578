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
    PATIENCE,
    SECOND,
    STAY,
    Z_AROUSAL,
    Z_VALENCE,
)
from sim.shop.compiled import woven
from sim.shop.elementary import log
from sim.shop.random_streams import CAMERA, RESPONSE, RETURN, normals, woven_uniforms


@woven
def draw_luck(lives, start, stop, seed, split, bench):
    """Put the luck of customers start, ..., stop - 1, at most a block of them, on the bench."""
    for b in range(stop - start):
        customer = lives.customers[start + b]
        bench[CLICK + b], bench[BUY + b], bench[LEAVE + b], _ = woven_uniforms(
            seed, split, customer.id, customer.opportunity, RESPONSE
        )
    for b in range(stop - start):
        customer = lives.customers[start + b]
        u_stay, u_gap, u_first, u_second = woven_uniforms(seed, split, customer.id, customer.opportunity, RETURN)
        bench[STAY + b], bench[PATIENCE + b] = u_stay, -log(u_gap)
        bench[FIRST + b], bench[SECOND + b] = u_first, u_second
    for b in range(stop - start):
        bench[Z_VALENCE + b], bench[Z_AROUSAL + b] = normals(bench[FIRST + b], bench[SECOND + b])
    for b in range(stop - start):
        customer = lives.customers[start + b]
        bench[EXPRESSION + b], bench[MASK + b], bench[IMAGE + b], bench[HOUR + b] = woven_uniforms(
            seed, split, customer.id, customer.visit + 1, CAMERA
        )

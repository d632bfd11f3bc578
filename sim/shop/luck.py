"""What chance brings to the coming opportunity, and to the visit that may follow it, drawn for a block of customers at once.

Draws are pure functions of (seed, split, customer, moment, stream) (`sim.shop.random_streams`), so nothing but speed depends on the
block: a processor draws for several customers in the time of one.  `luck` is a bench of columns, each with one place per
customer of the block: `luck[CLICK + b]` belongs to the b-th.
"""

from __future__ import annotations

from sim.shop.compiled import stack_floats, woven
from sim.shop.elementary import log
from sim.shop.random_streams import CAMERA, RESPONSE, RETURN, normals, woven_uniforms

BLOCK = 64
# uniforms, of the streams RESPONSE, RETURN and CAMERA
CLICK, BUY, LEAVE, STAY, FIRST, SECOND, EXPRESSION, MASK, IMAGE, HOUR = (BLOCK * column for column in range(10))
PATIENCE = 10 * BLOCK  # standard exponential
Z_VALENCE, Z_AROUSAL = 11 * BLOCK, 12 * BLOCK  # standard normals, made of FIRST and SECOND

bench = stack_floats(13 * BLOCK)


@woven
def draw_luck(customers, start, stop, seed, split, luck):
    """Fill the bench for customers start, ..., stop - 1, at most BLOCK, in place."""
    for b in range(stop - start):
        customer = customers[start + b]
        luck[CLICK + b], luck[BUY + b], luck[LEAVE + b], _ = woven_uniforms(
            seed, split, customer.id, customer.opportunity, RESPONSE
        )
    for b in range(stop - start):
        customer = customers[start + b]
        u_stay, u_gap, u_a, u_b = woven_uniforms(seed, split, customer.id, customer.opportunity, RETURN)
        luck[STAY + b], luck[PATIENCE + b], luck[FIRST + b], luck[SECOND + b] = u_stay, -log(u_gap), u_a, u_b
    for b in range(stop - start):
        luck[Z_VALENCE + b], luck[Z_AROUSAL + b] = normals(luck[FIRST + b], luck[SECOND + b])
    for b in range(stop - start):
        customer = customers[start + b]
        luck[EXPRESSION + b], luck[MASK + b], luck[IMAGE + b], luck[HOUR + b] = woven_uniforms(
            seed, split, customer.id, customer.visit + 1, CAMERA
        )

"""The bench on which a block of customers is worked on together: columns of one number per customer.

A processor computes an exponential for several customers in the time of one, and waits for none of them, where the acts of
`sim.shop.dynamics` are played for a block of customers each before the next.  `bench[P_CLICK + b]` belongs to the b-th customer
of the block.  Customers never read each other's place, so nothing but speed depends on the block.
"""

from __future__ import annotations

from sim.shop.compiled import stack_floats

BLOCK = 64  # their states and the bench fit the processor's nearest caches

_NAMES = 25
(
    CLICK, BUY, LEAVE, STAY, FIRST, SECOND, EXPRESSION, MASK, IMAGE, HOUR,  # uniforms, see `sim.shop.luck`
    PATIENCE, Z_VALENCE, Z_AROUSAL,  # a standard exponential, two standard normals
    ACTION,  # what is done: 0 holds back, k pushes label k
    P_CLICK, P_BUY, P_LEAVE,  # first the logits, then the probabilities of the response
    BIAS,  # first mood, then the factor by which it biases the outcome
    CLICKED, OPTED_OUT, SURPRISE, RECEIVED, DELAY,  # what the response was
    DAYS,  # first the logit of coming back, then the days away
    FACE,  # first unused, then the expression
) = (BLOCK * column for column in range(_NAMES))  # fmt: skip
VALENCE, AROUSAL = Z_VALENCE, Z_AROUSAL  # core affect, once its normals have been used
VISITS = STAY  # 1 where a new visit begins, once that draw has been used

new_bench = stack_floats(_NAMES * BLOCK)  # for compiled code: a bench on the stack

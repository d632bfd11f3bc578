"""The bench on which a block of customers is worked on together: columns of one number per customer.

A processor computes an exponential for several customers in the time of one, and waits for none of them, where the acts of
`sim.shop.dynamics` are played for a block of customers each before the next.  `bench[P_CLICK + b]` belongs to the b-th customer
of the block.  Customers never read each other's place, so nothing but speed depends on the block.

Rows and places are unsigned: a signed one might count from the end, and a loop that has to look is not vectorised.
"""

from __future__ import annotations

import numpy as np

from sim.shop.compiled import stack_floats, stack_integers

BLOCK = 64  # their states and the bench fit the processor's nearest caches

_NAMES = 25
(
    CLICK, BUY, LEAVE, STAY, PATIENCE, FIRST, SECOND, EXPRESSION, MASK, IMAGE, HOUR,  # uniforms, see `sim.shop.luck`
    Z_VALENCE, Z_AROUSAL,  # two standard normals; PATIENCE becomes a standard exponential
    ACTION,  # what is done: 0 holds back, k pushes label k
    P_CLICK, P_BUY, P_LEAVE,  # first the logits, then the probabilities of the response
    BIAS,  # first mood, then the factor by which it biases the outcome
    CLICKED, OPTED_OUT, SURPRISE, RECEIVED, DELAY,  # what the response was
    DAYS,  # first the logit of coming back, then the days away
    FACE,  # first unused, then the expression
) = (np.uintp(BLOCK * column) for column in range(_NAMES))  # fmt: skip
VALENCE, AROUSAL = Z_VALENCE, Z_AROUSAL  # core affect, once its normals have been used
VISITS = STAY  # 1 where a new visit begins, once that draw has been used

new_bench = stack_floats(_NAMES * BLOCK)  # for compiled code: a bench on the stack

# columns of whole numbers: the counters of `sim.shop.random_streams`
WHO, OPPORTUNITY, NEXT_VISIT = (np.uintp(BLOCK * column) for column in range(3))
new_counters = stack_integers(3 * BLOCK)

"""The logistic function, sigma(z) = 1 / (1 + exp(-z)), which turns every logit of the shop into a probability."""

from __future__ import annotations

from sim.shop.compiled import inlined
from sim.shop.elementary import exp


@inlined
def sigmoid(z):
    return 1.0 / (1.0 + exp(-z))

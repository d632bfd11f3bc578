"""The myopic oracle: knows everything about the customer, and nothing about tomorrow.

    a = argmax_a E[r | true state, a]         over allowed actions, E[r | hold back] = 0

It is the best that any contextual bandit could become.  What a planner earns beyond it is the worth of the future; what an
agent earns below it is hidden state.
"""

from __future__ import annotations

import numpy as np

from sim.evaluation.oracle.base import StateOracle
from sim.evaluation.oracle.response import best_allowed, response_of
from sim.shop.lives import LiveCustomers


class MyopicOracle(StateOracle):
    """Pushes the label of the highest expected immediate reward, push and opt-out cost included, where that is above 0."""

    name = "myopic_oracle"

    def choose(self, lives: LiveCustomers, rows: np.ndarray) -> np.ndarray:
        return best_allowed(response_of(lives, rows).reward, lives.action_masks()[rows])

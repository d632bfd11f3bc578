"""What all oracles share: they look at live customers instead of observations, and answer with certainty."""

from __future__ import annotations

import abc

import numpy as np

from sim.evaluation.oracle.dynamic_programming import STATES, Decision
from sim.shop.lives import LiveCustomers
from sim.shop.twin import FATIGUE_LEVELS, MOOD_SPAN
from sim.shop.world import Shop


class StateOracle(abc.ABC):
    """A policy on the true state.  `needs_state` tells the rollout to hand it the live customers and their rows."""

    name: str
    propensity_kind = "exact"
    needs_state = True

    @abc.abstractmethod
    def choose(self, lives: LiveCustomers, rows: np.ndarray) -> np.ndarray:
        """Allowed action (n,) int64 for the customers in `rows` (n,)."""

    def act(self, lives: LiveCustomers, rows: np.ndarray, uniform: np.ndarray) -> Decision:
        """Decision for the customers in `rows` (n,); deterministic, so `uniform` (n,) decides nothing."""
        action = self.choose(lives, rows)
        probabilities = np.zeros((len(rows), lives.shop.labels + 1))
        probabilities[np.arange(len(rows)), action] = 1.0
        return Decision(action, np.ones(len(rows)), probabilities)


def twin_states(shop: Shop) -> LiveCustomers:
    """One live customer of the twin in each of its states, row s being state s of `dynamic_programming`."""
    lives = shop.customers(STATES, 0)
    f, m = np.divmod(np.arange(STATES), 2 * MOOD_SPAN + 1)
    assert f[-1] == FATIGUE_LEVELS - 1
    lives.state.customers["fatigue"], lives.state.customers["mood"] = f, m - MOOD_SPAN
    return lives


def twin_table(oracle: StateOracle, shop: Shop) -> np.ndarray:
    """Action probabilities (S, A) of an oracle on the twin, for `TwinModel.value_of`: its exact value, free of luck."""
    return np.eye(shop.labels + 1)[oracle.choose(twin_states(shop), np.arange(STATES))]

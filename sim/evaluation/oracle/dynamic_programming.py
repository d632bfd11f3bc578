"""The exact optimum of the tabular twin, by dynamic programming.

States s = (f, m), 25 of them; actions 0 = hold back, 1..K.  With P(buy), the opt-out hazard h and the money terms taken from
the shop's own response functions, and the transition of `sim.shop.twin`,

    Q(s, a) = E[r | s, a] + gamma (1 - h(s, a)) sum_s' P(s' | s, a) V(s'),     V(s) = max_a Q(s, a)

An opt-out is absorbing with value 0, its reward paid first; gamma is per day, and the twin has one opportunity a day.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sim.shop.choice import click_probability, purchase_probability
from sim.shop.fatigue import opt_out_probability
from sim.shop.parameters import ShopError
from sim.shop.twin import FATIGUE_LEVELS, MOOD_LEVELS, MOOD_SPAN
from sim.shop.types import CUSTOMER, LABEL
from sim.shop.world import Shop

STATES = FATIGUE_LEVELS * MOOD_LEVELS
START = MOOD_SPAN  # f = 0, m = 0


def state_index(fatigue: int, mood: int) -> int:
    """Row of state (f, m) in the arrays of this module."""
    return fatigue * MOOD_LEVELS + mood + MOOD_SPAN


@dataclasses.dataclass(frozen=True)
class TwinModel:
    """reward (S, A), survival (S, A) = 1 - opt-out hazard, transition (S, A, S); A = K + 1."""

    reward: np.ndarray
    survival: np.ndarray
    transition: np.ndarray

    def action_values(self, value: np.ndarray, discount: float) -> np.ndarray:
        """Q (S, A) of acting once and then following a policy of value (S,)."""
        return self.reward + discount * self.survival * (self.transition @ value)

    def optimal(self, discount: float) -> tuple[np.ndarray, np.ndarray]:
        """Value (S,) and greedy action (S,) of the optimal policy, by policy iteration (finite and exact)."""
        policy = self.myopic()
        while True:
            value = self.value_of(np.eye(self.reward.shape[1])[policy], discount)
            q = self.action_values(value, discount)
            better = np.where(q.max(1) > q[np.arange(STATES), policy] + 1e-12, q.argmax(1), policy)
            if (better == policy).all():
                return value, policy
            policy = better

    def myopic(self) -> np.ndarray:
        """Action (S,) of the highest expected immediate reward."""
        return self.reward.argmax(1)

    def value_of(self, probabilities: np.ndarray, discount: float) -> np.ndarray:
        """Value (S,) of a stochastic policy with action probabilities (S, A), by solving its linear equations."""
        reward = (probabilities * self.reward).sum(1)
        step = np.einsum("sa,sa,sat->st", probabilities, self.survival, self.transition)
        return np.linalg.solve(np.eye(STATES) - discount * step, reward)


def twin_model(shop: Shop) -> TwinModel:
    """The twin of a shop with `env=twin` as arrays.

    Raises
    ------
    ShopError
        The shop is no twin: its state is continuous and cannot be tabulated.
    """
    p = shop.params[0]
    if p["twin"] == 0:
        raise ShopError("only the twin can be solved exactly; use env=twin")
    actions = shop.labels + 1
    reward, survival = np.zeros((STATES, actions)), np.ones((STATES, actions))
    transition = np.zeros((STATES, actions, STATES))
    customer, label = np.zeros(1, CUSTOMER)[0], np.zeros(1, LABEL)[0]
    customer["budget"] = p["budget_median"]
    for f in range(FATIGUE_LEVELS):
        for m in range(-MOOD_SPAN, MOOD_SPAN + 1):
            s = state_index(f, m)
            customer["fatigue"], customer["mood"] = f, m
            rest, home = max(f - 1, 0), m - int(np.sign(m))
            _spread(transition[s, 0], (f, rest, p["twin_rest"]), (m, home, p["twin_home"]))
            for k, item in enumerate(shop.catalog.table, start=1):
                click = click_probability(p, customer, label, item)
                buy = click * purchase_probability(p, customer, label, item)
                hazard = opt_out_probability(p, customer, item)
                reward[s, k] = (
                    buy * item["margin"] + click * p["click_price"] - p["push_price"] - hazard * p["opt_out_price"]
                )
                survival[s, k] = 1 - hazard
                swayed = int(np.clip(m + (1 if item["care"] > 0 else -1), -MOOD_SPAN, MOOD_SPAN))
                _spread(
                    transition[s, k], (f, min(f + 1, FATIGUE_LEVELS - 1), p["twin_rise"]), (m, swayed, p["twin_sway"])
                )
    return TwinModel(reward, survival, transition)


def _spread(row: np.ndarray, fatigue: tuple[int, int, float], mood: tuple[int, int, float]) -> None:
    """Add the product of two independent moves (stay, go, probability of going) to a row (S,)."""
    for f, pf in ((fatigue[0], 1 - fatigue[2]), (fatigue[1], fatigue[2])):
        for m, pm in ((mood[0], 1 - mood[2]), (mood[1], mood[2])):
            row[state_index(f, m)] += pf * pm


@dataclasses.dataclass
class TwinPolicy:
    """A table of action probabilities (S, A), deployed in the twin through the same rollout as every agent."""

    probabilities: np.ndarray
    shop: Shop
    name: str = "twin_oracle"
    propensity_kind: str = "exact"

    def act(self, observation: np.ndarray, action_mask: np.ndarray, uniform: np.ndarray) -> Decision:
        (f0, f1), (m0, m1) = (self.shop.layout[part] for part in ("twin_fatigue", "twin_mood"))
        state = observation[:, f0:f1].argmax(1) * MOOD_LEVELS + observation[:, m0:m1].argmax(1)
        probabilities = np.where(action_mask, self.probabilities[state], 0.0)
        probabilities[:, 0] += 1 - probabilities.sum(1)  # a masked push executes as hold-back
        action = (probabilities.cumsum(1) <= uniform[:, None]).sum(1).clip(max=probabilities.shape[1] - 1)
        return Decision(action, probabilities[np.arange(len(action)), action], probabilities)


@dataclasses.dataclass(frozen=True)
class Decision:
    """As agents answer: action (N,), propensity (N,), probabilities (N, A)."""

    action: np.ndarray
    propensity: np.ndarray
    probabilities: np.ndarray

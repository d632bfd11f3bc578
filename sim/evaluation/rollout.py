"""Deploy a policy on customers, one life each, on common random numbers.

Every draw, the policy's own included, is a pure function of (seed, split, customer, opportunity): two policies meet the same
customers with the same luck, and neither the batch size nor the order of customers changes a bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from sim.shop.camera import FEATURES
from sim.shop.lives import LiveCustomers
from sim.shop.random_streams import policy_uniforms
from sim.shop.world import Shop


class Policy(Protocol):
    """What evaluation needs of an agent."""

    name: str
    propensity_kind: str

    def act(self, observation: np.ndarray, action_mask: np.ndarray, uniform: np.ndarray) -> Any:
        """Decision with `action` (N,), `propensity` (N,), `probabilities` (N, K + 1)."""


class StatePolicy(Protocol):
    """An oracle: `needs_state` is True, and it decides from the true state of the customers in some rows."""

    name: str
    propensity_kind: str
    needs_state: bool

    def act(self, lives: LiveCustomers, rows: np.ndarray, uniform: np.ndarray) -> Any:
        """Decision as of `Policy`, for the customers in `rows` (N,)."""


def decide(policy: Policy | StatePolicy, lives: LiveCustomers, rows: np.ndarray) -> Any:
    """Decision of a policy for the live customers in `rows` (N,); only an oracle is shown more than the observation."""
    uniform = policy_uniforms(lives.seed, lives.split, lives.ids[rows], lives.state.customers["opportunity"][rows])
    chooser: Any = policy
    if getattr(policy, "needs_state", False):
        return chooser.act(lives, rows, uniform)
    return chooser.act(lives.observation[rows], lives.action_masks()[rows], uniform)


@dataclasses.dataclass(frozen=True)
class SessionLog:
    """T opportunities of `customers` lives: what was seen, done and true.

    events (T,) `sim.shop.types.EVENT`, sorted by (customer, step); camera (T, 11) float32, the camera's part of the
    observation; propensity (T,) of the executed action; probabilities (T, K + 1) float32.
    """

    policy: str
    propensity_kind: str
    customers: int
    events: np.ndarray
    camera: np.ndarray
    propensity: np.ndarray
    probabilities: np.ndarray


def executed_probabilities(probabilities: np.ndarray, action_mask: np.ndarray) -> np.ndarray:
    """Probability of every action to be *executed* (N, K + 1): what a policy gives to masked actions is held back."""
    allowed = np.where(action_mask, probabilities, 0.0)
    allowed[:, 0] += np.where(action_mask, 0.0, probabilities).sum(1)
    return allowed


def rollout(
    policy: Policy | StatePolicy,
    shop: Shop,
    *,
    customers: int,
    seed: int,
    split: str = "evaluate",
    batch: int = 4096,
    progress: Callable[[int], None] | None = None,
) -> SessionLog:
    """Live `customers` lives (ids 0..customers-1 of the split) under `policy`, whole, and log every opportunity.

    `progress` is called with the number of lives just finished.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    for first in range(0, customers, batch):
        number = min(batch, customers - first)
        lives = shop.customers(number, seed, split, first=first)
        alive = np.arange(number)
        while len(alive):
            camera, mask = lives.observation[alive, :FEATURES], lives.action_masks()[alive]
            decision = decide(policy, lives, alive)
            actions = np.zeros(number, np.int64)
            actions[alive] = decision.action
            lives.step(actions)
            events = lives.state.events[alive]
            probabilities = executed_probabilities(np.asarray(decision.probabilities), mask)
            propensity = probabilities[np.arange(len(alive)), events["action"]]
            parts.append((events, camera, propensity, probabilities.astype(np.float32)))
            still = ~lives.done[alive]
            if progress is not None and not still.all():
                progress(int((~still).sum()))
            alive = alive[still]
    events, camera, propensity, probabilities = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((events["step"], events["customer"]))
    return SessionLog(
        policy.name,
        policy.propensity_kind,
        customers,
        events[order],
        camera[order],
        propensity[order],
        probabilities[order],
    )


def value_per_customer(
    policy: Policy | StatePolicy,
    shop: Shop,
    *,
    customers: int,
    seed: int,
    split: str = "tune",
    discount_per_day: float = 1.0,
) -> float:
    """Mean money per customer, undiscounted unless told, without keeping a log: what tuning maximises."""
    lives = shop.customers(customers, seed, split)
    total, alive = 0.0, np.arange(customers)
    while len(alive):
        actions = np.zeros(customers, np.int64)
        actions[alive] = decide(policy, lives, alive).action
        weight = discount_per_day ** lives.state.customers["day"][alive]
        lives.step(actions)
        total += float((weight * lives.state.events["reward"][alive]).sum())
        alive = alive[~lives.done[alive]]
    return total / customers

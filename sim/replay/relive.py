"""Live logged lives again: what a log does not hold, brought back exactly.

All luck is a pure function of (seed, split, customer, moment), so repeating the logged requests brings back every state
bit for bit: the whole observation, which labels were allowed, what each label would have earned on average, and the
customer itself, from which another life can be branched.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sim.evaluation.oracle.response import respond
from sim.replay.errors import ReplayError
from sim.replay.log import Lines
from sim.shop import dynamics
from sim.shop.lives import LiveCustomers
from sim.shop.types import Lives
from sim.shop.world import Shop

SPLIT = "evaluate"


@dataclasses.dataclass(frozen=True)
class Relived:
    """Per logged opportunity (T,), in the log's order; K labels, O entries of an observation.

    observation (T, O) float32; allowed (T, K + 1) bool; expected (T, K + 1) money that each action earns at once on
    average, known to nobody in the shop; states: the customers before the opportunity, of the lines in `kept`; visits (T, 2)
    bool as of `LiveCustomers.visits`; memory (T, M): what a policy that remembers knew before (`sim.replay.remembering`).
    """

    observation: np.ndarray
    allowed: np.ndarray
    expected: np.ndarray
    kept: np.ndarray
    states: Lives | None
    visits: np.ndarray
    memory: np.ndarray | None = None

    def regret(self, action: np.ndarray) -> np.ndarray:
        """(T,) max_a E[r | a] - E[r | action] over allowed actions, never negative."""
        best = np.where(self.allowed, self.expected, -np.inf).max(1)
        return best - self.expected[np.arange(len(action)), action]


def live_customers(shop: Shop, ids: np.ndarray, seed: int) -> LiveCustomers:
    """The customers of these ids (n,) at the beginning of their lives."""
    lives = shop.customers(len(ids), seed, SPLIT)
    dynamics.begin_many(lives.world, lives.state, lives.seed, lives.split, np.ascontiguousarray(ids, np.int64))
    return lives


def relive(shop: Shop, lines: Lines, seed: int, keep: np.ndarray | None = None) -> Relived:
    """Repeat the requests of `lines` and look around before each opportunity.

    Parameters
    ----------
    keep : (n,) bool, customers whose states are kept, to branch from.

    Raises
    ------
    ReplayError
        What happens is not what the log says: another shop, seed, or version of the equations.
    """
    lives = live_customers(shop, lines.customers, seed)
    total, actions = len(lines), shop.labels + 1
    observation = np.empty((total, lives.observation.shape[1]), np.float32)
    allowed, expected = np.empty((total, actions), bool), np.empty((total, actions))
    visits = np.empty((total, 2), bool)
    kept: list[np.ndarray] = []
    states: list[Lives] = []
    step, alive = 0, np.arange(len(lines.customers))
    while len(alive):
        where = lines.start[alive] + step
        observation[where], allowed[where] = lives.observation[alive], lives.action_masks()[alive]
        visits[where] = lives.visits()[alive]
        expected[where] = respond(lives.world, lives.state, alive).reward
        if keep is not None and keep[alive].any():
            mine = keep[alive]
            kept.append(where[mine])
            states.append(Lives(*(array[alive[mine]] for array in lives.state)))
        requests = np.zeros(len(lines.customers), np.int64)
        requests[alive] = lines.at["requested"][where]
        lives.step(requests)
        _compare(lives.state.events[alive], lines, where)
        step += 1
        ended = lines.start[alive] + step >= lines.start[alive + 1]
        if (ended & ~lives.done[alive]).any() or (~ended & lives.done[alive]).any():
            raise ReplayError(f"lives in the log of {lines.policy} do not end where they should; was the log cut?")
        alive = alive[~ended]
    return Relived(
        observation,
        allowed,
        expected,
        np.concatenate(kept) if kept else np.zeros(0, np.int64),
        Lives(*(np.concatenate(arrays) for arrays in zip(*states, strict=True))) if states else None,
        visits,
    )


def _compare(events: np.ndarray, lines: Lines, where: np.ndarray) -> None:
    """The bits of what happened, against the log."""
    for name in ("step", "day", "action", "reward"):
        lived, logged = events[name], lines.at[name][where]
        if not np.array_equal(lived, logged):
            i = int(np.flatnonzero(lived != logged)[0])
            raise ReplayError(
                f"customer {lines.at['customer'][where[i]]} under {lines.policy} does not live again as logged: at opportunity "
                f"{lines.at['step'][where[i]]}, {name} is {logged[i]} in the log and {lived[i]} now; the shop has changed since"
            )

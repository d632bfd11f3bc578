"""Regret: what a policy earned less than an oracle did.

Value regret        V_oracle - V_policy over the same customers with the same luck, paired
Immediate regret    max_a E[r | s_t, a] - E[r | s_t, a_t] >= 0, over allowed actions, at every decision of the policy

Immediate regret is zero for the myopic oracle and for nobody else: a planner gives up reward today, so it says how much a
decision costs *now*, and value regret whether that paid.  A log holds the actions but not the customer's whole state; since
all luck is counter-based, living through the logged actions again brings back every state exactly, and the replay is held
against the log event by event.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim.evaluation.metrics import per_customer
from sim.evaluation.oracle.response import response_of
from sim.evaluation.rollout import SessionLog
from sim.evaluation.statistics import Interval, mean_interval
from sim.shop.lives import LiveCustomers
from sim.shop.parameters import ShopError
from sim.shop.types import EVENT
from sim.shop.world import Shop


def value_regret(log: SessionLog, reference: SessionLog, discount_per_day: float = 1.0) -> np.ndarray:
    """What each customer (n,) was worth more under the reference; negative where its luck was worse.

    Raises
    ------
    ShopError
        The logs are of different customers.
    """
    ends = [(each.customers, int(each.events["customer"].min())) for each in (log, reference)]
    if ends[0] != ends[1]:
        raise ShopError(
            f"{log.policy} met {ends[0][0]} customers from id {ends[0][1]}, {reference.policy} {ends[1][0]} from id {ends[1][1]}; "
            "regret compares the same customers"
        )
    a, b = (per_customer(each, discount_per_day)["discounted"] for each in (log, reference))
    return b - a


def value_regret_interval(log: SessionLog, reference: SessionLog, discount_per_day: float = 1.0) -> Interval:
    """Mean regret per customer with its paired 95 % interval, money."""
    return mean_interval(value_regret(log, reference, discount_per_day))


def replay(
    log: SessionLog,
    shop: Shop,
    seed: int,
    split: str,
    look: Callable[[LiveCustomers, np.ndarray, np.ndarray], None],
    *,
    batch: int = 4096,
) -> None:
    """Live the logged lives again; before each opportunity, `look(lives, rows (n,), where (n,))`, `where` being log rows.

    Raises
    ------
    ShopError
        What happens is not what the log says: another shop, seed or split.
    """
    events = log.events
    first_id, last_id = int(events["customer"][0]), int(events["customer"][-1])
    start = np.searchsorted(events["customer"], np.arange(first_id, last_id + 2))
    for first in range(first_id, last_id + 1, batch):
        number = min(batch, last_id + 1 - first)
        lives = shop.customers(number, seed, split, first=first)
        at, ends = start[first - first_id :][:number], start[first - first_id + 1 :][:number]
        step, alive = 0, np.arange(number)
        while len(alive):
            where = at[alive] + step
            look(lives, alive, where)
            actions = np.zeros(number, np.int64)
            actions[alive] = events["requested"][where]
            lives.step(actions)
            _check(lives.state.events[alive], events[where], log.policy)
            step += 1
            ended = at[alive] + step >= ends[alive]
            if (ended != lives.done[alive]).any():
                raise ShopError(f"lives in the log of {log.policy} do not end where they should; was the log cut?")
            alive = alive[~ended]


def _check(lived: np.ndarray, logged: np.ndarray, policy: str) -> None:
    """Every field of the events alike; field by field, since the bytes between fields mean nothing."""
    assert EVENT.names is not None
    for name in EVENT.names:
        if not np.array_equal(lived[name], logged[name]):
            i = int(np.flatnonzero(lived[name] != logged[name])[0])
            raise ShopError(
                f"the log of {policy} does not come from this shop, seed and split: customer {logged['customer'][i]}, "
                f"opportunity {logged['step'][i]}, {name} is {logged[name][i]} in the log and {lived[name][i]} in the replay"
            )


def immediate_regret(log: SessionLog, shop: Shop, *, seed: int, split: str = "evaluate") -> dict[str, np.ndarray]:
    """Expected rewards at every logged decision, as columns (T,) in the order of the log, money.

    Parameters
    ----------
    log : from `rollout(policy, shop, seed=seed, split=split)`.

    Returns
    -------
    true_best_expected_reward : of the best allowed action, holding back (0) included.
    true_expected_reward : of the executed action.
    true_immediate_regret : their difference, never negative.

    Raises
    ------
    ShopError
        The log does not come from this shop, seed and split.
    """
    best, own = np.zeros(len(log.events)), np.zeros(len(log.events))

    def look(lives: LiveCustomers, rows: np.ndarray, where: np.ndarray) -> None:
        reward = response_of(lives, rows).reward
        best[where] = np.where(lives.action_masks()[rows], reward, -np.inf).max(1)
        own[where] = reward[np.arange(len(rows)), log.events["action"][where]]

    replay(log, shop, seed, split, look)
    return {"true_best_expected_reward": best, "true_expected_reward": own, "true_immediate_regret": best - own}

"""What if another label had been pushed here: the same customer, the same luck, another life from this moment on.

From every kept state one branch per allowed action other than the one taken: that action now, then the policy goes on as
it always decides.  The difference in money,

    D(t, a) = sum of rewards of the branch from t on  -  sum of logged rewards from t on,

is what the other label would have been worth *for this customer with this luck*; it is one draw, not an average.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sim.evaluation.rollout import decide
from sim.replay.log import FLAGS, Lines
from sim.replay.relive import SPLIT, Relived
from sim.shop.world import Shop

BATCH = 6000  # branches lived side by side: a few MB of state


@dataclasses.dataclass(frozen=True)
class Branches:
    """M branches and the S opportunities lived in them.

    line (M,) of the log that it leaves, action (M,) pushed there instead, value (M,) money from there on, start (M + 1,)
    into the opportunities; day, action, flags (bits as in the log), reward, mood, fatigue (S,) each.
    """

    line: np.ndarray
    action: np.ndarray
    value: np.ndarray
    start: np.ndarray
    steps: np.ndarray


STEP = np.dtype(
    [("day", np.int32), ("action", np.uint8), ("flags", np.uint8), ("reward", np.float64), ("mood", np.float32), ("fatigue", np.float32)]
)  # fmt: skip


def every_other_action(relived: Relived, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(state, action) of every allowed action that was not taken, over the kept states; each (M,)."""
    other = relived.allowed[relived.kept].copy()
    other[np.arange(len(other)), taken[relived.kept]] = False
    state, action = np.nonzero(other)
    return state, action


def branch(shop: Shop, policy: Any, relived: Relived, state: np.ndarray, action: np.ndarray, seed: int) -> Branches:
    """Live the branches that begin with `action` (M,) in kept state `state` (M,), under `policy` afterwards."""
    if relived.states is None or not len(state):
        empty = np.zeros(0, np.int64)
        return Branches(empty, empty, np.zeros(0), np.zeros(1, np.int64), np.zeros(0, STEP))
    parts = [
        _live(shop, policy, relived, state[at : at + BATCH], action[at : at + BATCH], seed)
        for at in range(0, len(state), BATCH)
    ]
    steps = np.concatenate([part[0] for part in parts])
    lengths = np.concatenate([part[1] for part in parts])
    start = np.concatenate([[0], np.cumsum(lengths)])
    return Branches(relived.kept[state], action, np.add.reduceat(steps["reward"], start[:-1]), start, steps)


def _live(
    shop: Shop, policy: Any, relived: Relived, state: np.ndarray, action: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Opportunities of a batch of branches, sorted by branch, and how many each has."""
    number = len(state)
    lives = shop.customers(number, seed, SPLIT)
    assert relived.states is not None
    for mine, theirs in zip(lives.state, relived.states, strict=True):
        mine[...] = theirs[state]
    if relived.memory is not None:  # the policy sees this opportunity too, and remembers it, though another decides
        lives.memory = relived.memory[relived.kept[state]]
        decide(policy, lives, np.arange(number))
    alive, requests = np.arange(number), np.array(action, np.int64)
    rows: list[np.ndarray] = []
    lived: list[np.ndarray] = []
    while len(alive):
        lives.step(requests)
        rows.append(alive)
        lived.append(_steps(lives.state.events[alive]))
        alive = alive[~lives.done[alive]]
        requests = np.zeros(number, np.int64)
        if len(alive):
            requests[alive] = decide(policy, lives, alive).action
    which = np.concatenate(rows)
    return np.concatenate(lived)[np.argsort(which, kind="stable")], np.bincount(which, minlength=number)


def _steps(events: np.ndarray) -> np.ndarray:
    out = np.empty(len(events), STEP)
    for name in ("day", "action", "reward", "mood", "fatigue"):
        out[name] = events[name]
    out["flags"] = sum(events[name].astype(np.uint8) << bit for bit, name in enumerate(FLAGS))
    return out


def money_left(lines: Lines) -> np.ndarray:
    """(T,) logged rewards from each opportunity to the end of that life."""
    left = np.empty(len(lines))
    for a, b in zip(lines.start[:-1], lines.start[1:], strict=True):
        left[a:b] = np.cumsum(lines.at["reward"][a:b][::-1])[::-1]
    return left

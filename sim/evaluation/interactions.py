"""Interactions of a deployed policy as learners and estimators want them: what it saw, did, with which probability, and earned.

The session log (`session_log`) is for analysis and leaves out the till's part of the observation; this holds the whole
observation, in memory.  From a session log it is brought back exactly by living the lives again (`sim.replay.relive`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sim.evaluation.estimators.data import LoggedLives
from sim.evaluation.rollout import BATCH, Policy, decide, executed_probabilities
from sim.shop.world import Shop

_ROWS = 65_536  # asked of a policy at once


@dataclasses.dataclass(frozen=True)
class Interactions:
    """T opportunities of n customers, sorted by (customer, step).

    start (n + 1,) first row of each customer; observation (T, O) float32; action_mask (T, K + 1) bool; action (T,) executed;
    reward (T,) money that the action caused; propensity (T,) of the executed action; probabilities (T, K + 1) of all; day (T,).
    """

    start: np.ndarray
    observation: np.ndarray
    action_mask: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    propensity: np.ndarray
    probabilities: np.ndarray
    day: np.ndarray

    def __len__(self) -> int:
        return len(self.action)

    @property
    def customers(self) -> int:
        """n."""
        return len(self.start) - 1

    def features(self) -> np.ndarray:
        """What a reward model may know (T, O + 2): the observation, months and (log) opportunities since the first one."""
        lengths = np.diff(self.start)
        step = np.arange(len(self)) - np.repeat(self.start[:-1], lengths)
        day = self.day - np.repeat(self.day[self.start[:-1]], lengths)
        return np.column_stack([self.observation, day / 30.0, np.log1p(step)]).astype(np.float32)

    def for_target(self, policy: Policy) -> LoggedLives:
        """The log with what `policy` would have done at every opportunity."""
        target = np.empty(self.probabilities.shape)
        for first in range(0, len(self), _ROWS):
            rows = slice(first, first + _ROWS)
            mask = self.action_mask[rows]
            asked = policy.act(self.observation[rows], mask, np.zeros(len(mask)))  # the luck does not matter here
            target[rows] = executed_probabilities(np.asarray(asked.probabilities), mask)
        return LoggedLives(
            start=self.start, action=self.action, reward=self.reward, propensity=self.propensity, target=target,
            features=self.features(), behaviour=self.probabilities,
            day=self.day - np.repeat(self.day[self.start[:-1]], np.diff(self.start)),
        )  # fmt: skip


def collect(
    policy: Policy, shop: Shop, *, customers: int, seed: int, split: str = "evaluate", first: int = 0
) -> Interactions:
    """Deploy `policy` on customers first, first + 1, ... of a split, for their whole lives."""
    parts = []
    for begin in range(first, first + customers, BATCH):
        parts.append(_batch(policy, shop, min(BATCH, first + customers - begin), seed, split, begin))
    return joined(parts)


def _batch(policy: Policy, shop: Shop, number: int, seed: int, split: str, first: int) -> Interactions:
    lives, alive = shop.customers(number, seed, split, first=first), np.arange(number)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("row", *_COLUMNS)}
    while len(alive):
        observation, mask = lives.observation[alive], lives.action_masks()[alive]
        decision = decide(policy, lives, alive)
        actions = np.zeros(number, np.int64)
        actions[alive] = decision.action
        lives.step(actions)
        events = lives.state.events[alive]
        probabilities = executed_probabilities(np.asarray(decision.probabilities), mask)
        action = events["action"].astype(np.int64)
        found = (
            alive, observation, mask, action, events["reward"].copy(), probabilities[np.arange(len(alive)), action], probabilities,
            events["day"].astype(float),
        )  # fmt: skip
        for name, column in zip(columns, found, strict=True):
            columns[name].append(column)
        alive = alive[~lives.done[alive]]
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    order = np.argsort(whole["row"], kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(whole.pop("row"), minlength=number))])
    return Interactions(start, **{name: column[order] for name, column in whole.items()})


_COLUMNS = ("observation", "action_mask", "action", "reward", "propensity", "probabilities", "day")


def joined(parts: Sequence[Interactions]) -> Interactions:
    """Several logs, one after the other, as one; customers are taken for different ones."""
    if len(parts) == 1:
        return parts[0]
    lengths = np.concatenate([np.diff(part.start) for part in parts])
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    return Interactions(np.concatenate([[0], np.cumsum(lengths)]), **columns)

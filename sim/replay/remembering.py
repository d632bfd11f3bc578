"""Policies that remember, asked again: what they knew at every logged opportunity.

The memory of a customer is a pure function of the observations so far, so following the logged lives from their beginning
brings back the memory before every opportunity, which an explanation and a branch from there need as much as the observation.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sim.replay.log import Lines
from sim.replay.relive import Relived


def remembered(policy: Any, lines: Lines, relived: Relived) -> Relived:
    """`relived` with the policy's memory (T, M) before every opportunity; unchanged for a policy without one."""
    if not getattr(policy, "memory_size", 0):
        return relived
    memory = np.zeros((len(lines), policy.memory_size))
    alive = np.arange(len(lines.customers))
    now = np.zeros((len(alive), policy.memory_size))
    step = 0
    while len(alive):
        where = lines.start[alive] + step
        memory[where] = now[alive]
        _, now[alive] = policy.recall(
            relived.observation[where], relived.allowed[where], now[alive], relived.visits[where]
        )
        step += 1
        alive = alive[lines.start[alive] + step < lines.start[alive + 1]]
    return dataclasses.replace(relived, memory=memory)


class Reminded:
    """A policy at the T logged opportunities of `relived`, with its memory of each if it has one: asked like any other.

    Everything else of the policy is as it is.
    """

    def __init__(self, policy: Any, relived: Relived):
        self._policy, self._relived = policy, relived

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def action_probabilities(self, observation: np.ndarray, action_mask: np.ndarray) -> np.ndarray:
        """(T, O), (T, K + 1) -> (T, K + 1)."""
        if self._relived.memory is None:
            return np.asarray(self._policy.action_probabilities(observation, action_mask))
        memory, visits = self._relived.memory, self._relived.visits
        return np.asarray(self._policy.recall(observation, action_mask, memory, visits)[0])

    def act(self, observation: np.ndarray, action_mask: np.ndarray, uniform: np.ndarray) -> Any:
        """Decision at all T opportunities."""
        if self._relived.memory is None:
            return self._policy.act(observation, action_mask, uniform)
        memory, visits = self._relived.memory, self._relived.visits
        return self._policy.act_with_memory(observation, action_mask, uniform, memory, visits)[0]

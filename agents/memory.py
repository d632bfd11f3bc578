"""Agents that remember: what they know of a customer beyond the observation, and when they must not.

The camera tells who somebody is only where it recognises the face. An agent that carried its state from one visit of a
customer to the next would know the person for free, so two states are kept of every customer,

    m   what was gathered in this visit,          k   what is filed under the customer's identity,

and who holds them says at every opportunity whether a visit `begins` and whether the till took the customer for its `own`:

    m <- k  if begins and own,     m <- 0  if begins and not own            before deciding
    k <- m  if own                                                         afterwards

A customer who is not recognised, or is taken for somebody else, is met with an empty memory, and nothing of that visit is
filed. (Somebody else's record comes from a table of typical ones, for which there is no memory: an empty memory beside a full
record is a hint that a till would not give, in the .6 % of visits of the default shop in which the camera is wrong.)

    memory = "visit"        nothing is filed: what a kiosk knows of whoever stands before it
    memory = "recognised"   as above: the till files the memory where it files its record
    memory = "life"         m <- m always: identity for free, an upper bound and no policy for a shop
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.base import Agent, Decision
from agents.checks import checked_batch
from agents.errors import AgentConfigError, ShapeMismatchError

SPANS = ("visit", "recognised", "life")


class RememberingAgent(Agent):
    """An agent with `memory_size` numbers of memory per customer, which the caller keeps between opportunities.

    Mixed in before another agent class; a sub-class implements `_recall`.

    Parameters
    ----------
    memory : "visit", "recognised" or "life"
    **runtime
        As the other class.
    """

    def __init__(self, *, memory: str = "visit", **runtime: Any) -> None:
        super().__init__(**runtime)
        if memory not in SPANS:
            raise AgentConfigError(f"agent {self.name}: memory must be one of {', '.join(SPANS)}, got {memory!r}.")
        self.memory = memory

    @property
    @abstractmethod
    def memory_size(self) -> int:
        """M, numbers remembered of one customer; all zero at the first opportunity of a life."""

    @abstractmethod
    def _recall(self, observation: NDArray, action_mask: NDArray[np.bool_], memory: NDArray[np.float64],
                visits: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probabilities (N, K + 1) and the memory afterwards (N, M)."""

    def act_with_memory(self, observation: ArrayLike, action_mask: ArrayLike, uniform: ArrayLike, memory: ArrayLike,
                        visits: ArrayLike) -> tuple[Decision, NDArray[np.float64]]:
        """As `act`, for customers of whom something is remembered.

        Parameters
        ----------
        observation : array (N, D)
        action_mask : array (N, K + 1) bool
        uniform : array (N,) in [0, 1)
        memory : array (N, M)
            As the opportunity before left it.
        visits : array (N, 2) bool
            Whether a visit begins, and whether the till took the customer for the one who it is.

        Returns
        -------
        Decision, ndarray (N, M) float64
        """
        probabilities, after = self.recall(observation, action_mask, memory, visits)
        return self.choose(probabilities, uniform), after

    def recall(self, observation: ArrayLike, action_mask: ArrayLike, memory: ArrayLike,
               visits: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probabilities (N, K + 1) and the memory afterwards (N, M); arguments as of `act_with_memory`.

        Raises
        ------
        ShapeMismatchError
            If memory or visits have another size; otherwise as `action_probabilities`.
        """
        observation, action_mask = checked_batch(self.name, self.observation_size, self.num_actions, observation,
                                                 action_mask)
        memory, visits = np.asarray(memory, dtype=np.float64), np.asarray(visits)
        for what, array, width in (("memory", memory, self.memory_size), ("visits", visits, 2)):
            if array.shape != (len(observation), width):
                raise ShapeMismatchError(f"agent {self.name} takes {what} of shape ({len(observation)}, {width}), "
                                         f"got {array.shape}.")
        return self._recall(observation, action_mask, memory, heeded(visits.astype(bool), self.memory))

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Of customers never seen before."""
        blank = np.zeros((len(observation), self.memory_size))
        visits = np.tile(np.array([True, False]), (len(observation), 1))
        return self._recall(observation, action_mask, blank, heeded(visits, self.memory))[0]


def heeded(visits: NDArray[np.bool_], memory: str) -> NDArray[np.bool_]:
    """What an agent of this span makes of (begins, own), (N, 2): one cell serves all three."""
    if memory == "recognised":
        return visits
    nothing = np.zeros_like(visits)
    if memory == "visit":
        nothing[:, 0] = visits[:, 0]
    return nothing

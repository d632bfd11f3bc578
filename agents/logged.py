"""Logged interactions: what an agent can learn from without an environment.

A log holds what a deployed policy saw, did and earned, one row per opportunity, the rows of one customer together and in
order of time. Learning from it is learning off-policy: the actions were not the learner's own.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agents.errors import DivergedError, ShapeMismatchError


class InteractionLog(Protocol):
    """T opportunities of n customers.

    start (n + 1,): customer i owns rows start[i] to start[i + 1]; observation (T, D) float; action_mask (T, K + 1) bool; action
    (T,) int, executed; reward (T,) money; day (T,).
    """

    @property
    def start(self) -> NDArray[np.int64]: ...
    @property
    def observation(self) -> NDArray[np.float32]: ...
    @property
    def action_mask(self) -> NDArray[np.bool_]: ...
    @property
    def action(self) -> NDArray[np.int64]: ...
    @property
    def reward(self) -> NDArray[np.float64]: ...
    @property
    def day(self) -> NDArray[np.float64]: ...


def check_log(name: str, log: InteractionLog, size: int, actions: int) -> None:
    """Refuse a log that does not fit an agent of this observation size and number of actions.

    Raises
    ------
    ShapeMismatchError
        Names both sizes, or the row of an action that there is not.
    DivergedError
        Names the row whose reward or observation is not finite.
    """
    if log.observation.ndim != 2 or log.observation.shape[1] != size or log.action_mask.shape[1] != actions:
        raise ShapeMismatchError(f"agent {name} takes {size} observation numbers and {actions} actions, the log has "
                                 f"{log.observation.shape[1]} and {log.action_mask.shape[1]}.")
    if len(log.action) == 0:
        raise ShapeMismatchError(f"agent {name}: the log holds no interaction.")
    wrong = (log.action < 0) | (log.action >= actions)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ShapeMismatchError(f"agent {name}: the log's row {row + 1} took action {log.action[row]}; they are 0 to {actions - 1}.")
    bad = ~(np.isfinite(log.reward) & np.isfinite(log.observation).all(axis=1))
    if bad.any():
        raise DivergedError(f"agent {name}: the log's row {int(np.argmax(bad)) + 1} holds a number that is not finite.")

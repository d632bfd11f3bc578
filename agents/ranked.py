"""Policies that read their answer off the observation: always the label whose feature is largest, or smallest.

For scenarios that show a score of every label, such as the clickbait score of choc/kale: `most_clickbait` is the myopic
policy there, `least_clickbait` the patient one.  Nothing is learned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.base import Agent, Evaluate, Report, one_hot


class Ranked(Agent):
    """Pushes the allowed label with the highest (or lowest) value in one part of the observation; the first of equals.

    Parameters
    ----------
    part : str
        Part of the observation with one number per label.
    highest : bool
        Take the highest value; else the lowest.
    **runtime
        As `Agent`.
    """

    name = "ranked"

    def __init__(self, *, part: str = "clickbait", highest: bool = True, **runtime: Any) -> None:
        super().__init__(**runtime)
        self.part, self.highest = part, highest
        self._columns = self._per_label(part)

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Nothing to learn."""

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        value = observation[:, self._columns].astype(np.float64)
        score = np.where(action_mask[:, 1:], value if self.highest else -value, -np.inf)
        action = np.where(action_mask[:, 1:].any(axis=1), score.argmax(axis=1) + 1, 0)
        return one_hot(action, self.num_actions)

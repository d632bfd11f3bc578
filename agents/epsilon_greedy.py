"""Linear epsilon-greedy: the highest estimate, and now and then anything.

    P(a | x) = (1 - epsilon) 1[a = argmax_b theta_b' x] + epsilon / (number of allowed actions)

(Sutton & Barto 2018, section 2.2) on one ridge regression per action (`agents.ridge`). The plainest exploration there is:
it does not know what it does not know, so its regret grows linearly, with a slope in proportion to epsilon.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.bandit import greedy, random_argmax
from agents.errors import AgentConfigError
from agents.ridge import RidgeBandit


class EpsilonGreedy(RidgeBandit):
    """Epsilon-greedy on the whole observation.

    Parameters
    ----------
    epsilon : float in [0, 1]
        Share of decisions taken uniformly over the allowed actions.
    **ridge_bandit
        As `RidgeBandit`.
    """

    name = "epsilon_greedy"

    def __init__(self, *, epsilon: float = 0.02, **ridge_bandit: Any) -> None:
        super().__init__(**ridge_bandit)
        if not 0 <= epsilon <= 1:
            raise AgentConfigError(f"agent {self.name}: epsilon must lie in [0, 1], got {epsilon}.")
        self.epsilon = epsilon

    def _explore(self, observation: NDArray, allowed: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
        best = random_argmax(self._greedy_scores(observation), allowed, rng.random(allowed.shape))
        anything = np.where(allowed, rng.random(allowed.shape), -1.0).argmax(axis=1)
        return np.where(rng.random(len(best)) < self.epsilon, anything, best)

    def _exploring(self, observation: NDArray, allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        uniform = allowed / allowed.sum(axis=1, keepdims=True)
        return (1 - self.epsilon) * greedy(self._greedy_scores(observation), allowed) + self.epsilon * uniform

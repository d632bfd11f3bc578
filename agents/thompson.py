"""Linear Thompson sampling: every action is taken as often as it is believed to be the best.

With one ridge regression per action (`agents.ridge`) the belief about the reward of action a at x is

    N(theta_a' x, alpha^2 x' A_a^-1 x)

(Agrawal & Goyal 2013, ICML, arXiv:1209.3352, with the disjoint weights of MABWiser and contextualbandits). One score is
drawn per customer and action and the highest is taken. Drawing the score from its own distribution is the same as drawing
the weights and multiplying, since the actions' weights are independent, and costs no d x d factor per customer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.bandit import random_argmax
from agents.ridge import RidgeBandit


class LinTS(RidgeBandit):
    """Disjoint linear Thompson sampling on the whole observation.

    Parameters
    ----------
    alpha : float >= 0
        Standard deviation of the scaled reward's noise that the posterior assumes.
    **ridge_bandit
        As `RidgeBandit`. With `explore_at_evaluation` it keeps sampling, with the probabilities of
        `agents.probability_matching`; else it takes the highest posterior mean.
    """

    name = "lints"

    def __init__(self, *, alpha: float = 0.12, **ridge_bandit: Any) -> None:
        super().__init__(**ridge_bandit)
        self.alpha = self._at_least("alpha", alpha, 0)

    def draw(self, observation: NDArray, rng: np.random.Generator) -> NDArray[np.float64]:
        """One sampled score per customer and action, (N, K + 1), in scaled reward."""
        mean, width = self.mean_and_width(observation)
        return mean + self.alpha * width * rng.standard_normal(mean.shape)

    def _explore(self, observation: NDArray, allowed: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
        return random_argmax(self.draw(observation, rng), allowed, rng.random(allowed.shape))

    def _exploring(self, observation: NDArray, allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        from agents.probability_matching import best_probabilities

        x = self.features(observation)
        width = self.widths(x)              # first, since it may bring the weights up to date
        return best_probabilities(self.means(x), self.alpha * width, allowed)

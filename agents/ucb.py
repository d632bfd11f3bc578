"""UCB1: optimism without a context.

    a_t = argmax_a  mean_a + alpha sqrt(2 ln t / n_a),        an action that was never used first

(Auer, Cesa-Bianchi & Fischer 2002, Machine Learning 47:235, figure 1, which has alpha 1 for rewards in [0, 1]). It ignores
the customer, so it is the yardstick of what context is worth: at best it becomes `Popularity`.

N lanes that decide at once would all take the same action. They are served in order instead, and each counts as a use of
its action before its reward is known: n_a rises and mean_a stays, as in GP-BUCB (Desautels, Krause & Burdick 2014, JMLR
15:4053). With one lane this is UCB1 itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.bandit import Bandit, greedy
from agents.snapshot import Snapshot


class UCB1(Bandit):
    """Context-free UCB1.

    Parameters
    ----------
    alpha : float >= 0
        Width of the confidence bound, in units of the scaled reward's range.
    **bandit
        As `Bandit`. With `explore_at_evaluation` the bounds as they stood at the end of learning are kept; the choice is
        deterministic either way, so its propensity is exactly 1.

    Attributes
    ----------
    total_ : ndarray (K + 1,)
        Sum of the scaled rewards of every action.
    count_ : ndarray (K + 1,) int64
        Uses of every action.
    """

    name = "ucb1"

    def __init__(self, *, alpha: float = 1.0, **bandit: Any) -> None:
        super().__init__(**bandit)
        self.alpha = self._at_least("alpha", alpha, 0)
        self.count_: NDArray[np.int64] | None = None

    def start(self) -> None:
        """Forget everything."""
        self.total_, self.count_ = np.zeros(self.num_actions), np.zeros(self.num_actions, dtype=np.int64)

    def update(self, observation: NDArray, action: NDArray[np.integer], reward: NDArray) -> None:
        """Add N interactions; they count at once."""
        self.total_ += np.bincount(action, weights=reward, minlength=self.num_actions)
        self.count_ = self._need("count_") + np.bincount(action, minlength=self.num_actions)

    def refresh(self) -> None:
        """Nothing to solve."""

    def bounds(self) -> NDArray[np.float64]:
        """mean + alpha sqrt(2 ln t / n) of every action, (K + 1,); infinite where never used."""
        count = self._need("count_")
        return self._bounds(self._means(), count, count.sum())

    def _bounds(self, mean: NDArray[np.float64], count: NDArray, total: int) -> NDArray[np.float64]:
        width = self.alpha * np.sqrt(2.0 * math.log(max(total, 1)) / np.maximum(count, 1))
        return np.where(count > 0, mean + width, np.inf)

    def _means(self) -> NDArray[np.float64]:
        return self.total_ / np.maximum(self._need("count_"), 1)

    def _explore(self, observation: NDArray, allowed: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
        mean, count, total = self._means(), self._need("count_").astype(float), self._need("count_").sum()
        action = np.empty(len(allowed), dtype=np.int64)
        for i in range(len(allowed)):
            action[i] = best = np.where(allowed[i], self._bounds(mean, count, total + i), -np.inf).argmax()
            count[best] += 1
        return action

    def _greedy_scores(self, observation: NDArray) -> NDArray[np.float64]:
        score = np.where(self._need("count_") > 0, self._means(), -np.inf)
        score[0] = max(score[0], np.finfo(float).min)       # hold-back is the last resort where nothing else was used
        return np.broadcast_to(score, (len(observation), self.num_actions))

    def _exploring(self, observation: NDArray, allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        return greedy(np.broadcast_to(self.bounds(), (len(observation), self.num_actions)), allowed)

    def _learner(self) -> Snapshot:
        return Snapshot(*self._state())

    def _set_learner(self, arrays: dict[str, NDArray], values: dict[str, Any]) -> None:
        self._set_state(arrays, values)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        return {"count": self._need("count_"), "total": self.total_}, {}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        self.total_, self.count_ = arrays["total"], arrays["count"]

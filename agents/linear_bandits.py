"""Linear contextual bandits: LinUCB, and LinUCB that learns with a price on every push.

Disjoint LinUCB (Li, Chu, Langford & Schapire 2010, WWW, algorithm 1) keeps one ridge regression per action a
(`agents.ridge`) and takes the action with the largest

    theta_a' x + alpha sqrt(x' A_a^-1 x),

x being the whole observation with a leading 1, and hold-back an action like the others.

A bandit maximises the next reward and cannot see that pushes tire. `ChargedLinUCB` is the strongest rival of that
kind: it learns with a charge c taken off every push, one number that stands for the future, tuned on customers.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import ArrayLike, NDArray

from agents.bandit import greedy, random_argmax
from agents.base import Evaluate, Report
from agents.checks import checked_batch
from agents.errors import AgentConfigError, DivergedError, ShapeMismatchError
from agents.logged import InteractionLog, check_log
from agents.ridge import FEW, RidgeBandit
from agents.snapshot import Snapshot


class LinUCB(RidgeBandit):
    """Disjoint LinUCB on the whole observation.

    Explores by upper confidence bounds while learning; afterwards it is greedy (or keeps the bonus, if asked to), so
    it is deterministic and its propensities are exactly 1. Ties go to the lowest action when evaluated, to a random
    one while learning (else the first refresh interval would send every customer to hold-back).

    Parameters
    ----------
    alpha : float >= 0
        Width of the confidence bound, in units of the noise of the scaled reward.
    **ridge_bandit
        As `RidgeBandit`.
    """

    name = "linucb"

    def __init__(self, *, alpha: float = 0.5, **ridge_bandit: Any) -> None:
        super().__init__(**ridge_bandit)
        self.alpha = self._at_least("alpha", alpha, 0)

    def scores(self, observation: NDArray, alpha: float) -> NDArray[np.float64]:
        """theta' x + alpha sqrt(x' A^-1 x) of N customers and all actions, (N, K + 1), in scaled reward."""
        x = self.features(observation)
        width = self.widths(x) if alpha else None           # first, since it may bring the weights up to date
        score = self.means(x)
        if width is not None:
            score += alpha * width
        return score

    def choose_one(self, observation: ArrayLike, action_mask: NDArray[np.bool_] | None = None) -> int:
        """The exploring choice for one customer, with `absorb_one` the fast way to learn one by one.

        Parameters
        ----------
        observation : array (D,)
        action_mask : array (K + 1,) bool, optional

        Returns
        -------
        int
            The allowed action of the highest bound, the lowest one on a tie.

        Raises
        ------
        ShapeMismatchError
            If a size is wrong, or nothing at all is allowed.
        DivergedError
            If the observation is not finite.
        """
        packed = self._inverses()
        observation = self._checked_one(observation)
        mask = self._everything if action_mask is None else np.asarray(action_mask)
        if mask.shape != self._everything.shape:
            raise ShapeMismatchError(f"agent {self.name} takes an action mask of shape {self._everything.shape}, got {mask.shape}.")
        action = self._loops.choose(observation, mask, self.alpha, self.weights_, packed, *self._shadow, *self._scratch)
        return action if action >= 0 else self._choose_by_scores(observation, mask)

    def absorb_one(self, observation: ArrayLike, action: int, reward: float) -> None:
        """`absorb` of one interaction: to the bit what that does with one row, in less time.

        Parameters
        ----------
        observation : array (D,)
        action : int
        reward : float
            Already scaled and charged.

        Raises
        ------
        ShapeMismatchError
            If the observation has another size, or there is no such action.
        DivergedError
            If the observation, its squared length or the reward is not finite; nothing is learned from it.
        """
        self.refresh()
        packed = self._inverses()
        observation = self._checked_one(observation)
        if not 0 <= action < len(packed):
            raise ShapeMismatchError(f"agent {self.name} has actions 0 to {len(packed) - 1}, got {action}.")
        if not self._loops.absorb_one(observation, index(action), float(reward), self.gram_, self.moment_, self.weights_, packed,
                                      *self._shadow, self.count_, self._unfactored, self._row, self._product):
            raise DivergedError(f"agent {self.name}: the observation, its squared length or its reward ({reward}) is not finite; "
                                f"nothing was learned from it.")
        self._one_by_one = True

    def _checked_one(self, observation: ArrayLike) -> NDArray:
        """One observation as an array, else ShapeMismatchError; compiled loops do not look where they write."""
        observation = np.asarray(observation)
        if observation.shape != (len(self._row) - 1,):
            raise ShapeMismatchError(f"agent {self.name} takes one observation of shape ({len(self._row) - 1},), "
                                     f"got {observation.shape}.")
        return observation

    def _choose_by_scores(self, observation: NDArray, mask: NDArray[np.bool_]) -> int:
        """`choose_one` where the compiled loop gave up: a refusal, or numbers that single precision cannot hold."""
        row, allowed = checked_batch(self.name, self.observation_size, self.num_actions, observation[None], mask[None])
        return int(np.where(allowed, self.scores(row, self.alpha), -np.inf).argmax())

    def _explore(self, observation: NDArray, allowed: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
        if len(observation) <= FEW:
            mean, width = self.mean_and_width(observation)
            return random_argmax(mean + self.alpha * width, allowed, rng.random(allowed.shape))
        from agents.screened_argmax import sure_choices

        x, screen, luck = self.features(observation), self._screen(), rng.random(allowed.shape)
        action = sure_choices(x, self.means(x), allowed, self.alpha, screen)
        unsure = np.flatnonzero(action < 0)
        if len(unsure):
            action[unsure] = random_argmax(self.scores(observation[unsure], self.alpha), allowed[unsure], luck[unsure])
        return action

    def _exploring(self, observation: NDArray, allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        return greedy(self.scores(observation, self.alpha), allowed)


class ChargedLinUCB(LinUCB):
    """LinUCB whose pushes cost an extra charge c while it learns, c tuned.

    For every c of `charges` a short training (`tuning_steps`, the same customers each time) is scored with `evaluate`
    on tuning customers; then the full training runs at the best c (the lowest of equals). The charge is only felt in
    learning: what it earns is counted without it.

    Parameters
    ----------
    charges : sequence of float
        Grid of c [money per push].
    tuning_steps : int >= 1
        Interactions of each short training.
    total_steps : int
        Interactions of the full training, after the tuning.
    **linucb
        As `LinUCB`, without `push_charge`.

    Attributes
    ----------
    push_charge_ : float
        The charge chosen.
    tuning_ : list of {"push_charge": float, "value": float}
        Money per tuning customer at every charge.
    """

    name = "charged_linucb"

    def __init__(self, *, charges: Sequence[float] = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8), tuning_steps: int = 102_400,
                 **linucb: Any) -> None:
        super().__init__(**linucb)
        self.charges = tuple(float(charge) for charge in charges)
        if not self.charges:
            raise AgentConfigError(f"agent {self.name}: charges must list at least one number.")
        self.tuning_steps = self._at_least("tuning_steps", tuning_steps, 1)
        self.push_charge_: float | None = None
        self._before = 0            # interactions before the present fit
        self.tuning_: list[dict[str, float]] = []

    def budget(self, steps: int | None = None) -> int:
        """Interactions of the full training and of all short ones."""
        return super().budget(steps) + (len(self.charges) * self.tuning_steps if len(self.charges) > 1 else 0)

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Tune the charge with `evaluate`, then learn at it; with one charge nothing is tuned."""
        self.tuning_, done, kept = [], 0, self._kept()
        if kept is not None:
            self.tuning_, done = kept.values["tuning"], kept.values["before"]
        if len(self.charges) > 1:
            if evaluate is None:
                raise AgentConfigError(f"agent {self.name} tunes its charge and needs `evaluate`; or give it one charge.")
            for charge in self.charges[len(self.tuning_):]:
                self._before = done
                done, kept = self._fit(env, self.tuning_steps, charge, report, done, kept), None
                self.tuning_.append({"push_charge": charge, "value": float(evaluate(self))})
                self._report(report, done, {"tuning/push_charge": charge,
                                            "tuning/value_per_customer": self.tuning_[-1]["value"]})
        best = max(self.tuning_, key=lambda row: row["value"])["push_charge"] if self.tuning_ else self.charges[0]
        self._before = done
        self._fit(env, super().budget(steps), best, report, done, kept)
        self.push_charge_ = best

    def learn_from_log(self, log: InteractionLog, *, evaluate: Evaluate | None = None, report: Report | None = None) -> None:
        """Fit to the log at every charge, keep the one that `evaluate` likes best; with one charge nothing is tuned."""
        check_log(self.name, log, self.observation_size, self.num_actions)
        if len(self.charges) > 1 and evaluate is None:
            raise AgentConfigError(f"agent {self.name} tunes its charge and needs `evaluate`; or give it one charge.")
        self.tuning_ = []
        for charge in self.charges if len(self.charges) > 1 else ():
            self.start()
            self._absorb_log(log, charge)
            assert evaluate is not None
            self.tuning_.append({"push_charge": charge, "value": float(evaluate(self))})
        best = max(self.tuning_, key=lambda row: row["value"])["push_charge"] if self.tuning_ else self.charges[0]
        self.start()
        self._absorb_log(log, best)
        self.push_charge_ = best
        self._report(report, len(log.action), {"tuning/push_charge": best})

    def _snapshot(self, observation: NDArray, values: dict[str, Any]) -> Snapshot:
        return super()._snapshot(observation, values | {"tuning": self.tuning_, "before": self._before})

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        return super()._state()[0], {"push_charge": self.push_charge_, "tuning": self.tuning_}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        super()._set_state(arrays, state)
        self.push_charge_, self.tuning_ = state["push_charge"], state["tuning"]

"""What all contextual bandits share: the learning loop, and what they can be told about money and exploration.

N lanes decide at once with the same estimates, which are refreshed every few batches: the delayed feedback of section
2.1 in Joulani, Gyorgy & Szepesvari (2013, ICML). A bandit maximises the next reward and cannot see that pushes tire;
`push_charge`, money taken off every push while learning, is the one number by which it can be told.

While learning a bandit explores. Afterwards it is greedy, so its propensities are exactly 1, unless
`explore_at_evaluation` keeps the exploration: then its action probabilities are those of the exploring policy, and a
log of it is fit for off-policy estimates.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.base import Agent, Evaluate, Report, one_hot
from agents.checks import check_reward
from agents.logged import InteractionLog, check_log
from agents.snapshot import Snapshot, generator_from, generator_state

_REPORT_EVERY = 16_384      # interactions between two reports
_LOG_BATCH = 512            # logged interactions of one update, as many as there are lanes by default


class Bandit(Agent):
    """One estimate of the next reward per action, and a way to explore.

    A sub-class implements `start`, `update`, `refresh`, `_explore` and `_greedy_scores`, and `_exploring` where it can
    keep exploring when evaluated.

    Parameters
    ----------
    reward_scale : float > 0
        Reward units per money, so that the noise is of order one, which exploration widths assume.
    push_charge : float
        Money taken off every push while learning.
    refresh_every : int >= 1
        Batches between two refreshes of the estimates.
    explore_at_evaluation : bool
        Keep exploring when acting after `learn`.
    total_steps, num_envs : int
        Interactions, and lanes of the learning environment.
    **runtime
        As `Agent`.
    """

    def __init__(self, *, reward_scale: float = 0.2, push_charge: float = 0.0, refresh_every: int = 4,
                 explore_at_evaluation: bool = False, total_steps: int = 512_000, num_envs: int = 512,
                 **runtime: Any) -> None:
        super().__init__(total_steps=total_steps, num_envs=num_envs, **runtime)
        self.reward_scale = self._at_least("reward_scale", reward_scale, 1e-9)
        self.push_charge = push_charge
        self.refresh_every = self._at_least("refresh_every", refresh_every, 1)
        self.explore_at_evaluation = explore_at_evaluation
        self._log: InteractionLog | None = None

    # ------------------------------------------------------------------ for sub-classes
    @abstractmethod
    def start(self) -> None:
        """Forget everything."""

    @abstractmethod
    def update(self, observation: NDArray, action: NDArray[np.integer], reward: NDArray) -> None:
        """Take note of N interactions (N, D), (N,), (N,), rewards scaled and charged; `refresh` makes them count."""

    @abstractmethod
    def refresh(self) -> None:
        """Bring the estimates up to date with all updates."""

    @abstractmethod
    def _learner(self) -> Snapshot:
        """All that `update` and `refresh` have made so far, right after a `refresh`; nothing is copied."""

    @abstractmethod
    def _set_learner(self, arrays: dict[str, NDArray], values: dict[str, Any]) -> None:
        """Inverse of `_learner`, after `start`."""

    def absorb(self, observation: NDArray, action: NDArray[np.integer], reward: NDArray) -> None:
        """`update` and `refresh` in one, by whatever is fastest for this many rows."""
        self.update(observation, action, reward)
        self.refresh()

    @abstractmethod
    def _explore(self, observation: NDArray, allowed: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
        """Actions (N,) while learning."""

    @abstractmethod
    def _greedy_scores(self, observation: NDArray) -> NDArray[np.float64]:
        """Estimated next reward of every action, (N, K + 1), in any increasing unit."""

    def _exploring(self, observation: NDArray, allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Action probabilities (N, K + 1) of the exploring policy."""
        raise NotImplementedError

    # ------------------------------------------------------------------ the protocol
    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Interact for `steps`, updating in batches of one step of all lanes; `evaluate` is not used."""
        self._fit(env, self.budget(steps), self.push_charge, report, 0, self._kept())

    def learn_from_log(self, log: InteractionLog, *, evaluate: Evaluate | None = None, report: Report | None = None) -> None:
        """Fit every action's estimate to the logged rewards, charged as in `learn`.

        No weights are needed: the reward of an action at an observation is the same whoever chose it, so each regression is
        fitted to the rows that took its action. What the logging policy never tried stays unknown (and is explored).
        """
        check_log(self.name, log, self.observation_size, self.num_actions)
        self.start()
        self._absorb_log(log, self.push_charge)
        self._report(report, len(log.action), {"rollout/value_per_step": float(np.mean(log.reward)),
                                               "rollout/push_rate": float(np.mean(log.action > 0))})

    def warm_start(self, log: InteractionLog) -> None:
        """Let every `learn` to come (each short one of a tuning too) begin with this log; the log itself is not saved."""
        check_log(self.name, log, self.observation_size, self.num_actions)
        self._log = log

    def _absorb_log(self, log: InteractionLog, push_charge: float) -> None:
        reward = self.reward_scale * (log.reward - push_charge * (log.action > 0))
        order = np.random.default_rng([self.seed, 2]).permutation(len(reward))      # no batch of one customer's life
        for batch, first in enumerate(range(0, len(order), _LOG_BATCH), 1):
            rows = order[first:first + _LOG_BATCH]
            self.update(log.observation[rows], log.action[rows], reward[rows])
            if batch % self.refresh_every == 0:
                self.refresh()
        self.refresh()

    def _fit(self, env: VectorEnv, steps: int, push_charge: float, report: Report | None, done: int,
             kept: Snapshot | None = None) -> int:
        """Learn from scratch, from the log of `warm_start`, or from a snapshot; returns `done` plus the interactions taken."""
        self._check_env(env)
        self.start()
        lanes, batches, clock = env.num_envs, -(-steps // env.num_envs), time.perf_counter()
        if kept is None:
            if self._log is not None:
                self._absorb_log(self._log, push_charge)
            rng = np.random.default_rng(self.seed)
            observation, _ = env.reset(seed=self.seed)
            first, money, pushes, since = 1, 0.0, 0, 0
        else:
            self._set_learner(kept.arrays, kept.values)
            rng, observation = generator_from(kept.values["generator"]), kept.arrays["observation"]
            first, money, pushes, since = (kept.values[name] for name in ("next_batch", "money", "pushes", "since"))

        def take() -> Snapshot:
            return self._snapshot(observation, {"generator": generator_state(rng), "next_batch": batch + 1, "money": money,
                                                "pushes": pushes, "since": since})

        for batch in range(first, batches + 1):
            allowed = env.action_masks()        # type: ignore[attr-defined]
            action = self._explore(observation, allowed, rng)
            following, reward, *_ = env.step(action)
            check_reward(reward)
            charged = self.reward_scale * (reward - push_charge * (action > 0))
            if self.refresh_every == 1:
                self.absorb(observation, action, charged)
            else:
                self.update(observation, action, charged)
                if batch % self.refresh_every == 0 or batch == batches:
                    self.refresh()
            observation = following
            money, pushes, since = money + float(reward.sum()), pushes + int((action > 0).sum()), since + lanes
            if since >= _REPORT_EVERY or batch == batches:
                now = time.perf_counter()
                self._report(report, done + batch * lanes, {
                    "rollout/value_per_step": money / since, "rollout/push_rate": pushes / since,
                    "rollout/fps": since / max(now - clock, 1e-9), "train/push_charge": push_charge})
                money, pushes, since, clock = 0.0, 0, 0, now
            if batch % self.refresh_every == 0 and batch < batches:
                self._offer(take)
        return done + batches * lanes

    def _snapshot(self, observation: NDArray, values: dict[str, Any]) -> Snapshot:
        arrays, own = self._learner()
        return Snapshot(arrays | {"observation": observation}, own | values)

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        if self.explore_at_evaluation:
            return self._exploring(observation, action_mask)
        return greedy(self._greedy_scores(observation), action_mask)


def greedy(score: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Probabilities (N, K + 1) of the highest allowed score, the lowest action on a tie."""
    return one_hot(np.where(allowed, score, -np.inf).argmax(axis=1), score.shape[1])


def random_argmax(score: NDArray[np.float64], allowed: NDArray[np.bool_], luck: NDArray[np.float64]) -> NDArray[np.int64]:
    """Action (N,) of the highest allowed score; on a tie that of the highest luck (N, K + 1), uniform in [0, 1).

    (By the lowest action on a tie all lanes would start with hold-back.)
    """
    score = np.where(allowed, score, -np.inf)
    tied = score == score.max(axis=1, keepdims=True)
    return np.where(tied, luck, -1.0).argmax(axis=1)

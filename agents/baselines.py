"""Four policies without a model of the customer: the yardsticks that learned agents must beat.

    Random            uniform over the allowed actions, hold-back included
    HoldBack          never pushes: the value of the shop without the simulator
    Popularity        always the label that earned most money per push in a random log
    CappedPopularity  the same label, but only while this customer was pushed little lately

`CappedPopularity` is the industry's answer to push fatigue, a frequency cap; its cap is tuned, since a straw baseline
that never rests would flatter every agent that does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.base import Agent, Evaluate, Report, one_hot
from agents.checks import check_reward
from agents.errors import AgentConfigError
from agents.logged import InteractionLog, check_log

_REPORT_EVERY = 16_384      # interactions between two reports


class Random(Agent):
    """Every allowed action with the same probability; its log is the cleanest one for off-policy estimates."""

    name = "random"

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Nothing to learn."""

    def learn_from_log(self, log: InteractionLog, *, evaluate: Evaluate | None = None, report: Report | None = None) -> None:
        """Nothing to learn."""

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        return action_mask / action_mask.sum(axis=1, keepdims=True)


class HoldBack(Agent):
    """Never pushes."""

    name = "hold_back"

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Nothing to learn."""

    def learn_from_log(self, log: InteractionLog, *, evaluate: Evaluate | None = None, report: Report | None = None) -> None:
        """Nothing to learn."""

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        return one_hot(np.zeros(len(observation), dtype=np.int64), self.num_actions)


class Popularity(Agent):
    """Pushes the label that earned most per push, whoever the customer is.

    Labels are ranked by the mean reward of a push in a log of uniformly random actions: money, push and opt-out cost
    included. (By purchase counts cheap labels win, which can earn less than random pushing.) Where the best label is
    masked the next best is pushed. A label that lost money in the log is never pushed.

    Parameters
    ----------
    total_steps : int
        Length of the random log in interactions; give it the learner's own budget.
    **runtime
        As `Agent`.

    Attributes
    ----------
    value_ : ndarray (K + 1,)
        Mean reward per use of every action in the log [money]; NaN where never used.
    count_ : ndarray (K + 1,) int64
        Uses in the log.
    """

    name = "popularity"

    def __init__(self, *, total_steps: int = 512_000, **runtime: Any) -> None:
        super().__init__(total_steps=total_steps, **runtime)
        self.value_: NDArray[np.float64] | None = None
        self.count_: NDArray[np.int64] | None = None

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Rank the labels on a random log of `steps` interactions."""
        self._check_env(env)
        lanes, batches = env.num_envs, -(-self.budget(steps) // env.num_envs)
        rng = np.random.default_rng(self.seed)
        money, count = np.zeros(self.num_actions), np.zeros(self.num_actions, dtype=np.int64)
        env.reset(seed=self.seed)
        start, reported = time.perf_counter(), 0
        for batch in range(1, batches + 1):
            allowed = env.action_masks()    # type: ignore[attr-defined]                # (N, K + 1)
            action = np.where(allowed, rng.random(allowed.shape), -1.0).argmax(axis=1)  # uniform over the allowed
            _, reward, *_ = env.step(action)
            check_reward(reward)
            money += np.bincount(action, weights=reward, minlength=self.num_actions)
            count += np.bincount(action, minlength=self.num_actions)
            if batch * lanes - reported >= _REPORT_EVERY or batch == batches:
                reported = batch * lanes
                self._report(report, reported, {
                    "rollout/value_per_step": float(money.sum() / reported),
                    "rollout/fps": reported / max(time.perf_counter() - start, 1e-9)})
        with np.errstate(invalid="ignore"):
            self.value_, self.count_ = money / count, count

    def learn_from_log(self, log: InteractionLog, *, evaluate: Evaluate | None = None, report: Report | None = None) -> None:
        """Rank the labels on a log instead; of a policy that chooses by customer, each label's mean is over *its* customers."""
        check_log(self.name, log, self.observation_size, self.num_actions)
        count = np.bincount(log.action, minlength=self.num_actions)
        with np.errstate(invalid="ignore"):
            self.value_ = np.bincount(log.action, weights=log.reward, minlength=self.num_actions) / count
        self.count_ = count
        self._report(report, len(log.action), {"rollout/value_per_step": float(np.mean(log.reward))})

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        value = np.nan_to_num(self._need("value_"), nan=-math.inf)
        value[0] = 0.0                                      # holding back earns nothing and is the last resort
        return one_hot(np.where(action_mask, value, -math.inf).argmax(axis=1), self.num_actions)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        return {"value": self._need("value_"), "count": self._need("count_")}, {}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        self.value_, self.count_ = arrays["value"], arrays["count"]


class CappedPopularity(Popularity):
    """Popularity under the best frequency cap.

    The label of `Popularity` is pushed while the till's record shows fewer than `cap_` recent pushes of the
    recognised customer, counted with exponential forgetting (e-fold 7 days, so about a weekly count); else it holds
    back. An unrecognised customer has an empty record. The cap is the one of `caps` that earned most per tuning
    customer, all caps meeting the same customers with the same luck.

    Parameters
    ----------
    caps : sequence of float > 0 or None
        Grid of caps [decayed pushes]; None is no cap.
    recent_pushes_scale : float
        Decayed pushes per unit of the observation part `recent_pushes`.
    total_steps : int
        Length of the random log in interactions.
    **runtime
        As `Agent`.

    Attributes
    ----------
    cap_ : float
        The cap in use; inf for none.
    tuning_ : list of {"cap": float or None, "value": float}
        Money per tuning customer of every cap.
    """

    name = "capped_popularity"

    def __init__(self, *, caps: Sequence[float | None] = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, None),
                 recent_pushes_scale: float = 3.0, total_steps: int = 512_000, **runtime: Any) -> None:
        super().__init__(total_steps=total_steps, **runtime)
        self.caps = tuple(caps)
        if not self.caps or any(cap is not None and not cap > 0 for cap in self.caps):
            raise AgentConfigError(f"agent {self.name}: caps must be a list of numbers above 0 (null for no cap), "
                                   f"got {list(self.caps)}.")
        self.recent_pushes_scale = recent_pushes_scale
        part = self._feature("recent_pushes")
        if part.stop - part.start != 1:
            raise AgentConfigError(f"agent {self.name} needs one number in the observation part 'recent_pushes', "
                                   f"this one has {part.stop - part.start}.")
        self.cap_: float | None = None
        self.tuning_: list[dict[str, float | None]] = []

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Rank the labels, then choose the cap with `evaluate`; with one cap nothing is chosen."""
        self._check_tuning(evaluate)
        super().learn(env, steps=steps, report=report)
        self._tune(evaluate, report)

    def learn_from_log(self, log: InteractionLog, *, evaluate: Evaluate | None = None, report: Report | None = None) -> None:
        """Rank the labels on a log, then choose the cap as in `learn`."""
        self._check_tuning(evaluate)
        super().learn_from_log(log, report=report)
        self._tune(evaluate, report)

    def _check_tuning(self, evaluate: Evaluate | None) -> None:
        if evaluate is None and len(self.caps) > 1:
            raise AgentConfigError(f"agent {self.name} tunes its cap and needs `evaluate`; or give it one cap.")

    def _tune(self, evaluate: Evaluate | None, report: Report | None) -> None:
        self.tuning_, values = [], []
        if evaluate is not None:
            for cap in self.caps:
                self.cap_ = math.inf if cap is None else cap
                values.append(float(evaluate(self)))
                self.tuning_.append({"cap": cap, "value": values[-1]})
                self._report(report, self.learning_curve[-1][0], {
                    "tuning/cap": -1.0 if cap is None else cap,         # -1 stands for no cap: metrics are finite
                    "tuning/value_per_customer": values[-1]})
        best = self.caps[int(np.argmax(values))] if values else self.caps[0]
        self.cap_ = math.inf if best is None else best

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        recent = observation[:, self._feature("recent_pushes")] * self.recent_pushes_scale      # (N, 1)
        allowed = action_mask & (recent < self._need("cap_"))
        allowed[:, 0] = True
        return super()._probabilities(observation, allowed)

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        cap = self._need("cap_")
        return super()._state()[0], {"cap": None if math.isinf(cap) else cap, "tuning": self.tuning_}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        super()._set_state(arrays, state)
        self.cap_, self.tuning_ = math.inf if state["cap"] is None else state["cap"], state["tuning"]

"""The protocol every agent speaks: learn, give action probabilities, act with given uniforms, save and load.

An agent maps a batch of observations (N, D) and action masks (N, K + 1) to probabilities over K + 1 actions, where
action 0 holds back and action k = 1..K pushes label k. Choosing is done here, once for all agents, by the inverse
CDF with uniforms that the caller supplies:

    a = min {k : p_0 + ... + p_k > u},    propensity = p_a,

so the executed action is a pure function of (agent, observation, mask, u). With u drawn as a function of (seed,
customer, step), two policies meet the same customers with the same luck (common random numbers), and the propensity
of every logged action is known exactly, which off-policy estimators need (Horvitz & Thompson 1952, JASA 47:663).
"""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import ArrayLike, NDArray

from agents import storage
from agents.checks import check_env, check_spaces, checked_batch, checked_uniform
from agents.errors import AgentConfigError, AgentFileError, NotTrainedError, ShapeMismatchError
from agents.logged import InteractionLog
from agents.snapshot import Keeper, Snapshot

logger = logging.getLogger("agents")

Metrics = dict[str, float]
Evaluate = Callable[["Agent"], float]
Report = Callable[[int, Metrics], None]


class Decision(NamedTuple):
    """What an agent chose for N customers.

    Attributes
    ----------
    action : ndarray (N,) int64
        0 = hold back, k = push label k; never a masked one.
    propensity : ndarray (N,) float64
        Probability with which the agent chooses that action here; in (0, 1].
    probabilities : ndarray (N, K + 1) float64
        Probability of every action; rows sum to 1, zero where masked.
    """

    action: NDArray[np.int64]
    propensity: NDArray[np.float64]
    probabilities: NDArray[np.float64]


class Agent(ABC):
    """One way to decide which label to push.

    A sub-class implements `learn` and `_probabilities`, and, when it has learned something, `_state` and
    `_set_state`. Its constructor takes the four keyword arguments below plus its own settings, and stores the
    settings unchanged under their own names, so that a saved agent can be rebuilt from them.

    Parameters
    ----------
    observation_space : gymnasium.spaces.Box, shape (D,)
    action_space : gymnasium.spaces.Discrete, n = K + 1
    layout : mapping of name to (start, stop)
        Named slices of the observation.
    seed : int >= 0
        The only source of randomness of `learn`.
    name : str, optional
        Name in logs and tables, snake case.
    total_steps : int >= 0
        Interactions `learn` takes when its `steps` is None.
    num_envs : int >= 1
        Lanes of the vector environment this agent learns best from; whoever builds the environment reads it.

    Attributes
    ----------
    propensity_kind : "exact" or "estimated"
        Whether `action_probabilities` are exact, or e.g. Monte Carlo estimates.
    learning_curve : list of (interactions, metrics)
        Everything reported during `learn`.
    home : dict
        What the agent is made for, as far as whoever builds it says: `env`, its name, and `labels`, the names of actions
        1..K. Saved with the agent, so that it is not put to work where action k pushes another label.
    """

    name: str = "agent"
    propensity_kind: Literal["exact", "estimated"] = "exact"
    _runtime: ClassVar[tuple[str, ...]] = ("observation_space", "action_space", "layout", "seed")

    def __init__(self, *, observation_space: spaces.Box, action_space: spaces.Discrete,
                 layout: Mapping[str, tuple[int, int]], seed: int, name: str | None = None,
                 total_steps: int = 0, num_envs: int = 512) -> None:
        self.name = name or type(self).name
        check_spaces(self.name, observation_space, action_space)
        self.observation_space, self.action_space = observation_space, action_space
        self.layout = {str(key): (int(start), int(stop)) for key, (start, stop) in layout.items()}
        self.seed = self._at_least("seed", seed, 0)
        self.total_steps = self._at_least("total_steps", total_steps, 0)
        self.num_envs = self._at_least("num_envs", num_envs, 1)
        self.learning_curve: list[tuple[int, Metrics]] = []
        self.home: dict[str, Any] = {}
        self._keeper: Keeper | None = None

    # ------------------------------------------------------------------ sizes
    @property
    def observation_size(self) -> int:
        """D, numbers in one observation."""
        return int(self.observation_space.shape[0])

    @property
    def num_actions(self) -> int:
        """K + 1, hold-back included."""
        return int(self.action_space.n)

    # ------------------------------------------------------------------ acting
    def action_probabilities(self, observation: ArrayLike, action_mask: ArrayLike) -> NDArray[np.float64]:
        """Probability of every action for N customers.

        Parameters
        ----------
        observation : array (N, D)
        action_mask : array (N, K + 1) bool
            True where the action may be taken; column 0 (hold back) always is.

        Returns
        -------
        ndarray (N, K + 1) float64
            Rows sum to 1 (to rounding), exactly zero where masked. A row depends on its own customer only, not on
            who else is in the batch.

        Raises
        ------
        ShapeMismatchError
            If a size differs from the agent's.
        DivergedError
            If an observation is not finite.
        NotTrainedError
            Before `learn` or `load`, for agents that learn.
        """
        observation, action_mask = checked_batch(self.name, self.observation_size, self.num_actions, observation,
                                                 action_mask)
        return self._probabilities(observation, action_mask)

    def act(self, observation: ArrayLike, action_mask: ArrayLike, uniform: ArrayLike) -> Decision:
        """Choose by inverse CDF with the given uniforms; see the module docstring.

        A masked action is never returned: its interval of the CDF is empty, k is taken only where the cumulative sum
        strictly exceeds u times the row's sum, and u < 1 keeps that product below the sum in floating point too.

        Parameters
        ----------
        observation : array (N, D)
        action_mask : array (N, K + 1) bool
        uniform : array (N,) in [0, 1)

        Returns
        -------
        Decision

        Raises
        ------
        ShapeMismatchError
            If a size is wrong or a uniform lies outside [0, 1); otherwise as `action_probabilities`.
        """
        return self.choose(self.action_probabilities(observation, action_mask), uniform)

    def choose(self, probabilities: NDArray[np.float64], uniform: ArrayLike) -> Decision:
        """Actions by inverse CDF from probabilities (N, K + 1) and uniforms (N,) in [0, 1)."""
        uniform = checked_uniform(self.name, len(probabilities), uniform)
        cumulative = np.cumsum(probabilities, axis=1)                                 # sequential: same for any N
        action = (cumulative <= (uniform * cumulative[:, -1])[:, None]).sum(axis=1)   # (N,) int64
        return Decision(action, probabilities[np.arange(len(action)), action], probabilities)

    def expected_reward(self, observation: ArrayLike) -> NDArray[np.float64] | None:
        """Money (N, K + 1) that the agent expects each action to earn at once; None for one that makes no such estimate.

        Parameters
        ----------
        observation : array (N, D)
        """
        return None

    @abstractmethod
    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """`action_probabilities` on arrays whose shapes are checked."""

    # ------------------------------------------------------------------ learning
    @abstractmethod
    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Learn from interactions with `env`.

        Parameters
        ----------
        env : gymnasium.vector.VectorEnv
            N lanes with same-step autoreset and `action_masks()`. It is reset with the agent's seed.
        steps : int, optional
            Interactions (lanes times steps), rounded up to whole batches; None takes `total_steps`.
        evaluate : callable, optional
            Mean money per customer of an agent on tuning customers; needed by agents that tune a setting.
        report : callable, optional
            Called now and then with the interactions so far and metrics named `area/name`.
        """

    def learn_from_log(self, log: InteractionLog, *, evaluate: Evaluate | None = None, report: Report | None = None) -> None:
        """Learn from logged interactions alone, forgetting what was learned before; an agent that has nothing to learn agrees.

        Parameters
        ----------
        log : see `agents.logged`.
        evaluate, report : callable, optional
            As of `learn`.

        Raises
        ------
        AgentConfigError
            For an agent that can only learn by interacting.
        """
        raise AgentConfigError(f"agent {self.name} cannot learn from a log; it needs an environment.")

    def warm_start(self, log: InteractionLog) -> None:
        """Let the next `learn` begin with what this log teaches.

        Raises
        ------
        AgentConfigError
            For an agent that cannot.
        """
        raise AgentConfigError(f"agent {self.name} cannot start from a log.")

    def keep(self, keeper: Keeper | None) -> None:
        """Let every `learn` to come offer snapshots to `keeper`, and begin with the one that it has; None ends that."""
        self._keeper = keeper

    def budget(self, steps: int | None = None) -> int:
        """Interactions the last `report` of `learn(steps=steps)` will stand at, tuning included."""
        return self.total_steps if steps is None else steps

    # ------------------------------------------------------------------ saving
    @property
    def saves_what_it_learned(self) -> bool:
        """Whether a saved agent knows what this one learned: the class says how, by `_state`."""
        return type(self)._state is not Agent._state

    def settings(self) -> dict[str, Any]:
        """The constructor's own settings (not the four runtime arguments), as JSON values."""
        names = [name for cls in reversed(type(self).__mro__) if "__init__" in vars(cls) and cls is not object
                 for name, parameter in inspect.signature(vars(cls)["__init__"]).parameters.items()
                 if parameter.kind is parameter.KEYWORD_ONLY and name not in self._runtime]
        return {name: _plain(getattr(self, name)) for name in dict.fromkeys(names)}

    def save(self, folder: str | Path) -> None:
        """Publish the agent in `folder` (made if missing), replacing an older one in one step.

        Raises
        ------
        AgentFileError
            If the folder cannot be written.
        """
        arrays, state = self._state()
        storage.write_agent(Path(folder), {
            "agent": type(self).__name__, "name": self.name, "seed": self.seed, "layout": self.layout,
            "observation_size": self.observation_size, "num_actions": self.num_actions,
            "settings": self.settings(), "state": state, "learning_curve": self.learning_curve,
            "home": self.home,
        }, arrays)

    def load(self, folder: str | Path) -> Self:
        """Take over what an agent of the same class learned; this agent's own settings stay.

        Returns
        -------
        Self
            This agent. To rebuild a saved agent with its saved settings use `agents.load_agent`.

        Raises
        ------
        AgentFileError
            If the folder holds no agent, a damaged one, or one of another class.
        ShapeMismatchError
            If it was trained on other sizes, another observation layout or other labels. Of another environment of the
            same sizes and labels it is taken over, with a warning: that may be the question.
        """
        spec, arrays = storage.read_agent(Path(folder))
        if spec["agent"] != type(self).__name__:
            raise AgentFileError(f"{folder} holds a {spec['agent']}, not a {type(self).__name__}.")
        for what, saved, own in (("observation numbers", spec["observation_size"], self.observation_size),
                                 ("actions", spec["num_actions"], self.num_actions)):
            if saved != own:
                raise ShapeMismatchError(f"the {spec['name']} agent in {folder} was trained with {saved} {what}, this "
                                         f"environment has {own}; use the catalog and observation it was trained on.")
        saved_layout = {key: tuple(ends) for key, ends in spec["layout"].items()}
        if saved_layout != self.layout:
            key = next(key for key in {**saved_layout, **self.layout} if saved_layout.get(key) != self.layout.get(key))
            raise ShapeMismatchError(f"the {spec['name']} agent in {folder} was trained with observation part {key!r} "
                                     f"at {saved_layout.get(key)}, this environment has it at {self.layout.get(key)}.")
        self._settle(folder, spec.get("home") or {})
        self._set_state(arrays, spec["state"])
        self.learning_curve = [(int(step), dict(metrics)) for step, metrics in spec["learning_curve"]]
        return self

    def _settle(self, folder: str | Path, saved: Mapping[str, Any]) -> None:
        """Compare where a saved agent comes from with where this one is."""
        labels, own = saved.get("labels"), self.home.get("labels")
        if labels and own and labels != own:
            k = next((k for k, (a, b) in enumerate(zip(labels, own), 1) if a != b), min(len(labels), len(own)) + 1)
            raise ShapeMismatchError(f"the agent in {folder} was trained on another catalog: its action {k} pushes "
                                     f"{dict(enumerate(labels, 1)).get(k)!r}, here it would push "
                                     f"{dict(enumerate(own, 1)).get(k)!r}; use the catalog it was trained on.")
        if saved.get("env") and self.home.get("env") and saved["env"] != self.home["env"]:
            logger.warning("the agent in %s was trained in env=%s and is now in env=%s: it acts as it learned there.",
                           folder, saved["env"], self.home["env"])
        self.home = {**saved, **self.home}

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """What was learned: arrays, and JSON values."""
        return {}, {}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:  # noqa: B027
        """Inverse of `_state`; an agent that learns nothing has nothing to set."""

    # ------------------------------------------------------------------ for sub-classes
    def _kept(self) -> Snapshot | None:
        """The snapshot that `learn` goes on from, with what was reported before it; None to begin."""
        kept = self._keeper.kept() if self._keeper is not None else None
        if kept is not None:
            self.learning_curve = [(int(step), dict(metrics)) for step, metrics in kept.values["learning_curve"]]
        return kept

    def _offer(self, take: Callable[[], Snapshot]) -> None:
        """Between two updates: a snapshot could be taken here."""
        if self._keeper is not None:
            self._keeper.offer(lambda: Snapshot((taken := take()).arrays, taken.values | {"learning_curve": self.learning_curve}))

    def _at_least(self, setting: str, value: float, low: float) -> Any:
        if isinstance(value, bool) or not value >= low:
            raise AgentConfigError(f"agent {self.name}: {setting} must be at least {low:g}, got {value}.")
        return value

    def _need(self, attribute: str) -> Any:
        value = getattr(self, attribute, None)
        if value is None:
            raise NotTrainedError(f"agent {self.name} has not learned yet; call learn() or load() first.")
        return value

    def _feature(self, key: str) -> slice:
        if key not in self.layout:
            known = ", ".join(sorted(self.layout)) or "no parts"
            raise AgentConfigError(f"agent {self.name} needs the observation part {key!r}; this one has {known}.")
        return slice(*self.layout[key])

    def _per_label(self, key: str) -> slice:
        """A part of the observation with one number per label."""
        part = self._feature(key)
        if part.stop - part.start != self.num_actions - 1:
            raise AgentConfigError(f"agent {self.name} needs one number per label ({self.num_actions - 1}) in the "
                                   f"observation part {key!r}, this one has {part.stop - part.start}.")
        return part

    def _check_env(self, env: VectorEnv) -> None:
        """Refuse an environment this agent cannot learn from."""
        check_env(self.name, env, self.observation_space, self.action_space)

    def _report(self, report: Report | None, step: int, metrics: Metrics) -> None:
        self.learning_curve.append((step, metrics))
        if report is not None:
            report(step, metrics)


def one_hot(action: NDArray[np.integer], num_actions: int) -> NDArray[np.float64]:
    """(N,) actions -> (N, num_actions) probabilities of a deterministic choice."""
    probabilities = np.zeros((len(action), num_actions))
    probabilities[np.arange(len(action)), action] = 1.0
    return probabilities


def _plain(value: Any) -> Any:
    """Tuples as lists, NumPy scalars as Python ones, so that settings survive JSON unchanged."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value

"""An algorithm of Stable-Baselines3 or sb3-contrib as an agent of ours.

The library trains, on the batched shop (`sb3_vec_env`) and on one torch thread; what is kept of it is the policy network as
NumPy arrays (`actor`), so acting, saving and loading need no torch and results do not depend on the batch. Training draws
from generators that are lent to the library (`generators`): equal seeds give equal weights bit for bit on one machine.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.actor import Actor
from agents.base import Agent, Evaluate, Report, one_hot
from agents.errors import AgentConfigError, DivergedError
from agents.generators import lent_generators
from agents.snapshot import Snapshot
from agents.torch_threads import torch_threads

_REPORT_EVERY = 16_384      # interactions between two reports, where an algorithm updates more often than that


class SB3Agent(Agent):
    """Settings that all of these algorithms share, and the training loop around them.

    A sub-class implements `_model` and `_network`.

    Parameters
    ----------
    net_arch : sequence of int
        Tanh units of every hidden layer.
    learning_rate : float
        At the start; falls linearly to `final_learning_rate` of itself.
    final_learning_rate : float in [0, 1]
    gamma : float in [0, 1]
        Discount per step.
    max_grad_norm : float
        Longer gradients are cut to this length.
    reward_scale : float > 0
        Reward units per money.
    deterministic : bool
        Act by argmax (propensity 1).
    total_steps, num_envs : int
        Interactions (rounded up to whole rollouts), and lanes of the learning environment.
    **runtime
        As `Agent`.

    Attributes
    ----------
    actor_ : Actor
        The network that acts.
    """

    append_mask = True      # whether the algorithm reads the action mask from behind the observation

    def __init__(self, *, net_arch: Sequence[int] = (64, 64), learning_rate: float = 1e-3,
                 final_learning_rate: float = 0.02, gamma: float = 0.97, max_grad_norm: float = 0.5,
                 reward_scale: float = 0.2, deterministic: bool = False, **runtime: Any) -> None:
        super().__init__(**runtime)
        self.net_arch = tuple(int(self._at_least("net_arch", units, 1)) for units in net_arch)
        self.learning_rate = self._at_least("learning_rate", learning_rate, 0)
        self.final_learning_rate = self._fraction("final_learning_rate", final_learning_rate)
        self.gamma = self._fraction("gamma", gamma)
        self.max_grad_norm = self._at_least("max_grad_norm", max_grad_norm, 0)
        self.reward_scale = self._at_least("reward_scale", reward_scale, 1e-9)
        self.deterministic = deterministic
        self.actor_: Any = None

    # ------------------------------------------------------------------ for sub-classes
    @abstractmethod
    def _model(self, lanes: Any) -> Any:
        """The untrained algorithm of the library on `lanes` (an `SB3VecEnv`)."""

    @abstractmethod
    def _network(self, model: Any) -> Any:
        """The network that acts, as it stands."""

    def _lanes(self, env: VectorEnv) -> Any:
        from agents.sb3_vec_env import SB3VecEnv

        return SB3VecEnv(env, self.reward_scale, self.append_mask)

    def _common(self) -> dict[str, Any]:
        """Arguments that every algorithm of the library takes."""
        return {"learning_rate": self._learning_rate_at, "gamma": self.gamma, "max_grad_norm": self.max_grad_norm,
                "seed": self.seed, "device": "cpu"}

    def _learning_rate_at(self, remaining: float) -> float:
        """With the share `remaining` of the budget ahead."""
        return self.learning_rate * (self.final_learning_rate + (1 - self.final_learning_rate) * max(remaining, 0.0))

    # ------------------------------------------------------------------ the protocol
    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Train for `steps` interactions, rounded up to whole rollouts; `evaluate` is not used.

        Raises
        ------
        AgentConfigError
            If a setting does not fit this environment.
        DivergedError
            If a weight or a reward is not finite; the agent then keeps what it knew before.
        """
        from agents.sb3_snapshot import model_snapshot, resume_model

        self._check_env(env)
        with torch_threads(1), lent_generators():   # operations of a tenth of a millisecond: threads would only wait
            lanes = self._lanes(env)
            model, clock, reported = self._model(lanes), time.perf_counter(), 0
            kept = self._kept()
            if kept is not None:
                reported = int(kept.values["reported"])
                resume_model(model, kept.arrays, kept.values)
                lanes.set_counted(kept.arrays, kept.values)
                self.actor_ = self._network(model)

            def take() -> Snapshot:
                (arrays, values), counted = model_snapshot(model), lanes.counted()
                return Snapshot(arrays | counted.arrays, values | counted.values | {"reported": reported})

            def tell(step: int, last: bool) -> None:
                note(step, last)
                if step > 0 and not last:
                    self._offer(take)

            def note(step: int, last: bool) -> None:
                nonlocal clock, reported
                if step == reported or step - reported < _REPORT_EVERY and not last:
                    return
                network = self._network(model)
                if not all(np.isfinite(array).all() for array in network.packed().values()):
                    raise DivergedError(f"agent {self.name}: a weight is no longer finite after {step:,} steps; lower "
                                        f"agent.learning_rate (now {self.learning_rate:g}) or agent.reward_scale.")
                self.actor_ = network               # so that a report may evaluate the policy as it stands
                now = time.perf_counter()
                metrics = _numbers(model.logger.name_to_value) | lanes.statistics()
                metrics["rollout/fps"] = (step - reported) / max(now - clock, 1e-9)
                clock, reported = now, step
                self._report(report, step, metrics)

            left = max(self.budget(steps), 1) - (model.num_timesteps if kept is not None else 0)
            model.learn(left, callback=_callback(tell), log_interval=None, reset_num_timesteps=kept is None)

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        probabilities = self._need("actor_").probabilities(observation, action_mask)
        return one_hot(probabilities.argmax(axis=1), self.num_actions) if self.deterministic else probabilities

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        return self._need("actor_").packed(), {}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        self.actor_ = Actor.unpacked(arrays)

    def _fraction(self, setting: str, value: float) -> float:
        if not 0 <= value <= 1:
            raise AgentConfigError(f"agent {self.name}: {setting} must lie in [0, 1], got {value}.")
        return value


class SB3ActorCritic(SB3Agent):
    """An on-policy algorithm: samples its policy when acting, so a log of it is fit for off-policy estimates.

    Parameters
    ----------
    gae_lambda : float in [0, 1]
        Of generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438).
    n_steps : int
        Steps of every lane between two updates.
    ent_coef, vf_coef : float
        Weights of entropy and of the value loss.
    **sb3_agent
        As `SB3Agent`.
    """

    def __init__(self, *, gae_lambda: float = 0.9, n_steps: int = 32, ent_coef: float = 0.005, vf_coef: float = 0.5,
                 **sb3_agent: Any) -> None:
        super().__init__(**sb3_agent)
        self.gae_lambda = self._fraction("gae_lambda", gae_lambda)
        self.n_steps = self._at_least("n_steps", n_steps, 1)
        self.ent_coef = self._at_least("ent_coef", ent_coef, 0)
        self.vf_coef = self._at_least("vf_coef", vf_coef, 0)

    def _common(self) -> dict[str, Any]:
        return super()._common() | {"gae_lambda": self.gae_lambda, "n_steps": self.n_steps, "ent_coef": self.ent_coef,
                                    "vf_coef": self.vf_coef, "policy_kwargs": {"net_arch": list(self.net_arch)}}

    def _network(self, model: Any) -> Any:
        return actor_of([*model.policy.mlp_extractor.policy_net, model.policy.action_net])

    def _check_batches(self, env: VectorEnv, batch_size: int) -> None:
        """Refuse minibatches that would leave a rest."""
        update = env.num_envs * self.n_steps
        if update % batch_size:
            raise AgentConfigError(f"agent {self.name}: batch_size {batch_size} must divide num_envs * n_steps = "
                                   f"{env.num_envs} * {self.n_steps} = {update}.")


def actor_of(modules: Iterable[Any]) -> Actor:
    """The linear layers among torch modules, in order, as a tanh network in NumPy."""
    layers = [module for module in modules if hasattr(module, "weight")]
    return Actor(tuple(layer.weight.detach().numpy().T.astype(np.float64) for layer in layers),
                 tuple(layer.bias.detach().numpy().astype(np.float64) for layer in layers))


def _callback(tell: Callable[[int, bool], None]) -> Any:
    """SB3 starts a rollout when the update before it is done, so that is when there is something to tell."""
    from agents.sb3 import BaseCallback

    class Told(BaseCallback):
        def _on_rollout_start(self) -> None:
            tell(self.num_timesteps, False)

        def _on_step(self) -> bool:
            return True

        def _on_training_end(self) -> None:
            tell(self.num_timesteps, True)

    return Told()


def _numbers(logged: dict[str, Any]) -> dict[str, float]:
    """What the library noted about its last update."""
    return {name: float(value) for name, value in logged.items() if name.startswith("train/") and _is_finite_number(value)}


def _is_finite_number(value: Any) -> bool:
    return bool(np.isscalar(value) and np.isfinite(value))

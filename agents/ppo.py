"""Proximal policy optimisation on the batched shop: the agent that plans for the customer's whole life.

PPO (Schulman et al. 2017, arXiv:1707.06347) with masked logits on one batched environment: rollouts (`rollout_buffer`),
two small tanh networks (`actor_critic`) and an update whose gradient is written out (`ppo_update`). It is the algorithm of
Stable-Baselines3, against which each part is tested: the same rollout, first weights and minibatches give the same weights.
What departs from SB3's default settings, and why:

    gamma .97 a step       about 33 opportunities ahead, the length of a life. SB3 discounts every step alike, while
                           the money of the shop is discounted by day: within a visit no time passes, between visits
                           a week may. That is an approximation, not the objective that is reported.
    gae_lambda .9          rewards are rare and noisy purchases
    reward x .2            advantages and values of order one, so no running normalisation of rewards
    no observation         the shop's observation is of order one already
    normalisation
    learning rate -> 0     linearly, so that the last updates average instead of wander

All draws come from one generator of the agent's seed: equal seeds give equal weights bit for bit on one machine,
whatever the number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.actor import Actor
from agents.base import Agent, Evaluate, Report, one_hot
from agents.errors import AgentConfigError, DivergedError
from agents.snapshot import Snapshot, generator_from, generator_state
from agents.torch_threads import torch_threads


class PPOAgent(Agent):
    """PPO with separate tanh networks for actor and critic.

    Samples its policy when acting, so a log of it is fit for off-policy estimates; `deterministic` takes the most
    probable action instead (propensity 1).

    Parameters
    ----------
    net_arch : sequence of int
        Hidden units of each network.
    learning_rate : float
        At the start; falls linearly to `final_learning_rate` of itself.
    final_learning_rate : float in [0, 1]
    gamma, gae_lambda : float in [0, 1]
    n_steps : int
        Steps of every lane between two updates.
    batch_size : int
        Transitions of a minibatch; must divide num_envs * n_steps.
    n_epochs : int
        Passes over the transitions of an update.
    clip_range, ent_coef, vf_coef, max_grad_norm : float
        As in the paper and SB3.
    reward_scale : float > 0
        Reward units per money.
    deterministic : bool
        Act by argmax.
    torch_threads : int >= 1
        Threads that share a minibatch, in blocks of 1,024 transitions; the result does not depend on them.
    total_steps, num_envs : int
        Interactions (rounded up to whole updates), and lanes of the learning environment.
    **runtime
        As `Agent`.

    Attributes
    ----------
    actor_ : Actor
        The policy network.
    """

    name = "ppo"

    def __init__(self, *, net_arch: Sequence[int] = (64, 64), learning_rate: float = 2.5e-3,
                 final_learning_rate: float = 0.02, gamma: float = 0.97, gae_lambda: float = 0.9, n_steps: int = 32,
                 batch_size: int = 4096, n_epochs: int = 6, clip_range: float = 0.2, ent_coef: float = 0.005,
                 vf_coef: float = 0.5, max_grad_norm: float = 0.5, reward_scale: float = 0.2,
                 deterministic: bool = False, torch_threads: int = 2, total_steps: int = 1_500_000,
                 num_envs: int = 512, **runtime: Any) -> None:
        super().__init__(total_steps=total_steps, num_envs=num_envs, **runtime)
        self.net_arch = tuple(int(self._at_least("net_arch", units, 1)) for units in net_arch)
        self.learning_rate = self._at_least("learning_rate", learning_rate, 0)
        self.final_learning_rate = self._fraction("final_learning_rate", final_learning_rate)
        self.gamma = self._fraction("gamma", gamma)
        self.gae_lambda = self._fraction("gae_lambda", gae_lambda)
        self.n_steps = self._at_least("n_steps", n_steps, 1)
        self.batch_size = self._at_least("batch_size", batch_size, 2)
        self.n_epochs = self._at_least("n_epochs", n_epochs, 1)
        self.clip_range = self._at_least("clip_range", clip_range, 1e-9)
        self.ent_coef = self._at_least("ent_coef", ent_coef, 0)
        self.vf_coef = self._at_least("vf_coef", vf_coef, 0)
        self.max_grad_norm = self._at_least("max_grad_norm", max_grad_norm, 0)
        self.reward_scale = self._at_least("reward_scale", reward_scale, 1e-9)
        self.deterministic = deterministic
        self.torch_threads = self._at_least("torch_threads", torch_threads, 1)
        self.actor_: Any = None

    def learn(self, env: VectorEnv, *, steps: int | None = None, evaluate: Evaluate | None = None,
              report: Report | None = None) -> None:
        """Train for `steps` interactions, rounded up to whole updates; `evaluate` is not used.

        Raises
        ------
        AgentConfigError
            If `batch_size` does not divide an update of this environment.
        DivergedError
            If a loss, a weight or a reward is not finite; the agent then keeps what it knew before.
        """
        self._check_env(env)
        update = env.num_envs * self.n_steps
        if update % self.batch_size:
            raise AgentConfigError(f"agent {self.name}: batch_size {self.batch_size} must divide num_envs * n_steps = "
                                   f"{env.num_envs} * {self.n_steps} = {update}.")
        with torch_threads(1):     # operations of a tenth of a millisecond; threads share blocks of rows instead
            self.actor_ = self._train(env, max(update, self.budget(steps)), report)

    def _train(self, env: VectorEnv, steps: int, report: Report | None) -> Any:
        from agents.ppo_update import Coefficients, PPOUpdate
        from agents.rollout_buffer import RolloutBuffer

        kept = self._kept()
        if kept is None:
            rng = np.random.default_rng(self.seed)
            model, done = self._model(env, rng)
        else:
            rng, done = generator_from(kept.values["generator"]), int(kept.values["done"])
            model = self._model_of(kept.arrays, kept.values)
        coefficients = Coefficients(self.clip_range, self.vf_coef, self.ent_coef, self.max_grad_norm)
        rollout = RolloutBuffer(env, model, self.n_steps, self.reward_scale, self.seed, kept.arrays if kept else None)
        size, clock = env.num_envs * self.n_steps, time.perf_counter()
        with PPOUpdate(model, coefficients, self.batch_size, self.torch_threads) as update:
            if kept is not None:
                update.resume(kept.arrays)
                self.actor_ = model.actor()

            def take() -> Snapshot:
                arrays = self._model_arrays(model) | update.arrays() | rollout.arrays()
                return Snapshot(arrays, {"generator": generator_state(rng), "done": done})

            while done < steps:
                rollout.collect(rng, self.gamma)
                done += size
                rate = self._learning_rate_at(done / steps)
                transitions = rollout.transitions(self.gamma, self.gae_lambda)
                losses = update.run(transitions, (rng.permutation(size) for _ in range(self.n_epochs)), rate)
                if not np.isfinite(losses["loss"]) or not bool(model.flat.isfinite().all()):
                    raise DivergedError(f"agent {self.name}: the loss is no longer finite after {done:,} steps; lower "
                                        f"agent.learning_rate (now {self.learning_rate:g}) or agent.reward_scale.")
                metrics = {f"train/{key}": value for key, value in losses.items()} | rollout.statistics()
                metrics["train/learning_rate"] = rate
                metrics["train/explained_variance"] = transitions.explained_variance()
                metrics["rollout/fps"] = size / max(time.perf_counter() - clock, 1e-9)
                clock = time.perf_counter()
                self.actor_ = model.actor()         # so that a report may evaluate the policy as it stands
                self._report(report, done, metrics)
                self._offer(take)
        return model.actor()

    def _model(self, env: VectorEnv, rng: np.random.Generator) -> tuple[Any, int]:
        """The untrained networks, and the interactions with `env` that it took to make them."""
        from agents.actor_critic import ActorCritic

        return ActorCritic(self.observation_size, self.num_actions, self.net_arch, rng), 0

    def _model_arrays(self, model: Any) -> dict[str, NDArray]:
        """Everything of the networks that `_model_of` needs, copied."""
        return {"weights": model.flat.numpy().copy()}

    def _model_of(self, arrays: dict[str, NDArray], values: dict[str, Any]) -> Any:
        """The networks of a snapshot."""
        model, _ = PPOAgent._model(self, None, np.random.default_rng(0))  # type: ignore[arg-type]
        return with_weights(model, arrays["weights"])

    def _learning_rate_at(self, share: float) -> float:
        """After `share` of the budget, which the last update may exceed."""
        return self.learning_rate * max(1 - (1 - self.final_learning_rate) * share, 0.0)

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        probabilities = self._need("actor_").probabilities(observation, action_mask)
        return one_hot(probabilities.argmax(axis=1), self.num_actions) if self.deterministic else probabilities

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        return self._network_state(self._need("actor_"))

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        self.actor_ = self._network_of(arrays, state)

    @staticmethod
    def _network_state(network: Actor) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays = {f"weight_{i}": weight.astype(np.float32) for i, weight in enumerate(network.weights)}
        arrays |= {f"bias_{i}": bias.astype(np.float32) for i, bias in enumerate(network.biases)}
        return arrays, {"layers": len(network.weights)}

    @staticmethod
    def _network_of(arrays: dict[str, NDArray], state: dict[str, Any]) -> Actor:
        layers = range(state["layers"])
        return Actor(tuple(arrays[f"weight_{i}"].astype(np.float64) for i in layers),
                     tuple(arrays[f"bias_{i}"].astype(np.float64) for i in layers))

    def _fraction(self, setting: str, value: float) -> float:
        if not 0 <= value <= 1:
            raise AgentConfigError(f"agent {self.name}: {setting} must lie in [0, 1], got {value}.")
        return value


def with_weights(model: Any, weights: NDArray[np.float32]) -> Any:
    """`model`, with all its weights (parameters,) replaced."""
    import torch

    model.flat.copy_(torch.from_numpy(weights))
    return model

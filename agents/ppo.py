"""Proximal policy optimisation on the batched shop: the agent that plans for the customer's whole life.

PPO (Schulman et al. 2017, arXiv:1707.06347) as Stable-Baselines3 implements it, with masked logits (`masked_policy`),
fed by one batched environment (`sb3_vec_env`). What departs from SB3's defaults, and why:

    gamma .97 a step       about 33 opportunities ahead, the length of a life. SB3 discounts every step alike, while
                           the money of the shop is discounted by day: within a visit no time passes, between visits
                           a week may. That is an approximation, not the objective that is reported.
    gae_lambda .9          rewards are rare and noisy purchases
    reward x .2            advantages and values of order one, so no running normalisation of rewards
    no observation         the shop's observation is of order one already
    normalisation
    learning rate -> 0     linearly, so that the last updates average instead of wander

SB3 draws from the global generators of Python, NumPy and torch. `learn` seeds them and puts their former state back,
so equal seeds give equal weights bit for bit on one machine and nobody else's randomness changes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agents.actor import Actor
from agents.base import Agent, Evaluate, Report, one_hot
from agents.errors import AgentConfigError, DivergedError


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
        Threads of torch while learning; restored afterwards.
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
                 deterministic: bool = False, torch_threads: int = 1, total_steps: int = 1_500_000,
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
        self.actor_: Actor | None = None

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
        with _seeded_torch(self.seed, self.torch_threads):
            self.actor_ = self._train(env, max(update, self.budget(steps)), report)

    def _train(self, env: VectorEnv, steps: int, report: Report | None) -> Actor:
        from agents.batched_ppo import BatchedPPO
        from agents.masked_policy import MaskedActorCriticPolicy
        from agents.sb3 import Logger
        from agents.sb3_vec_env import SB3VecEnv

        lanes = SB3VecEnv(env, self.reward_scale)
        clock = [time.perf_counter(), 0]

        def after_update(model: BatchedPPO) -> None:
            logged = model.logger.name_to_value
            metrics = {key: float(value) for key, value in logged.items() if key.startswith("train/")}
            metrics["train/entropy"] = -metrics.pop("train/entropy_loss")
            metrics["train/learning_rate"] = model.policy.optimizer.param_groups[0]["lr"]
            if not np.isfinite(metrics["train/loss"]) or not all(
                    bool(weight.isfinite().all()) for weight in model.policy.parameters()):
                raise DivergedError(f"agent {self.name}: the loss is no longer finite after {model.num_timesteps:,} "
                                    f"steps; lower agent.learning_rate (now {self.learning_rate:g}) or "
                                    f"agent.reward_scale.")
            now = time.perf_counter()
            metrics |= lanes.statistics()
            metrics["rollout/fps"] = (model.num_timesteps - clock[1]) / max(now - clock[0], 1e-9)
            clock[:] = [now, model.num_timesteps]
            self.actor_ = _actor_of(model.policy)       # so that a report may evaluate the policy as it stands
            self._report(report, model.num_timesteps, metrics)

        low = self.final_learning_rate
        model = BatchedPPO(
            MaskedActorCriticPolicy, lanes, after_update=after_update,
            # left: 1 -> 0, and a little below in the last update, which may reach beyond the budget
            learning_rate=lambda left: self.learning_rate * max(low + (1 - low) * left, 0.0),
            n_steps=self.n_steps, batch_size=self.batch_size, n_epochs=self.n_epochs, gamma=self.gamma,
            gae_lambda=self.gae_lambda, clip_range=self.clip_range, ent_coef=self.ent_coef, vf_coef=self.vf_coef,
            max_grad_norm=self.max_grad_norm, seed=self.seed, device="cpu",
            policy_kwargs={"net_arch": list(self.net_arch), "optimizer_kwargs": {"eps": 1e-5, "fused": True}})
        model.set_logger(Logger(folder=None, output_formats=[]))            # SB3's default makes a temporary folder
        model.learn(steps, log_interval=None)         # type: ignore[arg-type]  # None: no logs of SB3's own
        return _actor_of(model.policy)

    def _probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        probabilities = self._need("actor_").probabilities(observation, action_mask)
        return one_hot(probabilities.argmax(axis=1), self.num_actions) if self.deterministic else probabilities

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        actor = self._need("actor_")
        arrays = {f"weight_{i}": weight.astype(np.float32) for i, weight in enumerate(actor.weights)}
        arrays |= {f"bias_{i}": bias.astype(np.float32) for i, bias in enumerate(actor.biases)}
        return arrays, {"layers": len(actor.weights)}

    def _set_state(self, arrays: dict[str, NDArray], state: dict[str, Any]) -> None:
        layers = range(state["layers"])
        self.actor_ = Actor(tuple(arrays[f"weight_{i}"].astype(np.float64) for i in layers),
                            tuple(arrays[f"bias_{i}"].astype(np.float64) for i in layers))

    def _fraction(self, setting: str, value: float) -> float:
        if not 0 <= value <= 1:
            raise AgentConfigError(f"agent {self.name}: {setting} must lie in [0, 1], got {value}.")
        return value


def _actor_of(policy: Any) -> Actor:
    """The policy network of an SB3 actor-critic policy, as float64 arrays."""
    layers = [layer for layer in [*policy.mlp_extractor.policy_net, policy.action_net] if hasattr(layer, "weight")]
    return Actor(tuple(layer.weight.detach().numpy().T.astype(np.float64, order="C") for layer in layers),
                 tuple(layer.bias.detach().numpy().astype(np.float64) for layer in layers))


@contextmanager
def _seeded_torch(seed: int, threads: int) -> Iterator[None]:
    """Seed the global generators SB3 draws from and set torch's threads; put both back at the end."""
    import torch

    former = random.getstate(), np.random.get_state(), torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(former[0])
            np.random.set_state(former[1])
            torch.set_num_threads(former[2])

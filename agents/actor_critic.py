"""Actor and critic: two tanh networks over the same observation that share nothing but their flat vector of weights.

The update (`ppo_update`) and the rollout (`rollout_buffer`) ask no more of a model than the methods below, so another
architecture is another class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.actor import Actor
from agents.tanh_network import Space, TanhNetwork


class Spaces(NamedTuple):
    """Memory of one thread for both networks."""

    actor: Space
    critic: Space


class ActorCritic:
    """Policy logits (n, K + 1) and value (n,) of observations (n, D).

    Parameters
    ----------
    inputs, actions : int
        D and K + 1.
    net_arch : sequence of int
        Hidden units of each network.
    rng : numpy.random.Generator
        Draws the first weights.

    Attributes
    ----------
    inputs : int
        Numbers that the networks see, after `prepare`.
    flat : Tensor (parameters,) float32
        All weights, the actor's first; an optimiser changes them in place.
    """

    def __init__(self, inputs: int, actions: int, net_arch: Sequence[int], rng: np.random.Generator) -> None:
        self.inputs = inputs
        self.actor_net = self._actor_network(inputs, actions, net_arch)
        self.critic_net = TanhNetwork([inputs, *net_arch, 1])
        self.flat = torch.cat([self.actor_net.initial(rng, 0.01), self.critic_net.initial(rng, 1.0)])
        self._actor, self._critic = self._views(self.flat)

    def _actor_network(self, inputs: int, actions: int, net_arch: Sequence[int]) -> TanhNetwork:
        return TanhNetwork([inputs, *net_arch, actions])

    def prepare(self, observation: NDArray) -> NDArray[np.float32]:
        """What the networks see of observations (N, D): here, just that."""
        return observation

    def space(self, rows: int) -> Spaces:
        """Memory for passes of at most `rows` rows; one per thread."""
        return Spaces(Space(rows, self.actor_net.sizes), Space(rows, self.critic_net.sizes))

    def logits(self, x: Tensor, space: Spaces) -> Tensor:
        """(n, D) -> (n, K + 1), in `space`."""
        return self.actor_net.forward(self._actor, x, space.actor)

    def values(self, x: Tensor, space: Spaces) -> Tensor:
        """(n, D) -> (n,), in `space`."""
        return self.critic_net.forward(self._critic, x, space.critic)[:, 0]

    def backward(self, x: Tensor, space: Spaces, d_logits: Tensor, d_values: Tensor, gradient: Tensor) -> None:
        """Write dloss/dflat of the last pass of `x` into `gradient` (parameters,), for dloss/dlogits and dloss/dvalues."""
        actor, critic = self._views(gradient)
        space.actor.deltas[-1][: len(x)] = d_logits
        space.critic.deltas[-1][: len(x), 0] = d_values
        self.actor_net.backward(self._actor, x, space.actor, actor)
        self.critic_net.backward(self._critic, x, space.critic, critic)

    def actor(self) -> Actor:
        """The policy network as it stands, for acting without torch."""
        return self.actor_net.actor(self.flat[: self.actor_net.parameters])

    def _views(self, flat: Tensor) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
        split = self.actor_net.parameters
        return self.actor_net.views(flat[:split]), self.critic_net.views(flat[split:])

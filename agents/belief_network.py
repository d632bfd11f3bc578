"""Actor and critic that see a belief beside the observation, and an actor that weighs all labels with the same weights.

The observation is followed by the belief's mean and standard deviation per label (`belief`).  The actor's network gives K + 1
logits of its own and F weights u, which are laid on the F features x_kf of every label alike:

    l_0 = y_0,    l_k = y_k + sum_f u_f(o) x_kf,    (y, u) = tanh network of (observation, belief)

So what a click on one label teaches about the use of a record serves all labels at once (a query over labels, as in the
attention of Vaswani et al. 2017), while y_k keeps what is particular to a label, its price or its tone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.actor import Actor
from agents.actor_critic import ActorCritic, Spaces
from agents.belief import TasteBelief, read_record
from agents.tanh_network import TanhNetwork

LABEL_PARTS = ("log_pushes", "click_lift", "log_purchases", "recency", "affinity", "label_valence")
BELIEF_PARTS = 2  # mean and standard deviation


def columns_of(layout: Mapping[str, tuple[int, int]], size: int) -> list[slice]:
    """Where each per-label feature stands in an observation of `size` numbers followed by the belief."""
    own = [slice(*layout[part]) for part in LABEL_PARTS]
    labels = own[0].stop - own[0].start
    return own + [slice(size + i * labels, size + (i + 1) * labels) for i in range(BELIEF_PARTS)]


def with_belief(
    observation: NDArray, layout: Mapping[str, tuple[int, int]], belief: TasteBelief
) -> NDArray[np.float32]:
    """Observation (N, D) followed by the belief: (N, D + 2 K)."""
    return np.concatenate([observation, belief.features(read_record(observation, layout))], axis=1, dtype=np.float32)


class BeliefActor(NamedTuple):
    """The trained policy as NumPy arrays; see `Actor`."""

    network: Actor
    belief: TasteBelief
    layout: dict[str, tuple[int, int]]

    def probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(N, D), (N, K + 1) bool -> (N, K + 1); rows sum to 1, exactly zero where masked."""
        x = with_belief(observation, self.layout, self.belief)
        actions = action_mask.shape[1]
        output = self.network.output(x)
        logits, weights = output[:, :actions], output[:, actions:]
        for f, columns in enumerate(columns_of(self.layout, observation.shape[1])):
            logits[:, 1:] += weights[:, f : f + 1] * x[:, columns]
        return self.network.softmax(logits, action_mask)


class BeliefActorCritic(ActorCritic):
    """As `ActorCritic`, over observations that `prepare` has widened by the belief.

    Parameters
    ----------
    size, actions, net_arch, rng
        As `ActorCritic`; `size` is that of the environment's observation.
    layout : mapping
        Named slices of the observation.
    belief : TasteBelief
    """

    def __init__(
        self,
        size: int,
        actions: int,
        net_arch: Sequence[int],
        rng: np.random.Generator,
        layout: Mapping[str, tuple[int, int]],
        belief: TasteBelief,
    ) -> None:
        self.layout, self.belief, self.actions = dict(layout), belief, actions
        self.columns = columns_of(layout, size)
        super().__init__(size + BELIEF_PARTS * (actions - 1), actions, net_arch, rng)

    def _actor_network(self, inputs: int, actions: int, net_arch: Sequence[int]) -> TanhNetwork:
        return TanhNetwork([inputs, *net_arch, actions + len(self.columns)])

    def prepare(self, observation: NDArray) -> NDArray[np.float32]:
        """(N, D) -> (N, D + 2 K)."""
        return with_belief(observation, self.layout, self.belief)

    def logits(self, x: Tensor, space: Spaces) -> Tensor:
        """(n, D + 2 K) -> (n, K + 1), in `space`."""
        output = super().logits(x, space)
        logits, weights = output[:, : self.actions], output[:, self.actions :]
        for f, columns in enumerate(self.columns):
            logits[:, 1:].addcmul_(weights[:, f : f + 1], x[:, columns])
        return logits

    def backward(self, x: Tensor, space: Spaces, d_logits: Tensor, d_values: Tensor, gradient: Tensor) -> None:
        """As `ActorCritic.backward`."""
        d_weights = [(d_logits[:, 1:] * x[:, columns]).sum(1, keepdim=True) for columns in self.columns]
        super().backward(x, space, torch.cat([d_logits, *d_weights], dim=1), d_values, gradient)

    def actor(self) -> BeliefActor:  # type: ignore[override]
        """The policy as it stands, for acting without torch."""
        return BeliefActor(super().actor(), self.belief, self.layout)

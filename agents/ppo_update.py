"""One update of proximal policy optimisation: passes over a rollout in random minibatches, with the gradient written out.

Loss of a minibatch of B transitions (Schulman et al. 2017, arXiv:1707.06347, eq. 7 and 9; constants as in SB3):

    A^   = (A - mean A) / (sd A + 1e-8)             r = pi(a|s) / pi_old(a|s)
    loss = - 1/B sum min(r A^, clip(r, 1 -+ eps) A^) + c_v 1/B sum (V - R)^2 - c_e 1/B sum H(pi)

With p = softmax of the masked logits (invalid action masking: Huang & Ontanon 2022, arXiv:2006.14171) its derivatives are

    dloss/dl_k = 1/B ( g (1[k = a] - p_k) + c_e p_k (log p_k + H) ),    g = - r A^ where the clip does not bind, else 0
    dloss/dV   = 2 c_v / B (V - R)

and zero wherever an action is masked, since p_k is. The gradient is clipped to a global norm; Adam is torch's.

A minibatch is cut into blocks of fixed size, that fit the cache; threads share the blocks, each block has its own
gradient, and these are added in order: the bits of the result do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.snapshot import optimiser_arrays, set_optimiser
from agents.tanh_network import slices
from agents.torch_threads import torch_threads

BLOCK = 1024  # rows: observation, activations and their gradients of one network stay in a core's L2 cache
MASKED_LOGIT = -1e8  # exp(-1e8 - max) is exactly 0 in float32
ADAM_EPSILON = 1e-5  # as in the paper's code and SB3
LOSSES = ("policy_gradient_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")


class Transitions(NamedTuple):
    """M transitions; everything but the actions (int64) and masks (bool) is float32.

    Attributes
    ----------
    observation : Tensor (M, D)
    mask : Tensor (M, K + 1)
    action, log_probability, value, advantage, returns : Tensor (M,)
    """

    observation: Tensor
    mask: Tensor
    action: Tensor
    log_probability: Tensor
    value: Tensor
    advantage: Tensor
    returns: Tensor

    def explained_variance(self) -> float:
        """1 - Var(R - V) / Var(R); nan where all returns are alike."""
        spread = float(self.returns.var())
        return 1.0 - float((self.returns - self.value).var()) / spread if spread > 0 else float("nan")


class Coefficients(NamedTuple):
    """Of the loss: eps, c_v, c_e, and the norm that gradients are clipped to."""

    clip_range: float
    vf_coef: float
    ent_coef: float
    max_grad_norm: float


def masked_log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities (n, K + 1); at most -1e8 + 104 where masked."""
    return torch.log_softmax(torch.where(mask, logits, MASKED_LOGIT), dim=1)


def loss_gradient(
    log_p: Tensor, value: Tensor, batch: Transitions, size: int, c: Coefficients
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of the loss, whose means run over a minibatch of `size` that these n rows are part of.

    Parameters
    ----------
    log_p : Tensor (n, K + 1)
    value : Tensor (n,)
    batch : Transitions
        With advantages that are normalised already.

    Returns
    -------
    d_logits (n, K + 1), d_value (n,), and the sums over rows of `LOSSES` (5,).
    """
    p, action = log_p.exp(), batch.action[:, None]
    entropy = -(p * log_p).sum(1)
    log_ratio = log_p.gather(1, action)[:, 0] - batch.log_probability
    ratio = log_ratio.exp()
    gain, clipped = ratio * batch.advantage, ratio.clamp(1 - c.clip_range, 1 + c.clip_range) * batch.advantage
    g = torch.where(gain <= clipped, -gain, 0.0) / size
    d_logits = p * (log_p + entropy[:, None]).mul_(c.ent_coef / size).sub_(g[:, None])
    d_logits.scatter_add_(1, action, g[:, None])
    error = value - batch.returns
    sums = torch.stack(
        [
            -torch.minimum(gain, clipped).sum(),
            error.square().sum(),
            entropy.sum(),
            (ratio - 1 - log_ratio).sum(),
            ((ratio - 1).abs() > c.clip_range).sum(),
        ]
    )
    return d_logits, error * (2 * c.vf_coef / size), sums


class PPOUpdate(AbstractContextManager):
    """Changes the weights of a model; holds Adam's moments and every thread's memory between updates.

    Parameters
    ----------
    model : e.g. `agents.actor_critic.ActorCritic`
    coefficients : Coefficients
    batch_size : int
        Transitions of a minibatch.
    threads : int
        That share a minibatch.
    """

    def __init__(self, model: Any, coefficients: Coefficients, batch_size: int, threads: int) -> None:
        self.model, self.coefficients, self.batch_size = model, coefficients, batch_size
        blocks = -(-batch_size // BLOCK)
        self._threads = min(threads, blocks)
        self._spaces = [model.space(min(BLOCK, batch_size)) for _ in range(self._threads)]
        self._gradients = torch.empty(blocks, len(model.flat))
        self._sums = torch.empty(blocks, len(LOSSES))
        self._adam = torch.optim.Adam([model.flat], eps=ADAM_EPSILON, fused=True)
        self._others = ThreadPoolExecutor(max(self._threads - 1, 1), initializer=torch.set_num_threads, initargs=(1,))

    def __exit__(self, *exception: object) -> None:
        self._others.shutdown()

    def arrays(self) -> dict[str, NDArray]:
        """Adam's moments, copied."""
        return optimiser_arrays(self._adam)

    def resume(self, arrays: dict[str, NDArray]) -> None:
        """Inverse of `arrays`."""
        set_optimiser(self._adam, arrays)

    def run(
        self, transitions: Transitions, orders: Iterable[NDArray[np.int64]], learning_rate: float
    ) -> dict[str, float]:
        """Pass over all M transitions once per order (M,); the mean of `LOSSES`, and of their sum `loss`, per transition."""
        self._adam.param_groups[0]["lr"] = learning_rate
        sums, rows = torch.zeros(len(LOSSES)), 0
        with torch_threads(1):  # as in the other threads: a block's sums then do not depend on who works on it
            for order in orders:
                for part in torch.from_numpy(order).split(self.batch_size):
                    sums += self._minibatch(transitions, part)
                rows += len(order)
        means = dict(zip(LOSSES, (sums / rows).tolist(), strict=True))
        c = self.coefficients
        loss = means["policy_gradient_loss"] + c.vf_coef * means["value_loss"] - c.ent_coef * means["entropy"]
        return {"loss": loss, **means}

    def _minibatch(self, transitions: Transitions, rows: Tensor) -> Tensor:
        """One step of Adam on the transitions in `rows`; the sums of `LOSSES`."""
        advantage = transitions.advantage[rows]
        scale = advantage.mean(), advantage.std() + 1e-8
        blocks = list(slices(len(rows), BLOCK))

        def share(thread: int) -> None:
            for i in range(thread, len(blocks), self._threads):
                self._block(transitions, rows[blocks[i]], len(rows), scale, self._spaces[thread], i)

        others = [self._others.submit(share, thread) for thread in range(1, self._threads)]
        share(0)
        for other in others:
            other.result()
        flat = self.model.flat
        flat.grad = self._gradients[: len(blocks)].sum(0)
        torch.nn.utils.clip_grad_norm_([flat], self.coefficients.max_grad_norm)
        self._adam.step()
        return self._sums[: len(blocks)].sum(0)

    def _block(
        self, transitions: Transitions, rows: Tensor, size: int, scale: tuple[Tensor, Tensor], space: Any, i: int
    ) -> None:
        """Gradient and losses of the transitions in `rows`, a part of a minibatch of `size`, into row i of the results."""
        batch = Transitions(*(column.index_select(0, rows) for column in transitions))
        batch = batch._replace(advantage=(batch.advantage - scale[0]) / scale[1])
        logits, value = self.model.logits(batch.observation, space), self.model.values(batch.observation, space)
        d_logits, d_value, self._sums[i] = loss_gradient(
            masked_log_softmax(logits, batch.mask), value, batch, size, self.coefficients
        )
        self.model.backward(batch.observation, space, d_logits, d_value, self._gradients[i])

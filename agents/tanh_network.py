"""A tanh network over a flat vector of weights, with its gradient written out.

    h_0 = x,   h_i = tanh(h_{i-1} W_i + b_i),   y = h_L W_{L+1} + b_{L+1}
    d_{L+1} = dloss/dy,   dW_i = h_{i-1}' d_i,   db_i = sum d_i,   d_{i-1} = (d_i W_i') (1 - h_{i-1}^2)

Small networks on one core are bound by tanh and by what an autograd engine does between two operations, so both are cut:
every result goes to memory that is used again, and tanh is taken as 2 sigmoid(2 z) - 1, whose vectorised form in torch is
three times as fast and within 2e-7. `tests/agents/test_tanh_network.py` holds it against torch's own autograd.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.actor import Actor


class Space:
    """Memory for one pass of at most `rows` rows through layers of the given sizes.

    Attributes
    ----------
    layers : list of Tensor (rows, outputs)
        Output of every layer, the last one included.
    deltas : list of Tensor (rows, outputs)
        dloss/d(output before tanh) of every layer; the caller fills the last one.
    """

    def __init__(self, rows: int, sizes: Sequence[int]) -> None:
        self.layers = [torch.empty(rows, size) for size in sizes[1:]]
        self.deltas = [torch.empty(rows, size) for size in sizes[1:]]


class TanhNetwork:
    """Layers of `sizes` numbers, the first one the input; weights live in a flat vector that others may share.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden units of every layer, outputs.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.parameters = sum((inputs + 1) * outputs for inputs, outputs in pairwise(self.sizes))

    def views(self, flat: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weight (inputs, outputs) and bias (outputs,) of every layer, as views of `flat` (parameters,)."""
        result, start = [], 0
        for inputs, outputs in pairwise(self.sizes):
            middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
            result.append((flat[start:middle].view(inputs, outputs), flat[middle:end]))
            start = end
        return result

    def forward(self, views: list[tuple[Tensor, Tensor]], x: Tensor, space: Space) -> Tensor:
        """(n, inputs) -> (n, outputs), a view of `space`; n at most its rows."""
        *hidden, (last_weight, last_bias) = views
        for (weight, bias), memory in zip(hidden, space.layers[:-1], strict=True):
            h = torch.addmm(bias, x, weight, beta=2, alpha=2, out=memory[: len(x)])
            x = h.sigmoid_().mul_(2).sub_(1)
        return torch.addmm(last_bias, x, last_weight, out=space.layers[-1][: len(x)])

    def backward(
        self, views: list[tuple[Tensor, Tensor]], x: Tensor, space: Space, gradient: list[tuple[Tensor, Tensor]]
    ) -> None:
        """Write the gradient of the last forward pass of `x`, for dloss/dy in `space.deltas[-1][:n]`."""
        n = len(x)
        delta = space.deltas[-1][:n]
        for i in reversed(range(len(views))):
            below = space.layers[i - 1][:n] if i else x
            torch.mm(below.t(), delta, out=gradient[i][0])
            torch.sum(delta, 0, out=gradient[i][1])
            if i:
                delta = torch.mm(delta, views[i][0].t(), out=space.deltas[i - 1][:n])
                torch.ops.aten.tanh_backward.grad_input(delta, below, grad_input=delta)

    def initial(self, rng: np.random.Generator, last_gain: float) -> Tensor:
        """(parameters,) orthogonal weights of gain sqrt(2), `last_gain` in the last layer, and zero biases.

        Saxe, McClelland & Ganguli 2014 (arXiv:1312.6120), as Stable-Baselines3 starts its policies.
        """
        flat = torch.zeros(self.parameters)
        views = self.views(flat)
        for i, (weight, _) in enumerate(views):
            gain = last_gain if i == len(views) - 1 else np.sqrt(2.0)
            weight.copy_(torch.from_numpy(gain * _orthogonal(rng, *weight.shape)))
        return flat

    def actor(self, flat: Tensor) -> Actor:
        """The network as float64 arrays that no later update changes."""
        views = self.views(flat)
        return Actor(
            tuple(weight.numpy().astype(np.float64) for weight, _ in views),
            tuple(bias.numpy().astype(np.float64) for _, bias in views),
        )


def _orthogonal(rng: np.random.Generator, inputs: int, outputs: int) -> NDArray[np.float64]:
    """(inputs, outputs) with orthonormal rows or columns, uniform among such matrices (Mezzadri 2007, AMS Notices 54)."""
    q, r = np.linalg.qr(rng.standard_normal((max(inputs, outputs), min(inputs, outputs))))
    q *= np.sign(np.diag(r))
    return q if inputs >= outputs else q.T


def slices(rows: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` rows."""
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))

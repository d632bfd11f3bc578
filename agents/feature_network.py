"""A small ReLU network whose last hidden layer serves as the features of a linear bandit.

    h_0 = observation,   h_i = max(h_{i-1} W_i + b_i, 0),   prediction of action a: h_L v_a + c_a

It is fitted to the rewards of the actions taken by Adam on squared errors (Kingma & Ba 2015). torch differentiates;
initial weights and minibatches come from the caller's generator, so no global generator is touched. Acting is plain NumPy
in row blocks, so the features of one customer do not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents import row_blocks
from agents.torch_threads import torch_threads


class FeatureNetwork:
    """The network, as float32 arrays [W_1, b_1, ..., W_L, b_L, V, c], and the state of its optimiser.

    Parameters
    ----------
    sizes : sequence of int
        D, hidden units of each layer.
    actions : int
        K + 1.
    rng : numpy Generator
        Of the initial weights: uniform within sqrt(6 / inputs) (He et al. 2015), biases 0.
    """

    def __init__(self, sizes: Sequence[int], actions: int, rng: np.random.Generator) -> None:
        self.arrays: list[NDArray[np.float32]] = []
        for inputs, outputs in zip(sizes, [*sizes[1:], actions], strict=True):
            bound = np.sqrt(6.0 / inputs)
            self.arrays += [rng.uniform(-bound, bound, (inputs, outputs)).astype(np.float32), np.zeros(outputs, np.float32)]

    def features(self, observation: NDArray) -> NDArray[np.float64]:
        """(N, D) -> (N, H + 1): the last hidden layer with a leading 1."""
        hidden = observation
        for weight, bias in zip(self.arrays[:-2:2], self.arrays[1:-2:2], strict=True):
            hidden = np.maximum(row_blocks.multiply(hidden, weight.astype(np.float64)) + bias, 0.0)
        x = np.empty((len(hidden), hidden.shape[1] + 1))
        x[:, 0], x[:, 1:] = 1.0, hidden
        return x

    def fit(self, observation: NDArray[np.float32], action: NDArray[np.int64], reward: NDArray[np.float32],
            rng: np.random.Generator, *, updates: int, batch_size: int, learning_rate: float, threads: int = 1) -> float:
        """`updates` steps of Adam on minibatches of the interactions (M, D), (M,), (M,); returns the last mean loss."""
        import torch

        with torch_threads(threads):
            weights = [torch.tensor(array, requires_grad=True) for array in self.arrays]
            adam = torch.optim.Adam(weights, lr=learning_rate)
            loss = torch.zeros(())
            for _ in range(updates):
                rows = rng.integers(0, len(action), batch_size)
                hidden = torch.from_numpy(observation[rows])
                for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
                    hidden = torch.relu(torch.addmm(bias, hidden, weight))
                predicted = torch.addmm(weights[-1], hidden, weights[-2])
                taken = predicted.gather(1, torch.from_numpy(action[rows])[:, None])[:, 0]
                loss = torch.nn.functional.mse_loss(taken, torch.from_numpy(reward[rows]))
                adam.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                adam.step()
            self.arrays = [weight.detach().numpy().copy() for weight in weights]
            return float(loss.detach())

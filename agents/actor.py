"""The trained policy network as plain NumPy: what is left of PPO when training is over.

    h_0 = observation,   h_i = tanh(h_{i-1} W_i + b_i),   l = h_L W_L+1 + b_L+1,
    pi(a) = exp(l_a - max l) / sum over allowed actions, 0 where masked.

Float64 and in row blocks, so the probabilities of one customer do not depend on the batch (`row_blocks`), and needing
no torch, so a saved policy acts within a fraction of a second of the command. `tests/agents/test_ppo.py` compares
it with the torch network it came from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents import row_blocks


class Actor(NamedTuple):
    """Weights of a tanh network.

    Attributes
    ----------
    weights : tuple of ndarray (inputs, outputs) float64
    biases : tuple of ndarray (outputs,) float64
    """

    weights: tuple[NDArray[np.float64], ...]
    biases: tuple[NDArray[np.float64], ...]

    def probabilities(self, observation: NDArray, action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(N, D), (N, K + 1) bool -> (N, K + 1); rows sum to 1, exactly zero where masked."""
        return self.softmax(self.output(observation), action_mask)

    def output(self, x: NDArray) -> NDArray[np.float64]:
        """(N, inputs) -> (N, outputs) of the last layer."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.tanh(row_blocks.multiply(x, weight) + bias)
        return row_blocks.multiply(x, self.weights[-1]) + self.biases[-1]

    def packed(self) -> dict[str, NDArray[np.float32]]:
        """The weights by name, in the precision they were trained in: what a saved agent holds."""
        arrays = {f"weight_{i}": weight.astype(np.float32) for i, weight in enumerate(self.weights)}
        return arrays | {f"bias_{i}": bias.astype(np.float32) for i, bias in enumerate(self.biases)}

    @classmethod
    def unpacked(cls, arrays: dict[str, NDArray]) -> Actor:
        """Inverse of `packed`; other arrays beside the weights are passed over."""
        layers = range(sum(name.startswith("weight_") for name in arrays))
        return cls(tuple(arrays[f"weight_{i}"].astype(np.float64) for i in layers),
                   tuple(arrays[f"bias_{i}"].astype(np.float64) for i in layers))

    @staticmethod
    def softmax(logits: NDArray[np.float64], action_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Probabilities (N, K + 1) of logits (N, K + 1), exactly zero where masked."""
        logits = np.where(action_mask, logits, -np.inf)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))           # exp(-inf) = 0 where masked
        return odds / np.cumsum(odds, axis=1)[:, -1:]                       # a sequential sum: same for any N

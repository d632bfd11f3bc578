"""The trained recurrent policy as plain NumPy: one LSTM step, with two states per customer, and a head.

    z = x W + h U + b,   (i, f, g, o) = (s(z_1), s(z_2), tanh(z_3), s(z_4)),   c' = f c + i g,   h' = o tanh(c')

(Hochreiter & Schmidhuber 1997; gates in torch's order), s(z) = 1 / (1 + e^-z). Which state is the former one, and where the
new one is kept, is said in `agents.memory`. Float64 and in row blocks, as `agents.actor`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents import row_blocks
from agents.actor import Actor


class LSTMActor(NamedTuple):
    """Weights of the LSTM and of the head behind it.

    Attributes
    ----------
    inputs : ndarray (D, 4 H) float64
    states : ndarray (H, 4 H) float64
    bias : ndarray (4 H,) float64
    head : Actor
        H -> K + 1.
    """

    inputs: NDArray[np.float64]
    states: NDArray[np.float64]
    bias: NDArray[np.float64]
    head: Actor

    @property
    def memory_size(self) -> int:
        """4 H: h and c of the visit, then h and c on file."""
        return 4 * len(self.states)

    def recall(self, observation: NDArray, action_mask: NDArray[np.bool_], memory: NDArray[np.float64],
               visits: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, D), (N, K + 1), (N, 4 H), (N, 2) -> probabilities (N, K + 1) and memory (N, 4 H)."""
        begins, own = visits[:, :1], visits[:, 1:]
        size = len(self.states)
        visit, filed = memory[:, :2 * size], memory[:, 2 * size:]
        visit = np.where(begins, np.where(own, filed, 0.0), visit)
        h, c = visit[:, :size], visit[:, size:]
        z = row_blocks.multiply(observation, self.inputs) + row_blocks.multiply(h, self.states) + self.bias
        i, f, g, o = (z[:, k * size:(k + 1) * size] for k in range(4))
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        visit = np.concatenate([h, c], axis=1)
        after = np.concatenate([visit, np.where(own, visit, filed)], axis=1)
        return self.head.probabilities(h, action_mask), after

    def packed(self) -> dict[str, NDArray[np.float32]]:
        """The weights by name."""
        own = {"lstm_inputs": self.inputs, "lstm_states": self.states, "lstm_bias": self.bias}
        return {name: array.astype(np.float32) for name, array in own.items()} | self.head.packed()

    @classmethod
    def unpacked(cls, arrays: dict[str, NDArray]) -> LSTMActor:
        """Inverse of `packed`."""
        inputs, states, bias = (arrays[f"lstm_{name}"].astype(np.float64) for name in ("inputs", "states", "bias"))
        return cls(inputs, states, bias, Actor.unpacked(arrays))


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1.0 + np.tanh(0.5 * z))       # never overflows

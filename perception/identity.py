"""Identity: FaceNet embeddings of face crops (:mod:`perception.recognition` decides whose they are).

One pass of InceptionResnetV1 [1]_ (facenet-pytorch, VGGFace2) gives two things: the unit-length embedding of 512
numbers, and the spatial mean of the 896 ``mixed_6a`` activations, from which the mask head reads.

References
----------
.. [1] F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering",
   CVPR 2015; weights of D. Sandberg's facenet, converted by T. Esler.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

CROP_SIZE = 160
"""Pixels of FaceNet's square input."""
POOLED_SIZE = 896


class FaceEmbedder:
    """FaceNet on 160 px crops.

    Parameters
    ----------
    weights : path
        A verified file (:func:`perception.weights.find_weights`).
    device : str
        Torch device.
    precision : str
        One of :data:`perception.precision.PRECISIONS`.

    Raises
    ------
    WeightsError
        If the file is not InceptionResnetV1's.
    InputError
        For another precision.
    """

    def __init__(self, weights: str | Path, device: str = "cpu", precision: str = "float32") -> None:
        from perception.precision import effective_precision, in_bfloat16
        from perception.weights import load_facenet

        self.precision = effective_precision(precision, device)
        network = load_facenet(Path(weights))
        self.network = (in_bfloat16(network) if self.precision == "bfloat16" else network).to(device)
        self._device = device

    def embed(self, crops: np.ndarray, batch_size: int = 32) -> tuple[np.ndarray, np.ndarray]:
        """One pass, two outputs.

        Parameters
        ----------
        crops : ndarray, shape (n, 160, 160, 3), uint8
            RGB, from :func:`face_crop`.

        Returns
        -------
        embeddings : ndarray, shape (n, 512), float32
            Unit length.
        pooled : ndarray, shape (n, 896), float32
            Spatial means of the ``mixed_6a`` activations.
        """
        import torch

        if len(crops) == 0:
            return np.empty((0, 512), np.float32), np.empty((0, POOLED_SIZE), np.float32)
        caught: list[torch.Tensor] = []
        kind = next(self.network.parameters()).dtype
        layer: Any = self.network.mixed_6a
        hook = layer.register_forward_hook(lambda _m, _i, out: caught.append(out.float().mean((2, 3)).cpu()))
        embeddings = []
        try:
            with torch.inference_mode():
                for start in range(0, len(crops), batch_size):
                    part = torch.from_numpy(np.ascontiguousarray(crops[start:start + batch_size]))
                    # fixed_image_standardization of facenet-pytorch
                    x = (part.to(self._device).permute(0, 3, 1, 2).float() - 127.5) / 128.0
                    embeddings.append(self.network(x.to(kind, memory_format=torch.channels_last)).cpu())
        finally:
            hook.remove()
        return torch.cat(embeddings).numpy(), torch.cat(caught).numpy()


def face_crop(image: np.ndarray, box: Sequence[float] | np.ndarray, margin: int = 0) -> np.ndarray:
    """Cut a face as facenet-pytorch's ``extract_face`` does: box plus margin, clipped, resized to 160 px bilinearly.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8
        RGB.
    box : array, shape (4,)
        x0, y0, x1, y1.
    margin : int
        Pixels of margin in the finished crop (both sides together); 0 is facenet-pytorch's default.

    Returns
    -------
    ndarray, shape (160, 160, 3), uint8
    """
    from PIL import Image

    height, width = image.shape[:2]
    x_margin = margin * (box[2] - box[0]) / (CROP_SIZE - margin)
    y_margin = margin * (box[3] - box[1]) / (CROP_SIZE - margin)
    x0, y0 = int(max(box[0] - x_margin / 2, 0)), int(max(box[1] - y_margin / 2, 0))
    x1, y1 = int(min(box[2] + x_margin / 2, width)), int(min(box[3] + y_margin / 2, height))
    crop = Image.fromarray(image[y0:max(y1, y0 + 1), x0:max(x1, x0 + 1)])
    return np.asarray(crop.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BILINEAR))

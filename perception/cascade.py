"""The cascade of MTCNN: the networks of facenet-pytorch, called in the order of its ``detect_face``, faster on a CPU.

P-net proposes boxes on an image pyramid, R-net refines and O-net confirms crops of what is left [1]_.  Boxes equal the
library's within a thousandth of a pixel at half its time (:mod:`perception.pixel_loops`); a proposal wholly outside the
image is left out, where the library stops with an error.

References
----------
.. [1] K. Zhang, Z. Zhang, Z. Li, Y. Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
   Networks", IEEE Signal Processing Letters 23(10), 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from perception.pixel_loops import cut, first_layer, shrink

if TYPE_CHECKING:
    import torch
    from torch import nn

PYRAMID_FACTOR = 0.709
CELL = 12
"""Pixels that P-net sees at once."""
PIXELS_AT_ONCE = 100_000
"""Of a pyramid's level that go through P-net together: enough to share overhead, and all layers stay in the cache."""


class Cascade:
    """MTCNN's three networks, with the weights in facenet-pytorch's wheel.

    Parameters
    ----------
    device : str
        Torch device of the networks.
    """

    def __init__(self, device: str = "cpu") -> None:
        import torch
        from facenet_pytorch import MTCNN

        library = MTCNN(keep_all=True, device=torch.device(device))
        self._device = torch.device(device)
        self._proposals = library.pnet
        self._refinement, self._output = (net.to(memory_format=torch.channels_last) for net in (library.rnet, library.onet))
        first = (library.pnet.conv1.weight, library.pnet.conv1.bias, library.pnet.prelu1.weight)
        self._first = tuple(part.detach().cpu().numpy() for part in first)

    def detect(self, images: np.ndarray, min_face: float,
               thresholds: tuple[float, float, float]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Find faces.

        Parameters
        ----------
        images : ndarray, shape (n, h, w, 3), uint8
            RGB, of one size.
        min_face : float
            Side of the smallest face searched for [px].
        thresholds : three floats
            Levels of P-, R- and O-net from which a box is kept.

        Returns
        -------
        list of (boxes (k, 4), score (k,), landmarks (k, 5, 2)), float32
            One per image; the boxes may reach beyond the image.
        """
        import torch
        from facenet_pytorch.models.utils.detect_face import batched_nms_numpy, bbreg, rerec
        from torchvision.ops import batched_nms

        images = np.ascontiguousarray(images)
        nothing = (np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))
        with torch.inference_mode():
            boxes, which = self._propose(images, min_face, thresholds[0])
            crops, boxes, which = self._cut(images, boxes, which, 24)
            if len(crops) == 0:
                return [nothing] * len(images)
            shift, probability = self._passed(self._refinement, crops)
            confidence = probability[:, 1]
            kept = confidence > thresholds[1]
            boxes, which, shift = torch.cat((boxes[kept, :4], confidence[kept, None]), 1), which[kept], shift[kept]
            kept = batched_nms(boxes[:, :4], boxes[:, 4], which, 0.7)
            boxes, which = rerec(bbreg(boxes[kept], shift[kept])), which[kept]

            crops, boxes, which = self._cut(images, boxes, which, 48)
            if len(crops) == 0:
                return [nothing] * len(images)
            shift, points, probability = self._passed(self._output, crops)
            confidence = probability[:, 1]
            kept = confidence > thresholds[2]
            boxes, which = torch.cat((boxes[kept, :4], confidence[kept, None]), 1), which[kept]
            shift, points = shift[kept], points[kept].view(-1, 2, 5)
            size = boxes[:, 2:4] - boxes[:, :2] + 1
            landmarks = (size[:, :, None] * points + boxes[:, :2, None] - 1).transpose(1, 2)
            boxes = bbreg(boxes, shift)
            kept = batched_nms_numpy(boxes[:, :4], boxes[:, 4], which, 0.7, "Min")
            found, image, marks = boxes[kept].numpy(), which[kept].numpy(), landmarks[kept].numpy()
        return [(found[image == k, :4], found[image == k, 4], marks[image == k]) for k in range(len(images))]

    def _propose(self, images: np.ndarray, min_face: float, threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Square boxes with their score (n, 5), and the image of each."""
        import torch
        from facenet_pytorch.models.utils.detect_face import generateBoundingBox, rerec
        from torchvision.ops import batched_nms

        count, height, width = images.shape[:3]
        found, of = [torch.empty(0, 9)], [torch.empty(0, dtype=torch.long)]
        scale = CELL / min_face
        while min(height, width) * scale >= CELL:
            rows, columns = int(height * scale + 1), int(width * scale + 1)
            step = max(1, PIXELS_AT_ONCE // (rows * columns))
            parts = [self._scan(images[k:k + step], rows, columns) for k in range(0, count, step)]
            shift, probability = (torch.cat([part[k] for part in parts]) for k in range(2))
            boxes, which = generateBoundingBox(shift, probability, scale, threshold)
            kept = batched_nms(boxes[:, :4], boxes[:, 4], which, 0.5)  # within each level
            found.append(boxes[kept])
            of.append(which[kept])
            scale *= PYRAMID_FACTOR
        boxes, which = torch.cat(found), torch.cat(of)
        kept = batched_nms(boxes[:, :4], boxes[:, 4], which, 0.7)
        boxes, which = boxes[kept], which[kept]
        side = (boxes[:, 2:4] - boxes[:, :2]).repeat(1, 2)
        return rerec(torch.cat((boxes[:, :4] + boxes[:, 5:9] * side, boxes[:, 4:5]), 1)), which

    def _cut(self, images: np.ndarray, boxes: torch.Tensor, which: torch.Tensor,
             side: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Crops (k, 3, side, side) of the boxes that lie at least partly inside their images, and those boxes."""
        import torch
        from facenet_pytorch.models.utils.detect_face import pad

        y, y1, x, x1 = pad(boxes, images.shape[2], images.shape[1])  # pixels count from one
        inside = (y1 > y - 1) & (x1 > x - 1)
        crops = np.empty((int(inside.sum()), 3, side, side), np.float32)
        cut(images, which.numpy()[inside], x[inside] - 1, y[inside] - 1, x1[inside], y1[inside], crops)
        kept = torch.from_numpy(inside)
        return torch.from_numpy(crops), boxes[kept], which[kept]

    def _passed(self, network: nn.Module, crops: torch.Tensor, batch: int = 64) -> list[torch.Tensor]:
        import torch

        parts = [network(part.to(self._device, memory_format=torch.channels_last)) for part in crops.split(batch)]
        return [torch.cat(output).cpu() for output in zip(*parts, strict=True)]

    def _scan(self, images: np.ndarray, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
        """P-net over one level of the pyramid: shifts of the boxes (n, 4, ...) and probabilities of a face (n, ...)."""
        import torch

        net = self._proposals
        level = np.empty((len(images), 3, rows, columns), np.float32)
        shrink(images, level)
        pooled = np.empty((len(images), len(self._first[1]), (rows - 1) // 2, (columns - 1) // 2), np.float32)
        first_layer(level, *self._first, pooled)
        x = torch.from_numpy(pooled).to(self._device)
        x = net.prelu3(net.conv3(net.prelu2(net.conv2(x))))
        return net.conv4_2(x).cpu(), _face(net.conv4_1(x)).cpu()


def _face(logits: torch.Tensor) -> torch.Tensor:
    """Softmax of two classes, the second of them: a sigmoid."""
    return (logits[:, 1] - logits[:, 0]).sigmoid()

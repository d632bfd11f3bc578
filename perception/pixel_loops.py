"""Loops over pixels in which perception spends its time: means over bins and P-net's first layer for MTCNN, luma for FER.

torch's operators for the first two (adaptive average pooling; convolution, then PReLU, then max pooling with indices) take
two thirds of MTCNN's time on a CPU; the results here are theirs, up to the rounding of sums in another order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from perception.compiled import compiled


@compiled
def mean_bins(image: Any, left: int, top: int, width: int, height: int, out: Any) -> None:
    """Resize a region by taking means, and normalise as MTCNN's networks expect.

    Bin i of n over a side of s pixels is [floor(i s / n), ceil((i + 1) s / n)), as in torch's adaptive average pooling.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8
    left, top, width, height : int
        The region [px], inside the image.
    out : ndarray, shape (3, rows, columns), float32
        Filled with (mean - 127.5) / 128.
    """
    rows, columns = out.shape[1], out.shape[2]
    first, last, share = np.empty(columns, np.int32), np.empty(columns, np.int32), np.empty(columns, np.float32)
    for j in range(columns):
        first[j], last[j] = j * width // columns, -(-(j + 1) * width // columns)
        share[j] = np.float32(0.0078125) / np.float32(last[j] - first[j])
    sums, upto = np.empty(3 * width, np.int32), np.zeros(3 * (width + 1), np.int64)
    for i in range(rows):
        y0, y1 = i * height // rows, -(-(i + 1) * height // rows)
        sums[:] = 0
        for y in range(y0, y1):
            line = image[top + y, left : left + width].reshape(3 * width)
            for x in range(3 * width):
                sums[x] += line[x]
        for x in range(3 * width):
            upto[x + 3] = upto[x] + sums[x]
        level = np.float32(1.0) / np.float32(y1 - y0)
        for j in range(columns):
            scale = share[j] * level
            for c in range(3):
                total = upto[3 * last[j] + c] - upto[3 * first[j] + c]
                out[c, i, j] = np.float32(total) * scale - np.float32(0.99609375)  # 127.5 / 128


@compiled
def luma(image: Any, out: Any) -> None:
    """OpenCV's 8-bit luma of an RGB image (h, w, 3): ``(9798 R + 19235 G + 3735 B + 2^14) >> 15``, to ``out`` (h, w), uint8."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            total = np.uint32(9798) * image[y, x, 0] + np.uint32(19235) * image[y, x, 1] + np.uint32(3735) * image[y, x, 2]
            out[y, x] = (total + np.uint32(1 << 14)) >> np.uint32(15)


@compiled
def shrink(images: Any, out: Any) -> None:
    """Whole images (n, h, w, 3) to one level of the pyramid (n, 3, rows, columns)."""
    for k in range(len(images)):
        mean_bins(images[k], 0, 0, images.shape[2], images.shape[1], out[k])


@compiled
def cut(images: Any, which: Any, x0: Any, y0: Any, x1: Any, y1: Any, out: Any) -> None:
    """Region k, from pixel (x0, y0) up to but without (x1, y1), of image ``which[k]`` to ``out[k]`` (3, rows, columns)."""
    for k in range(len(which)):
        mean_bins(images[which[k]], x0[k], y0[k], x1[k] - x0[k], y1[k] - y0[k], out[k])


@compiled
def first_layer(x: Any, weight: Any, bias: Any, slope: Any, out: Any) -> None:
    """Convolution of 3 x 3 over three channels, PReLU, and the largest of 2 x 2 (at a ragged edge: of what is there).

    Parameters
    ----------
    x : ndarray, shape (n, 3, h, w), float32
    weight, bias, slope : ndarray, shapes (k, 3, 3, 3), (k,), (k,), float32
    out : ndarray, shape (n, k, ceil((h - 2) / 2), ceil((w - 2) / 2)), float32
        Filled.
    """
    rows, columns = x.shape[2] - 2, x.shape[3] - 2
    upper, lower = np.empty(columns + 1, np.float32), np.empty(columns + 1, np.float32)
    for i in range(len(x)):
        for k in range(out.shape[1]):
            for r in range(out.shape[2]):
                for half in range(2):
                    y = 2 * r + half
                    if y == rows:
                        lower[:] = upper
                        continue
                    line = lower if half else upper
                    for j in range(columns):
                        s = bias[k]
                        for c in range(3):
                            for dy in range(3):
                                for dx in range(3):
                                    s += weight[k, c, dy, dx] * x[i, c, y + dy, j + dx]
                        line[j] = s if s > 0 else s * slope[k]
                    line[columns] = line[columns - 1]
                for j in range(out.shape[3]):
                    out[i, k, r, j] = max(max(upper[2 * j], upper[2 * j + 1]), max(lower[2 * j], lower[2 * j + 1]))

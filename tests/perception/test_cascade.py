"""The faster cascade is facenet-pytorch's: the same bins, the same first layer, the same boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import adaptive_avg_pool2d

from perception.cascade import Cascade
from perception.image_io import decode_image
from perception.pixel_loops import first_layer, mean_bins


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 50), st.integers(1, 50), st.integers(0, 2**31))
def test_means_over_bins_are_those_of_torchs_adaptive_pooling_at_any_size_up_or_down(height, width, rows, columns, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height + 5, width + 3, 3), dtype=np.uint8)
    out = np.empty((3, rows, columns), np.float32)
    mean_bins(image, 2, 4, width, height, out)
    region = torch.from_numpy(image[4:4 + height, 2:2 + width].astype(np.float32)).permute(2, 0, 1)
    expected = (adaptive_avg_pool2d(region, (rows, columns)) - 127.5) * 0.0078125
    np.testing.assert_allclose(out, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("size", [(12, 12), (13, 12), (25, 38), (14, 15)])
def test_the_first_layer_with_its_pooling_equals_torchs(cascade, size):
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    net = cascade._proposals
    with torch.inference_mode():
        expected = net.pool1(net.prelu1(net.conv1(x))).numpy()
        out = np.empty_like(expected)
        first_layer(x.numpy(), *cascade._first, out)
        np.testing.assert_allclose(out, expected, atol=1e-5)


def test_boxes_landmarks_and_scores_of_6_portraits_and_a_group_equal_the_librarys_within_a_thousandth(
    portraits, test_data, cascade
):
    from facenet_pytorch import MTCNN

    library = MTCNN(keep_all=True, min_face_size=24)
    files = [*portraits[:6], test_data / "facenet_pytorch_test" / "multiface.jpg"]
    faces = 0
    for pixels in (decode_image(file).pixels for file in files):
        boxes, score, landmarks = library.detect(pixels, landmarks=True)
        ((own_boxes, own_score, own_landmarks),) = cascade.detect(pixels[None], 24.0, (0.6, 0.7, 0.7))
        if boxes is None:
            assert len(own_boxes) == 0
            continue
        a, b = np.argsort(boxes[:, 0]), np.argsort(own_boxes[:, 0])
        np.testing.assert_allclose(own_boxes[b], boxes[a].astype(float), atol=1e-3)
        np.testing.assert_allclose(own_landmarks[b], landmarks[a].astype(float), atol=1e-3)
        np.testing.assert_allclose(own_score[b], score[a].astype(float), atol=1e-5)
        faces += len(boxes)
    assert faces >= 11


def test_an_image_smaller_than_a_cell_has_no_face(cascade):
    ((boxes, score, landmarks),) = cascade.detect(np.zeros((1, 20, 11, 3), np.uint8), 20.0, (0.6, 0.7, 0.7))
    assert (boxes.shape, score.shape, landmarks.shape) == ((0, 4), (0,), (0, 5, 2))

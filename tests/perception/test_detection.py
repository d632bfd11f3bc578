"""MTCNN finds what it should, batched as unbatched, and survives images that upset it."""

from __future__ import annotations

import numpy as np
import pytest

from perception.detection import Detections, FaceDetector
from perception.image_io import DecodedImage, decode_image


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def pixels(path) -> np.ndarray:
    decoded = decode_image(path)
    assert isinstance(decoded, DecodedImage)
    return decoded.pixels


def test_at_least_99_percent_of_120_grey_portraits_of_92_by_112_pixels_have_one_face(test_data, detector):
    images = [pixels(test_data / "att_faces" / f"s{person}" / f"{k}.pgm") for person in range(1, 41) for k in (1, 5, 9)]
    found = [len(faces) for faces in detector.detect(images)]
    assert np.mean([n >= 1 for n in found]) >= 0.99
    assert np.mean([n > 1 for n in found]) <= 0.02


def test_a_mixed_batch_gives_the_boxes_of_each_image_alone_within_a_thousandth_of_a_pixel(portraits, test_data, detector):
    group = pixels(test_data / "facenet_pytorch_test" / "multiface.jpg")
    images = [pixels(p) for p in portraits[:12]] + [group, np.full((112, 92, 3), 128, np.uint8), pixels(portraits[20])]
    together = detector.detect(images)
    for image, faces in zip(images, together, strict=True):
        alone = detector.detect([image])[0]
        assert len(alone) == len(faces)
        np.testing.assert_allclose(faces.boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(faces.landmarks, alone.landmarks, atol=1e-3)
        np.testing.assert_allclose(faces.score, alone.score, atol=1e-5)
    assert len(together[12]) == 6 and len(together[13]) == 0


def test_the_six_faces_of_a_group_come_largest_first_with_landmarks_inside_their_boxes(test_data, detector):
    faces = detector.detect([pixels(test_data / "facenet_pytorch_test" / "multiface.jpg")])[0]
    area = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(1)
    assert len(faces) == 6 and (np.diff(area) <= 0).all() and (faces.score > 0.9).all()
    for box, points in zip(faces.boxes, faces.landmarks, strict=True):
        assert ((points >= box[:2] - 2) & (points <= box[2:] + 2)).all()
        assert points[0, 0] < points[1, 0] and points[0, 1] < points[3, 1]  # left eye, right eye, mouth below


def test_images_without_a_face_of_awkward_shapes_give_none_and_no_exception(detector):
    generator = np.random.default_rng(0)
    shapes = [(32, 32), (32, 900), (900, 32), (200, 200), (200, 200)]
    images = [np.zeros((*shapes[0], 3), np.uint8), *(generator.integers(0, 256, (*s, 3), dtype=np.uint8) for s in shapes[1:])]
    assert [len(faces) for faces in detector.detect(images)] == [0, 0, 0, 0, 0]
    assert detector.detect([]) == []


def test_the_second_look_finds_tightly_cropped_masked_faces_that_the_first_misses(test_data):
    files = sorted((test_data / "mask_chandrika" / "with_mask").iterdir())[::30]
    images = [decoded.pixels for decoded in map(decode_image, files) if isinstance(decoded, DecodedImage)]
    once = sum(len(faces) > 0 for faces in FaceDetector(second_look=False).detect(images))
    twice = sum(len(faces) > 0 for faces in FaceDetector().detect(images))
    assert len(images) >= 28 and twice >= once + 3 and twice / len(images) >= 0.70


def test_mountains_masks_and_plots_have_no_face(test_data, detector):
    names = ("if_mask_black.jpg", "if_mask_white.jpg", "pf_free-mountain-vector-01.jpg", "rf_Widerface.jpg")
    images = [pixels(test_data / "detect_group" / name) for name in names]
    assert sum(len(faces) for faces in detector.detect(images)) == 0


def test_boxes_stay_inside_the_image_and_ties_keep_their_order(detector):
    from perception.detection import _tidy

    raw = (np.array([[-5.0, -5, 20, 20], [10, 10, 35, 35], [50, 50, 53, 90]]), np.array([0.8, 0.9, 0.99]), np.zeros((3, 5, 2)))
    tidy = _tidy(raw, 0, 60, 60)
    np.testing.assert_array_equal(tidy.boxes, np.array([[10, 10, 35, 35], [0, 0, 20, 20]], np.float32))
    assert len(Detections.none()) == 0 and Detections.none().landmarks.shape == (0, 5, 2)

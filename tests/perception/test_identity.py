"""Embeddings are facenet-pytorch's; recognition is open-set at a calibrated false match rate."""

from __future__ import annotations

import numpy as np
import pytest

from perception.errors import GalleryError, InputError
from perception.identity import FaceEmbedder, face_crop
from perception.image_io import decode_image
from perception.recognition import (
    DEFAULT_THRESHOLD,
    MASK_OFFSET,
    EnrolledGallery,
    Thresholds,
    calibrate,
    impostor_threshold,
)


def unit(*numbers: float) -> np.ndarray:
    vector = np.zeros(512, np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


def test_the_score_is_the_mean_of_the_three_largest_cosines():
    enrolled = np.stack([unit(1, 0), unit(0.8, 0.6), unit(0.6, 0.8), unit(0, 1)])
    gallery = EnrolledGallery({"ann": enrolled, "bob": np.stack([unit(0, 0, 1)])})
    scores = gallery.scores(np.stack([unit(1, 0)]))
    np.testing.assert_allclose(scores, [[(1 + 0.8 + 0.6) / 3, 0.0]], atol=1e-6)
    np.testing.assert_allclose(EnrolledGallery({"ann": enrolled}, top=1).scores(np.stack([unit(1, 0)])), [[1.0]], atol=1e-6)


def test_an_enrolled_face_does_not_vouch_for_itself():
    gallery = EnrolledGallery({"ann": np.stack([unit(1, 0), unit(0.6, 0.8)]), "bob": np.stack([unit(0, 0, 1)])})
    scores = gallery.scores(np.stack([unit(1, 0), unit(0, 0, 1)]), leave_out=[0, 2])
    np.testing.assert_allclose(scores, [[0.6, 0.0], [0.0, -np.inf]], atol=1e-6)


def test_a_threshold_lets_at_most_the_stated_share_of_impostors_pass():
    impostors = np.random.default_rng(0).normal(0.1, 0.12, 20_000)
    for fmr in (0.1, 0.01, 0.001):
        passed = (impostors >= impostor_threshold(impostors, fmr)).mean()
        assert passed <= fmr and passed > 0.9 * fmr
    # 10 comparisons cannot show a rate of 1 in 1000: the default, or the largest impostor, whichever is stricter
    assert impostor_threshold(np.full(10, 0.2), 1e-3) == pytest.approx(DEFAULT_THRESHOLD)
    assert impostor_threshold(np.full(10, 0.7), 1e-3) > 0.7


def test_masked_probes_are_held_to_half_the_rate_or_to_a_stated_offset():
    impostors = np.random.default_rng(1).normal(0.1, 0.12, 20_000)
    measured = calibrate(impostors, impostors, fmr=0.01)
    assert measured.masked > measured.plain and measured.masked_comparisons == 20_000
    assert (impostors >= measured.masked).mean() <= 0.005
    stated = calibrate(impostors, np.empty(0), fmr=0.01)
    assert stated.masked == pytest.approx(stated.plain + MASK_OFFSET) and stated.masked_comparisons == 0
    with pytest.raises(GalleryError, match="fmr must lie between 0 and 1, got 1.5"):
        calibrate(impostors, impostors, fmr=1.5)


def test_decisions_need_the_threshold_and_the_lead():
    gallery = EnrolledGallery({"ann": np.stack([unit(1)]), "bob": np.stack([unit(0, 1)])})
    thresholds = Thresholds(plain=0.5, masked=0.7, margin=0.05)
    scores = np.array([[0.6, 0.2], [0.6, 0.58], [0.45, 0.1], [0.6, 0.2], [0.2, 0.9], [-np.inf, -np.inf], [-np.inf, 0.6]])
    masked = np.array([False, False, False, True, True, False, False])
    decisions = gallery.decide(scores, thresholds, masked)
    assert [match.person for match in decisions] == ["ann", None, None, None, "bob", None, "bob"]
    assert decisions[1].similarity == 0.6 and np.isnan(decisions[5].similarity)


def test_a_person_without_a_face_cannot_be_enrolled():
    with pytest.raises(GalleryError, match="at least one usable face"):
        EnrolledGallery({"ann": np.empty((0, 512), np.float32)})


@pytest.mark.parametrize("margin", [0, 32])
def test_the_crop_is_extract_face_of_facenet_pytorch_pixel_for_pixel(photograph, margin):
    from facenet_pytorch import extract_face
    from PIL import Image

    for box in ([10.7, 5.2, 60.3, 55.9], [-4.0, 3.0, 30.0, 58.0], [0.0, 0.0, 80.0, 60.0]):
        theirs = extract_face(Image.fromarray(photograph), np.array(box), 160, margin).numpy()
        np.testing.assert_array_equal(face_crop(photograph, box, margin), theirs.transpose(1, 2, 0).astype(np.uint8))


@pytest.fixture(scope="module")
def crops(portraits):
    images = [decode_image(path).pixels for path in portraits[:6]]
    return np.stack([face_crop(image, (8, 20, 84, 108)) for image in images])


@pytest.fixture(scope="module")
def embedder(facenet_weights):
    return FaceEmbedder(facenet_weights)


def test_embeddings_are_unit_length_equal_facenet_pytorchs_and_do_not_depend_on_the_batch(embedder, crops):
    import torch
    from facenet_pytorch import fixed_image_standardization

    embeddings, pooled = embedder.embed(crops)
    assert embeddings.shape == (6, 512) and pooled.shape == (6, 896)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
    network = embedder.network
    with torch.inference_mode():
        x = fixed_image_standardization(torch.from_numpy(crops[2].copy()).permute(2, 0, 1).float())[None]
        np.testing.assert_allclose(network(x)[0].numpy(), embeddings[2], atol=1e-4)
        stages = ("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "conv2d_4b", "repeat_1", "mixed_6a")
        for stage in stages:
            x = getattr(network, stage)(x)
    np.testing.assert_allclose(x.mean((2, 3))[0].numpy(), pooled[2], atol=1e-4)
    assert not network.mixed_6a._forward_hooks  # nothing is left behind on the network


def test_bfloat16_moves_an_embedding_by_less_than_a_thousandth_in_cosine_alone_as_in_a_batch(embedder, facenet_weights, crops):
    exact, pooled = embedder.embed(crops)
    short = FaceEmbedder(facenet_weights, precision="bfloat16")
    rounded, rounded_pooled = short.embed(crops)
    distance = 1 - (exact * rounded).sum(1)
    assert short.precision == "bfloat16" and (distance < 1e-3).all() and (distance > 1e-6).all()
    np.testing.assert_allclose(np.linalg.norm(rounded, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(rounded_pooled, pooled, atol=0.02)
    np.testing.assert_allclose(short.embed(crops[2:3])[0], rounded[2:3], atol=1e-5)


def test_another_precision_is_named(facenet_weights):
    with pytest.raises(InputError, match="precision=half is not known; use one of auto, float32, bfloat16"):
        FaceEmbedder(facenet_weights, precision="half")

"""The pipeline: independent of batch composition, unmoved by bad images, typed and frozen."""

from __future__ import annotations

import numpy as np
import pytest

from perception.features import EMOTION_COLUMNS, EMOTIONS, validate


def test_results_do_not_depend_on_the_company_an_image_is_in(pipeline, portraits, test_data):
    group = test_data / "facenet_pytorch_test" / "multiface.jpg"
    together = pipeline.perceive([portraits[0], group, portraits[13], portraits[27]])
    for result in together:
        alone = pipeline.perceive([result.image])[0]
        assert len(alone.faces) == len(result.faces) > 0
        for a, b in zip(result.faces, alone.faces, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=1e-3)
            np.testing.assert_allclose(a.emotions, b.emotions, atol=1e-4)
            np.testing.assert_allclose(a.embedding, b.embedding, atol=1e-4)
            assert a.mask_probability == pytest.approx(b.mask_probability, abs=1e-4)


def test_twenty_images_of_which_five_are_bad_give_twenty_results_in_order(pipeline, portraits, photograph, tmp_path):
    (tmp_path / "empty.png").touch()
    bad = [tmp_path / "empty.png", tmp_path / "absent.png", b"no image", np.zeros((4, 4, 3), np.uint8), photograph]
    sources = [item for four in range(5) for item in (*portraits[3 * four:3 * four + 3], bad[four])]
    names = [f"i{k}" for k in range(20)]
    results = pipeline.perceive(sources, names)
    assert [r.image for r in results] == names
    assert [r.status for r in results[3::4]] == ["unusable"] * 4 + ["no_face"]
    assert [r.status for r in results].count("face") == 15
    frame = pipeline.features(sources[:8], names[:8])
    validate(frame)
    assert frame["embedding"].isna().all() and frame["reason"].tolist()[3] == "empty file"
    assert np.allclose(frame.loc[frame["status"] == "face", list(EMOTION_COLUMNS)].sum(axis=1), 1.0, atol=1e-4)


def test_a_path_bytes_and_pixels_of_one_picture_give_the_same_face(pipeline, portraits):
    from perception.image_io import decode_image

    results = pipeline.perceive([portraits[4], portraits[4].read_bytes(), decode_image(portraits[4]).pixels])
    boxes = np.array([r.faces[0].box for r in results])
    np.testing.assert_allclose(boxes, boxes[[0, 0, 0]], atol=1e-3)
    assert [r.image for r in results] == [str(portraits[4]), "1", "2"]


def test_records_are_frozen_and_offer_the_derived_views(pipeline, portraits):
    face = pipeline.perceive([portraits[0]])[0].faces[0]
    with pytest.raises(AttributeError):
        face.score = 0.0
    assert face.six_emotions.sum() == pytest.approx(1.0) and face.emotions.shape == (len(EMOTIONS),)
    assert not face.masked and 0.0 <= face.emotion_confidence <= 1.0


def test_without_facenet_detection_and_emotion_still_work(blind_pipeline, portraits):
    result = blind_pipeline.perceive([portraits[0]])[0]
    assert result.status == "face" and result.faces[0].mask_probability is None and result.faces[0].embedding is None
    assert result.faces[0].emotions.sum() == pytest.approx(1.0, abs=1e-5)


def test_names_must_match_images(blind_pipeline):
    with pytest.raises(ValueError, match="2 images but 1 names"):
        blind_pipeline.perceive([b"a", b"b"], ["a"])

"""The combined head: a known optimum, a file that survives, and 13 points more than fer on people that it never saw."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from perception.emotion_head import (
    INPUT_SIZE,
    SHIPPED_HEAD,
    EmotionHead,
    LinearClassifier,
    fit_discriminant,
    fit_temperature,
    head_input,
    softmax,
)
from perception.emotion_training import Examples, fit, fold_of, person_groups, score
from perception.errors import InputError, WeightsError
from perception.features import EMOTIONS, valence_arousal
from perception.train_emotion import main, person_of, read_manifest


def two_blocks(seed: int, n: int = 700, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    emotion = np.arange(n) % 7
    return generator.normal(size=(n, 9)) + 2.0 * np.eye(7, 9)[emotion] + shift, emotion


def test_without_shrinkage_the_discriminant_is_fishers_closed_form():
    x, emotion = two_blocks(0)
    fitted = fit_discriminant(x, emotion, np.zeros(700, int), shrinkage=1e-12, blocks=(9,))
    means = np.stack([x[emotion == c].mean(0) for c in range(7)])
    within = np.cov((x - means[emotion]).T, bias=True)
    expected = x @ np.linalg.solve(within, means.T) - 0.5 * (means * np.linalg.solve(within, means.T).T).sum(1)
    np.testing.assert_allclose(softmax(fitted.logits(x)), softmax(expected), atol=2e-4)


def test_a_class_that_is_frequent_in_another_domain_does_not_take_on_its_look():
    x, emotion = two_blocks(1)
    drawn, drawn_emotion = two_blocks(2, shift=5.0)
    chosen = (drawn_emotion == 2) | (np.arange(700) % 10 == 0)  # drawings: mostly fear, shifted by 5 in every direction
    both = fit_discriminant(np.vstack([x, drawn[chosen]]), np.append(emotion, drawn_emotion[chosen]),
                            np.repeat([0, 1], [700, chosen.sum()]), shrinkage=0.01, blocks=(9,))
    alone = fit_discriminant(x, emotion, np.zeros(700, int), shrinkage=0.01, blocks=(9,))
    test, truth = two_blocks(3)
    said, before = both.logits(test).argmax(1), alone.logits(test).argmax(1)
    assert (said == truth).mean() > (before == truth).mean() - 0.03
    assert abs((said == 2).mean() - 1 / 7) < 0.04


def test_a_class_without_a_face_cannot_be_learned():
    with pytest.raises(ValueError, match="none of fear, neutral"):
        fit_discriminant(np.ones((10, 9)), np.tile([0, 1, 3, 4, 5], 2), np.zeros(10, int), blocks=(9,))


def test_the_temperature_that_was_multiplied_in_is_found_again():
    generator = np.random.default_rng(4)
    logits = generator.normal(size=(20_000, 7)) * 2.0
    emotion = (softmax(logits).cumsum(1) > generator.random((20_000, 1))).argmax(1)
    assert fit_temperature(3.0 * logits, emotion) == pytest.approx(3.0, rel=0.08)


def test_a_mask_mixes_the_two_answers_in_proportion():
    bare, masked = (LinearClassifier(np.zeros((INPUT_SIZE, 7), np.float32), np.log(np.array(p, np.float32)))
                    for p in ([0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4]))
    p = EmotionHead(bare, masked).probability(np.zeros((3, INPUT_SIZE)), np.array([0.0, 0.25, 1.0]))
    np.testing.assert_allclose(p[:, 0], [0.4, 0.325, 0.1], atol=1e-6)
    np.testing.assert_allclose(p[:, 6], [0.1, 0.175, 0.4], atol=1e-6)


def test_the_share_of_fer_adds_its_log_probabilities():
    flat = LinearClassifier(np.zeros((INPUT_SIZE, 7), np.float32), np.zeros(7, np.float32)).with_fer(0.5)
    logits = np.random.default_rng(5).normal(size=(4, 7))
    x = head_input(np.ones((4, 128)), logits + 100.0, np.ones((4, 896)))
    np.testing.assert_allclose(flat.logits(x), 0.5 * np.log(softmax(logits)), atol=1e-6)


def test_the_shipped_head_survives_its_file_and_states_its_gain(tmp_path):
    head = EmotionHead.load()
    head.save(tmp_path / "head.safetensors")
    assert (tmp_path / "head.safetensors").read_bytes() == SHIPPED_HEAD.read_bytes()
    assert SHIPPED_HEAD.stat().st_size < 100_000
    for part, least in (("bare", 0.10), ("masked", 0.10)):
        about = head.provenance[part]
        gain = about["held_out"]["balanced_accuracy"]["mean"] - about["fer"]["balanced_accuracy"]["mean"]
        assert gain >= least and about["held_out"]["balanced_accuracy"]["persons"] >= 1000
        assert about["held_out"]["log_loss"] < np.log(7) < about["fer"]["log_loss"]
    assert head.provenance["rendered_first"] != 20_000  # not the shipped block


@pytest.mark.parametrize("damage", ["cut", "shape", "nan", "format"])
def test_a_damaged_head_is_refused_with_its_name(tmp_path, damage):
    file = tmp_path / "head.safetensors"
    arrays = load(SHIPPED_HEAD.read_bytes())
    if damage == "shape":
        arrays["bare.coefficients"] = np.zeros((5, 7), np.float32)
    if damage == "nan":
        arrays["masked.intercept"] = np.full(7, np.nan, np.float32)
    content = save(arrays, {"about": json.dumps({"format": "other" if damage == "format" else "emotion-head-1"})})
    file.write_bytes(content[:500] if damage == "cut" else content)
    with pytest.raises(WeightsError, match="head.safetensors cannot be used"):
        EmotionHead.load(file)


def test_persons_who_look_alike_are_one_group_and_folds_keep_groups_together():
    embeddings = np.eye(4)[[0, 0, 1, 2, 2]]
    group = person_groups(np.array(["ann", "ann_lee", "bob", "cyd", "cyd"]), embeddings)
    assert group[0] == group[1] and group[3] == group[4] and len(set(group)) == 3
    fold = fold_of(np.repeat(np.arange(50), 3), seed=0)
    assert all(len(set(fold[3 * i:3 * i + 3])) == 1 for i in range(50)) and len(set(fold)) == 5


def test_the_score_of_a_hand_made_table():
    emotion = np.repeat([0, 3], [20, 80])
    p = np.full((100, 7), 0.05)
    p[np.arange(100), emotion] = 0.7
    p[:10] = p[-1]  # ten of twenty angry faces are called happy
    found = score(p, emotion, np.arange(100))
    assert found["balanced_accuracy"]["mean"] == 0.75 and found["recall"] == {"angry": 0.5, "happy": 1.0}
    assert found["log_loss"] == pytest.approx(-(0.75 * np.log(0.7) + 0.25 * np.log(0.05)), abs=1e-3)
    assert found["calibration_error"] == pytest.approx(0.05, abs=1e-3)


def test_pure_noise_is_read_at_chance_by_cross_validation():
    generator = np.random.default_rng(6)
    examples = Examples(generator.normal(size=(1, 420, INPUT_SIZE)), np.arange(420) % 7, np.arange(420) // 2)
    _, held_out, _ = fit(examples, None, rendered_weight=0.0, fer_share=0.0, shrinkage=1.0)
    assert abs(score(held_out[0], examples.emotion, examples.group)["balanced_accuracy"]["mean"] - 1 / 7) < 0.06


def test_names_give_persons_and_labels_give_classes(tmp_path):
    assert [person_of(n) for n in ("Ann_Lee_0003", "AnnLee_12", "ann-lee 7")] == ["annlee"] * 3
    (tmp_path / "m.csv").write_text("path,label,set\na/Ann_1.jpg,anger,x\na/Bob_2.jpg,contempt,x\nc.jpg,happy,y\n")
    files, emotion, person, strange = read_manifest(tmp_path / "m.csv", "x")
    assert files == [tmp_path / "a/Ann_1.jpg"] and EMOTIONS[emotion[0]] == "angry" and person[0] == "ann" and strange == 1
    with pytest.raises(InputError, match="no row with set 'z'"):
        read_manifest(tmp_path / "m.csv", "z")
    assert main([f"manifest={tmp_path / 'nowhere.csv'}", "out=x"]) == 2


def test_happiness_is_pleasant_anger_is_not_and_neutral_lies_at_the_origin():
    eye = valence_arousal(np.eye(7))
    assert eye[3, 0] > 0.6 and eye[0, 0] < -0.6 and eye[0, 1] > 0.4 and (eye[6] == 0).all()
    np.testing.assert_allclose(valence_arousal(np.full(7, 1 / 7)), eye.mean(0))

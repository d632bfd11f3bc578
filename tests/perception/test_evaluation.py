"""Evaluation's numbers against hand-worked and closed-form ones."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception.evaluation.bootstrap import bootstrap, codes, weighted_mean
from perception.evaluation.classes import calibration_error, confusion, evaluate_classes
from perception.evaluation.detection import evaluate_detection, match, overlap, size_name
from perception.evaluation.identification import evaluate_identification
from perception.evaluation.pairs import best_threshold, cross_calibrated, persons_of_pairs
from perception.evaluation.persons import deal, evaluate_persons
from perception.evaluation.verification import (
    Comparisons,
    RateCurve,
    all_pairs,
    at_fmr,
    equal_error_rate,
    rate_table,
    verify_all,
)


def comparisons(genuine: list[float], impostor: list[float]) -> Comparisons:
    """Every comparison between persons of its own."""
    n, g = len(genuine) + len(impostor), len(genuine)
    first = np.arange(n)
    second = np.r_[first[:g], first[g:] + len(impostor)]
    return Comparisons(np.array(genuine + impostor), np.arange(n) < g, first, second, np.zeros(n, int), np.full(n, None, object),
                       n + len(impostor))


def test_eer_of_three_genuine_and_four_impostor_scores_is_a_quarter():
    c = comparisons([0.9, 0.8, 0.4], [0.7, 0.3, 0.2, 0.1])
    curve = RateCurve(c)
    fmr, fnmr = curve.rates(np.ones(7))
    np.testing.assert_allclose(curve.thresholds, [np.inf, 0.9, 0.8, 0.7, 0.4, 0.3, 0.2, 0.1])
    np.testing.assert_allclose(fmr, [0, 0, 0, 0.25, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(fnmr, [1, 2 / 3, 1 / 3, 1 / 3, 0, 0, 0, 0], atol=1e-12)
    assert equal_error_rate(fmr, fnmr) == pytest.approx(0.25)
    # at an FMR of .25 the lowest threshold is .4, and no genuine pair is lost; below .25 one of three is
    assert curve.thresholds[at_fmr(fmr, 0.25)] == 0.4 and fnmr[at_fmr(fmr, 0.25)] == 0
    assert curve.thresholds[at_fmr(fmr, 0.2)] == 0.8 and fnmr[at_fmr(fmr, 0.2)] == pytest.approx(1 / 3)
    assert at_fmr(np.array([0.0, 1.0]), 0.5) == 0


def test_rates_at_a_half_of_three_genuine_and_four_impostor_scores_are_a_third_and_a_quarter():
    rows = rate_table(comparisons([0.9, 0.8, 0.4], [0.7, 0.3, 0.25, 0.1]), draws=50)
    assert [row["threshold"] for row in (rows[0], rows[30], rows[-1])] == [0.2, 0.5, 0.8] and len(rows) == 61
    assert (rows[30]["fmr"], rows[30]["fnmr"]) == (0.25, 0.333333) and rows[0]["fmr"] == 0.75 and rows[-1]["fmr"] == 0
    assert rows[5]["fmr"] == 0.75 and rows[6]["fmr"] == 0.5  # a score of .25 reaches .25


def test_two_normal_score_distributions_two_deviations_apart_have_an_eer_of_phi_of_minus_one():
    generator = np.random.default_rng(0)
    c = comparisons(list(generator.normal(2, 1, 100_000)), list(generator.normal(0, 1, 100_000)))
    curve = RateCurve(c)
    fmr, fnmr = curve.rates(np.ones(len(c.score)))
    assert equal_error_rate(fmr, fnmr) == pytest.approx(NormalDist().cdf(-1), abs=0.002)
    assert fnmr[at_fmr(fmr, 0.01)] == pytest.approx(NormalDist().cdf(NormalDist().inv_cdf(0.99) - 2), abs=0.005)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=20),
       st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, max_size=20), st.sampled_from([0.01, 0.1, 0.3]))
def test_no_operating_point_lets_more_impostors_pass_than_its_target_and_the_next_lower_score_would(genuine, impostor, target):
    c = comparisons(genuine, impostor)
    curve = RateCurve(c)
    fmr, fnmr = curve.rates(np.ones(len(c.score)))
    k = at_fmr(fmr, target)
    t = curve.thresholds[k]
    assert np.mean(np.array(impostor) >= t) <= target + 1e-9
    assert fnmr[k] == pytest.approx(np.mean(np.array(genuine) < t))
    if k + 1 < len(fmr):
        assert fmr[k + 1] > target
    assert 0 <= equal_error_rate(fmr, fnmr) <= 1


def test_a_rate_of_one_in_a_thousand_cannot_be_told_from_400_impostors_and_one_in_a_hundred_can():
    generator = np.random.default_rng(0)
    metrics, thresholds, _ = verify_all(comparisons(list(generator.normal(2, 1, 50)), list(generator.normal(0, 1, 400))), draws=50)
    assert metrics["tar_at_far_0.001"]["value"] is None and "fmr_0.001" not in thresholds
    assert 0.1 < metrics["tar_at_far_0.01"]["value"] < 0.9
    assert metrics["tar_at_far_0.01"]["value"] + metrics["fnmr_at_fmr_0.01"]["value"] == pytest.approx(1)


def test_masked_comparisons_and_groups_are_reported_at_the_common_threshold():
    c = comparisons([0.9, 0.8, 0.2], [0.1] * 120 + [0.5] * 2)
    c = Comparisons(c.score, c.genuine, c.first, c.second, np.where(c.score == 0.2, 2, np.where(c.score == 0.5, 2, 0)),
                    np.where(c.score > 0.15, "a", None).astype(object), c.persons)
    metrics, thresholds, _ = verify_all(c, draws=50)
    assert thresholds["fmr_0.01"] == 0.8  # with .5 accepted, two of 122 would pass
    assert metrics["mask/plain_plain/fnmr"]["value"] == 0 and metrics["mask/masked_masked/fnmr"]["value"] == 1
    assert metrics["mask/masked_masked/fmr"] | {"low": 0, "high": 0} == {"value": 0, "low": 0, "high": 0, "n": 2}
    assert metrics["group/a/fnmr"]["value"] == pytest.approx(1 / 3) and metrics["group/a/fnmr"]["n"] == 3


def test_all_pairs_of_two_people_with_three_and_two_images_are_four_genuine_and_six_impostor_ones():
    vectors = np.eye(512, dtype=np.float32)[[0, 0, 1, 2, 2]]
    c = all_pairs(vectors, np.array([0, 0, 0, 1, 1]), 2, np.zeros(5, bool), np.full(5, None, object))
    assert c.count() == {"genuine": 4, "impostor": 6}
    assert sorted(c.score[c.genuine]) == [0, 0, 1, 1] and not c.score[~c.genuine].any()
    many = np.repeat(vectors, 40, 0), np.repeat([0, 0, 0, 1, 1], 40)
    few = all_pairs(*many, 2, np.zeros(200, bool), np.full(200, None, object), limit=500)
    assert few.count() == {"genuine": 120 * 119 // 2 + 80 * 79 // 2, "impostor": 500}


def test_ten_people_whose_ten_images_agree_are_ten_trials_and_not_a_hundred():
    right = np.repeat(np.arange(10) < 6, 10).astype(float)
    by_image = bootstrap(lambda w: {"x": weighted_mean(right, w)}, 100, {})["x"]
    cluster, clusters = codes(np.repeat([f"p{k}" for k in range(10)], 10))
    by_person = bootstrap(lambda w: {"x": weighted_mean(right, w[cluster])}, clusters, {"x": 100})["x"]
    assert by_image["value"] == by_person["value"] == pytest.approx(0.6) and by_person["n"] == 100
    deviation = [(m["high"] - m["low"]) / (2 * 1.96) for m in (by_image, by_person)]
    assert deviation[0] == pytest.approx((0.24 / 100) ** 0.5, rel=0.15) and deviation[1] == pytest.approx((0.24 / 10) ** 0.5, rel=0.15)


def test_no_error_among_300_still_leaves_room_for_one_in_a_hundred():
    perfect = bootstrap(lambda w: {"error": weighted_mean(np.zeros(300), w)}, 300, {})["error"]
    assert perfect["value"] == 0 == perfect["low"] and perfect["high"] == pytest.approx(3.84 / 303.84, rel=1e-3)
    assert bootstrap(lambda w: {"x": 1.0}, 1, {})["x"] == {"value": 1.0, "low": None, "high": None, "n": 1}


def test_a_network_that_states_eighty_percent_and_is_right_in_six_of_ten_is_off_by_a_fifth():
    assert calibration_error(np.full(10, 0.8), np.arange(10) < 6, np.ones(10)) == pytest.approx(0.2)
    stated = np.r_[np.full(10, 0.8), np.full(30, 1.0)]
    assert calibration_error(stated, np.r_[np.arange(10) < 6, np.ones(30, bool)], np.ones(40)) == pytest.approx(0.05)


def test_precision_recall_f1_balanced_accuracy_and_failures_of_ten_faces():
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    p = np.array([0.9, 0.9, 0.9, 0.2, 0.8, 0.1, 0.1, 0.1, 0.1, np.nan])
    acquired = np.isfinite(p)
    metrics, table = evaluate_classes(truth, np.nan_to_num(np.stack([1 - p, p], 1)), ("plain", "masked"), np.arange(10), 10, acquired,
                                      np.array(["x"] * 5 + ["y"] * 5, object), draws=100, positive=1)
    value = {name: m["value"] for name, m in metrics.items()}
    assert table == {"labels": ["plain", "masked"], "counts": [[4, 1], [1, 3]]}
    assert value["precision"] == value["recall"] == value["f1"] == 0.75
    assert value["balanced_accuracy"] == pytest.approx((3 / 4 + 4 / 5) / 2) and value["accuracy"] == pytest.approx(7 / 9)
    assert value["accuracy_with_failures"] == 0.7 and value["failure_to_acquire"] == 0.1
    assert value["group/x/accuracy"] == 0.6 and value["group/y/accuracy"] == 1 and value["group/y/failure_to_acquire"] == 0.2
    assert confusion(np.array([0, 2]), np.array([2, 2]), 3).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 1]]


def test_two_boxes_on_one_face_are_one_hit_and_one_false_alarm():
    face = np.array([[0, 0, 100, 100.0], [300, 300, 320, 320]])
    found = np.array([[10, 0, 110, 100.0], [0, 0, 100, 100]])
    np.testing.assert_allclose(overlap(found, face), [[9000 / 11000, 0], [1, 0]])
    assert match(found, np.array([0.9, 0.8]), face).tolist() == [0, -1]
    metrics = evaluate_detection([(found, np.array([0.9, 0.8])), (np.empty((0, 4)), np.empty(0))],
                                 [(face, [True, False]), (face[:1], [None])], np.array(["a", "b"], object), draws=50)
    value = {name: m["value"] for name, m in metrics.items()}
    assert value["recall"] == pytest.approx(1 / 3) and value["precision"] == 0.5
    assert value["size/64-128px/recall"] == 0.5 and value["size/0-32px/recall"] == 0
    assert value["mask/masked/recall"] == 1 and value["mask/plain/recall"] == 0
    assert value["group/a/recall"] == 0.5 and value["group/b/recall"] == 0 and "group/b/precision" not in value
    assert [size_name(np.array([0, 0, s, s])) for s in (31, 32, 500)] == ["0-32px", "32-64px", "128px+"]


def noisy_people(persons: int, images: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings of random persons, their names, and the names of their images."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(persons, 512))
    vectors = np.repeat(centres, images, 0) + noise * generator.normal(size=(persons * images, 512))
    person = np.repeat([f"p{k:02d}" for k in range(persons)], images)
    return ((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), person,
            np.array([f"{p}/{k % images}.png" for k, p in enumerate(person)]))


def test_people_far_apart_are_all_found_by_every_strategy_and_random_vectors_by_chance():
    metrics = evaluate_identification(*noisy_people(8, 6, 0.5), draws=50)
    for name in ("rank1_leave_one_out", *(f"{s}/{m}" for s in ("top_mean", "centroid", "logistic") for m in ("rank1", "dir_at_fpir_0.1"))):
        assert metrics[name]["value"] == 1.0, name
    assert metrics["top_mean/rank1"]["n"] == 24 and metrics["rank1_leave_one_out"]["n"] == 48
    assert metrics["top_mean/dir_at_fpir_0.01"]["value"] is None  # 24 searches cannot show one in a hundred
    vectors, person, images = noisy_people(10, 10, 0.5, 1)
    strangers = np.random.default_rng(2).permutation(vectors)
    chance = evaluate_identification(strangers, person, images, draws=50)
    assert chance["top_mean/rank1"]["value"] < 0.3 and chance["top_mean/dir_at_fpir_0.1"]["value"] <= chance["top_mean/rank1"]["value"]
    with pytest.raises(InputError, match="two persons with two usable images"):
        evaluate_identification(vectors[:3], np.array(["a", "a", "b"]), images[:3])


def test_of_twenty_images_four_are_for_validation_and_separable_people_score_one():
    vectors, person, images = noisy_people(3, 25, 0.5)
    nothing = np.full(75, None, object)
    part = deal(images, person, nothing, 20, 0)
    assert [int((part == name).sum()) for name in ("training", "validation", "unused")] == [48, 12, 15]
    metrics, table = evaluate_persons(vectors, person, images, nothing, draws=50)
    assert metrics["validation/accuracy"]["value"] == 1.0 and metrics["validation/accuracy"]["n"] == 12
    assert table[0] == {"person": "p00", "training_n": 16, "training_recall": 1.0, "training_precision": 1.0,
                        "validation_n": 4, "validation_recall": 1.0, "validation_precision": 1.0}
    said = np.array(["train", "test", "other"] * 25, object)
    with pytest.raises(InputError, match="must say train or validation, not 'other'"):
        evaluate_persons(vectors, person, images, said, draws=50)


def test_the_best_threshold_lies_midway_in_the_gap_and_folds_never_see_their_own_pairs():
    score, same = np.array([0.1, 0.2, 0.6, 0.7]), np.array([False, False, True, True])
    assert best_threshold(score, same) == pytest.approx(0.4)
    generator = np.random.default_rng(0)
    truth = np.arange(400) < 200
    noise = generator.normal(size=400)  # scores that say nothing: no better than chance on pairs not seen
    right, _ = cross_calibrated(noise, truth)
    assert 0.4 < right.mean() < 0.6
    right, threshold = cross_calibrated(np.where(truth, 0.8, 0.1) + 0.01 * noise, truth)
    assert right.all() and 0.15 < threshold < 0.75


def test_pictures_joined_by_same_pairs_are_one_person_and_a_contradiction_is_named():
    person = persons_of_pairs(["a", "b", "c"], ["b", "x", "d"], np.array([True, True, False]))
    assert person["a"] == person["b"] == person["x"] and len({person[k] for k in "acd"}) == 3
    with pytest.raises(InputError, match="a and x are said to differ"):
        persons_of_pairs(["a", "b", "a"], ["b", "x", "x"], np.array([True, True, False]))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_leaving_a_row_out_of_a_gallery_is_enrolling_without_it(seed):
    from perception.recognition import EnrolledGallery

    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(7, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    whole, less = {"a": vectors[:4], "b": vectors[4:]}, {"a": vectors[1:4], "b": vectors[4:]}
    for strategy in ("top_mean", "centroid"):
        np.testing.assert_allclose(EnrolledGallery(whole, strategy=strategy).scores(vectors[:1], [0]),
                                   EnrolledGallery(less, strategy=strategy).scores(vectors[:1]), atol=1e-6)


def test_the_logistic_strategy_gives_probabilities_and_a_lone_row_left_out_leaves_nothing():
    from perception.recognition import EnrolledGallery

    vectors, _, _ = noisy_people(3, 5, 0.5)
    gallery = EnrolledGallery({"a": vectors[:5], "b": vectors[5:10], "c": vectors[10:11]}, strategy="logistic")
    scores = gallery.scores(vectors[:11], leave_out=list(range(11)))
    assert (scores[:10].argmax(1) == np.repeat([0, 1], 5)).all() and ((scores[:10] >= 0) & (scores[:10] <= 1)).all()
    assert scores[10, 2] == -np.inf


def test_nothing_that_goes_to_json_is_nan(tmp_path):
    from perception.evaluation.report import Finding, as_json
    from perception.publish import publish_json

    c = comparisons([0.9], [0.1])
    metrics, thresholds, curve = verify_all(c, draws=50)
    finding = Finding("s", "identity", metrics=metrics, thresholds=thresholds, curve=curve.rates(np.ones(2)))
    publish_json(tmp_path / "e.json", as_json([finding, Finding("t", "none", note="why")], {"seed": 0}))
    content = json.loads((tmp_path / "e.json").read_text())
    assert content["findings"][0]["metrics"]["eer"]["value"] == 0.0 and content["findings"][1]["note"] == "why"
    assert Path(tmp_path / "e.json").stat().st_size < 3000

"""The mask head: a known optimum, honest intervals, and at least .97 on photographs that it never saw."""

from __future__ import annotations

import json

import numpy as np
import pytest

from perception.errors import InputError, WeightsError
from perception.mask import SHIPPED_HEAD, MaskHead, balanced_accuracy, fit_head, wilson


def test_wilsons_interval_of_8_in_10_is_the_published_one():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(10, 10)[1] == pytest.approx(1.0) and wilson(0, 0) == (0.0, 1.0)


def test_balanced_accuracy_of_a_hand_made_table():
    masked = np.array([True] * 10 + [False] * 90)
    probability = np.where(masked, 0.9, 0.1)
    probability[[0, 1]] = 0.2  # 8 of 10 found
    probability[10:19] = 0.8  # 81 of 90 left alone
    quality = balanced_accuracy(probability, masked)
    assert quality["mean"] == pytest.approx(0.85) and quality["recall_masked"] == 0.8 and quality["recall_plain"] == 0.9
    # half-widths: (.8 - .4902, .9 - .8208) in quadrature, halved
    assert quality["low"] == pytest.approx(0.85 - np.hypot(0.8 - 0.4902, 0.9 - wilson(81, 90)[0]) / 2, abs=1e-4)
    assert quality["low"] < 0.85 < quality["high"] < 1.0


def test_the_fit_is_the_penalised_optimum_and_classes_weigh_the_same():
    generator = np.random.default_rng(0)
    masked = np.arange(400) < 40  # one in ten
    pooled = generator.normal(size=(400, 5)) + masked[:, None] * np.array([2, -1, 0, 0, 0])
    head = fit_head(pooled, masked, penalty=3.0)
    z = (pooled - head.mean) / head.scale
    weight = np.where(masked, 5.0, 400 / 720)
    residual = weight * (1 / (1 + np.exp(-(z @ head.coefficients + head.intercept))) - masked)
    np.testing.assert_allclose(z.T @ residual + 3.0 * head.coefficients, 0, atol=1e-6)
    assert abs(residual.sum()) < 1e-6
    assert balanced_accuracy(head.probability(pooled), masked)["mean"] > 0.85


def test_one_class_cannot_be_learned():
    with pytest.raises(ValueError, match="with and without mask"):
        fit_head(np.ones((4, 3)), np.ones(4, dtype=bool))


def test_a_head_survives_its_file_to_seven_digits(tmp_path):
    generator = np.random.default_rng(0)
    head = MaskHead(generator.normal(size=896), generator.uniform(0.1, 2, 896), generator.normal(size=896), 0.5, {"n": 3})
    head.save(tmp_path / "head.json")
    back = MaskHead.load(tmp_path / "head.json")
    pooled = generator.normal(size=(9, 896))
    np.testing.assert_allclose(back.probability(pooled), head.probability(pooled), atol=1e-4)
    assert back.provenance == {"n": 3} and [p.name for p in tmp_path.iterdir()] == ["head.json"]


@pytest.mark.parametrize("change", [{"format": "other"}, {"scale": [0.0] * 896}, {"coefficients": [1.0] * 5},
                                    {"mean": ["x"] * 896}, {"intercept": float("nan")}])
def test_a_damaged_head_is_refused_with_its_name(tmp_path, change):
    content = json.loads(SHIPPED_HEAD.read_text()) | change
    (tmp_path / "head.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError, match="head.json cannot be used"):
        MaskHead.load(tmp_path / "head.json")


def test_the_shipped_head_states_its_training_set_and_at_least_97_percent_held_out():
    head = MaskHead.load()
    quality = head.provenance["balanced_accuracy_held_out"]
    assert head.provenance["training_set"] == "mask_chandrika" and quality["n"] >= 400
    assert quality["mean"] >= 0.97 and quality["low"] >= 0.95
    assert SHIPPED_HEAD.stat().st_size < 60_000


def test_the_shipped_head_reads_at_least_93_percent_of_60_photographs_of_its_held_out_split(pipeline, test_data):
    from perception.train_mask import collect

    files, masked, duplicates = collect(test_data / "mask_chandrika")
    held_out = np.random.default_rng(0).permutation(len(files)) < round(0.3 * len(files))
    assert duplicates == MaskHead.load().provenance["duplicates_left_out"]
    chosen = [i for flag in (True, False) for i in np.flatnonzero(held_out & (masked == flag))[:30]]
    results = pipeline.perceive([files[i] for i in chosen])
    pairs = [(r.faces[0].mask_probability, masked[i]) for r, i in zip(results, chosen, strict=True) if r.faces]
    assert len(pairs) >= 45
    assert balanced_accuracy(*map(np.array, zip(*pairs, strict=True)))["mean"] >= 0.93


def test_collecting_wants_both_folders_and_drops_copies_and_contradictions(tmp_path):
    from perception.train_mask import collect

    for name, content in (("with_mask/a.png", b"1"), ("with_mask/b.png", b"1"), ("with_mask/c.png", b"2"),
                          ("without_mask/d.png", b"3"), ("without_mask/e.png", b"2")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    files, masked, duplicates = collect(tmp_path)
    assert [f.name for f in files] == ["a.png", "d.png"] and masked.tolist() == [True, False] and duplicates == 3
    with pytest.raises(InputError, match="there is no folder"):
        collect(tmp_path / "with_mask")


def test_training_on_40_photographs_writes_a_head_and_prints_its_interval(facenet_weights, test_data, tmp_path, capsys):
    from perception.train_mask import main

    for name in ("with_mask", "without_mask"):
        (tmp_path / name).mkdir()
        for k, file in enumerate(sorted((test_data / "mask_chandrika" / name).glob("*.jpg"))[100:120]):
            (tmp_path / name / f"{k}.jpg").write_bytes(file.read_bytes())
    code = main([f"images={tmp_path}", f"out={tmp_path}/head.json", f"weights={facenet_weights}", "augment=false", "name=tiny"])
    out = capsys.readouterr().out
    assert code == 0 and "balanced accuracy" in out and "[" in out and "no face found in" in out
    head = MaskHead.load(tmp_path / "head.json")
    faces = head.provenance["faces_trained"], head.provenance["faces_held_out"], head.provenance["failures_to_acquire"]
    assert sum(sum(count.values()) for count in faces) + head.provenance["duplicates_left_out"] == 40
    assert head.provenance["balanced_accuracy_held_out"]["mean"] > 0.5
    listed = (tmp_path / "head.held_out.csv").read_text().splitlines()
    assert len(listed) == 1 + round(0.3 * (40 - head.provenance["duplicates_left_out"])) and listed[1].startswith("with_mask/")


def test_the_held_out_photographs_are_listed_as_a_manifest_that_evaluate_reads(tmp_path):
    from perception.evaluation.manifest import read_manifest, tasks_of
    from perception.train_mask import write_manifest

    files = [tmp_path / "photos" / kind / f"{k}, ü.jpg" for kind in ("with_mask", "without_mask") for k in range(2)]
    write_manifest(tmp_path / "photos" / "held_out.csv", files, np.array([True, True, False, False]))
    frame = read_manifest(tmp_path / "photos" / "held_out.csv")
    assert list(frame["path"]) == ["with_mask/0, ü.jpg", "with_mask/1, ü.jpg", "without_mask/0, ü.jpg", "without_mask/1, ü.jpg"]
    assert list(frame["mask"]) == [True, True, False, False] and tasks_of(frame) == ("mask",)

"""1:1 and 1:N decisions on portraits: the right answers, stated error rates, refusals, and a gate that gives reasons."""

from __future__ import annotations

import json

import numpy as np
import pytest

import perception.pipeline
from perception import identify, verify
from perception.errors import InputError
from perception.operating_point import operating_point, read_rates
from perception.quality import QualityLimits, assess
from perception.recognition import DEFAULT_MARGIN, calibrate, calibrated_margin
from perception.results import Face

RATES = {"set": "made up", "faces": 10, "persons": 5, "genuine": 100, "impostor": 1000, "rates": [
    {"threshold": t, "fmr": fmr, "fmr_low": None, "fmr_high": None, "fnmr": fnmr, "fnmr_low": fnmr / 2, "fnmr_high": fnmr * 2}
    for t, fmr, fnmr in ((0.4, 0.1, 0.01), (0.5, 0.01, 0.05), (0.6, 0.001, 0.2))]}


def test_the_lowest_threshold_of_a_false_match_rate_is_taken_and_rates_between_two_thresholds_are_the_worse_ones():
    assert operating_point(fmr=0.01, rates=RATES).threshold == 0.5 and operating_point(fmr=0.005, rates=RATES).threshold == 0.6
    point = operating_point(threshold=0.55, rates=RATES)
    assert (point.fmr, point.fnmr) == (0.01, 0.2)
    assert "0.2 [0.1, 0.4]" in point.sentence() and "10 pictures of 5 people (made up)" in point.sentence()
    with pytest.raises(InputError, match="lower than 1,000 comparisons can show"):
        operating_point(fmr=1e-4, rates=RATES)
    with pytest.raises(InputError, match="must lie between 0.4 and 0.6"):
        operating_point(threshold=0.9, rates=RATES)


def test_the_shipped_rates_fall_and_rise_as_they_must_and_hold_a_rate_of_one_in_a_thousand():
    content = read_rates()
    fmr, fnmr = (np.array([row[name] for row in content["rates"]]) for name in ("fmr", "fnmr"))
    assert (np.diff(fmr) <= 0).all() and (np.diff(fnmr) >= 0).all() and len(fmr) == 61
    for row in content["rates"]:
        assert row["fmr_low"] <= row["fmr"] <= row["fmr_high"] and row["fnmr_low"] <= row["fnmr"] <= row["fnmr_high"]
    point = operating_point(fmr=1e-3)
    assert 0.4 < point.threshold < 0.7 and point.fmr <= 1e-3 and content["impostor"] >= 100_000


def test_a_damaged_table_of_rates_is_named(tmp_path):
    for content in ("{}", "[", json.dumps(RATES | {"rates": RATES["rates"][::-1]})):
        (tmp_path / "r.json").write_text(content)
        with pytest.raises(InputError, match="r.json is no table of error rates"):
            read_rates(tmp_path / "r.json")


def test_a_calibrated_margin_costs_at_most_one_in_a_hundred_right_identifications():
    generator = np.random.default_rng(0)
    leads = generator.uniform(0.03, 0.5, 1000)
    margin = calibrated_margin(leads)
    assert 0.03 < margin < 0.04 and (leads < margin).mean() <= 0.01
    assert calibrated_margin(leads[:50]) == DEFAULT_MARGIN and calibrated_margin(leads + 1) == 2 * DEFAULT_MARGIN
    point = calibrate(generator.normal(0.1, 0.1, 5000), np.empty(0), 1e-2, None, np.full(400, 0.7), np.full(400, 0.02))
    assert point.margin == pytest.approx(0.02) and point.fnmr == 0.0 and point.genuine == 400
    assert point.measured_fmr == pytest.approx(0.01, abs=1e-3)


def landmarks(nose: float = 0.0, roll: float = 0.0) -> np.ndarray:
    points = np.array([[-20, -15], [20, -15], [nose * 40, 5], [-15, 22], [15, 22]], float)
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    return points @ np.array([[c, s], [-s, c]]) + 60


def at(points: np.ndarray, side: float = 100.0) -> Face:
    return Face((10.0, 10.0, 10.0 + side, 10.0 + side), 0.99, points, np.full(7, 1 / 7), None, None)


def test_the_gate_lets_a_sharp_frontal_face_pass_and_gives_each_fault_its_reason():
    from PIL import Image, ImageFilter

    blocks = np.random.default_rng(0).integers(0, 136, (12, 12))
    picture = np.repeat((np.kron(blocks, np.ones((10, 10), int)) + np.arange(120))[:, :, None], 3, 2).astype(np.uint8)  # edges on a slope
    assert assess(picture, at(landmarks())).good
    blurred = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(5)))
    covered = picture.copy()
    covered[60:] = 128
    faults = {
        "blurred": assess(blurred, at(landmarks())), "flat colour": assess(covered, at(landmarks())),
        "only 30 px": assess(picture, at(landmarks(), 30)), "turned away (nose 0.80": assess(picture, at(landmarks(0.8))),
        "tilted by 60 degrees": assess(picture, at(landmarks(0, 60))), "up or down": assess(picture, at(landmarks()[[3, 4, 2, 0, 1]])),
    }
    for words, quality in faults.items():
        assert any(words in reason for reason in quality.reasons), (words, quality)
    assert assess(picture, at(landmarks(0.2, 30))).yaw == pytest.approx(0.2) and assess(picture, at(landmarks(0.2, 30))).good
    assert assess(blurred, at(landmarks()), QualityLimits(min_sharpness=0.0)).good


def test_a_picture_of_nothing_is_flat_and_not_an_error():
    quality = assess(np.zeros((120, 120, 3), np.uint8), at(np.full((5, 2), 60.0)))
    assert quality.sharpness == 0.0 and quality.constant == 1.0 and not quality.good


@pytest.fixture
def loaded(monkeypatch, pipeline):
    """The commands use the pipeline that is loaded already."""
    monkeypatch.setattr(perception.pipeline, "FacePipeline", lambda weights, **_: pipeline)


def test_two_portraits_of_one_man_are_the_same_person_and_two_of_two_are_not(loaded, portraits, tmp_path, capsys, facenet_weights):
    answers = []
    for other in (portraits[1], portraits[10]):
        words = [f"a={portraits[0]}", f"b={other}", f"out={tmp_path}/v.json", f"weights={facenet_weights}"]
        assert verify.main(words) == 0
        answers.append(json.loads((tmp_path / "v.json").read_text()))
        text = capsys.readouterr().out
        assert "false match rate" in text and "false non-match rate" in text and "no authentication system" in text
        assert f"{answers[-1]['score']:.3f}" in text
    assert [a["decision"] for a in answers] == ["same", "different"]
    assert answers[0]["score"] > answers[0]["threshold"] > answers[1]["score"] and answers[0]["fmr"] <= 1e-3


def test_a_blurred_face_decides_nothing_unless_it_is_told_to(loaded, portraits, tmp_path, capsys, facenet_weights):
    from PIL import Image, ImageFilter

    with Image.open(portraits[0]) as picture:
        picture.filter(ImageFilter.GaussianBlur(2.5)).save(tmp_path / "blurred.png")
    words = [f"a={tmp_path}/blurred.png", f"b={portraits[0]}", f"weights={facenet_weights}"]
    assert verify.main(words) == 0
    assert "undecided: a: the face is blurred" in capsys.readouterr().out
    assert verify.main([*words, "quality=false"]) == 0
    assert "note: a: the face is blurred" in capsys.readouterr().out


def test_a_picture_without_a_face_or_that_cannot_be_read_is_exit_code_2(loaded, portraits, photograph, tmp_path, capsys, facenet_weights):
    from PIL import Image

    Image.fromarray(photograph).save(tmp_path / "wall.png")
    for bad, sentence in ((tmp_path / "wall.png", "no face was found in b="), (tmp_path / "none.png", "file not found")):
        assert verify.main([f"a={portraits[0]}", f"b={bad}", f"weights={facenet_weights}"]) == 2
        assert sentence in capsys.readouterr().err


@pytest.fixture
def customers(portraits, tmp_path):
    """Four people with four portraits each; the fifth person is a stranger."""
    for path in portraits[:40]:
        if int(path.stem) <= 4:
            (tmp_path / "gallery" / path.parent.name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "gallery" / path.parent.name / path.name).write_bytes(path.read_bytes())
    return tmp_path / "gallery"


def test_a_customer_is_named_a_stranger_is_unknown_and_the_operating_point_is_kept_without_embeddings(
        loaded, customers, portraits, tmp_path, capsys, facenet_weights):
    words = [f"gallery={customers}", "consent=true", f"cache={tmp_path}/c", f"weights={facenet_weights}", "progress=false"]
    found = []
    for image in (portraits[17], portraits[45]):  # the second man's eighth portrait, and one of the fifth man
        assert identify.main([*words, f"image={image}", f"out={tmp_path}/i.json"]) == 0
        found.append(json.loads((tmp_path / "i.json").read_text()))
        text = capsys.readouterr().out
        assert "no authentication system" in text and "with the right person left out" in text and "cannot show a rate of 0.001" in text
    assert [f["faces"][0]["person"] for f in found] == ["s2", None]
    assert "is below" in found[1]["faces"][0]["reasons"][0]
    point = found[0]["operating_point"]
    assert point["persons"] == 4 and point["masked"] > point["plain"] and point["strangers_accepted"] <= 1 and point["fnmr"] <= 0.2
    (stored,) = (tmp_path / "c" / "galleries").glob("*.operating_point.json")
    assert json.loads(stored.read_text()) == point
    assert identify.main([*words, f"image={portraits[17]}", "strategy=centroid", f"out={tmp_path}/i.json"]) == 0
    assert json.loads((tmp_path / "i.json").read_text())["faces"][0]["person"] == "s2"


def test_a_real_gallery_without_consent_and_an_unknown_strategy_are_refused(customers, portraits, capsys):
    assert identify.main([f"gallery={customers}", f"image={portraits[0]}"]) == 2
    assert "state their consent with consent=true" in capsys.readouterr().err
    assert identify.main([f"gallery={customers}", f"image={portraits[0]}", "consent=true", "strategy=best"]) == 2
    assert "strategy= must be one of top_mean, centroid, logistic" in capsys.readouterr().err


def test_the_operating_point_of_a_gallery_travels_in_its_parquet_file(tmp_path):
    from perception.features import read_features, write_features
    from perception.gallery import recognise
    from tests.perception.test_gallery import crowd

    table = recognise(*crowd(8, 10, 0.5))
    point = table.attrs["operating_point"]
    assert point["comparisons"] == 40 * 7 and point["fnmr"] == 0.0 and point["genuine"] == 40
    write_features(table, tmp_path / "t.parquet")
    assert read_features(tmp_path / "t.parquet").attrs["operating_point"] == point

"""The FaceFeatures table keeps its contract through a parquet file and refuses what breaks it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from perception.errors import CacheError, FeaturesError
from perception.features import (
    COLUMNS,
    EMOTION_COLUMNS,
    EMOTIONS,
    MASK_DISCOUNT,
    SIX_EMOTIONS,
    emotion_confidence,
    read_features,
    six_class_view,
    write_features,
)
from tests.perception.material import ROOT, empty_row, face_row


def test_a_table_of_three_rows_survives_the_round_trip_in_contract_order(tmp_path):
    frame = pd.DataFrame([face_row(), empty_row(), empty_row("c.png", "unusable", "empty file")])
    frame["camera_name"] = "door"
    write_features(frame[frame.columns[::-1]], tmp_path / "sub" / "f.parquet")
    back = read_features(tmp_path / "sub" / "f.parquet")
    assert tuple(back.columns[: len(COLUMNS)]) == COLUMNS and back.columns[-1] == "camera_name"
    assert back["status"].tolist() == ["face", "no_face", "unusable"]
    assert back["reason"].tolist() == [None, None, "empty file"]
    assert back["emotion_happy"].dtype == np.float32 and back["face"].tolist() == [0, -1, -1]
    assert back["embedding"][0].dtype == np.float32 and back["embedding"][0][0] == 1.0 and back["embedding"][1] is None
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["f.parquet"]


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"emotion_happy": 0.5}, "emotions must sum to 1"),
    ({"emotion_sad": np.nan}, "an emotion is missing"),
    ({"x1": 0.5}, "x0 < x1"),
    ({"y0": np.inf}, "a box side is missing or not finite"),
    ({"score": None}, "a score is missing"),
    ({"mask_probability": 1.5}, "mask_probability must lie in"),
    ({"status": "maybe"}, "status must be one of face, no_face, unusable"),
    ({"face": -1}, "face must be 0 or more"),
    ({"embedding": np.ones(512)}, "unit length"),
    ({"embedding": np.ones(4) / 2}, "an embedding must be 512 numbers"),
    ({"image": ""}, "image must be a non-empty path"),
])
def test_a_broken_face_row_is_refused_before_anything_is_written(tmp_path, changes, sentence):
    with pytest.raises(FeaturesError, match=sentence) as caught:
        write_features(pd.DataFrame([face_row("z.png"), face_row(**changes)]), tmp_path / "f.parquet")
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_mask_probability_may_be_null_in_all_face_rows_but_not_in_some(tmp_path):
    blind = pd.DataFrame([face_row(mask_probability=None), face_row("c.png", mask_probability=None)])
    write_features(blind, tmp_path / "f.parquet")
    assert read_features(tmp_path / "f.parquet")["mask_probability"].isna().all()
    with pytest.raises(FeaturesError, match="1 rows, first image 'a.png'"):
        write_features(pd.DataFrame([face_row(mask_probability=None), face_row("c.png")]), tmp_path / "f.parquet")


def test_a_face_listed_twice_is_refused(tmp_path):
    with pytest.raises(FeaturesError, match="image and face together must be unique"):
        write_features(pd.DataFrame([face_row(), face_row()]), tmp_path / "f.parquet")


def test_missing_file_wrong_file_and_missing_column_are_told_apart(tmp_path):
    with pytest.raises(FeaturesError, match="there is no feature table at"):
        read_features(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(FeaturesError, match="is not a readable parquet file"):
        read_features(tmp_path / "text.parquet")
    pd.DataFrame([face_row()]).drop(columns=["score", "y1"]).to_parquet(tmp_path / "less.parquet")
    with pytest.raises(FeaturesError, match="needs the columns y1, score"):
        read_features(tmp_path / "less.parquet")


def test_an_unwritable_place_is_an_error_of_the_environment(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="cannot write") as caught:
        write_features(pd.DataFrame([face_row()]), tmp_path / "file" / "f.parquet")
    assert caught.value.exit_code == 1


def test_an_empty_table_is_a_table(tmp_path):
    write_features(pd.DataFrame(columns=list(COLUMNS)), tmp_path / "f.parquet")
    assert len(read_features(tmp_path / "f.parquet")) == 0


def test_gallery_columns_keep_their_nulls(tmp_path):
    frame = pd.DataFrame([face_row(person="p1", role="enrol", true_emotion=None, true_mask=True, identity="p1"),
                          face_row("b.png", person="p2", role="camera", true_emotion="sad", true_mask=None)])
    write_features(frame, tmp_path / "f.parquet")
    back = read_features(tmp_path / "f.parquet")
    assert back["true_mask"].tolist() == [True, None] and back["true_emotion"].tolist() == [None, "sad"]
    assert back["identity"].tolist() == ["p1", None]


def test_the_six_class_view_of_pure_emotions_keeps_five_and_sends_two_to_confused():
    view = six_class_view(np.eye(7))
    names = [SIX_EMOTIONS[i] for i in view.argmax(1)]
    assert dict(zip(EMOTIONS, names, strict=True)) == {
        "angry": "angry", "disgust": "confused", "fear": "confused", "happy": "happy", "sad": "sad",
        "surprise": "surprised", "neutral": "natural"}
    np.testing.assert_allclose(view.max(1), 1.0)


def test_the_six_class_view_sums_to_one_and_calls_an_even_spread_confused():
    p = np.random.default_rng(0).dirichlet(np.ones(7) * 0.5, size=200)
    np.testing.assert_allclose(six_class_view(p).sum(1), 1.0, atol=1e-12)
    assert (six_class_view(p) >= 0).all()
    # two classes take 2/7; of the other five, (1 - 1/5) * 1 is undecided: 2/7 + 5/7 * 0.8 = 6/7
    assert six_class_view(np.full(7, 1 / 7))[5] == pytest.approx(6 / 7)


def test_a_mask_takes_31_percent_of_the_confidence_of_a_certain_reading():
    certain, even = np.eye(7)[3], np.full(7, 1 / 7)
    assert emotion_confidence(certain) == pytest.approx(1.0)
    assert emotion_confidence(certain, 1.0) == pytest.approx(1.0 - MASK_DISCOUNT) == pytest.approx(0.60)
    assert emotion_confidence(even) == pytest.approx(0.0, abs=1e-12)


def test_the_emotions_are_the_seven_of_the_house_in_order():
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert EMOTION_COLUMNS[6] == "emotion_neutral"


def test_importing_the_table_imports_no_network():
    code = ("import sys; import perception.features; "
            "print([m for m in ('torch', 'facenet_pytorch', 'cv2', 'tensorflow', 'pandas') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["[]"], done.stderr

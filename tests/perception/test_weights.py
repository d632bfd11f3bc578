"""FaceNet weights are found in the stated order and refused, quickly, when they are missing, damaged or another network's."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from perception import weights
from perception.errors import WeightsError
from perception.weights import candidates, check_file, find_weights, load_facenet
from tests.perception.material import ROOT


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty cache, no named file, and a network that never answers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FACENET_WEIGHTS", raising=False)
    monkeypatch.delenv("TORCH_HOME", raising=False)

    def silent(url: str, seconds: float):
        raise OSError("no answer")

    monkeypatch.setattr(weights, "_open_within", silent)
    return tmp_path


@pytest.fixture
def unchecked(monkeypatch):
    """Any file passes the check of its content: for the order of search."""
    monkeypatch.setattr(weights, "check_file", lambda file: None)


def test_the_argument_wins_over_the_variable_over_the_caches(no_network, unchecked, monkeypatch, tmp_path):
    for file in reversed(candidates()):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        assert find_weights() == file
    named = tmp_path / "named.pt"
    named.touch()
    monkeypatch.setenv("FACENET_WEIGHTS", str(named))
    assert find_weights() == named
    (tmp_path / "given.pt").touch()
    assert find_weights(tmp_path / "given.pt") == tmp_path / "given.pt"


def test_the_caches_are_ours_then_the_one_facenet_pytorch_uses(no_network):
    from facenet_pytorch.models.inception_resnet_v1 import get_torch_home

    assert candidates()[0] == no_network / "push-simulator" / "facenet_vggface2.pt"
    assert str(candidates()[2]) == os.path.join(get_torch_home(), "checkpoints", "20180402-114759-vggface2.pt")


def test_a_named_file_that_is_absent_is_an_error_not_a_search(no_network, unchecked, monkeypatch):
    candidates()[0].parent.mkdir(parents=True)
    candidates()[0].touch()
    with pytest.raises(WeightsError, match="no FaceNet weights file at weights=/nowhere.pt"):
        find_weights("/nowhere.pt")
    monkeypatch.setenv("FACENET_WEIGHTS", "/nowhere.pt")
    with pytest.raises(WeightsError, match="environment variable FACENET_WEIGHTS=/nowhere.pt"):
        find_weights()


def test_nothing_found_gives_one_sentence_with_three_ways_out(no_network):
    with pytest.raises(WeightsError) as caught:
        find_weights()
    text = str(caught.value)
    assert caught.value.exit_code == 1 and "\n" not in text
    assert all(way in text for way in ("weights=PATH", "FACENET_WEIGHTS=PATH", "push-simulator", "weights=none"))


def test_small_cut_and_foreign_files_are_refused_before_torch_is_needed(tmp_path, monkeypatch):
    small = tmp_path / "small.pt"
    small.write_bytes(b"PK\x03\x04" * 10)
    with pytest.raises(WeightsError, match=r"incomplete \(40 bytes"):
        check_file(small)
    monkeypatch.setattr(weights, "MIN_BYTES", 1000)
    small.write_bytes(b"x" * 2000)
    with pytest.raises(WeightsError, match="no torch checkpoint, or a cut one"):
        check_file(small)


def test_one_changed_byte_in_the_known_file_is_noticed(facenet_weights, tmp_path):
    content = bytearray(facenet_weights.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "facenet.pt"
    damaged.write_bytes(content)
    with pytest.raises(WeightsError, match="are damaged"):
        find_weights(damaged)


def test_a_pickle_is_not_executed(tmp_path, monkeypatch):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "canary",))

    monkeypatch.setattr(weights, "check_file", lambda file: None)
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps({"w": Bomb()}, protocol=2))
    with pytest.raises(WeightsError, match="cannot be loaded safely"):
        load_facenet(tmp_path / "bomb.pt")
    assert not (tmp_path / "canary").exists()


def test_another_networks_parameters_are_refused_and_a_classifier_head_is_dropped(facenet_weights, tmp_path, monkeypatch):
    import torch

    state = torch.load(facenet_weights, weights_only=True)
    monkeypatch.setattr(weights, "check_file", lambda file: None)
    torch.save(state | {"logits.weight": torch.zeros(3, 512), "logits.bias": torch.zeros(3)}, tmp_path / "head.pt")
    assert sum(p.numel() for p in load_facenet(tmp_path / "head.pt").parameters()) == 23_482_624
    torch.save(state | {"last_bn.weight": torch.zeros(128)}, tmp_path / "shape.pt")
    with pytest.raises(WeightsError, match="another network than the 512-d InceptionResnetV1"):
        load_facenet(tmp_path / "shape.pt")
    torch.save({k: v for k, v in state.items() if k != "last_linear.weight"}, tmp_path / "less.pt")
    with pytest.raises(WeightsError, match="another network"):
        load_facenet(tmp_path / "less.pt")
    torch.save(state | {"last_bn.weight": torch.full((512,), float("nan"))}, tmp_path / "nan.pt")
    with pytest.raises(WeightsError, match="not finite"):
        load_facenet(tmp_path / "nan.pt")


@pytest.mark.faults
def test_the_command_without_weights_fails_within_two_seconds_with_exit_code_1(tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    environment = {k: v for k, v in os.environ.items() if k not in ("FACENET_WEIGHTS", "TORCH_HOME")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "https_proxy": "http://192.0.2.1:9"}  # a black hole
    done = subprocess.run([sys.executable, "-m", "perception.extract", f"images={tmp_path}", f"out={tmp_path}/f.parquet"],
                          cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and done.stderr.startswith("error: no FaceNet weights were found")
    assert "Traceback" not in done.stderr and not (tmp_path / "f.parquet").exists()

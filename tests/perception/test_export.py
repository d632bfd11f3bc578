"""Models for a phone: the same numbers as the pipeline, and a description that an app can rely on."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from perception.export import description, main, rendered_faces
from perception.features import EMOTIONS

pytest.importorskip("onnx", reason="the extra [export] is not installed")


@pytest.fixture(scope="module")
def network(facenet_weights):
    from perception.phone_network import PhoneNetwork

    return PhoneNetwork(facenet_weights)


def outputs_of(network, faces, expressions):
    import torch

    from perception.phone_network import BytesIn

    with torch.inference_mode():
        return [value.numpy() for value in BytesIn(network)(torch.from_numpy(faces), torch.from_numpy(expressions))]


def test_the_network_gives_what_the_pipeline_gives_within_1e_4_on_four_rendered_faces(network):
    from perception.emotion import EmotionModel
    from perception.emotion_head import EmotionHead, head_input
    from perception.identity import FaceEmbedder
    from perception.mask import MaskHead

    faces, expressions = rendered_faces(4)
    embedder = FaceEmbedder.__new__(FaceEmbedder)
    embedder.network, embedder._device = network.facenet, "cpu"
    embeddings, pooled = embedder.embed(faces)
    features, logits = EmotionModel().read(expressions)
    mask = MaskHead.load().probability(pooled)
    emotion = EmotionHead.load().probability(head_input(features, logits, pooled), mask)
    given = outputs_of(network, faces, expressions)
    for value, wanted in zip(given, (embeddings, mask[:, None], emotion, EmotionModel().predict(expressions)), strict=True):
        assert value.shape == wanted.shape and np.abs(value - wanted).max() < 1e-4
    np.testing.assert_allclose(np.linalg.norm(given[0], axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(given[2].sum(1), 1.0, atol=1e-5)


def test_the_crops_are_those_of_the_shipped_table(network):
    from perception.features import EMOTION_COLUMNS, read_features
    from perception.gallery import SHIPPED_FEATURES

    table = read_features(SHIPPED_FEATURES)
    table = table[table["status"] == "face"].iloc[[0]]
    faces, expressions = rendered_faces(2)
    embedding, mask, emotion, _ = outputs_of(network, faces[:1], expressions[:1])
    assert np.abs(embedding[0] - table["embedding"].iloc[0]).max() < 1e-3
    assert np.abs(emotion[0] - table[list(EMOTION_COLUMNS)].to_numpy()[0]).max() < 5e-3
    assert abs(float(mask[0, 0]) - float(table["mask_probability"].iloc[0])) < 5e-3


def test_the_description_names_classes_shapes_and_thresholds():
    about = description("onnx", "face.onnx", "ab" * 32)
    assert about["outputs"]["emotion"]["classes"] == list(EMOTIONS) and about["outputs"]["embedding"]["shape"] == ["faces", 512]
    assert about["thresholds"]["identity"] == 0.5 and about["thresholds"]["identity_masked"] == pytest.approx(0.6)
    assert "10 px" in about["inputs"]["expression"]["crop"] and "no authentication" in about["note"]
    json.dumps(about, allow_nan=False)


@pytest.mark.parametrize(("words", "sentence"), [
    (["format=tflite", "out=x.onnx"], "format= must be onnx or coreml"), (["format=onnx", "out=x.pt"], "must end in .onnx"),
    (["format=coreml", "out=x.onnx"], "must end in .mlpackage"),
])
def test_wrong_input_is_one_sentence_and_exit_code_2(words, sentence, capsys):
    assert main(words) == 2 and sentence in capsys.readouterr().err


def test_packages_that_are_not_installed_are_named_with_the_extra(tmp_path, monkeypatch, capsys):
    there, absent = importlib.util.find_spec, ("onnxscript", "coremltools")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else there(name, *rest))
    for words, package in ((["format=onnx", f"out={tmp_path}/x.onnx"], "onnxscript"),
                           (["format=coreml", f"out={tmp_path}/x.mlpackage"], "coremltools")):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert f"needs {package}, not installed here; pip install 'product-push-simulator[export]'" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_onnxruntime_agrees_with_torch_within_1e_4_for_one_and_for_five_faces(network, facenet_weights, tmp_path, capsys):
    import onnx
    import onnxruntime

    path = tmp_path / "sub" / "face.onnx"
    assert main(["format=onnx", f"out={path}", f"weights={facenet_weights}"]) == 0
    assert "differ by at most" in capsys.readouterr().out
    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert {i.name: (i.type, i.shape[1:]) for i in session.get_inputs()} == {
        "face": ("tensor(uint8)", [160, 160, 3]), "expression": ("tensor(uint8)", [64, 64])}
    faces, expressions = rendered_faces(5)
    for n in (1, 5):
        given = session.run(None, {"face": faces[:n], "expression": expressions[:n]})
        for a, b in zip(given, outputs_of(network, faces[:n], expressions[:n]), strict=True):
            assert a.shape == b.shape and np.abs(a - b).max() < 1e-4
    about = json.loads((tmp_path / "sub" / "face.onnx.json").read_text())
    assert [output.name for output in session.get_outputs()] == list(about["outputs"])
    assert sorted(p.name for p in path.parent.iterdir()) == ["face.onnx", "face.onnx.json"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_core_ml_package_converts_and_its_description_is_as_meant(facenet_weights, tmp_path):
    if importlib.util.find_spec("coremltools") is None:
        pytest.skip("coremltools is not installed")
    path = tmp_path / "face.mlpackage"
    command = [sys.executable, "-m", "perception.export", "format=coreml", f"out={path}", f"weights={facenet_weights}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)  # where TensorFlow was loaded, two LLVMs would meet
    assert done.returncode == 0, done.stderr
    assert "was not run here" in done.stdout
    code = ("import sys; from perception.export import _coremltools, check_coreml; ct = _coremltools(); "
            "spec = ct.utils.load_spec(sys.argv[1]); check_coreml(spec); print(spec.specificationVersion); "
            "spec.description.output[0].name = 'x'; check_coreml(spec)")
    checked = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=200)
    assert checked.stdout.strip() == "7" and "ExportError" in checked.stderr  # the check does refuse another description
    assert json.loads((tmp_path / "face.mlpackage.json").read_text())["inputs"]["face"]["shape"] == [160, 160]

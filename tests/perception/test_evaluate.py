"""The evaluate command: manifests told apart by their labels, one sentence for wrong ones, and a whole run on portraits."""

from __future__ import annotations

import json

import numpy as np
import pytest

import perception.pipeline
from perception.errors import InputError
from perception.evaluate import main
from perception.evaluation import track
from perception.evaluation.manifest import prepared, read_manifest, tasks_of
from perception.evaluation.run import labelled_face
from perception.results import Face, ImageResult


def manifest(tmp_path, text: str):
    file = tmp_path / "m.csv"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(("text", "tasks"), [
    ("path,label,set\na.png,with_mask,x\nb.png,without_mask,x\n", ("mask",)),
    ("path,label,set\na.png,happiness,x\nb.png,contempt,x\n", ("emotion",)),
    ("path,label\na.png,ann\nb.png,ann\nc.png,bob\nd.png,bob\n", ("identity",)),
    ("image,person,emotion,mask,x0,y0,x1,y1\na.png,ann,happy,true,0,0,9,9\n", ("detection", "identity", "emotion", "mask")),
    ("file_x,file_y,Decision\na.png,b.png,Yes\n", ("pairs",)),
])
def test_a_set_says_by_its_columns_and_labels_what_it_can_be_evaluated_for(tmp_path, text, tasks):
    frame = read_manifest(manifest(tmp_path, text))
    assert tasks_of(frame) == tasks
    for task in tasks:
        assert len(prepared(frame, task)) >= 1


def test_labels_become_the_columns_that_the_task_reads_and_files_name_their_persons(tmp_path):
    frame = read_manifest(manifest(tmp_path, "path,label\nAnn_Li_0001.png,Happiness\nAnn_Li_0002.png,anger\nBo_0001.png,contempt\n"))
    rows = prepared(frame, "emotion", r"(.+)_\d+$")
    assert rows["emotion"].tolist() == ["happy", "angry", "contempt"] and rows["person"].tolist() == ["Ann_Li", "Ann_Li", "Bo"]


@pytest.mark.parametrize(("text", "sentence"), [
    ("a,b\n1,2\n", "the first line must name path"),
    ("path,label\n", "lists no image"),
    ("path,label\n,x\n", "line 2: path is empty"),
    ("path,emotion\na.png,cheerful\n", "line 2: emotion must be one of"),
    ("path,mask\na.png,maybe\n", "line 2: mask must be true or false"),
    ("path,x0,y0,x1,y1\na.png,5,5,1,9\n", "x0 < x1"),
    ("path,x0,y0,x1,y1\na.png,5,5,nan,9\n", "x0 < x1"),
    ("path,x0,y0,x1,y1\na.png,5,5,,9\n", "must all be numbers"),
    ("path,path_b,same\na.png,b.png,perhaps\n", "same must be yes or no"),
    ("path,image,label\na.png,b.png,x\n", "named twice"),
    ("path,label\na.png,ann\nb.png,bob\n", "neither emotions nor"),
])
def test_a_wrong_manifest_gets_one_sentence_and_exit_code_2(tmp_path, capsys, text, sentence):
    file = manifest(tmp_path, text)
    assert main([f"manifest={file}", f"out={tmp_path}/o"]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and not (tmp_path / "o").exists()


@pytest.mark.parametrize(("words", "sentence"), [
    (["set=nobody"], "no set 'nobody'; it has all"),
    (["split=test"], "no row has the split 'test'"),
    (["task=age"], "task= must be one of detection"),
    (["models=best"], "models= must be ours or stock"),
    (["weights=none"], "needs FaceNet"),
    (["task=pairs"], "needs the columns path_b and same"),
    (["task=emotion"], "the label 'ann' is none of"),
])
def test_a_wrong_setting_gets_one_sentence_before_any_network_starts(tmp_path, capsys, words, sentence):
    file = manifest(tmp_path, "path,label\na.png,ann\nb.png,ann\nc.png,bob\nd.png,bob\n")
    assert main([f"manifest={file}", f"out={tmp_path}/o", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_the_labelled_face_is_the_one_under_the_box_or_the_largest():
    def face(x0, y0, x1, y1):
        return Face((x0, y0, x1, y1), 1.0, np.zeros((5, 2)), np.full(7, 1 / 7), None, None)

    result = ImageResult("a", "face", None, 100, 100, (face(0, 0, 50, 50), face(60, 60, 80, 80)))
    none = dict.fromkeys(("x0", "y0", "x1", "y1"))
    assert labelled_face(none, result).box == (0, 0, 50, 50)
    assert labelled_face({"x0": 61.0, "y0": 59.0, "x1": 80.0, "y1": 82.0}, result).box == (60, 60, 80, 80)
    assert labelled_face({"x0": 90.0, "y0": 0.0, "x1": 99.0, "y1": 9.0}, result) is None


@pytest.fixture
def loaded(monkeypatch, pipeline):
    """The command uses the pipeline that is loaded already."""
    monkeypatch.setattr(perception.pipeline, "FacePipeline", lambda weights, batch_size=32, emotion="combined": pipeline)


def test_twenty_portraits_of_four_people_are_told_apart_and_the_results_are_written(
        loaded, portraits, tmp_path, capsys, facenet_weights):
    shown = [p for p in portraits[:40] if int(p.stem) <= 5]
    rows = ["path,person,group,mask"] + [f"{p},{p.parent.name},{'a' if p.parent.name < 's3' else 'b'},false" for p in shown]
    file = manifest(tmp_path, "\n".join(rows + [f"{tmp_path}/missing.png,s1,a,"]))
    words = [f"manifest={file}", f"cache={tmp_path}/c", f"weights={facenet_weights}", "progress=false", "draws=50", "mlflow=false"]
    assert main([*words, f"out={tmp_path}/o"]) == 0
    text = capsys.readouterr().out
    assert "all · identity" in text and "genuine 40, impostor 150" in text
    content = json.loads((tmp_path / "o" / "evaluation.json").read_text())
    identity = content["findings"][0]
    assert identity["counts"] | {"images": 21, "faces": 20, "persons": 4, "unusable": 1} == identity["counts"]
    assert identity["metrics"]["rank1_leave_one_out"]["value"] == 1.0 and identity["metrics"]["eer"]["value"] < 0.02
    assert identity["metrics"]["group/a/fmr"]["n"] == 25 and identity["metrics"]["failure_to_acquire"]["value"] == pytest.approx(1 / 21)
    mask = content["findings"][1]
    assert mask["task"] == "mask" and mask["metrics"]["accuracy"]["n"] == 20
    assert {p.name for p in (tmp_path / "o").glob("*.png")} == {"all-identity-rates.png", "all-mask-confusion.png"}
    cached = list((tmp_path / "c").rglob("*.json"))
    assert len(cached) == 20 and not any(json.loads(f.read_text())["faces"][0]["embedding"] for f in cached)  # no consent was stated
    assert main([*words, f"out={tmp_path}/p", "task=classification"]) == 0
    table = json.loads((tmp_path / "p" / "evaluation.json").read_text())["findings"][0]["persons"]
    assert [row["person"] for row in table] == ["s1", "s2", "s3", "s4"] and all(row["validation_recall"] == 1 for row in table)


def test_boxes_of_an_annotation_file_make_a_detection_test(monkeypatch, blind_pipeline, portraits, tmp_path, capsys):
    from PIL import Image

    monkeypatch.setattr(perception.pipeline, "FacePipeline", lambda weights, batch_size=32, emotion="combined": blind_pipeline)
    with Image.open(portraits[0]) as picture:
        picture.save(tmp_path / "a.png")
    box = blind_pipeline.perceive([tmp_path / "a.png"])[0].faces[0].box
    entry = {"x": (box[0] + box[2]) / 2, "y": (box[1] + box[3]) / 2, "width": box[2] - box[0], "height": box[3] - box[1]}
    far = {"x": 5, "y": 5, "width": 9, "height": 9}
    (tmp_path / "boxes.json").write_text(json.dumps([{"image": "a.png", "annotations": [
        {"label": "without_mask", "coordinates": entry}, {"label": "with_mask", "coordinates": far}]}]))
    file = manifest(tmp_path, "path,label\na.png,x\n")
    words = [f"manifest={file}", f"boxes={tmp_path}/boxes.json", "weights=none", "cache=none", "progress=false", f"out={tmp_path}/o"]
    assert main([*words, "mlflow=false", "draws=50"]) == 0
    metrics = json.loads((tmp_path / "o" / "evaluation.json").read_text())["findings"][0]["metrics"]
    assert metrics["recall"]["value"] == 0.5 and metrics["precision"]["value"] == 1.0
    assert metrics["mask/plain/recall"]["value"] == 1.0 and metrics["mask/masked/recall"]["value"] == 0.0


class Recorder:
    """Stands for MLflow's client and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def __getattr__(self, name: str):
        def tell(*words: object, **more: object):
            self.told.append((name, *words, *more.values()))
            if name == "get_experiment_by_name":
                return None
            return type("Run", (), {"info": type("Info", (), {"run_id": "r1"})}) if name == "create_run" else "e1"
        return tell


def test_mlflow_is_told_numbers_and_no_name_of_a_person(monkeypatch, tmp_path):
    import mlflow

    from perception.evaluation.bootstrap import Measure
    from perception.evaluation.report import Finding

    recorder = Recorder()
    monkeypatch.setattr(mlflow, "MlflowClient", lambda uri: recorder)
    finding = Finding("kiosk", "classification", {"images": 3}, {"accuracy": Measure(value=0.5, low=0.4, high=None, n=3)},
                      table=[{"person": "Ann Li"}])
    assert track.log_findings([finding], {"seed": 0}, []) == "r1"
    assert ("log_metric", "r1", "kiosk/classification/accuracy", 0.5) in recorder.told
    assert ("log_metric", "r1", "kiosk/classification/accuracy/low", 0.4) in recorder.told
    assert recorder.told[-1] == ("set_terminated", "r1", "FINISHED") and "Ann Li" not in repr(recorder.told)
    assert track.metric_name("a:b/ü=1") == "a_b/ü_1"


def test_a_store_that_does_not_answer_costs_a_line_and_not_the_results(monkeypatch, tmp_path, capsys):
    import perception.evaluate as command

    def fail(*_: object):
        raise ConnectionError("nobody there\nlong story")

    monkeypatch.setattr(track, "log_findings", fail)
    command._track(True, [], {}, [])
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    command._track(None, [], {}, [])  # no address, not asked for: not even tried
    assert track.tracking_uri().startswith("sqlite:///") and track.tracking_uri().endswith("mlflow.db")


def test_a_path_that_is_no_regular_expression_is_refused():
    import pandas as pd

    from perception.evaluation.manifest import COLUMNS

    frame = pd.DataFrame([{"path": "a.png", "label": "happy"}], columns=list(COLUMNS), dtype=object).replace({np.nan: None})
    with pytest.raises(InputError, match="no regular expression"):
        prepared(frame, "emotion", "(")

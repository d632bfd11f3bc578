"""Forgetting a person: everywhere, once and for all, also when it is interrupted, and with a search that would find the rest."""

import base64
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from perception import stored
from perception.cache import ImageCache
from perception.encryption import data_folder, expiry
from perception.features import COLUMNS, EMOTION_COLUMNS, read_features, write_features
from perception.forgetting import Forgetting, removal
from perception.labels import gallery_labels
from perception.results import Face, ImageResult
from sim.evaluation.customers import read_customers, traits, write_customers
from sim.evaluation.metrics import per_customer
from sim.forget import main
from sim.shop.gallery import build_gallery
from tests.sim.replay_material import make_run, open_gallery

PERSON, TAKEN_FOR = "Erika Muster 9", "Erika Muster 5"  # the twelfth by the alphabet, whom the evaluation met; the sixth


def vector(person: int, picture: int) -> np.ndarray:
    v = np.random.default_rng([person, picture]).standard_normal(512).astype(np.float32)
    return v / np.linalg.norm(v)


def feature_table() -> pd.DataFrame:
    """Every picture of every person, embeddings included; the first picture of person 5 is taken for person 9."""
    row = dict.fromkeys(COLUMNS) | {"status": "face", "face": 0, "score": 0.9, "x0": 0.0, "y0": 0.0, "x1": 9.0, "y1": 9.0}
    row |= dict.fromkeys(EMOTION_COLUMNS, 1 / 7) | {"mask_probability": 0.1, "similarity": 0.8}
    rows = [row | {"image": f"Erika Muster {p}/{k}.jpg", "person": f"Erika Muster {p}", "role": "camera",
                   "identity": PERSON if (p, k) == (5, 0) else f"Erika Muster {p}", "embedding": vector(p, k)}
            for p in range(12) for k in range(4)]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def run_material(tmp_path_factory):
    """A run on a real gallery, made once: its folder is copied."""
    root = tmp_path_factory.mktemp("forget")
    for p in range(12):
        for k in range(4):
            path = root / "gallery" / f"Erika Muster {p}" / f"{k}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64), (20 * p, 60 * k, 90)).save(path)
    loader = "population.loader._target_=tests.sim.replay_material.open_gallery"
    made = make_run(root / "run", [f"population.gallery='{root / 'gallery'}'", "population.consent=true", loader])
    totals = {log.policy: per_customer(log, 1.0) for log in made["logs"]}
    n = len(next(iter(totals.values()))["value"])
    write_customers(made["folder"] / "customers.parquet", totals, traits(made["shop"], n, 10000))
    (made["folder"] / "replay.html").write_text("<p>customer-0011 smiled</p>")
    return root


@pytest.fixture
def world(run_material, tmp_path, monkeypatch):
    """Everything that may know a person, in folders of this test's own; the working directory is a project."""
    import shutil

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache-home"))
    monkeypatch.chdir(tmp_path)
    gallery, cache = tmp_path / "customers", tmp_path / "cache"
    shutil.copytree(run_material / "gallery", gallery)
    shutil.copytree(run_material / "run", tmp_path / "outputs" / "run")
    stored.note(gallery, "gallery")
    stored.note(cache, "cache")
    write_features(feature_table(), tmp_path / "tables" / "f.parquet", expires=expiry(30))
    stored.note(tmp_path / "tables" / "f.parquet", "features")
    perceived = open_gallery(run_material / "gallery").assign(reason=None, score=0.9, embedding=None)
    write_features(perceived, cache / "galleries" / "x.parquet")
    summary = tmp_path / "outputs" / "run" / "summary.json"  # the run was made from drawn numbers that no file had held
    digest = build_gallery(read_features(cache / "galleries" / "x.parquet"), 0.5, 0, opaque=True).digest
    content = json.loads(summary.read_text())
    summary.write_text(json.dumps(content | {"digests": content["digests"] | {"gallery": digest}}))
    images = ImageCache(cache, "d" * 64, embeddings=True)
    for row in feature_table().itertuples():
        face = Face((0.0, 0.0, 9.0, 9.0), 0.9, np.zeros((5, 2), np.float32), np.full(7, 1 / 7, np.float32), 0.1, row.embedding)
        images.put(hashlib.sha256((gallery / row.image).read_bytes()).hexdigest(), ImageResult(row.image, "face", None, 64, 64, (face,)))
    (tmp_path / "answer.json").write_text(json.dumps({"faces": [{"person": PERSON}]}))
    stored.note(tmp_path / "answer.json", "decisions")
    for name in (f"{PERSON}/0.jpg.png", "Erika Muster 5/0.jpg.png", "Erika Muster 5/1.jpg.png"):
        (tmp_path / "drawn" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "drawn" / name).write_bytes(b"\x89PNG")
    stored.note(tmp_path / "drawn", "drawings")
    return tmp_path


def everything(root) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_dry_run_names_nine_places_and_changes_no_byte(world, capsys):
    before = everything(world)
    assert main([f"person={PERSON}", "dry_run=true", "mlflow=false", "photographs=true"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert all(line.startswith("would be removed: ") for line in told)
    for what in ("sessions.parquet: ", "customers.parquet: ", "replay.html", "customers: 4 photographs", "image cache: 4 entries",
                 "x.parquet", "f.parquet: 4 rows, 1 mistaken identities",
                 "drawn: 2 drawn pictures", "answer.json: a decision"):  # fmt: skip
        assert any(what in line for line in told), what
    assert everything(world) == before


def test_a_person_is_gone_from_every_file_and_the_others_are_as_they_were(world, capsys):
    log = pq.read_table(world / "outputs/run/sessions.parquet").to_pandas()
    customers = read_customers(world / "outputs/run/customers.parquet")
    assert main([f"person={PERSON}", "photographs=true", "mlflow=false"]) == 0
    told = capsys.readouterr().out
    assert "nothing of Erika Muster 9 is left" in told and "4 embeddings and 4 photographs' digests" in told
    frame = read_features(world / "tables/f.parquet")
    assert len(frame) == 44 and PERSON not in set(frame["person"]) | set(frame["identity"])
    mistaken = frame[frame["image"] == f"{TAKEN_FOR}/0.jpg"].iloc[0]
    assert mistaken["identity"] is None and np.isnan(mistaken["similarity"]) and (mistaken["embedding"] == vector(5, 0)).all()
    assert not (world / "customers" / PERSON).exists() and (world / "customers" / TAKEN_FOR).exists()
    assert sorted(p.name for p in (world / "drawn").rglob("*.png")) == ["1.jpg.png"]
    assert len(list((world / "cache").rglob("*.json"))) == 44
    now = pq.read_table(world / "outputs/run/sessions.parquet")
    face = "customer-0011"
    assert len(now) == (log["true_person"] != face).sum() > 0
    kept = log[log["true_person"] != face].reset_index(drop=True)
    np.testing.assert_array_equal(now["reward"].to_numpy(), kept["reward"])
    assert now.schema.metadata[b"shop_digest"] == pq.read_schema(world / "outputs/run/sessions.parquet").metadata[b"shop_digest"]
    assert all(face not in chunk.dictionary.to_pylist() for name in ("true_person", "perceived_identity") for chunk in now[name].chunks)
    blanked = read_customers(world / "outputs/run/customers.parquet")
    own = (customers["face"] == 11).to_numpy()
    assert own.any() and (blanked["face"][own] == -1).all() and blanked["emotion"][own].isna().all()
    np.testing.assert_array_equal(blanked["value"], customers["value"])
    np.testing.assert_array_equal(blanked["face"][~own], customers["face"][~own])
    assert not (world / "outputs/run/replay.html").exists()
    assert [p.name for p in (data_folder() / "forget").iterdir()] == ["rosters.sealed"]
    assert b"Erika" not in (data_folder() / "forget" / "rosters.sealed").read_bytes()
    assert main([f"person={PERSON}", "mlflow=false"]) == 0  # once more: nothing to do
    assert "nothing of Erika Muster 9 was found to remove" in capsys.readouterr().out


def test_tables_kept_of_whole_folders_go_whoever_is_forgotten(world, capsys):
    (world / "cache" / "folders").mkdir()
    (world / "cache" / "folders" / "f-s-0.parquet").write_bytes((world / "tables" / "f.parquet").read_bytes())
    assert main([f"person={PERSON}"]) == 0
    assert "1 tables of whole folders" in capsys.readouterr().out and not any((world / "cache" / "folders").iterdir())


def test_without_photographs_they_stay_and_enrol_nobody_any_more(world, capsys):
    assert main([f"person={PERSON}", "mlflow=false"]) == 0
    assert "kept: 4 photographs" in capsys.readouterr().out
    assert len(list((world / "customers" / PERSON).iterdir())) == 4
    enrolled = set(gallery_labels(world / "customers")["person"])
    assert len(enrolled) == 11 and PERSON not in enrolled
    assert PERSON not in (world / "customers/.forgotten.json").read_text()
    main([f"person={PERSON}", "photographs=true", "mlflow=false"])  # on second thought
    assert not (world / "customers" / PERSON).exists() and not (world / "customers/.forgotten.json").exists()


def test_lines_of_labels_csv_go_and_with_them_the_photographs_that_were_asked_for(world):
    gallery = world / "customers"
    rows = "".join(f"Erika Muster {p}/{k}.jpg,Erika Muster {p},\n" for p in range(12) for k in range(4))
    (gallery / "labels.csv").write_text("image,person,emotion\n" + rows)
    assert main([f"person={PERSON}", "photographs=true", "mlflow=false"]) == 0
    assert len((gallery / "labels.csv").read_text().splitlines()) == 45
    assert gallery_labels(gallery)["person"].nunique() == 11 and not list((gallery / PERSON).glob("*"))


def test_who_is_forgotten_second_is_still_found_in_a_run_whose_perceived_gallery_went_with_the_first(world, capsys):
    assert main([f"person={PERSON}", "mlflow=false"]) == 0 and not list((world / "cache/galleries").iterdir())
    assert main(["person=Erika Muster 0", "mlflow=false"]) == 0
    left = pq.read_table(world / "outputs/run/sessions.parquet")["true_person"].value_counts().to_pylist()
    assert {row["values"] for row in left} == {"customer-0002", "customer-0004"}
    assert "sessions.parquet: " in capsys.readouterr().out


@pytest.mark.faults
@pytest.mark.parametrize("step", (0, 2, 4))
def test_an_interrupted_forget_is_finished_by_the_second_call(world, step, monkeypatch, capsys):
    """Fault 26: killed before the first, third and last of five steps: after the tables that knew the embeddings were gone or not."""
    steps = list(removal.STEPS)

    def killed(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(removal, "STEPS", (*steps[:step], killed))
    assert main([f"person={PERSON}", "photographs=true", "mlflow=false"]) == 130
    (journal,) = (p for p in (data_folder() / "forget").iterdir() if p.name != "rosters.sealed")
    raw = journal.read_bytes()
    assert b"Erika" not in raw and base64.b64encode(vector(9, 0).tobytes())[:60] not in raw and journal.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(removal, "STEPS", tuple(steps))
    assert main([f"person={PERSON}", "photographs=true", "mlflow=false"]) == 0
    captured = capsys.readouterr()
    assert "an earlier call was interrupted" in captured.err
    assert "4 embeddings and 4 photographs' digests" in captured.out and "nothing of Erika Muster 9 is left" in captured.out
    assert not journal.exists()
    assert main([f"person={PERSON}", "mlflow=false"]) == 0 and "nothing of Erika Muster 9 was found" in capsys.readouterr().out


def test_the_search_finds_each_of_six_planted_traces(world, capsys):
    raw = vector(9, 0).astype("<f4").tobytes()
    photograph = (world / "customers" / PERSON / "0.jpg").read_bytes()
    digest = hashlib.sha256(photograph).hexdigest()
    planted = {
        "a.bin": (b"\x00" + raw, "an embedding"), "b.txt": (base64.b64encode(raw), "an embedding"),
        "c.yaml": (b"customer: Erika Muster 9\n", "the name"), "d.bin": (photograph, "a photograph"),
        "e.txt": (digest.encode(), "the digest of a photograph"), "f.txt": (b"Erika Muster 91, Erika Muster 9x", None),
    }  # fmt: skip
    for name, (content, _) in planted.items():
        (world / "outputs" / name).write_bytes(content)
    write_features(feature_table().iloc[:0], world / "outputs" / "none.parquet")
    assert main([f"person={PERSON}", "photographs=true", "mlflow=false"]) == 1
    left = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left: ")]
    assert len(left) == 5
    assert all(f"left: outputs/{name}: {what}" in left for name, (_, what) in planted.items() if what)


def test_a_run_whose_opaque_names_cannot_be_resolved_is_named_and_not_passed_over(world, capsys):
    (world / "cache/galleries/x.parquet").unlink()
    assert main([f"person={PERSON}", "mlflow=false"]) == 1
    assert "left: outputs/run: a run on a real gallery whose opaque names cannot be resolved" in capsys.readouterr().out


def test_tables_are_cleared_by_name_where_their_key_is_lost(world, monkeypatch, capsys):
    monkeypatch.setenv("PERCEPTION_KEY", base64.b64encode(os.urandom(32)).decode())
    assert main([f"person={PERSON}", "photographs=true", "mlflow=false"]) == 0
    assert "f.parquet: no key opens its embeddings" in capsys.readouterr().out
    assert len(read_features(world / "tables/f.parquet", embeddings=False)) == 44


def test_expired_data_of_anybody_go_by_one_command(world, capsys):
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    write_features(feature_table(), world / "tables/old.parquet", expires=past)
    stored.note(world / "tables/old.parquet", "features", past)
    entry = next((world / "cache/images").rglob("*.json"))
    entry.write_text(json.dumps(json.loads(entry.read_text()) | {"expires": past}))
    assert main(["expired=true", "dry_run=true"]) == 0 and (world / "tables/old.parquet").exists()
    assert main(["expired=true"]) == 0
    told = capsys.readouterr().out
    assert told.count("would be removed: ") == 2 and told.count("\nremoved: ") == 2
    assert not (world / "tables/old.parquet").exists() and not entry.exists() and (world / "tables/f.parquet").exists()
    assert main(["expired=true"]) == 0 and capsys.readouterr().out == "nothing has expired\n"


@pytest.mark.parametrize(("words", "sentence"), [
    ([], "give either person=NAME"), (["person=a", "expired=true"], "give either person=NAME"),
    (["person=a/b"], "is no name"), (["person=a", "gallery=/nowhere"], "there is no gallery folder at /nowhere"),
    (["person=a", "paths=[/nowhere]"], "there is no such file or folder"), (["persom=a"], "did you mean person?"),
])  # fmt: skip
def test_wrong_input_is_one_sentence_and_exit_code_2(world, words, sentence, capsys):
    assert main([*words, "mlflow=false"]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_a_name_that_was_never_here_is_no_error(world, capsys):
    before = everything(world / "tables")
    assert main(["person=Nobody", "mlflow=false"]) == 0
    assert "nothing of Nobody was found to remove" in capsys.readouterr().out and everything(world / "tables") == before
    assert Forgetting("Nobody").kept_photographs() == []


@pytest.mark.slow
def test_mlflow_copies_are_rewritten_and_searched(world, monkeypatch, capsys):
    from mlflow.tracking import MlflowClient

    from sim.tracking.store import MlflowStore

    uri = f"sqlite:///{world}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    store = MlflowStore(uri)
    digest = json.loads((world / "outputs/run/summary.json").read_text())["digests"]["gallery"]
    client, experiment = store.client, store.experiment_id("shop")
    run = client.create_run(experiment, tags={"real_gallery": "True", "gallery_digest": digest}).info.run_id
    other = client.create_run(experiment, tags={"real_gallery": "False", "gallery_digest": digest}).info.run_id
    for name in ("sessions.parquet", "customers.parquet", "replay.html", "summary.json"):
        client.log_artifact(run, str(world / "outputs/run" / name))
    client.log_artifact(other, str(world / "outputs/run/summary.json"))
    rows = len(pq.read_table(client.download_artifacts(run, "sessions.parquet", str(world))))
    (world / "sessions.parquet").unlink()
    assert main([f"person={PERSON}", "photographs=true"]) == 0
    told = capsys.readouterr().out
    for name in ("sessions.parquet", "customers.parquet", "replay.html"):
        assert f"removed: MLflow run {run}: {name}" in told
    assert sorted(a.path for a in MlflowClient(uri).list_artifacts(run)) == ["customers.parquet", "sessions.parquet", "summary.json"]
    (world / "check").mkdir()
    table = pq.read_table(client.download_artifacts(run, "sessions.parquet", str(world / "check")))
    assert len(table) < rows and "customer-0011" not in set(table["true_person"].to_pylist())
    assert "1 such runs in MLflow" in told
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main([f"person={PERSON}"]) == 1
    assert "does not answer" in capsys.readouterr().err

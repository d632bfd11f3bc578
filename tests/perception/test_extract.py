"""The extract command: every image accounted for, a second run from the cache, embeddings only with consent."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import numpy as np
import pytest

import perception.pipeline
from perception.cache import ImageCache, settings_digest
from perception.encryption import data_folder
from perception.errors import CacheError
from perception.extract import main
from perception.features import read_features
from perception.results import ImageResult
from tests.perception.material import ROOT


@pytest.fixture
def loaded(monkeypatch, pipeline):
    """The command uses the pipeline that is loaded already; counts how often it asks for one."""
    asked: list[object] = []

    def give(weights: object, batch_size: int = 32, emotion: str = "combined"):
        asked.append(weights)
        return pipeline

    monkeypatch.setattr(perception.pipeline, "FacePipeline", give)
    return asked


@pytest.fixture
def photos(portraits, tmp_path, photograph):
    """Two people, four portraits each, and six troublesome files, some of them deep down."""
    from PIL import Image

    folder = tmp_path / "photos"
    for path in portraits:
        if path.parent.name in ("s1", "s2") and int(path.stem) <= 4:
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            (folder / path.parent.name / path.name).write_bytes(path.read_bytes())
    deep = folder / "s1" / "deep" / "er"
    deep.mkdir(parents=True)
    (deep / "copy of 1.pgm").write_bytes((folder / "s1" / "1.pgm").read_bytes())
    (deep / "empty.png").touch()
    (deep / "page.jpg").write_bytes(b"<html>")
    (deep / "link.pgm").symlink_to(folder / "s1" / "1.pgm")
    Image.fromarray(photograph).save(folder / "s2" / "wall.png")
    Image.fromarray(photograph[:20, :20]).save(folder / "s2" / "small.png")
    return folder


def test_every_image_has_its_row_and_the_summary_counts_them(loaded, photos, tmp_path, capsys, facenet_weights):
    code = main([f"images={photos}", f"out={tmp_path}/f.parquet", f"cache={tmp_path}/c", f"weights={facenet_weights}", "progress=false"])
    captured = capsys.readouterr()
    assert code == 0
    assert "14 images: 9 faces in 9, 1 no_face, 4 unusable" in captured.out
    assert "1 empty file" in captured.out and "1 symbolic link, not followed" in captured.out
    assert "embeddings are not kept" in captured.err
    report = (tmp_path / "f.failures.csv").read_text().splitlines()
    assert report[0] == "image,reason" and len(report) == 5 and "s1/deep/er/empty.png,empty file" in report
    frame = read_features(tmp_path / "f.parquet").set_index("image")
    assert len(frame) == 14 and frame.loc["s2/small.png", "reason"] == "smaller than 32 pixels on a side (20 x 20)"
    assert frame["embedding"].isna().all() and frame["identity"].isna().all()
    assert frame.loc["s1/deep/er/copy of 1.pgm", "x0"] == frame.loc["s1/1.pgm", "x0"]


def test_the_second_run_asks_no_network_and_gives_the_same_table_and_a_new_image_is_all_it_computes(
        loaded, photos, tmp_path, facenet_weights, portraits):
    words = [f"images={photos}", f"cache={tmp_path}/c", f"weights={facenet_weights}", "progress=false"]
    main([*words, f"out={tmp_path}/1.parquet"])
    main([*words, f"out={tmp_path}/2.parquet"])
    assert len(loaded) == 1
    first, second = (read_features(tmp_path / f"{k}.parquet") for k in (1, 2))
    assert first.equals(second)
    (photos / "s2" / "new.pgm").write_bytes(portraits[45].read_bytes())
    entries = len(list((tmp_path / "c").rglob("*.json")))
    main([*words, f"out={tmp_path}/3.parquet"])
    assert len(loaded) == 2 and len(list((tmp_path / "c").rglob("*.json"))) == entries + 1


def test_embeddings_are_on_disk_only_with_consent(loaded, photos, tmp_path, facenet_weights):
    words = [f"images={photos}", f"weights={facenet_weights}", "progress=false"]
    main([*words, f"cache={tmp_path}/no", f"out={tmp_path}/no.parquet"])
    entries = [json.loads(p.read_text()) for p in (tmp_path / "no").rglob("*.json")]
    assert sum(len(e["faces"]) for e in entries) == 8 and all(f["embedding"] is None for e in entries for f in e["faces"])
    main([*words, f"cache={tmp_path}/no", f"out={tmp_path}/yes.parquet", "consent=true"])  # the old entries do not do
    main([*words, f"cache={tmp_path}/no", f"out={tmp_path}/again.parquet", "consent=true"])
    assert len(loaded) == 2
    kept, again = (read_features(tmp_path / f"{k}.parquet") for k in ("yes", "again"))
    vectors = np.stack([v for v in kept["embedding"] if v is not None])
    assert vectors.shape == (9, 512) and np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)
    np.testing.assert_array_equal(vectors, np.stack([v for v in again["embedding"] if v is not None]))
    written = b"".join(p.read_bytes() for root in (tmp_path, data_folder()) for p in root.rglob("*") if p.is_file())
    for v in vectors:  # kept, and yet in no file: neither the bytes, nor their base64, nor the numbers as text
        raw = v.astype("<f4").tobytes()
        assert raw[:64] not in written and base64.b64encode(raw)[:80] not in written and f"{v[0]:.6f}".encode() not in written


def test_a_gallery_is_recognised_with_consent_and_a_folder_below_labels_csv_is_one(loaded, photos, tmp_path, facenet_weights, capsys):
    words = [f"images={photos}", f"weights={facenet_weights}", "cache=none", "progress=false"]
    assert main([*words, f"out={tmp_path}/g.parquet", "gallery=true"]) == 2 and not (tmp_path / "g.parquet").exists()
    assert "state their consent with consent=true" in capsys.readouterr().err
    words.append("consent=true")
    assert main([*words, f"out={tmp_path}/g.parquet", "gallery=true"]) == 0
    table = read_features(tmp_path / "g.parquet")
    faces = table[table["status"] == "face"]
    assert set(faces["person"]) == {"s1", "s2"} and (faces["identity"] == faces["person"]).mean() >= 0.8
    rows = "".join(f"photos/{p}/{k}.pgm,{p},,false,{'enrol' if k < 3 else 'camera'}\n" for p in ("s1", "s2") for k in range(1, 5))
    (tmp_path / "labels.csv").write_text("image,person,emotion,mask,role\n" + rows)
    assert main([*words[:-1], f"out={tmp_path}/l.parquet"]) == 0
    assert "nobody is recognised, although labels.csv names people" in capsys.readouterr().err
    assert read_features(tmp_path / "l.parquet")["identity"].isna().all()
    assert main([*words, f"out={tmp_path}/l.parquet"]) == 0
    table = read_features(tmp_path / "l.parquet").set_index("image")
    assert table.loc["s1/2.pgm", "role"] == "enrol" and table.loc["s1/4.pgm", "true_mask"] is False
    assert table.loc["s1/deep/er/copy of 1.pgm", "person"] is None  # not labelled, yet recognised
    assert table.loc["s1/deep/er/copy of 1.pgm", "identity"] == "s1"


def test_files_can_be_named_one_by_one(loaded, photos, tmp_path, facenet_weights):
    words = [f"out={tmp_path}/f.parquet", f"weights={facenet_weights}", "cache=none", "progress=false"]
    assert main([f"images={photos}/s1/1.pgm,{photos}/s2/3.pgm", *words]) == 0
    assert read_features(tmp_path / "f.parquet")["image"].tolist() == ["s1/1.pgm", "s2/3.pgm"]
    assert main([f"images={photos}/s1/2.pgm", *words]) == 0
    assert read_features(tmp_path / "f.parquet")["image"].tolist() == ["2.pgm"]


@pytest.mark.parametrize(("words", "sentence"), [
    (["images=/nowhere", "out=f.parquet"], "there is no file or folder at /nowhere"),
    (["images={tmp}", "out=f.parquet", "weights=none"], "there are no images in"),
    (["images={tmp}/x.png", "out={tmp}", "weights=none"], "is a folder; name a file"),
    (["images={tmp}/x.png", "out=f.parquet", "fmr=2"], "fmr= must be below 1"),
    (["images={tmp}/x.png", "out=f.parquet", "executor=cloud"], "executor=cloud is unknown; choose from serial, process, ray"),
    (["images={tmp}/x.png", "out=f.parquet", "executor.address=head:6379"], "executor.address=head:6379 is for executor=ray"),
    (["images={tmp}/x.png", "out=f.parquet", "executor.workers=0"], "executor.workers= must be at least 1"),
    (["images={tmp}/x.png,/nowhere.png", "out=f.parquet"], "there is no image file at /nowhere.png"),
    (["images={tmp}/g", "out=f.parquet", "gallery=true", "weights=none"], "gallery=true recognises people and needs FaceNet"),
    (["images={tmp}/g/ann", "out=f.parquet", "gallery=true"], "neither labels.csv nor a sub-folder"),
])
def test_wrong_input_is_one_sentence_and_exit_code_2(words, sentence, tmp_path, capsys):
    if "{tmp}/" in words[0]:
        (tmp_path / "x.png").touch()
        (tmp_path / "g" / "ann").mkdir(parents=True)
        (tmp_path / "g" / "ann" / "1.png").touch()
    assert main([word.replace("{tmp}", str(tmp_path)) for word in words]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("error: ") and sentence in error[-1]


def test_without_weights_the_table_says_null_and_the_process_never_sees_tensorflow_or_fer(photos, tmp_path):
    code = ("import sys; from perception.extract import main; "
            f"code = main(['images={photos}/s1', 'out={tmp_path}/f.parquet', 'weights=none', 'cache={tmp_path}/c', 'progress=false']); "
            "print(code, 'torch' in sys.modules, [m for m in ('tensorflow', 'keras', 'fer') if m in sys.modules])")
    runs = [subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120) for _ in range(2)]
    assert runs[0].stdout.splitlines()[-1] == "0 True []", runs[0].stderr
    assert runs[1].stdout.splitlines()[-1] == "0 False []", runs[1].stderr  # from the cache, without torch
    assert "identity, mask and embedding columns stay null" in runs[0].stderr
    frame = read_features(tmp_path / "f.parquet")
    assert frame["mask_probability"].isna().all() and (frame["status"] == "face").sum() == 5


def test_a_damaged_cache_entry_counts_as_none_and_an_unwritable_folder_is_an_error(tmp_path):
    cache = ImageCache(tmp_path, settings_digest(a=1), embeddings=False)
    cache.put("ab" * 32, ImageResult("x", "no_face", None, 40, 50))
    assert cache.get("ab" * 32, "y") == ImageResult("y", "no_face", None, 40, 50)
    next(tmp_path.rglob("*.json")).write_text("{")
    assert cache.get("ab" * 32, "y") is None and cache.get("cd" * 32, "y") is None
    assert settings_digest(a=1) != settings_digest(a=2)
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="cannot be made") as caught:
        ImageCache(tmp_path / "file", "d" * 64, embeddings=False)
    assert caught.value.exit_code == 1

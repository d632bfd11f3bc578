"""Galleries: enrolment disjoint from the camera, open-set decisions, refusals, and a second start without networks."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from perception.errors import ConsentError, GalleryError
from perception.features import EMBEDDING_SIZE, GALLERY_COLUMNS, normalise, validate
from perception.gallery import SHIPPED_FEATURES, choose_roles, open_gallery, perceive_gallery, recognise
from tests.perception.material import ROOT, empty_row, face_row


def crowd(persons: int, images: int, spread: float, seed: int = 0, masked: bool = False):
    """Table and labels of people whose embeddings scatter around their own random directions."""
    generator = np.random.default_rng(seed)
    rows, labels = [], []
    for p in range(persons):
        centre = generator.normal(size=EMBEDDING_SIZE)
        for k in range(images):
            vector = centre + spread * generator.normal(size=EMBEDDING_SIZE)
            hidden = masked and k % 2 == 1
            rows.append(face_row(f"p{p}/{k}.png", embedding=(vector / np.linalg.norm(vector)).astype(np.float32),
                                 mask_probability=0.9 if hidden else 0.1))
            labels.append({"image": f"p{p}/{k}.png", "person": f"p{p}", "emotion": "sad", "mask": hidden, "role": None})
    return normalise(pd.DataFrame(rows)), pd.DataFrame(labels)


def test_clear_faces_are_all_recognised_and_strangers_all_unknown():
    frame, labels = crowd(8, 10, 0.5)
    table = recognise(frame, labels)
    assert (table["identity"] == table["person"]).all()
    assert table["identity_unenrolled"].isna().all() and (table["similarity_unenrolled"] < 0.3).all()
    assert table["role"].value_counts().to_dict() == {"enrol": 40, "camera": 40}
    assert table["embedding"].isna().all() and set(GALLERY_COLUMNS) < set(table.columns)
    assert (table["true_emotion"] == "sad").all()
    validate(table)


def test_hopeless_faces_are_unknown_not_guessed():
    frame, labels = crowd(8, 10, 6.0)
    table = recognise(frame, labels, fmr=0.01)
    assert table["identity"].isna().mean() > 0.85
    assert table["similarity"].notna().all()


def test_at_least_one_and_at_most_half_or_five_usable_images_are_enrolled():
    images = np.array([f"{k}.png" for k in range(16)], dtype=object)
    person = np.array(["a"] * 12 + ["b"] * 3 + [None], dtype=object)
    usable = np.ones(16, dtype=bool)
    usable[12] = False
    role = choose_roles(images, person, np.full(16, None, object), usable, 0)
    assert (role[:12] == "enrol").sum() == 5 and (role[12:15] == "enrol").sum() == 1
    assert role[12] == "camera" and role[15] is None
    alone = choose_roles(images[:12], person[:12], np.full(12, None, object), usable[:12], 0)
    np.testing.assert_array_equal(role[:12], alone)  # other people do not change the choice
    assert (choose_roles(images, person, np.full(16, None, object), usable, 1) != role).any()


def test_given_roles_are_kept_and_an_empty_cell_beside_them_is_camera():
    frame, labels = crowd(2, 4, 0.5)
    labels.loc[0, "role"] = "enrol"
    table = recognise(frame, labels)
    assert table["role"][:4].tolist() == ["enrol", "camera", "camera", "camera"]
    # the one enrolled image of p0 cannot vouch for itself
    assert table["identity"][0] is None and (table["identity"][1:4] == "p0").all()


def test_masked_faces_meet_their_own_threshold():
    frame, labels = crowd(12, 12, 1.0, masked=True)
    table = recognise(frame, labels, fmr=0.01)
    thresholds = table.groupby("true_mask")["threshold"].unique()
    assert len(thresholds[True]) == len(thresholds[False]) == 1 and thresholds[True][0] != thresholds[False][0]


def test_smaller_faces_of_an_image_are_recognised_but_carry_no_labels():
    frame, labels = crowd(3, 6, 0.5)
    guest = frame.iloc[[7]].assign(image="p0/0.png", face=1)  # p1 stands behind p0
    table = recognise(pd.concat([frame, guest], ignore_index=True), labels)
    assert table["person"].iloc[-1] is None and table["role"].iloc[-1] is None and table["identity"].iloc[-1] == "p1"


def test_images_without_a_face_have_no_identity_and_keep_their_labels():
    frame, labels = crowd(3, 6, 0.5)
    frame = normalise(pd.concat([frame, pd.DataFrame([empty_row("p0/9.png", "unusable", "empty file")])], ignore_index=True))
    labels = pd.concat([labels, pd.DataFrame([{"image": "p0/9.png", "person": "p0", "mask": None}])], ignore_index=True)
    last = recognise(frame, labels).iloc[-1]
    assert last["identity"] is None and np.isnan(last["similarity"]) and last["person"] == "p0" and last["role"] == "camera"


def test_no_face_and_one_person_are_refused():
    frame, labels = crowd(1, 6, 0.5)
    with pytest.raises(GalleryError, match="at least two persons with 2 usable images each"):
        recognise(frame, labels)
    nothing = normalise(pd.DataFrame([empty_row("p0/0.png"), empty_row("p1/0.png")]))
    with pytest.raises(GalleryError, match="no face was found in any image"):
        recognise(nothing, labels)


def test_a_real_folder_needs_consent_and_an_absent_one_is_named(tmp_path):
    with pytest.raises(ConsentError, match="consent=true") as caught:
        open_gallery(str(tmp_path), consent=False)
    assert caught.value.exit_code == 2
    with pytest.raises(GalleryError, match="there is no gallery folder"):
        open_gallery(str(tmp_path / "nowhere"), consent=True)
    with pytest.raises(GalleryError, match="fmr must lie between 0 and 1"):
        open_gallery(str(tmp_path), consent=True, fmr=0.0)


def copy_people(portraits, folder, people: int, images: int) -> None:
    for path in portraits:
        if int(path.parent.name[1:]) <= people and int(path.stem) <= images:
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            (folder / path.parent.name / path.name).write_bytes(path.read_bytes())


def test_rank_one_of_30_camera_portraits_of_six_people_is_perfect(pipeline, portraits, tmp_path):
    from perception.labels import gallery_labels

    copy_people(portraits, tmp_path, 6, 10)
    table = perceive_gallery(tmp_path, gallery_labels(tmp_path), pipeline, fmr=0.01)
    camera = table[table["role"] == "camera"]
    assert len(camera) == 30 and (camera["identity"] == camera["person"]).mean() >= 0.96
    assert camera["identity_unenrolled"].notna().mean() <= 0.10


def test_a_person_with_one_usable_image_is_left_out_with_a_warning(pipeline, portraits, tmp_path, caplog, photograph):
    from PIL import Image

    from perception.labels import gallery_labels

    copy_people(portraits, tmp_path, 3, 4)
    for k in (2, 3):
        (tmp_path / "s3" / f"{k}.pgm").write_bytes(b"")
    (tmp_path / "s3" / "4.pgm").unlink()
    Image.fromarray(photograph).save(tmp_path / "s2" / "shelf.png")
    table = perceive_gallery(tmp_path, gallery_labels(tmp_path), pipeline)
    assert set(table["person"]) == {"s1", "s2"} and "1 of 3 persons have fewer than 2 images" in caplog.text
    assert table.set_index("image").loc["s2/shelf.png", "status"] == "no_face"


def test_the_second_start_reads_a_table_without_embeddings_and_loads_no_network(pipeline, portraits, tmp_path, monkeypatch,
                                                                               facenet_weights):
    import perception.pipeline

    monkeypatch.setattr(perception.pipeline, "FacePipeline", lambda file, emotion: pipeline)
    copy_people(portraits, tmp_path / "shop", 3, 4)
    options = {"consent": True, "weights": str(facenet_weights), "cache": str(tmp_path / "cache"), "progress": False}
    first = open_gallery(str(tmp_path / "shop"), **options)
    stored = list((tmp_path / "cache").rglob("*.parquet"))
    assert len(stored) == 1 and first["embedding"].isna().all()
    assert stored[0].stat().st_mode & 0o077 == 0
    code = ("import sys, time; from perception.gallery import open_gallery; t = time.perf_counter(); "
            f"f = open_gallery({str(tmp_path / 'shop')!r}, **{options!r}); "
            "print('torch' in sys.modules, len(f), f.identity.tolist().count('s1'))")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "12", str(first["identity"].tolist().count("s1"))], done.stderr
    (tmp_path / "shop" / "s1" / "1.pgm").write_bytes(portraits[15].read_bytes())  # other content: computed again
    open_gallery(str(tmp_path / "shop"), **options)
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) == 2


@pytest.mark.skipif(not SHIPPED_FEATURES.is_file(), reason="the shipped personas have not been built here")
def test_the_shipped_gallery_opens_without_torch():
    code = ("import sys; from perception.gallery import open_gallery; f = open_gallery(None, consent=False); "
            "print('torch' in sys.modules, len(f) == f.image.nunique() > 100)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True"], done.stderr

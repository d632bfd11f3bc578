"""Galleries say who is who by labels.csv or by sub-folders; mistakes are named with file and line."""

from __future__ import annotations

import pytest

from perception.errors import GalleryError
from perception.labels import gallery_labels, read_labels


def write(tmp_path, text: str):
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    return tmp_path


def test_labels_are_read_with_their_nulls_and_a_byte_order_mark(tmp_path):
    write(tmp_path, "\ufeffimage,person,emotion,mask,role\nb.png,Käthe,sad,TRUE,camera\na.png,p1,,,\n")
    labels = gallery_labels(tmp_path)
    assert labels.to_dict("records") == [
        {"image": "a.png", "person": "p1", "emotion": None, "mask": None, "role": None},
        {"image": "b.png", "person": "Käthe", "emotion": "sad", "mask": True, "role": "camera"}]


@pytest.mark.parametrize(("text", "sentence"), [
    ("image,who\na,b\n", "the column person is missing"),
    ("image,person\n", "lists no image"),
    ("image,person\na.png,p\na.png,q\n", "line 3: a.png is listed twice"),
    ("image,person\n../../etc/passwd,p\n", "line 2: image must be a path inside the folder"),
    ("image,person\n/abs.png,p\n", "must be a path inside the folder"),
    ("image,person\na.png,\n", "line 2: person is empty"),
    ("image,person,emotion\na.png,p,gleeful\n", "emotion must be one of angry, .* not 'gleeful'"),
    ("image,person,mask\na.png,p,maybe\n", "mask must be true or false, not 'maybe'"),
    ("image,person,role\na.png,p,spare\n", "role must be enrol or camera, not 'spare'"),
])
def test_a_wrong_line_is_named(tmp_path, text, sentence):
    with pytest.raises(GalleryError, match=sentence) as caught:
        read_labels(write(tmp_path, text) / "labels.csv")
    assert caught.value.exit_code == 2


def test_a_binary_file_is_not_a_table(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(GalleryError, match="cannot be read as a UTF-8 table"):
        gallery_labels(tmp_path)


def test_sub_folders_are_persons_and_pictures_beside_them_are_nobodys(tmp_path):
    for name in ("ann/1.png", "ann/more/2.jpg", "bob/1.png", "shop.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    labels = gallery_labels(tmp_path)
    assert list(zip(labels["image"], labels["person"], strict=True)) == [
        ("ann/1.png", "ann"), ("ann/more/2.jpg", "ann"), ("bob/1.png", "bob")]
    assert labels["role"].tolist() == [None] * 3


def test_no_folder_and_no_sub_folder_are_told_apart(tmp_path):
    with pytest.raises(GalleryError, match="there is no gallery folder at"):
        gallery_labels(tmp_path / "nowhere")
    (tmp_path / "a.png").touch()
    with pytest.raises(GalleryError, match="neither labels.csv nor a sub-folder with images"):
        gallery_labels(tmp_path)

"""Annotation formats: hand-written files of each kind, round trips of anything, and hostile files in one sentence."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.annotations import FORMATS, AnnotatedImage, AnnotationError, Box, read_annotations, write_annotations
from perception.annotations.__main__ import main
from perception.labels import read_labels

EXPECTED = AnnotatedImage("shop/ann.png", (Box("Ann Li", 20, 10, 60, 50), Box("bob", 100, 0, 200, 100)), 200, 100)
"""What all of the following say."""

IBM = {"version": "1.0", "type": "localization", "labels": ["Ann Li", "bob"], "annotations": {"shop/ann.png": [
    {"x": 0.1, "y": 0.1, "x2": 0.3, "y2": 0.5, "label": "Ann Li"}, {"x": 0.5, "y": 0, "x2": 1, "y2": 1, "label": "bob"}]}}
PLACES = [{"label": "Ann Li", "coordinates": {"x": 40, "y": 30, "width": 40, "height": 40}},
          {"label": "bob", "coordinates": {"x": 150.0, "y": 50, "width": 100, "height": 100}}]
COCO = {"images": [{"id": 7, "file_name": "shop/ann.png", "width": 200, "height": 100}],
        "categories": [{"id": 3, "name": "Ann Li"}, {"id": 1, "name": "bob"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [20, 10, 40, 40]},
                        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [100, 0, 100, 100]}]}
VOC = """<?xml version="1.0"?><annotation><folder>shop</folder><filename>shop/ann.png</filename>
<size><width>200</width><height>100</height><depth>3</depth></size>
<object><name>Ann Li</name><bndbox><xmin>20</xmin><xmax>60</xmax><ymin>10</ymin><ymax>50</ymax></bndbox></object>
<object><name>bob</name><bndbox><xmin>100</xmin><ymin>0</ymin><xmax>200</xmax><ymax>100</ymax></bndbox></object></annotation>"""
FILES = {
    "_annotations.json": json.dumps(IBM),
    "createml.json": json.dumps([{"image": "shop/ann.png", "annotations": PLACES}]),
    "older.json": json.dumps([{"imagefilename": "shop\\ann.png", "annotation": PLACES}]),
    "coco.json": json.dumps(COCO),
    "turi.csv": 'path,annotations\nshop/ann.png,"' + str(PLACES).replace('"', '""') + '"\n',
    "flat.csv": "image,id,name,xMin,xMax,yMin,yMax\nshop/ann.png,1,Ann Li,20,60,10,50\nshop/ann.png,2,bob,100,200,0,100\n",
    "ann.xml": VOC,
}


@pytest.fixture
def folder(tmp_path):
    """A folder with the picture of 200 x 100 pixels that all the files speak of."""
    from PIL import Image

    (tmp_path / "shop").mkdir()
    Image.new("RGB", (200, 100)).save(tmp_path / "shop" / "ann.png")
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_seven_files_of_five_formats_say_the_same_two_boxes(folder, name):
    (folder / name).write_text(FILES[name], encoding="utf-8")
    (entry,) = read_annotations(folder / name)
    assert entry.image == EXPECTED.image and entry.boxes == EXPECTED.boxes
    assert (entry.width, entry.height) in ((200, 100), (None, None))


def test_a_label_without_a_box_in_a_cloud_annotations_file_is_a_box_around_the_image(folder):
    (folder / "a.json").write_text(json.dumps({"type": "classification", "annotations": {"shop/ann.png": [{"label": "bob"}]}}))
    assert read_annotations(folder / "a.json")[0].boxes == (Box("bob", 0, 0, 200, 100),)


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_characters="\\/:.\x7f", exclude_categories=["C", "Z"]),
                min_size=1, max_size=12)
SIDES = st.floats(0, 4000, allow_nan=False)
BOXES = st.builds(Box, NAMES, SIDES, SIDES, st.floats(4001, 9000), st.floats(4001, 9000))
ENTRIES = st.lists(st.builds(AnnotatedImage, st.builds("{}/{}.jpg".format, NAMES, NAMES), st.lists(BOXES, max_size=4).map(tuple),
                             st.integers(1, 10_000), st.integers(1, 10_000)), max_size=4, unique_by=lambda entry: entry.image)


@pytest.mark.parametrize("format", FORMATS)
@given(entries=ENTRIES)
@settings(max_examples=40, deadline=None)
def test_whatever_is_written_is_read_again_within_a_millionth_of_a_pixel(format, entries):
    if format == "ibm":  # stores shares of the sides, so boxes must lie near the image
        entries = [AnnotatedImage(e.image, e.boxes, 9000, 9000) for e in entries]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, {"voc": "xml", "turi": "a.csv"}.get(format, "a.json"))
        write_annotations(entries, path, format)
        if format == "voc" and not entries:
            return
        if format == "ibm":
            import perception.annotations.ibm as ibm

            again = ibm.read(path, lambda image: (9000, 9000))
        else:
            again = read_annotations(path, None if entries else format)
    assert {e.image for e in again} == {e.image for e in entries}
    old = {e.image: e for e in entries}
    for entry in again:
        boxes = old[entry.image].boxes
        assert [b.label for b in entry.boxes] == [b.label for b in boxes]
        for b, a in zip(entry.boxes, boxes, strict=True):
            assert (b.x0, b.y0, b.x1, b.y1) == pytest.approx((a.x0, a.y0, a.x1, a.y1), abs=1e-6)
        if format in ("voc", "coco"):
            assert (entry.width, entry.height) == (old[entry.image].width, old[entry.image].height)


BOMB = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]><annotation><filename>&c;</filename></annotation>'
READ_PASSWD = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>'


@pytest.mark.parametrize(("name", "content", "sentence"), [
    ("a.xml", BOMB, "declares entities or a document type"),
    ("a.xml", READ_PASSWD, "declares entities or a document type"),
    ("a.xml", "<annotation><filename>a.jpg</filename>", "is no XML"),
    ("a.xml", "<html/>", "its root is <html>, not <annotation>"),
    ("a.xml", "<annotation/>", "an image name is missing"),
    ("a.xml", VOC.replace("shop/ann.png", "../../secret.png"), "path inside the folder"),
    ("a.xml", VOC.replace("<xmin>20</xmin>", "<xmin>nan</xmin>"), "corner that is not finite"),
    ("a.xml", VOC.replace("<xmin>20</xmin>", ""), "corner that is no number"),
    ("a.xml", VOC.replace("<width>200</width>", "<width>-3</width>"), "positive number of pixels"),
    ("a.json", "[" * 100_000, "nested too deeply"),
    ("a.json", '{"annotations": {"a.jpg": [{"x": NaN}]}}', "NaN is no number"),
    ("a.json", '{"annotations": {"a.jpg": 3}}', "must be a list of boxes"),
    ("a.json", '{"annotations": {"/etc/passwd": []}}', "path inside the folder"),
    ("a.json", '{"nothing": 1}', "of none of the formats"),
    ("a.json", "[3]", "must be a list of images"),
    ("a.json", '[{"image": "a.jpg", "annotations": [{"label": "x", "coordinates": {"x": 1}}]}]', "needs coordinates"),
    ("a.json", '[{"image": "a.jpg", "annotations": [{"label": "x", "coordinates": {"x": 1, "y": 1, "width": 0, "height": 3}}]}]',
     "has no area"),
    ("a.json", '[{"image": "a.jpg", "annotations": [{"coordinates": {"x": 1, "y": 1, "width": 2, "height": 3}}]}]', "has no label"),
    ("a.json", '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"id": 2, "image_id": 9, "bbox": []}]}',
     "no image with the id '9'"),
    ("a.json", '{"images": [{"id": [1]}], "annotations": 3}', "must be a list of objects"),
    ("a.csv", "a,b\n1,2\n", "is no Turi Create table"),
    ("a.csv", 'path,annotations\na.jpg,"__import__(\'os\').system(\'true\')"\n', "must be a list of boxes"),
    ("a.csv", "path,annotations\na.jpg,{}\n", "must be a list of boxes"),
    ("a.csv", b"path,annotations\n\xff\xfe\n", "no UTF-8 text"),
    ("a.csv", 'path,annotations\na.jpg,"' + "x" * 200_000, "no table of comma-separated values"),
    ("a.txt", "path", "is no JSON"),
])
def test_a_hostile_or_broken_file_gets_one_sentence_and_exit_code_2(tmp_path, capsys, name, content, sentence):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AnnotationError, match=r"^[^\n]+$") as caught:
        read_annotations(tmp_path / name)
    assert sentence in str(caught.value)
    assert main([f"in={tmp_path / name}", f"out={tmp_path}/o.json", "format=coco"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "o.json").exists()


@given(name=st.sampled_from(sorted(FILES)), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_file_with_bytes_changed_cut_or_doubled_is_read_or_refused_by_its_name(name, data):
    content = bytearray(FILES[name].encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content)))
        change = data.draw(st.sampled_from(["set", "cut", "double"]))
        if change == "set":
            content[at:at + 1] = bytes([data.draw(st.integers(0, 255))])
        elif change == "cut":
            del content[at:]
        else:
            content[at:at] = content[max(0, at - 20):at]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(content)
        try:
            entries = read_annotations(file)
        except AnnotationError as error:
            assert file.name in str(error) or str(folder) in str(error)  # the picture may be what is absent, under any name
        else:
            assert all(box.area > 0 for entry in entries for box in entry.boxes)


def test_any_format_makes_a_gallery_named_by_the_largest_box_and_a_manifest_of_every_box(folder, capsys):
    (folder / "turi.csv").write_text(FILES["turi.csv"], encoding="utf-8")
    assert main([f"in={folder}/turi.csv", f"out={folder}/labels.csv", "format=gallery"]) == 0
    assert "1 images, 2 boxes; the largest box names the person of an image, 1 other boxes are left out" in capsys.readouterr().out
    assert read_labels(folder / "labels.csv")[["image", "person"]].to_numpy().tolist() == [["shop/ann.png", "bob"]]
    (folder / "deep").mkdir()
    assert main([f"in={folder}/turi.csv", f"out={folder}/deep/m.csv", "format=manifest", "set=kiosk"]) == 0
    with (folder / "deep" / "m.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[1] == ["../shop/ann.png", "Ann Li", "kiosk", "20.0", "10.0", "60.0", "50.0"] and len(rows) == 3
    assert main([f"in={folder}/turi.csv", f"out={folder}/deep/labels.csv", "format=gallery"]) == 2
    assert "must lie in the folder of the images or above it" in capsys.readouterr().err


def test_two_images_that_differ_in_the_suffix_alone_cannot_share_one_voc_file(tmp_path):
    entries = [AnnotatedImage("a.jpg", (), 9, 9), AnnotatedImage("a.png", (), 9, 9)]
    with pytest.raises(AnnotationError, match="would both be described by a.xml"):
        write_annotations(entries, tmp_path / "x", "voc")

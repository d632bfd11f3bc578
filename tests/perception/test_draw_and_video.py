"""Drawings say what was found, and names only where they are given; tracks follow a face through a video."""

from __future__ import annotations

import numpy as np
import pytest

import perception.pipeline
from perception.draw import COLOURS, WIDTH, draw_faces
from perception.errors import InputError
from perception.extract import main
from perception.features import read_features
from perception.results import Face
from perception.video import Tracker, read_frames
from tests.perception.hostile import FACES


def face(x: float, y: float, side: float = 60.0, direction: int | None = None, mask: float | None = None) -> Face:
    """A happy face at a place, whose embedding points in a direction of its own."""
    embedding = None if direction is None else np.eye(512, dtype=np.float32)[direction]
    return Face((x, y, x + side, y + side), 0.99, np.zeros((5, 2), np.float32), np.eye(7, dtype=np.float32)[3], mask, embedding)


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def test_a_small_picture_is_drawn_640_wide_and_a_large_one_1280_each_with_a_strip_below():
    small = draw_faces(np.zeros((120, 160, 3), np.uint8), [face(20, 20)])
    large = draw_faces(np.zeros((1500, 3000, 3), np.uint8), [])
    assert small.shape[1] == 640 and 480 < small.shape[0] < 560
    assert large.shape[1] == WIDTH and 640 < large.shape[0] < 720


def test_each_face_has_a_box_of_its_own_colour_at_its_place_and_a_track_keeps_its_colour():
    picture = np.full((480, 640, 3), 128, np.uint8)
    drawn = draw_faces(picture, [face(100, 100), face(400, 200)])
    assert tuple(drawn[100, 130]) == rgb(COLOURS[0]) and tuple(drawn[230, 400]) == rgb(COLOURS[1])
    assert tuple(draw_faces(picture, [face(100, 100)], colours=[4])[100, 130]) == rgb(COLOURS[4])


def test_a_name_changes_the_drawing_only_where_it_is_given_and_masks_are_said_only_where_they_are_known():
    picture = np.full((480, 640, 3), 128, np.uint8)
    plain = draw_faces(picture, [face(100, 100)])
    assert (draw_faces(picture, [face(100, 100)], [None]) == plain).all()
    assert (draw_faces(picture, [face(100, 100)], ["Ann Li"]) != plain).any()
    masked = draw_faces(picture, [face(100, 100, mask=0.97)])
    bare = draw_faces(picture, [face(100, 100, mask=0.03)])
    assert (masked != bare).any() and (bare != plain).any()


def test_tags_of_crowded_faces_do_not_cover_one_another(monkeypatch):
    import perception.draw as module

    placed: list = []
    original = module._tag

    def spy(*words):
        original(*words)
        placed[:] = words[-1]

    monkeypatch.setattr(module, "_tag", spy)
    draw_faces(np.zeros((480, 640, 3), np.uint8), [face(60 + 130 * (k % 4), 40 + 190 * (k // 4)) for k in range(8)])
    assert len(placed) == 8
    for i, a in enumerate(placed):
        assert a[0] >= 0 and a[1] >= 0 and a[2] <= 640 and a[3] <= 480
        for b in placed[i + 1:]:
            assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])


def test_two_people_who_cross_keep_their_tracks_and_one_who_returns_is_known_by_face_not_by_place():
    tracker = Tracker(patience=2)
    for t in range(11):  # from left to right and from right to left, through one another
        faces = [face(10 * t, 50, direction=1), face(100 - 10 * t, 50, direction=2)]
        numbers = tracker.update(faces if t % 2 else faces[::-1], t)
        assert numbers == ([0, 1] if t % 2 else [1, 0]) or t == 0
        if t == 0:
            assert numbers == [0, 1]
            tracker.tracks[0], tracker.tracks[1] = tracker.tracks[1], tracker.tracks[0]  # number them by direction
    for t in range(11, 20):
        assert tracker.update([], t) == []
    assert tracker.update([face(300, 200, direction=2)], 20) == [1]
    assert tracker.update([face(100, 50, direction=3)], 21) == [2]  # somebody new where the first was last seen


def test_without_embeddings_a_box_that_moves_by_a_third_stays_and_one_that_jumps_is_new():
    tracker = Tracker()
    assert [tracker.update([face(x, 50)], k)[0] for k, x in enumerate((0, 20, 40, 300, 310))] == [0, 0, 0, 1, 1]


@pytest.fixture
def video(tmp_path):
    """Thirty frames: one rendered face that moves to the right, the last ten without anybody."""
    import cv2
    from PIL import Image

    with Image.open(FACES[3]) as picture:
        tile = np.asarray(picture.convert("RGB"))
    writer = cv2.VideoWriter(str(tmp_path / "shop.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (420, 240))
    for t in range(30):
        frame = np.full((240, 420, 3), 90, np.uint8)
        if t < 20:
            frame[20:220, 10 * t:10 * t + 200] = tile[:200, :200]
        writer.write(frame[:, :, ::-1])
    writer.release()
    return tmp_path / "shop.avi"


def test_every_fifth_of_thirty_frames_is_read_with_its_time(video):
    frames = list(read_frames(video, 5))
    assert [frame.number for frame in frames] == [0, 5, 10, 15, 20, 25]
    assert frames[3].seconds == pytest.approx(1.5) and frames[0].pixels.shape == (240, 420, 3)


@pytest.mark.parametrize(("content", "sentence"), [(b"", "is no video"), (b"<html>" * 100, "is no video"), (None, "there is no video")])
def test_what_is_no_video_gets_one_sentence(tmp_path, content, sentence):
    file = tmp_path / "a.mp4"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        next(read_frames(file, 1))


def test_a_link_is_not_followed_and_a_cut_video_gives_its_first_frames_or_a_sentence(video, tmp_path):
    (tmp_path / "link.avi").symlink_to(video)
    with pytest.raises(InputError, match="not a regular file"):
        next(read_frames(tmp_path / "link.avi", 1))
    content = video.read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "cut.avi").write_bytes(content[: int(len(content) * share)])
        try:
            frames = list(read_frames(tmp_path / "cut.avi", 1))
        except InputError:
            continue
        assert 1 <= len(frames) <= 30


def test_the_command_follows_one_face_through_a_video_and_draws_every_frame_it_read(monkeypatch, blind_pipeline, video, tmp_path, capsys):
    monkeypatch.setattr(perception.pipeline, "FacePipeline", lambda weights, batch_size=32, emotion="combined": blind_pipeline)
    words = [f"video={video}", f"out={tmp_path}/f.parquet", f"draw={tmp_path}/drawn", "every=5", "weights=none", "batch=2"]
    assert main([*words, "progress=false"]) == 0
    assert "6 frames: 4 faces in 4, 1 tracks" in capsys.readouterr().out
    table = read_features(tmp_path / "f.parquet")
    assert table["track"].tolist() == [0, 0, 0, 0, -1, -1] and table["frame"].tolist() == [0, 5, 10, 15, 20, 25]
    assert table["image"][1] == "shop.avi/000005" and table["embedding"].isna().all()
    assert len(list((tmp_path / "drawn" / "shop.avi").glob("*.png"))) == 6


def test_the_command_draws_every_readable_picture_and_no_folder_of_photographs_takes_its_own_drawings(
        monkeypatch, blind_pipeline, tmp_path, capsys):
    monkeypatch.setattr(perception.pipeline, "FacePipeline", lambda weights, batch_size=32, emotion="combined": blind_pipeline)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.webp").write_bytes(FACES[0].read_bytes())
    (tmp_path / "in" / "bad.jpg").write_bytes(b"<html>")
    words = [f"images={tmp_path}/in", f"out={tmp_path}/f.parquet", "weights=none", "cache=none", "progress=false"]
    assert main([*words, f"draw={tmp_path}/drawn"]) == 0
    assert "drawn: 1 pictures" in capsys.readouterr().out
    assert [p.relative_to(tmp_path / "drawn").as_posix() for p in (tmp_path / "drawn").rglob("*.png")] == ["deep/a.webp.png"]
    assert main([*words, f"draw={tmp_path}/in/drawn"]) == 2
    assert main([f"out={tmp_path}/f.parquet"]) == 2 and main([*words, "video=a.mp4"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert "would be read as photographs next time" in errors[0] and all("give either images=" in line for line in errors[1:])

"""A folder whose files are as they were is answered from its finished table; whatever changed is read."""

from __future__ import annotations

import os
import time

import pytest

from perception.extract import main
from perception.finished_tables import FOLDER, FinishedTables, state_of
from tests.perception.test_extract import loaded, photos  # noqa: F401  (fixtures)

AGO = 10_000_000_000  # nanoseconds




@pytest.fixture
def later(monkeypatch):
    """The clock goes ten seconds before."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + AGO)


def test_a_second_pass_opens_no_image_and_writes_the_same_bytes(later, loaded, photos, tmp_path, facenet_weights, capsys, monkeypatch):  # noqa: F811
    words = [f"images={photos}", f"cache={tmp_path}/c", f"weights={facenet_weights}", "progress=false"]
    main([*words, f"out={tmp_path}/1.parquet"])
    first = capsys.readouterr().out
    opened: list[object] = []
    reader = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: (opened.append(path), reader(path, *rest, **more))[1])
    main([*words, f"out={tmp_path}/2.parquet"])
    said = capsys.readouterr()
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    assert (tmp_path / "1.failures.csv").read_bytes() == (tmp_path / "2.failures.csv").read_bytes()
    assert not [path for path in opened if str(path).startswith(str(photos))]
    assert said.out == first.replace("/1.", "/2.") and "no image has changed" in said.err


@pytest.mark.parametrize("change", ["content", "touched", "new", "gone", "renamed"])
def test_a_change_of_any_file_is_seen(change, tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(b"1")
    names = ["a", "b"]
    before = state_of(names, [tmp_path / n for n in names])
    if change == "content":
        (tmp_path / "a").write_bytes(b"2")  # of equal size
    elif change == "touched":
        os.utime(tmp_path / "a", ns=(1, 1))
    elif change == "new":
        (tmp_path / "c").write_bytes(b"1")
        names.append("c")
    elif change == "gone":
        names.remove("b")
    else:
        (tmp_path / "b").rename(tmp_path / "c")
        names = ["a", "c"]
    assert state_of(names, [tmp_path / n for n in names]).digest != before.digest


def test_a_file_written_a_moment_ago_could_change_unnoticed_and_its_table_is_not_kept(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"1")
    fresh = state_of(["a"], [file])
    tables = FinishedTables(tmp_path / "c", tmp_path, "settings")
    tables.keep(fresh, b"table")
    assert not fresh.settled and tables.get(fresh) is None and not list((tmp_path / "c" / FOLDER).iterdir())


def test_a_file_that_is_gone_when_it_is_looked_at_leaves_the_state_unsettled(tmp_path):
    assert not state_of(["a"], [tmp_path / "a"]).settled


def test_one_table_a_folder_is_kept_and_a_damaged_one_counts_as_none(later, tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"1")
    tables = FinishedTables(tmp_path / "c", tmp_path, "settings")
    tables.keep(state_of(["a"], [file]), b"first")
    file.write_bytes(b"2")
    state = state_of(["a"], [file])
    assert tables.get(state) is None
    tables.keep(state, b"second")
    (kept,) = (tmp_path / "c" / FOLDER).iterdir()
    assert tables.get(state) == b"second" and kept.stat().st_mode & 0o077 == 0
    assert FinishedTables(tmp_path / "c", tmp_path, "others").get(state) is None
    kept.write_bytes(b"secone")
    assert tables.get(state) is None


@pytest.mark.parametrize("more", ["consent=true", "emotion=fer"])
def test_other_settings_do_not_meet_the_table(later, loaded, photos, tmp_path, facenet_weights, capsys, more):  # noqa: F811
    words = [f"images={photos}", f"cache={tmp_path}/c", f"weights={facenet_weights}", "progress=false", f"out={tmp_path}/1.parquet"]
    main(words)
    main([*words, more])
    assert "no image has changed" not in capsys.readouterr().err and len(loaded) == 2


def test_tables_of_embeddings_are_never_kept(later, loaded, photos, tmp_path, facenet_weights):  # noqa: F811
    main([f"images={photos}", f"cache={tmp_path}/c", f"weights={facenet_weights}", "progress=false", f"out={tmp_path}/1.parquet",
          "consent=true"])
    assert not (tmp_path / "c" / FOLDER).exists()

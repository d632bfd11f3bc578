"""Embeddings at rest: nothing readable without the key, nothing movable with it, and an end to it."""

import base64
import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perception import key as key_command
from perception.cache import ImageCache
from perception.encryption import KEY_FILE_VARIABLE, KEY_VARIABLE, data_folder, expiry, find_key, key_file
from perception.errors import ExpiredError, FeaturesError, InputError, KeyUnavailableError
from perception.features import COLUMNS, EMOTION_COLUMNS, read_features, write_features
from perception.results import Face, ImageResult

CONTENT = "ab" * 32


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A data folder of this test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "push-simulator"


def vector(seed: int) -> np.ndarray:
    v = np.random.default_rng(seed).standard_normal(512).astype(np.float32)
    return v / np.linalg.norm(v)


def table(n: int = 3) -> pd.DataFrame:
    row = dict.fromkeys(COLUMNS) | {"status": "face", "face": 0, "score": 0.9, "x0": 0.0, "y0": 0.0, "x1": 9.0, "y1": 9.0}
    row |= dict.fromkeys(EMOTION_COLUMNS, 1 / 7) | {"mask_probability": 0.1}
    return pd.DataFrame([row | {"image": f"p{i}/1.jpg", "embedding": vector(i)} for i in range(n)])


def leaks(folder: Path, vectors: list[np.ndarray]) -> list[Path]:
    """Files that hold a vector: its bytes, its base64, or its numbers in a Parquet column."""
    raw = [v.astype("<f4").tobytes() for v in vectors]
    found = []
    for file in (p for p in folder.rglob("*") if p.is_file()):
        content = file.read_bytes()
        columns = []
        if file.suffix == ".parquet":
            rows = pq.read_table(file).to_pylist()
            content += b"".join(cell for row in rows for cell in row.values() if isinstance(cell, bytes))
            columns = [np.asarray(row["embedding"], "<f4").tobytes() for row in rows if row["embedding"]]
        if any(v in content or base64.b64encode(v)[:400] in content or v in columns for v in raw):
            found.append(file)
    return found


def test_three_embeddings_come_back_bit_for_bit_and_no_byte_of_them_lies_in_the_file(home, tmp_path):
    write_features(table(), tmp_path / "t" / "f.parquet", expires=expiry(7))
    back = read_features(tmp_path / "t" / "f.parquet")
    assert all((back["embedding"][i] == vector(i)).all() for i in range(3)) and back["embedding"][0].dtype == np.float32
    assert leaks(tmp_path / "t", [vector(i) for i in range(3)]) == []
    assert stat.S_IMODE((tmp_path / "t" / "f.parquet").stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file().stat().st_mode) == 0o600 and key_file().parent == home == data_folder()
    sizes = [len(cell) for cell in pq.read_table(tmp_path / "t" / "f.parquet")["embedding_sealed"].to_pylist()]
    assert sizes == [12 + 2048 + 16] * 3
    assert read_features(tmp_path / "t" / "f.parquet", embeddings=False)["embedding"].isna().all()
    write_features(table(), tmp_path / "plain.parquet", encrypt=False)
    assert leaks(tmp_path, [vector(0)]) == [tmp_path / "plain.parquet"]  # the search does find one that is there


def test_a_missing_a_wrong_and_an_absurd_key_are_one_sentence_each(home, tmp_path, monkeypatch):
    write_features(table(), tmp_path / "f.parquet")
    first = find_key()
    key_file().unlink()
    with pytest.raises(KeyUnavailableError, match=r"f.parquet: the embeddings are encrypted and no key was found at .*PERCEPTION_KEY=KEY"):
        read_features(tmp_path / "f.parquet")
    assert len(read_features(tmp_path / "f.parquet", embeddings=False)) == 3  # everything else needs no key
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(bytes(32)).decode())
    with pytest.raises(KeyUnavailableError, match=f"encrypted with the key {first.id}, and the key of PERCEPTION_KEY is") as caught:
        read_features(tmp_path / "f.parquet")
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)
    monkeypatch.setenv(KEY_VARIABLE, "open sesame")
    with pytest.raises(KeyUnavailableError, match="is no key: 32 random bytes in base64"):
        find_key()
    monkeypatch.delenv(KEY_VARIABLE)
    (tmp_path / "mine.key").write_text(base64.urlsafe_b64encode(first.secret).decode() + "\n")
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "mine.key"))
    assert (read_features(tmp_path / "f.parquet")["embedding"][1] == vector(1)).all()


def test_an_embedding_that_was_moved_altered_or_given_a_longer_life_does_not_open(home, tmp_path):
    file = tmp_path / "f.parquet"
    write_features(table(), file, expires=expiry(7))
    stored = pq.read_table(file)
    sealed = stored["embedding_sealed"].to_pylist()

    def rewritten(cells, metadata=None):
        place = stored.schema.get_field_index("embedding_sealed")
        changed = stored.set_column(place, "embedding_sealed", pa.array(cells, pa.binary()))
        pq.write_table(changed.replace_schema_metadata(metadata or stored.schema.metadata), file)

    attrs = json.loads(stored.schema.metadata[b"perception"])
    attrs["stored"]["expires"] = expiry(9999)
    flipped = bytes([sealed[0][0] ^ 1]) + sealed[0][1:]
    rest, longer = sealed[1:], {b"perception": json.dumps(attrs).encode()}
    for cells, metadata in (([sealed[1], sealed[0], sealed[2]], None), ([flipped, *rest], None), ([sealed[0][:20], *rest], None),
                            (sealed, longer)):
        rewritten(cells, metadata)
        with pytest.raises(FeaturesError, match="image 'p0/1.jpg', face 0, is not as it was written"):
            read_features(file)
    rewritten(sealed)
    assert (read_features(file)["embedding"][0] == vector(0)).all()


def test_a_table_past_its_time_is_refused_and_removed_with_one_sentence(home, tmp_path):
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat(timespec="seconds")
    for encrypt in (True, False):
        write_features(table(), tmp_path / "f.parquet", encrypt=encrypt, expires=past)
        with pytest.raises(ExpiredError, match=f"f.parquet expired on {past[:19]}.* and was removed"):
            read_features(tmp_path / "f.parquet")
        assert not (tmp_path / "f.parquet").exists()
    assert expiry(0) is None and expiry(30) > past
    with pytest.raises(InputError, match="beyond the calendar"):
        expiry(10**9)


def test_a_rewritten_table_keeps_its_end(home, tmp_path):
    end = expiry(7)
    write_features(table(), tmp_path / "a.parquet", expires=end)
    write_features(read_features(tmp_path / "a.parquet"), tmp_path / "b.parquet")
    assert read_features(tmp_path / "b.parquet").attrs["stored"]["expires"] == end


def face(seed: int) -> Face:
    return Face((1.0, 2.0, 30.0, 40.0), 0.99, np.zeros((5, 2), np.float32), np.full(7, 1 / 7, np.float32), 0.1, vector(seed))


def test_the_cache_encrypts_expires_and_counts_an_entry_of_another_key_as_none(home, tmp_path, monkeypatch):
    cache = ImageCache(tmp_path / "c", "d" * 64, embeddings=True)
    cache.put(CONTENT, ImageResult("x", "face", None, 50, 50, (face(1), face(2))))
    assert leaks(tmp_path / "c", [vector(1), vector(2)]) == []
    back = ImageCache(tmp_path / "c", "d" * 64, embeddings=True).get(CONTENT, "y")
    assert (back.faces[1].embedding == vector(2)).all()
    assert ImageCache(tmp_path / "c", "d" * 64, embeddings=False).get(CONTENT, "y").faces[0].embedding is None
    with monkeypatch.context() as patch:
        patch.setenv(KEY_VARIABLE, base64.b64encode(os.urandom(32)).decode())
        assert ImageCache(tmp_path / "c", "d" * 64, embeddings=True).get(CONTENT, "y") is None
    file = next((tmp_path / "c").rglob("*.json"))
    entry = json.loads(file.read_text())
    file.write_text(json.dumps(entry | {"expires": "2020-01-01T00:00:00+00:00"}))
    assert cache.get(CONTENT, "y") is None and not file.exists()
    ImageCache(tmp_path / "c", "d" * 64, embeddings=True, encrypt=False).put(CONTENT, ImageResult("x", "face", None, 50, 50, (face(1),)))
    assert leaks(tmp_path / "c", [vector(1)]) == [file]
    end = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"expires": end}))
    assert (cache.get(CONTENT, "y").faces[0].embedding == vector(1)).all()
    assert leaks(tmp_path / "c", [vector(1)]) == []  # met by a command that encrypts, it was encrypted ...
    assert json.loads(file.read_text())["expires"] == end  # ... and got no longer life


def test_the_key_command_makes_one_key_even_for_two_at_once_and_never_prints_it(home, tmp_path, capsys):
    code = "from perception.encryption import find_key; print(find_key(make=True).id)"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    ids = {process.communicate()[0].strip() for process in both}
    assert key_command.main([]) == 0
    out = capsys.readouterr().out
    assert ids == {find_key().id} and out == f"key {find_key().id} from {key_file()}\n"
    assert key_file().read_text().strip() not in out and find_key().secret.hex() not in repr(find_key())


def test_a_data_folder_that_cannot_be_written_names_the_three_ways_out(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(KeyUnavailableError, match="set PERCEPTION_KEY=KEY or PERCEPTION_KEY_FILE=FILE, or .*encrypt=false"):
        write_features(table(), tmp_path / "f.parquet")
    assert not (tmp_path / "f.parquet").exists()

"""Tables that perception left on the disk, damaged: named where they are the input, computed again where they are a cache."""

from __future__ import annotations

import logging
import pickle

import pandas as pd
import pytest

from perception import gallery
from perception.errors import FeaturesError
from perception.features import read_features, write_features
from perception.gallery import SHIPPED_FEATURES, open_gallery

pytestmark = pytest.mark.faults

DAMAGE = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "its footer overwritten": lambda data: data[:-200] + bytes(200),
    "a pickle": lambda data: pickle.dumps({"image": ["a"]}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_feature_table_is_refused_by_name(tmp_path, told, damage):
    path = tmp_path / "features.parquet"
    write_features(read_features(SHIPPED_FEATURES).head(20), path)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(FeaturesError, match="features.parquet is not a readable parquet file"):
        read_features(path)
    told(f"a feature table, {damage}", "refused by name")


def test_a_feature_table_whose_numbers_are_impossible_is_refused_by_name_and_picture(tmp_path, told):
    frame = read_features(SHIPPED_FEATURES).head(20)
    path = tmp_path / "features.parquet"
    write_features(frame, path, encrypt=False)
    table = pd.read_parquet(path)
    table.loc[3, "emotion_happy"] = 7.0
    table.to_parquet(path)
    with pytest.raises(FeaturesError, match=f"features.parquet.*{table.loc[3, 'image']}"):
        read_features(path)
    told("a feature table with a probability of 7", "refused, file and picture named")


def test_a_damaged_table_of_a_gallery_in_the_cache_counts_as_none(tmp_path, monkeypatch, caplog, told):
    import perception.pipeline

    finished, perceived = read_features(SHIPPED_FEATURES).head(40), []
    monkeypatch.setattr(gallery, "perceive_gallery", lambda *a, **k: perceived.append(1) or finished)
    monkeypatch.setattr(perception.pipeline, "FacePipeline", lambda *a, **k: None)
    monkeypatch.setattr("perception.weights.find_weights", lambda weights: tmp_path / "weights")
    (tmp_path / "weights").write_bytes(b"w")
    for person in ("a", "b"):
        (tmp_path / "customers" / person).mkdir(parents=True)
        (tmp_path / "customers" / person / "1.png").write_bytes(person.encode())
    how = {"consent": True, "cache": str(tmp_path / "cache")}
    open_gallery(str(tmp_path / "customers"), **how)
    open_gallery(str(tmp_path / "customers"), **how)
    assert len(perceived) == 1  # the second time it was there
    (table,) = (tmp_path / "cache" / "galleries").glob("*.parquet")
    for damage in DAMAGE.values():
        whole = table.read_bytes()
        table.write_bytes(damage(whole))
        with caplog.at_level(logging.WARNING):
            again = open_gallery(str(tmp_path / "customers"), **how)
        assert len(again) == len(finished) and table.read_bytes()[:4] == b"PAR1"
    assert len(perceived) == 1 + len(DAMAGE)
    assert caplog.text.count("the cached gallery table is damaged and is computed again") == len(DAMAGE)
    told(f"a gallery's table in the cache, in {len(DAMAGE)} ways", "computed again each time, with a warning")

"""Datasets of a run: what MLflow itself would make of the same table, without the columns that must not leave."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa

from sim.tracking import Tracker
from sim.tracking.datasets import describe
from sim.tracking.sync import sync


def test_a_description_is_mlflows_own_of_the_same_frame(tmp_path):
    import mlflow.data

    frame = pd.DataFrame(
        {"n": np.arange(5), "x": np.linspace(0, 1, 5), "ok": [True] * 5, "label": list("abcde"), "f": np.float32(1)}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    theirs = mlflow.data.from_pandas(frame, source=str(tmp_path / "t.parquet"), name="t", digest="d").to_dict()
    ours = describe("t", "d", tmp_path / "t.parquet", pa.Schema.from_pandas(frame, preserve_index=False), 5)
    assert json.loads(ours["profile"]) == json.loads(theirs["profile"])
    columns = {c["name"]: c["type"] for c in json.loads(ours["schema"])["mlflow_colspec"]}
    assert columns == {c["name"]: c["type"] for c in json.loads(theirs["schema"])["mlflow_colspec"]}
    assert (ours["name"], ours["digest"], ours["source_type"]) == (
        theirs["name"],
        theirs["digest"],
        theirs["source_type"],
    )
    assert json.loads(ours["source"]) == json.loads(theirs["source"])


def test_a_column_of_vectors_or_one_that_is_hidden_is_not_described():
    schema = pa.schema([("image", pa.string()), ("embedding", pa.list_(pa.float32())), ("person", pa.string())])
    described = json.loads(describe("g", "d" * 64, "x", schema, 3, hidden=["person"])["schema"])
    assert [c["name"] for c in described["mlflow_colspec"]] == ["image"]
    assert len(describe("g", "d" * 64, "x", schema, 3)["digest"]) == 36


def test_a_dataset_reaches_its_run_once_and_its_source_is_found_again(uri, client, only_run, tmp_path):
    import mlflow.data

    schema = pa.schema([("label", pa.string())])
    with Tracker("http://127.0.0.1:9", "q").run("r", folder=tmp_path) as run:
        run.dataset(describe("catalog", "abc", "catalog.csv", schema, 12), "labels")
    spool = tmp_path / "spool.jsonl"
    for _ in range(2):
        spool.write_text("\n".join(line for line in spool.read_text().splitlines() if '"delivered"' not in line) + "\n")
        sync(tmp_path, uri)
    (found,) = only_run().inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest, found.tags[0].value) == ("catalog", "abc", "labels")
    assert mlflow.data.get_source(found).uri == "catalog.csv"

"""What a run was made from, as MLflow datasets: catalog, gallery features, session log.

A description is a plain dictionary that goes through the spool, so that no mlflow is needed to write it down and a dead
server loses nothing.  It is what `mlflow.data.from_pandas(frame, source, name=..., digest=...)` makes of the same table
(tested), except that a column of vectors is named and never described, let alone stored: MLflow gets the digest of the
gallery's features, no embedding and no picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sim.tracking.spool import Record

if TYPE_CHECKING:
    import pyarrow as pa
    from mlflow.entities import DatasetInput

DIGEST_LIMIT = 36  # of MLflow's column


def describe(
    name: str, digest: str, source: Path | str, schema: pa.Schema, rows: int, hidden: Iterable[str] = ()
) -> dict[str, str]:
    """The dataset of a table.

    Parameters
    ----------
    name, digest : shown in MLflow; the first 36 characters of a digest are kept.
    source : file or folder.
    schema : of the table.
    rows : number of rows.
    hidden : columns to leave out.
    """
    left_out = set(hidden)
    columns = [
        {"type": kind, "name": field.name, "required": not field.nullable}
        for field in schema
        if field.name not in left_out and (kind := _kind(field.type)) is not None
    ]
    return {
        "name": name,
        "digest": digest[:DIGEST_LIMIT],
        "source_type": "local",
        "source": json.dumps({"uri": str(source)}),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps({"num_rows": rows, "num_elements": rows * len(columns)}),
    }


def _kind(kind: pa.DataType) -> str | None:
    """MLflow's name of a column type; None for vectors, which are not described."""
    import pyarrow.types as t

    if t.is_dictionary(kind):
        kind = kind.value_type
    for test, name in (
        (t.is_boolean, "boolean"), (t.is_float64, "double"), (t.is_floating, "float"), (t.is_int64, "long"),
        (t.is_uint32, "long"), (t.is_integer, "integer"), (t.is_string, "string"), (t.is_large_string, "string"),
    ):  # fmt: skip
        if test(kind):
            return name
    return None


def dataset_input(record: Record) -> DatasetInput:
    """MLflow's own object for a `dataset` record."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return DatasetInput(Dataset(**record["dataset"]), [InputTag("mlflow.data.context", record["context"])])

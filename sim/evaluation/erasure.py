"""Taking a person out of a run's tables: the lines that show the person's face, and whom others were taken for.

A run on a real gallery knows persons by opaque names (`sim.shop.gallery`), `customer-0003`; the gallery's digest and its
table say whose name that was.  Session logs lose the lines of every simulated customer who wore the face, since their
perceived features are readings of the person's photographs.  The table of customers keeps its rows, or comparisons would
pair the wrong ones: they hold the money of simulated lives; which face it was, its expression and recognition are blanked.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sim.shop.gallery import build_gallery
from sim.shop.parameters import ShopError


def opaque_name(face: int) -> str:
    """What session logs call the person of a face, as `build_gallery` does."""
    return f"customer-{face:04d}"


def roster(table: pd.DataFrame) -> tuple[str, list[str]] | None:
    """Digest of a perceived gallery, and its persons in the order of their numbers; None where it makes no shop."""
    try:
        gallery = build_gallery(table, 0.5, 0, opaque=False)  # neither share nor seed decides numbers or digest
    except ShopError:
        return None
    return gallery.digest, list(gallery.persons)


def log_files(path: Path) -> list[Path]:
    """The files of a table that is one file or a folder of parts."""
    return sorted(path.rglob("*.parquet")) if path.is_dir() else [path]


def traces(path: Path, face: int) -> int:
    """Lines of a session log, or rows of a table of customers, that are about a face."""
    columns = set(pq.read_schema(path).names)
    wanted = ["face"] if "face" in columns else ["true_person", "perceived_identity"]
    table = pq.read_table(path, columns=wanted, partitioning=None)
    if wanted == ["face"]:
        return int(pc.sum(pc.equal(table["face"], face)).as_py() or 0)
    own, taken = (_equal(table[name], opaque_name(face)) for name in wanted)
    return int(pc.sum(pc.or_(own, taken)).as_py() or 0)


def erase(path: Path, face: int) -> None:
    """Rewrite one file of a session log, or a table of customers, without a face; published by rename."""
    source = pq.ParquetFile(path)
    schema = source.schema_arrow
    change = _blank_face if "face" in schema.names else _drop_lines
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream, source:
            with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                for batch in source.iter_batches(batch_size=1 << 18):
                    writer.write_table(_coded_anew(change(pa.Table.from_batches([batch]), face), schema))
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, path.stat().st_mode & 0o777)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _equal(column: pa.ChunkedArray, text: str) -> pa.ChunkedArray:
    plain = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    return pc.fill_null(pc.equal(plain, text), False)


def _drop_lines(table: pa.Table, face: int) -> pa.Table:
    name = opaque_name(face)
    table = table.filter(pc.invert(_equal(table["true_person"], name)))
    taken = _equal(table["perceived_identity"], name)
    for column in ("perceived_identity", "perceived_similarity"):
        table = _blanked(table, column, taken)
    return table


def _blank_face(table: pa.Table, face: int) -> pa.Table:
    own = pc.equal(table["face"], face)
    table = _blanked(table, "emotion", own)
    for name, value in (("face", -1), ("known", False)):
        table = _replaced(table, name, pc.if_else(own, pa.scalar(value, table[name].type), table[name]))
    return table


def _blanked(table: pa.Table, name: str, where: pa.ChunkedArray) -> pa.Table:
    column = table[name]
    plain = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    return _replaced(table, name, pc.if_else(where, pa.scalar(None, plain.type), plain))


def _replaced(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def _coded_anew(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table in its old types; dictionaries hold what is used only, or the names would stay in them."""
    columns: list[pa.ChunkedArray] = []
    for field in schema:
        column = table[field.name]
        if pa.types.is_dictionary(field.type):
            plain = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
            column = plain.dictionary_encode().cast(field.type)
        columns.append(column)
    return pa.table(columns, schema=schema)

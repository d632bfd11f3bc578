"""The session log of a run as arrays, for the view of everybody and for the lives of some.

A log may be one file or a folder of parts; of a folder, the parts that its manifest names are read (`session_parts`), and those
that cannot be read are counted and left out.  Rows are read a row group at a time: whatever the size of a log, no more than one
of its row groups (up to some hundred thousand rows) and what was asked for is in memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perception.features import EMOTIONS
from sim.evaluation.session_parts import damaged_parts, read_manifest
from sim.replay.errors import ReplayError

RECOGNISED = ("unknown", "self", "other")
FLAGS = ("clicked", "bought", "opted_out", "lapsed", "truncated")  # bits 1, 2, 4, 8, 16 of `Lines.flags`
_MONEY = ("reward", "margin", "click_value", "push_cost", "opt_out_cost", "refund", "price")
_TRUTH = (
    "valence", "arousal", "mood", "fatigue", "budget", "price_sensitivity", "relevance", "satiation",
    "click_probability", "purchase_probability", "opt_out_probability",
)  # fmt: skip
_PLAIN = ("customer", "step", "day", "visit", "requested", "action", "propensity", "perceived_mask", "perceived_face")
NEEDED = (
    "policy", *_PLAIN, *FLAGS, *_MONEY, "image", "perceived_identity", "perceived_similarity", "true_person",
    "true_recognition", "true_emotion", "true_mask", "true_enrolled", *(f"true_{name}" for name in _TRUTH),
    *(f"perceived_emotion_{name}" for name in EMOTIONS),
)  # fmt: skip


BLOCK_ROWS = 500_000  # of whole lives, held at once


@dataclasses.dataclass(frozen=True)
class SessionTable:
    """A log on disk: `tables` of its readable parts with metadata, `damaged` names of the others; `cut_short` says what is missing."""

    tables: tuple[Path, ...]
    damaged: tuple[str, ...]
    columns: frozenset[str]
    shop_digest: str
    labels: tuple[str, ...]
    cut_short: str | None = None

    def notes(self) -> list[str]:
        """What a reader of this log should know, a sentence each."""
        found = [] if self.cut_short is None else [self.cut_short]
        if self.damaged:
            found.append(
                f"{len(self.damaged)} part(s) of the log cannot be read and are missing here: {', '.join(self.damaged)}."
            )
        return found

    def read(
        self, columns: list[str], policies: list[str] | None = None, customers: np.ndarray | None = None
    ) -> pa.Table:
        """Columns of all parts, of some policies and customers only."""
        ids = None if customers is None else np.unique(np.asarray(customers, np.int64))
        groups = [_plain(group) for group in self._groups(columns, policies, ids)]
        if not groups:
            groups = [_plain(pq.ParquetFile(self.tables[0]).schema_arrow.empty_table().select(columns))]
        return pa.concat_tables(groups, promote_options="default")

    def lives(self, columns: list[str], policy: str, rows: int = BLOCK_ROWS) -> Iterator[pa.Table]:
        """The lives of one policy in blocks of about `rows` rows, whole customers each, sorted by (customer, step).

        Raises
        ------
        ReplayError
            The log is larger than a block and not in the order of its customers.
        """
        wanted = list(dict.fromkeys([*columns, "customer", "step"]))
        waiting: list[pa.Table] = []
        held, last = 0, -1
        for group in self._groups(wanted, [policy], None):
            waiting.append(group)
            held += len(group)
            if held > rows:
                table = _by_customer(waiting, last, policy)
                ids = table["customer"].to_numpy()
                end = int(np.searchsorted(ids, ids[-1]))  # the last one's life may go on in the next group
                for first, past in _whole_lives(ids[:end], rows):
                    last = int(ids[past - 1])
                    yield table.slice(first, past - first).select(columns)
                waiting, held = [table.slice(end)], len(table) - end
        if held:
            table = _by_customer(waiting, last, policy)
            for first, past in _whole_lives(table["customer"].to_numpy(), rows):
                yield table.slice(first, past - first).select(columns)

    def customers(self, policy: str) -> tuple[np.ndarray, np.ndarray]:
        """Ids (n,) of the customers of a policy, ascending, and how many rows (n,) each has."""
        found = [np.unique(g["customer"].to_numpy(), return_counts=True) for g in self._groups(["customer"], [policy], None)]
        if not found:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        ids, where = np.unique(np.concatenate([each for each, _ in found]), return_inverse=True)
        return ids, np.bincount(where, np.concatenate([counts for _, counts in found])).astype(np.int64)

    def _groups(self, columns: list[str], policies: list[str] | None, ids: np.ndarray | None) -> Iterator[pa.Table]:
        """The row groups that hold rows of these policies and (sorted) customers, cut to those rows."""
        extra = [name for name, given in (("policy", policies), ("customer", ids)) if given is not None and name not in columns]
        for path in self.tables:
            with pq.ParquetFile(path) as file:
                places = {file.metadata.schema.column(i).path: i for i in range(file.metadata.num_columns)}
                for g in range(file.num_row_groups):
                    meta = file.metadata.row_group(g)
                    if policies is not None and not any(_may_hold(meta.column(places["policy"]), p, p) for p in policies):
                        continue
                    if ids is not None and not _may_hold_any(meta.column(places["customer"]), ids):
                        continue
                    table = file.read_row_group(g, columns=[*columns, *extra])
                    if policies is not None:
                        table = table.filter(pc.is_in(table["policy"].cast(pa.string()), pa.array(policies, pa.string())))
                    if ids is not None:
                        table = table.filter(pc.is_in(table["customer"], pa.array(ids)))
                    if len(table):
                        yield table.select(columns)


def _by_customer(groups: list[pa.Table], last: int, policy: str) -> pa.Table:
    """Row groups as one table, sorted; all customers come after `last`."""
    table = pa.concat_tables(groups, promote_options="default").unify_dictionaries()
    table = table.sort_by([("customer", "ascending"), ("step", "ascending")])
    first = table["customer"][0].as_py()
    if first <= last:
        raise ReplayError(f"the log of {policy} is not in the order of its customers ({first} comes after {last})")
    return table


def _whole_lives(ids: np.ndarray, rows: int) -> Iterator[tuple[int, int]]:
    """Spans of at most `rows` rows of sorted ids (T,) that cut no customer in two; a longer life is a span of its own."""
    first = 0
    while first < len(ids):
        past = len(ids) if len(ids) - first <= rows else int(np.searchsorted(ids, ids[first + rows]))
        if past <= first:
            past = int(np.searchsorted(ids, ids[first], "right"))
        yield first, past
        first = past


def _may_hold(column: Any, low: Any, high: Any) -> bool:
    """Whether a column of a row group may hold a value from low to high, by its statistics."""
    known = column.statistics
    return known is None or not known.has_min_max or (known.min <= high and known.max >= low)


def _may_hold_any(column: Any, ids: np.ndarray) -> bool:
    known = column.statistics
    if known is None or not known.has_min_max:
        return True
    return bool(np.searchsorted(ids, known.min) < np.searchsorted(ids, known.max, "right"))


def _plain(table: pa.Table) -> pa.Table:
    """The same table with strings instead of dictionaries, which differ from part to part."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.string()))
    return table


def open_log(path: Path) -> SessionTable:
    """Look at a log without reading its rows.

    Raises
    ------
    ReplayError
        No part of it can be read, or columns are missing.
    """
    parts, damaged, cut_short = _parts(path)
    good, reason = [], f"{damaged[0]} is not as it was written" if damaged else "it has no parts"
    schema = None
    for part in parts:
        try:
            schema = pq.read_schema(part) if schema is None else schema
            pq.ParquetFile(part).close()
            good.append(part)
        except (pa.ArrowException, OSError) as error:
            damaged.append(part.name)
            reason = str(error).splitlines()[0]
    if schema is None or not good:
        raise ReplayError(
            f"{path} cannot be read as Parquet ({reason}); was the run killed while it wrote? Run it again"
        )
    lacking = [name for name in NEEDED if name not in schema.names]
    if lacking:
        raise ReplayError(f"{path} is no session log of this version: it lacks the column {', '.join(lacking[:4])}")
    metadata = schema.metadata or {}
    labels = metadata.get(b"labels", b"").decode()
    if not labels:
        raise ReplayError(f"{path} does not name its labels; was it written by another program?")
    digest = metadata.get(b"shop_digest", b"").decode()
    return SessionTable(
        tuple(good), tuple(damaged), frozenset(schema.names), digest, tuple(labels.split("\x1f")), cut_short
    )


def _parts(path: Path) -> tuple[list[Path], list[str], str | None]:
    """Files to read, names of committed ones that are gone or cut, and what is missing at the end."""
    if not path.is_dir():
        return [path], [], None
    try:
        manifest = read_manifest(path)
    except ValueError as error:
        raise ReplayError(f"{path}: its manifest cannot be read ({error})") from None
    if manifest is None:
        return sorted(path.glob("*.parquet")), [], None
    damaged = damaged_parts(path, manifest)
    good = [path / part.file for part in manifest.parts if part.file not in damaged]
    return good, damaged, manifest.cut_short()


@dataclasses.dataclass(frozen=True)
class Lines:
    """T opportunities of n customers under one policy, sorted by (customer, step).

    customers (n,) ids; start (n + 1,) first line of each; `at` any numeric column (T,); emotion (T, 7); probability
    (T, K + 1); flags (T,) bits of `FLAGS`; image, person, identity as codes into `names` (identity -1 unknown).
    """

    policy: str
    customers: np.ndarray
    start: np.ndarray
    at: dict[str, np.ndarray]
    emotion: np.ndarray
    probability: np.ndarray
    flags: np.ndarray
    images: tuple[np.ndarray, tuple[str, ...]]
    persons: tuple[np.ndarray, tuple[str, ...]]
    identities: tuple[np.ndarray, tuple[str, ...]]
    true_emotion: np.ndarray  # (T,) -1 unknown
    recognised: np.ndarray  # (T,) 0 unknown, 1 self, 2 somebody else

    def __len__(self) -> int:
        return len(self.flags)

    def total(self, column: np.ndarray) -> np.ndarray:
        """Sum over each customer's lines (n,)."""
        return np.add.reduceat(column.astype(float), self.start[:-1])


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, tuple[str, ...]]:
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, tuple(encoded.dictionary.to_pylist())


def coded(column: pa.ChunkedArray, names: tuple[str, ...]) -> np.ndarray:
    """Codes of a text column in the order of `names`, -1 where null."""
    codes, found = _codes(column)
    order = np.array([names.index(name) for name in found] + [-1])
    return order[codes]


def read_lines(log: SessionTable, policy: str, customers: np.ndarray | None = None) -> Lines:
    """All opportunities of one policy, of some customers or of all.

    Raises
    ------
    ReplayError
        The log has no line of this policy.
    """
    table = log.read(line_columns(log), [policy], customers).sort_by([("customer", "ascending"), ("step", "ascending")])
    if len(table) == 0:
        raise ReplayError(f"the log holds no session of policy {policy!r}")
    return as_lines(log, policy, table)


def line_columns(log: SessionTable) -> list[str]:
    """What `as_lines` needs of a log."""
    return [*NEEDED, *(f"action_probability_{a}" for a in range(len(log.labels) + 1))]


def as_lines(log: SessionTable, policy: str, table: pa.Table) -> Lines:
    """Rows with the columns of `line_columns`, sorted by (customer, step), as arrays."""
    probabilities = [f"action_probability_{a}" for a in range(len(log.labels) + 1)]
    at = {
        name: table[name].to_numpy()
        for name in (*_PLAIN, *_MONEY, *(f"true_{t}" for t in _TRUTH), "true_mask", "true_enrolled")
    }
    at["perceived_similarity"] = table["perceived_similarity"].fill_null(0.0).to_numpy()
    flags = sum(table[name].to_numpy().astype(np.uint8) << bit for bit, name in enumerate(FLAGS))
    ids, first = np.unique(at["customer"], return_index=True)
    return Lines(
        policy=policy,
        customers=ids,
        start=np.append(first, len(table)),
        at=at,
        emotion=np.column_stack([table[f"perceived_emotion_{name}"].to_numpy() for name in EMOTIONS]),
        probability=np.column_stack([table[name].to_numpy() for name in probabilities]),
        flags=np.asarray(flags, np.uint8),
        images=_codes(table["image"]),
        persons=_codes(table["true_person"]),
        identities=_codes(table["perceived_identity"]),
        true_emotion=coded(table["true_emotion"], EMOTIONS),
        recognised=coded(table["true_recognition"], RECOGNISED),
    )

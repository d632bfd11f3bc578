"""The session log of a run as arrays, for the view of everybody and for the lives of some.

A log may be one file or a folder of parts; of a folder, parts that cannot be read are counted and left out.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perception.features import EMOTIONS
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


@dataclasses.dataclass(frozen=True)
class SessionTable:
    """A log on disk: `tables` of its readable parts with metadata, `damaged` names of the others."""

    tables: tuple[Path, ...]
    damaged: tuple[str, ...]
    columns: frozenset[str]
    shop_digest: str
    labels: tuple[str, ...]

    def read(
        self, columns: list[str], policies: list[str] | None = None, customers: np.ndarray | None = None
    ) -> pa.Table:
        """Columns of all parts, of some policies and customers only."""
        filters: list[tuple[str, str, list[Any]]] = []
        if policies is not None:
            filters.append(("policy", "in", policies))
        if customers is not None:
            filters.append(("customer", "in", [int(c) for c in customers]))
        parts = [pq.read_table(path, columns=columns, filters=filters or None) for path in self.tables]
        return pa.concat_tables([_plain(part) for part in parts], promote_options="default")


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
    parts = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    good, damaged, reason = [], [], "it has no parts"
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
    return SessionTable(tuple(good), tuple(damaged), frozenset(schema.names), digest, tuple(labels.split("\x1f")))


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


def _coded(column: pa.ChunkedArray, names: tuple[str, ...]) -> np.ndarray:
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
    actions = len(log.labels) + 1
    probabilities = [f"action_probability_{a}" for a in range(actions)]
    table = log.read([*NEEDED, *probabilities], [policy], customers).sort_by(
        [("customer", "ascending"), ("step", "ascending")]
    )
    if len(table) == 0:
        raise ReplayError(f"the log holds no session of policy {policy!r}")
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
        true_emotion=_coded(table["true_emotion"], EMOTIONS),
        recognised=_coded(table["true_recognition"], RECOGNISED),
    )

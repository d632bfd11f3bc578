"""sessions.parquet: one row per opportunity, policies one below the other.

What a policy could know stands under plain names; the hidden truth stands under `true_*`, for analysis only.
`reward` is the sum of the money terms, booked to the opportunity that caused them; `received` is what the agent was rewarded
with at that step.  They differ where purchases are paid late (`delay` days; `pending`: not yet at the next opportunity) or are
`returned`, or where affect has a price in training: `affect_term` is the part of `received` that is no money.  `propensity` is
the probability of the executed action; `action_probability_<i>` that of every action (0 = hold back).  `true_best_action` is the
best for that opportunity alone, and `true_immediate_regret` what the executed one is expected to earn less (money).

Where several labels are pushed at once (`env.slate_size`), `slate` lists those shown, in order; `action` and `label` are the one
clicked, else the first; `requested` differs from `action` only where a masked label was asked for; `propensity` is that of the
ordered slate, and `action_probability_<i>` that of the first slot (`sim.evaluation.slates`).  `true_click_probability` is that of
any click; the other `true_*` of a label are those of `label`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perception.features import EMOTIONS
from sim.evaluation.rollout import SessionLog
from sim.evaluation.session_parts import Manifest, Part, described, publish_file, write_manifest
from sim.shop.types import OTHER, SELF
from sim.shop.world import Shop

PART_ROWS = 5_000_000  # of one file; some hundreds of megabytes

_RECOGNISED = ("unknown", "self", "other")
_PLAIN = ("customer", "step", "day", "visit", "requested", "action")
_FLAGS = ("clicked", "bought", "pending", "returned", "opted_out", "lapsed", "terminated", "truncated")
_MONEY = ("reward", "margin", "click_value", "push_cost", "opt_out_cost", "refund", "received", "affect_term", "price")
_TRUTH = (
    "valence", "arousal", "valence_shift", "mood", "expectation", "fatigue", "budget", "price_sensitivity", "relevance", "satiation",
    "click_probability", "purchase_probability", "opt_out_probability",
)  # fmt: skip


def _names(codes: np.ndarray, names: Iterable[str]) -> pa.DictionaryArray:
    """Dictionary-encoded strings; a code below zero is null."""
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32), mask=codes < 0), pa.array(list(names), pa.string())
    )


def perceived_identities(shop: Shop, events: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Whom the camera took each customer for, as codes (T,) into the names returned; -1 unknown."""
    gallery = shop.gallery
    names = list(gallery.persons)
    index = {name: i for i, name in enumerate(names)}
    tables = []
    for row in gallery.identities:
        for name in row:
            if name is not None and name not in index:
                index[name] = len(names)
                names.append(name)
        tables.append(np.array([-1 if name is None else index[name] for name in row]))
    seen = np.where(events["enrolled"] == 1, tables[1][events["image"]], tables[0][events["image"]])
    codes = np.where(events["recognised"] == SELF, events["person"], np.where(events["recognised"] == OTHER, seen, -1))
    return codes, names


def to_table(log: SessionLog, shop: Shop) -> pa.Table:
    """The log of one policy as an Arrow table; columns as in the module's docstring."""
    e, gallery = log.events, shop.gallery
    rows = len(e)
    identity, identity_names = perceived_identities(shop, e)
    columns: dict[str, pa.Array] = {"policy": _names(np.zeros(rows), [log.policy])}
    columns |= {name: pa.array(e[name]) for name in _PLAIN}
    columns["label"] = _names(e["action"].astype(int) - 1, shop.catalog.names)
    if log.slate.shape[1]:
        lengths = (log.slate > 0).sum(1)
        offsets = pa.array(np.concatenate([[0], lengths.cumsum()]).astype(np.int32))
        columns["slate"] = pa.ListArray.from_arrays(offsets, pa.array(log.slate[log.slate > 0].astype(np.int32)))
    columns["image"] = _names(e["image"], gallery.images)
    columns |= {f"perceived_emotion_{name}": pa.array(log.camera[:, j]) for j, name in enumerate(EMOTIONS)}
    columns["perceived_identity"] = _names(identity, identity_names)
    columns["perceived_similarity"] = pa.array(log.camera[:, 10], mask=log.camera[:, 9] == 0)
    columns["perceived_mask"] = pa.array(log.camera[:, 7])
    columns["perceived_face"] = pa.array(log.camera[:, 8] > 0)
    columns["propensity"] = pa.array(log.propensity)
    columns["propensity_kind"] = _names(np.zeros(rows), [log.propensity_kind])
    columns |= {name: pa.array(e[name].astype(bool)) for name in _FLAGS}
    columns |= {name: pa.array(e[name]) for name in _MONEY}
    columns["delay"] = pa.array(e["delay"])
    columns |= {f"action_probability_{a}": pa.array(log.probabilities[:, a]) for a in range(log.probabilities.shape[1])}
    columns["true_person"] = _names(e["person"], gallery.persons)
    columns["true_recognition"] = _names(e["recognised"], _RECOGNISED)
    columns["true_emotion"] = _names(gallery.true_emotion[e["image"]].astype(int), EMOTIONS)
    columns["true_mask"] = pa.array(e["masked"].astype(bool))
    columns["true_enrolled"] = pa.array(e["enrolled"].astype(bool))
    columns |= {f"true_{name}": pa.array(e[name].astype(np.float32)) for name in _TRUTH}
    columns |= {name: pa.array(column) for name, column in log.truth.items()}
    return pa.table(columns)


class SessionWriter:
    """Writes logs, batch by batch and policy by policy, in memory that does not grow with them; use with `with`.

    `path` becomes a Parquet file, or, beyond `part_rows` rows, a folder of that name with files `part-00000.parquet`, ...,
    which every reader of Parquet takes for one table, and a manifest of them (`session_parts`).  The file appears by rename when
    the `with` block ends well, else not at all; of a folder every part appears when it is full, so that of a long log that is cut
    short all full parts are there, and the manifest says that it is not complete.
    """

    def __init__(self, path: Path, shop: Shop, part_rows: int = PART_ROWS):
        self.path, self.shop, self.part_rows = Path(path), shop, part_rows
        self.rows = 0
        self._schema: pa.Schema | None = None
        self._manifest = Manifest(False, ())
        self._writer: pq.ParquetWriter | None = None
        self._policies: dict[str, tuple[int, int, int]] = {}  # of the part being written: first and last customer, rows
        self._room = 0

    def __enter__(self) -> SessionWriter:
        for stale in self.path.parent.glob(f".{self.path.name}-*"):  # of a program that was killed here
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        self._being_written = self.path.parent / f".{self.path.name}-part"
        return self

    def write(self, log: SessionLog) -> None:
        """Append a log; it needs its decisions."""
        table = to_table(log, self.shop)
        if self._schema is None:
            shop = self.shop
            metadata = {b"shop_digest": shop.digest.encode(), b"labels": "\x1f".join(shop.catalog.names).encode()}
            self._schema = table.schema.with_metadata(metadata)
        if self._writer is not None and self._room < len(table):
            self._commit()
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._being_written, self._schema, compression="zstd")
            self._room = self.part_rows
        self._writer.write_table(table.cast(self._schema))
        if len(table):
            first, _, rows = self._policies.get(log.policy, (int(log.events["customer"][0]), 0, 0))
            self._policies[log.policy] = (first, int(log.events["customer"][-1]), rows + len(table))
        self._room -= len(table)
        self.rows += len(table)

    def _commit(self) -> None:
        """Close the part being written and publish it in the folder, first the part, then the manifest that names it."""
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        if not self._manifest.parts:
            _remove(self.path)
            self.path.mkdir()
        name = f"part-{len(self._manifest.parts):05d}.parquet"
        part: Part = described(self._being_written, name, self._policies)
        publish_file(self._being_written, self.path / name)
        self._policies = {}
        self._manifest = Manifest(False, (*self._manifest.parts, part))
        write_manifest(self.path, self._manifest)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                if self._writer is not None:
                    self._writer.close()
            elif self._manifest.parts:
                self._commit()
                write_manifest(self.path, Manifest(True, self._manifest.parts))
            elif self._writer is not None:
                self._writer.close()
                _remove(self.path, but_files=True)
                publish_file(self._being_written, self.path)
        finally:
            self._being_written.unlink(missing_ok=True)


def _remove(path: Path, but_files: bool = False) -> None:
    """An older log at the place of a new one; a file may stay to be replaced."""
    if path.is_dir():
        shutil.rmtree(path)
    elif not but_files:
        path.unlink(missing_ok=True)


def write_sessions(path: Path, logs: Iterable[SessionLog], shop: Shop) -> int:
    """Write the logs of several policies, published by rename; returns the number of rows (see `SessionWriter`)."""
    with SessionWriter(path, shop) as writer:
        for log in logs:
            writer.write(log)
    return writer.rows

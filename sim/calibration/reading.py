"""Read a push log, CSV or Parquet or a sessions.parquet of our own runs, in pieces, into compact form.

The schema is that of `settings.HELP`.  Nothing is repaired in silence: what does not fit is refused in one sentence.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from perception.features import EMOTIONS
from sim.calibration.cells import Chunk
from sim.calibration.errors import LogError
from sim.calibration.push_log import NO_READING, ROW, PushLog, link
from sim.evaluation.session_parts import read_manifest

NEEDED = ("customer", "time", "label", "clicked", "bought", "opted_out", "price")
EMOTION_COLUMNS = tuple(f"perceived_emotion_{name}" for name in EMOTIONS)
_OPTIONAL = ("margin", "step", "perceived_mask", *EMOTION_COLUMNS)
_SESSIONS = ("policy", "customer", "step", "day", "action", "label", "clicked", "bought", "opted_out", "price")
_PIECE = 200_000  # rows
MOST_LABELS, MOST_DAYS, FEWEST_CUSTOMERS = 1000, 100_000, 40


def _parts(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    parts = sorted(p for p in path.iterdir() if p.suffix in (".parquet", ".csv"))
    if not parts:
        raise LogError(f"logs={path}: the folder holds no .parquet or .csv; give a file, or a folder of parts")
    try:
        manifest = read_manifest(path)
    except ValueError as error:
        raise LogError(f"logs={path}: its manifest cannot be read ({error})") from None
    if manifest is not None:
        parts = [path / part.file for part in manifest.parts]
        if note := manifest.cut_short():
            print(f"logs={path}: {note}", file=sys.stderr)
    return parts


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _columns(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    if _is_parquet(path):
        return list(pq.ParquetFile(path).schema_arrow.names)
    return [str(c) for c in pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns]


def _frames(path: Path, columns: list[str], bar: Any) -> Iterator[pd.DataFrame]:
    """Pieces of one file; `bar` counts bytes."""
    import pyarrow.parquet as pq

    size = path.stat().st_size
    if _is_parquet(path):
        file = pq.ParquetFile(path)
        rows = max(file.metadata.num_rows, 1)
        for batch in file.iter_batches(batch_size=_PIECE, columns=columns):
            yield batch.to_pandas()
            bar.update(size * batch.num_rows / rows)
        return
    with path.open("rb") as stream:
        before = 0
        reader = pd.read_csv(
            stream, usecols=columns, dtype=str, keep_default_na=False, chunksize=_PIECE, encoding="utf-8-sig"
        )
        for frame in reader:
            yield frame
            bar.update(stream.tell() - before)
            before = stream.tell()


def _chunks(path: Path, wanted: tuple[str, ...], quiet: bool) -> Iterator[Chunk]:
    from tqdm import tqdm

    parts = _parts(path)
    with tqdm(
        total=sum(p.stat().st_size for p in parts),
        unit="B",
        unit_scale=True,
        desc="read",
        file=sys.stderr,
        disable=quiet,
    ) as bar:
        for part in parts:
            try:
                given, first = _columns(part), 0
                for frame in _frames(part, [c for c in given if c in wanted], bar):
                    yield Chunk(frame, first, part, not _is_parquet(part))
                    first += len(frame)
            except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as problem:
                reason = str(problem).splitlines()[0]
                raise LogError(
                    f"logs={part}: is no table that can be read ({reason}); give CSV in UTF-8 or Parquet"
                ) from None
            except OSError as problem:
                reason = problem.strerror or str(problem).splitlines()[0]
                raise LogError(f"logs={part}: cannot be read ({reason}); give CSV in UTF-8 or Parquet") from None


class _Codes:
    """Names to codes, in the order of their first appearance."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def encode(self, names: pd.Series) -> np.ndarray:
        local, uniques = pd.factorize(names)
        table = np.array([self.known.setdefault(name, len(self.known)) for name in uniques], np.int64)
        return table[local]


def is_sessions(path: Path) -> bool:
    """Whether the table is a sessions.parquet of our own runs."""
    try:
        return set(_SESSIONS) <= set(_columns(_parts(path)[0]))
    except (OSError, ValueError):
        return False


def read_log(
    path: Path,
    *,
    policy: str | None = None,
    max_rows: int = 20_000_000,
    lapse_days: float = 45,
    catalog_prices: dict[str, float] | None = None,
    capped: int | None = None,
    quiet: bool = False,
) -> PushLog:
    """Read and check a push log.

    Parameters
    ----------
    path : file, or folder of parts.
    policy : of a sessions.parquet.
    lapse_days : absence after which the shop takes a customer for lost; raised to the longest gap in the log.
    catalog_prices : prices of labels, for a sessions.parquet, which holds a price only where something was bought.
    capped : opportunities at which our own simulator ends a life.

    Raises
    ------
    LogError
        Anything that does not fit, in one sentence.
    """
    sessions = is_sessions(path)
    columns = _check_columns(path, sessions)
    customers, labels, pieces, total = _Codes(), _Codes(), [], 0
    policies: dict[str, None] = {}
    numeric: bool | None = None
    for chunk in _chunks(path, columns, quiet):
        if sessions:
            chunk = _one_policy(chunk, policy, policies)
        if not len(chunk.frame):
            continue
        total += len(chunk.frame)
        if total > max_rows:
            raise LogError(
                f"logs={path}: has more than {max_rows:,} rows; keep a random sample of whole customers, or raise max_rows "
                "(about 35 bytes of memory each)"
            )
        if numeric is None:
            numeric = chunk.numeric_time("day" if sessions else "time")
        pieces.append(_parse(chunk, customers, labels, numeric, sessions))
    if sessions:
        _check_policy(path, policy, policies)
    if not pieces:
        raise LogError(f"logs={path}: holds no row; give one row per push")
    table = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    del pieces
    return _assemble(table, list(labels.known), path, sessions, lapse_days, catalog_prices or {}, capped)


def _check_columns(path: Path, sessions: bool) -> tuple[str, ...]:
    try:
        given = _columns(_parts(path)[0])
    except pd.errors.EmptyDataError:
        raise LogError(f"logs={path}: is empty; give a table with the columns {', '.join(NEEDED)}") from None
    except (OSError, ValueError) as problem:
        reason = str(problem).splitlines()[0]
        raise LogError(f"logs={path}: is no table that can be read ({reason}); give CSV in UTF-8 or Parquet") from None
    if sessions and "slate" in given:
        raise LogError(
            f"logs={path}: holds slates of several labels, and the model fitted is that of single pushes; give a run with env.slate_size=1"
        )
    if not sessions:
        lacking = [c for c in NEEDED if c not in given]
        if lacking:
            raise LogError(
                f"logs={path}: lacks the column {', '.join(lacking)}; columns needed are {', '.join(NEEDED)} (see --help)"
            )
    some = [c for c in EMOTION_COLUMNS if c in given]
    if some and len(some) < len(EMOTION_COLUMNS):
        absent = ", ".join(c for c in EMOTION_COLUMNS if c not in given)
        raise LogError(f"logs={path}: lacks the column {absent}; give all seven perceived emotions, or none")
    return (*(_SESSIONS if sessions else NEEDED), *_OPTIONAL, *(("perceived_face",) if sessions else ()))


def _one_policy(chunk: Chunk, policy: str | None, seen: dict[str, None]) -> Chunk:
    names = chunk.text("policy")
    seen.update(dict.fromkeys(names.unique()))
    keep = (names == policy).to_numpy() if policy is not None else np.ones(len(names), bool)
    chunk.frame = chunk.frame[keep].reset_index(drop=True)
    return chunk


def _check_policy(path: Path, policy: str | None, seen: dict[str, None]) -> None:
    if policy is None and len(seen) > 1:
        raise LogError(f"logs={path}: holds {len(seen)} policies; choose one with policy=..., of {', '.join(seen)}")
    if policy is not None and policy not in seen:
        raise LogError(f"policy={policy}: is not in logs={path}; there are {', '.join(seen)}")


def _parse(chunk: Chunk, customers: _Codes, labels: _Codes, numeric: bool, sessions: bool) -> dict[str, np.ndarray]:
    """One piece as plain arrays, each cell checked."""
    frame, n = chunk.frame, len(chunk.frame)
    who = chunk.text("customer")
    chunk._refuse((who == "").to_numpy(), "customer", "is no customer; give every row the id of one")
    names = chunk.label("label")
    pushed = (names != "").to_numpy()
    label = np.zeros(n, np.int32)
    label[pushed] = labels.encode(names[pushed]) + 1
    if len(labels.known) > MOST_LABELS:
        raise LogError(
            f"logs={chunk.path}, column label: more than {MOST_LABELS} different labels; push products by group, not one by one"
        )
    time = chunk.time("day" if sessions else "time", numeric)
    price = chunk.number("price")
    clicked, bought, left = (chunk.flag(c, pushed) for c in ("clicked", "bought", "opted_out"))
    if not sessions:
        chunk._refuse(pushed & np.isnan(price), "price", "is no price; give what was asked for the pushed label")
        chunk._refuse(pushed & (price <= 0), "price", "is not above zero; give the price asked")
    for flag, column in ((clicked, "clicked"), (bought, "bought"), (left, "opted_out")):
        chunk._refuse(
            (flag == 1) & ~pushed,
            column,
            "without a label: nothing was pushed that could cause it; put it on the push's row",
        )
    chunk._refuse(
        (bought == 1) & (clicked == 0),
        "bought",
        "without a click; in this shop a purchase follows a click: set clicked=1 too",
    )
    reading, masked = _emotions(chunk)
    return {
        "customer": customers.encode(who),
        "time": time,
        "step": chunk.number("step") if "step" in frame else np.zeros(n),
        "label": label,
        "price": np.where(pushed, price, 0.0),
        "margin": chunk.number("margin") if "margin" in frame else np.full(n, np.nan),
        "clicked": clicked,
        "bought": bought,
        "opted_out": left,
        "reading": reading,
        "masked": masked,
        "row": np.arange(chunk.first, chunk.first + n) if not sessions else np.zeros(n, np.int64),
    }


def _emotions(chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
    """Most probable perceived emotion (n,) int8, NO_READING where nothing was seen; masked (n,) uint8."""
    n = len(chunk.frame)
    if EMOTION_COLUMNS[0] not in chunk.frame:
        return np.full(n, NO_READING, np.int8), np.zeros(n, np.uint8)
    shares = np.column_stack([chunk.number(c) for c in EMOTION_COLUMNS])
    for j, column in enumerate(EMOTION_COLUMNS):
        chunk._refuse((shares[:, j] < 0) | (shares[:, j] > 1), column, "is no probability; give 0 to 1")
    blank = np.isnan(shares).any(1)
    spread = np.where(blank, 0.0, np.nan_to_num(shares).max(1) - np.nan_to_num(shares).min(1))
    reading = np.where(spread < 1e-6, NO_READING, np.nan_to_num(shares).argmax(1)).astype(np.int8)
    masked = np.zeros(n, np.uint8)
    if "perceived_mask" in chunk.frame:
        masked = (np.nan_to_num(chunk.number("perceived_mask")) > 0.5).astype(np.uint8)
    return reading, masked


def _assemble(
    table: dict[str, np.ndarray],
    names: list[str],
    path: Path,
    sessions: bool,
    lapse_days: float,
    catalog_prices: dict[str, float],
    capped: int | None,
) -> PushLog:
    """Order, link and check the rows across customers, and sum up the labels."""
    days = np.floor(table["time"])
    if days.max() - days.min() > MOST_DAYS:
        raise LogError(
            f"logs={path}, column time: spans {days.max() - days.min():,.0f} days; give days or ISO timestamps, not seconds"
        )
    order = np.lexsort((table["row"], table["step"], table["time"], table["customer"]))
    table = {name: column[order] for name, column in table.items()}
    csv = not path.is_dir() and not _is_parquet(path)

    def row(i: int) -> str:
        return f"line {table['row'][i] + 2}" if csv else f"row {table['row'][i] + 1}"

    customer = table["customer"]
    same = customer[1:] == customer[:-1]
    twice = same & (table["step"][1:] == table["step"][:-1]) & (table["time"][1:] == table["time"][:-1])
    twice &= table["label"][1:] == table["label"][:-1]
    if twice.any():
        i = int(np.flatnonzero(twice)[0])
        raise LogError(
            f"logs={path}, {row(i + 1)}: repeats {row(i)} (same customer, time and label); remove it, or tell them apart by a "
            "finer time or a column step"
        )
    after = same & (table["opted_out"][:-1] == 1)
    if after.any():
        i = int(np.flatnonzero(after)[0])
        raise LogError(
            f"logs={path}, {row(i)}, column opted_out: the customer opted out here but has a later row ({row(i + 1)}); an opt-out "
            "is for good: end the customer there, or go on under another id"
        )
    rows = np.zeros(len(customer), ROW)
    for name in ("label", "price", "clicked", "bought", "opted_out", "reading", "masked"):
        rows[name] = table[name]
    rows["day"] = np.floor(table["time"]) - days.min()
    seen_gap = np.diff(rows["day"])[same]
    lapse = max(lapse_days, float(seen_gap.max(initial=0)))
    start = link(customer, rows, int(rows["day"].max()), lapse, capped)
    if len(start) - 1 < FEWEST_CUSTOMERS:
        raise LogError(
            f"logs={path}: holds {len(start) - 1} customer(s); a fit and its check need at least {FEWEST_CUSTOMERS}, better thousands"
        )
    if not rows["clicked"].any():
        raise LogError(
            f"logs={path}, column clicked: nobody ever clicked, so nothing can be learned of choice; check the column"
        )
    if not (rows["label"] > 0).any():
        raise LogError(f"logs={path}, column label: nothing was ever pushed; give the pushed label in every push's row")
    price, margin, spread = _labels(rows, table["margin"], names, path, sessions, catalog_prices)
    has_emotion = bool((rows["reading"] != NO_READING).any())
    return PushLog(rows, start, tuple(names), price, margin, spread, has_emotion, str(path))


def _labels(
    rows: np.ndarray,
    margins: np.ndarray,
    names: list[str],
    path: Path,
    sessions: bool,
    catalog_prices: dict[str, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median price asked, median margin of what was sold, and relative spread of the price, of every label (K,)."""
    use = rows["bought"] == 1 if sessions else rows["label"] > 0
    frame = pd.DataFrame({"label": rows["label"][use] - 1, "price": rows["price"][use]})
    groups = frame.groupby("label")["price"]
    everyone = range(len(names))
    price = groups.median().reindex(everyone).to_numpy(np.float64, copy=True)
    spread = (groups.std(ddof=0) / groups.mean()).reindex(everyone).fillna(0.0).to_numpy()
    sold = (rows["bought"] == 1) & np.isfinite(margins)
    margin = pd.Series(margins[sold]).groupby(rows["label"][sold] - 1).median().reindex(everyone).to_numpy()
    for k, name in enumerate(names):
        if np.isnan(price[k]):
            if name not in catalog_prices:
                raise LogError(
                    f"logs={path}: label {name!r} was never bought, so its price is not in the log; give catalog.path=FILE"
                )
            price[k] = catalog_prices[name]
        if margin[k] > price[k]:
            raise LogError(
                f"logs={path}, column margin: {margin[k]:g} of label {name!r} exceeds its price {price[k]:g}"
            )
    if sessions:
        rows["price"] = np.where(rows["label"] > 0, price[np.maximum(rows["label"] - 1, 0)], 0.0)
        spread = np.zeros(len(names))
    return price, margin, spread

"""The labels that can be pushed: price, margin, appeal, emotional tone, care and pressure, taste features.

A CSV needs the columns `label, price, margin` (money); the others have neutral defaults and may be added:

    appeal            intercept of the label in the click logit
    tone_valence, tone_arousal   in [-1, 1]: the affect that the label speaks to (affective match)
    care              [-1, 1]: what a push of it gives or takes emotionally, bought or not
    pressure          [0, 1]: hard sell; tires and drives away
    taste_*           any number of columns: position in taste space; where absent, a direction drawn from the label's name
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import math
from pathlib import Path

import numpy as np

from sim.shop.parameters import ShopError

CATALOG = np.dtype(
    [(name, np.float64) for name in ("price", "margin", "appeal", "tone_valence", "tone_arousal", "care", "pressure")]
)

_DEFAULTS = {"appeal": 0.0, "tone_valence": 0.0, "tone_arousal": 0.0, "care": 0.1, "pressure": 0.0}
_RANGES = {
    "price": (-1e9, 1e9), "margin": (-1e9, 1e9), "appeal": (-20, 20),  # money; logit.  Observations stay within their bound
    "tone_valence": (-1, 1), "tone_arousal": (-1, 1), "care": (-1, 1), "pressure": (0, 1),
}  # fmt: skip
_TASTE_RANGE = (-1e6, 1e6)
_TASTE_DIMENSIONS = 4  # where the file gives no taste columns
REFERENCE_MEDIAN_PRICE = 17.5  # median price of the default catalog, to which the scenarios' money is stated


@dataclasses.dataclass(frozen=True)
class Catalog:
    """K labels: `names`, `table` (K,) records, `features` (K, D) unit vectors in taste space.

    `lengths` (K,) are those of the taste vectors before scaling, None where all are 1; only `sim.shop.organic` reads them.
    """

    names: tuple[str, ...]
    table: np.ndarray
    features: np.ndarray
    lengths: np.ndarray | None = None

    @property
    def money_scale(self) -> float:
        """Median price over the default catalog's: budgets and price sensitivity are stated per this unit."""
        return float(np.median(self.table["price"]) / REFERENCE_MEDIAN_PRICE)

    @property
    def digest(self) -> str:
        parts = "\x1f".join(self.names).encode() + self.table.tobytes() + self.features.tobytes()
        parts += b"" if self.lengths is None else self.lengths.tobytes()
        return hashlib.sha256(parts).hexdigest()[:16]


def _direction_of(name: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).standard_normal(_TASTE_DIMENSIONS)


def read_catalog(path: str | Path) -> Catalog:
    """Read a catalog from CSV.

    Raises
    ------
    ShopError
        The file is missing or not CSV; no rows; duplicate or empty label; a price or margin that is no positive number
        (margin may be zero or negative but not above the price); a value out of range. The row is named.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
            columns = [] if not rows else [c for c in rows[0] if c]
    except OSError as problem:
        reason = problem.strerror or problem
        raise ShopError(f"catalog.path={path}: cannot be read ({reason}); give a CSV of label, price, margin") from None
    except (UnicodeDecodeError, csv.Error) as problem:
        raise ShopError(f"catalog.path={path}: is not a CSV in UTF-8 ({problem})") from None
    if not rows:
        raise ShopError(f"catalog.path={path}: holds no label; give at least one row of label, price, margin")
    lacking = [c for c in ("label", "price", "margin") if c not in columns]
    if lacking:
        raise ShopError(
            f"catalog.path={path}: lacks the column {', '.join(lacking)}; columns needed are label, price, margin"
        )
    taste_columns = [c for c in columns if c.startswith("taste_")]

    def number(row: dict[str, str | None], line: int, column: str, default: float | None = None) -> float:
        text = (row.get(column) or "").strip()
        if not text and default is not None:
            return default
        try:
            result = float(text)
        except ValueError:
            result = math.nan
        low, high = _RANGES.get(column, _TASTE_RANGE)
        if not low <= result <= high:  # a NaN is in no range
            allowed = f"a finite number of at most {high:g}" if high > 1e3 else f"a number from {low} to {high}"
            raise ShopError(f"catalog.path={path}, line {line}: {column} is {text!r}; give {allowed}")
        return result

    names: list[str] = []
    table = np.zeros(len(rows), CATALOG)
    features, lengths = [], []
    for i, row in enumerate(rows):
        line, name = i + 2, (row["label"] or "").strip()
        if not name:
            raise ShopError(f"catalog.path={path}, line {line}: the label is empty; give each label a name")
        if name in names:
            raise ShopError(f"catalog.path={path}, line {line}: label {name!r} appears twice; names must be unique")
        names.append(name)
        table[i]["price"], table[i]["margin"] = number(row, line, "price"), number(row, line, "margin")
        if table[i]["price"] <= 0:
            raise ShopError(f"catalog.path={path}, line {line}: price is {table[i]['price']:g}; it must be above zero")
        if table[i]["margin"] > table[i]["price"]:
            raise ShopError(f"catalog.path={path}, line {line}: margin {table[i]['margin']:g} exceeds the price")
        for column, default in _DEFAULTS.items():
            table[i][column] = number(row, line, column, default)
        vector = np.array([number(row, line, c, 0.0) for c in taste_columns]) if taste_columns else _direction_of(name)
        if not np.any(vector):
            raise ShopError(f"catalog.path={path}, line {line}: all taste columns are zero; give at least one")
        lengths.append(np.linalg.norm(vector))
        features.append(vector / lengths[-1])
    return Catalog(tuple(names), table, np.array(features), np.array(lengths))

"""Columns of a user's table as numbers: every refusal names the file, the column, the row and what to do."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from sim.calibration.errors import LogError

_FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "no": 0, "yes": 1, "f": 0, "t": 1, "n": 0, "y": 1}
_NOTHING = ("", "none", "nan", "null", "<na>", "hold_back")


class Chunk:
    """Some rows of the table: `frame` with the first row's number `first` (0-based) and where it came from."""

    def __init__(self, frame: pd.DataFrame, first: int, path: Path, header: bool):
        self.frame, self.first, self.path, self.header = frame, first, path, header

    def where(self, i: int, column: str | None = None) -> str:
        """`logs=FILE, line 7, column price`; a CSV counts lines with its header, a Parquet file rows from 1."""
        number = self.first + i
        row = f"line {number + 2}" if self.header else f"row {number + 1}"
        return f"logs={self.path}, {row}" + (f", column {column}" if column else "")

    def text(self, column: str) -> pd.Series:
        """A column as stripped strings, "" where there is nothing."""
        series = self.frame[column]
        if isinstance(series.dtype, pd.CategoricalDtype):
            series = series.astype(object)
        if series.dtype == object or pd.api.types.is_string_dtype(series.dtype):
            series = series.where(series.notna(), "").astype(str).str.strip()
            return series.where(~series.str.lower().isin(_NOTHING[1:5]), "")
        return series.astype(str).where(series.notna(), "")

    def _refuse(self, bad: np.ndarray, column: str, what: str) -> None:
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            shown = self.frame[column].iloc[i]
            shown = shown.item() if isinstance(shown, np.generic) else shown
            raise LogError(f"{self.where(i, column)}: {shown!r} {what}")

    def number(self, column: str) -> np.ndarray:
        """(n,) float64, NaN where empty."""
        series = self.frame[column]
        if pd.api.types.is_numeric_dtype(series.dtype):
            out = series.to_numpy(np.float64, na_value=math.nan)
            empty = np.isnan(out)
        else:
            text = self.text(column)
            empty = (text == "").to_numpy()
            out = pd.to_numeric(text.where(~empty, "nan"), errors="coerce").to_numpy(np.float64)
        self._refuse(~empty & ~np.isfinite(out), column, "is not a number; write it with digits and a point")
        return out

    def flag(self, column: str, pushed: np.ndarray) -> np.ndarray:
        """(n,) uint8; empty is allowed where nothing was pushed."""
        series = self.frame[column]
        if series.dtype == bool:
            return series.to_numpy(np.uint8)
        if pd.api.types.is_numeric_dtype(series.dtype):
            values = series.to_numpy(np.float64, na_value=math.nan)
            values = np.where(np.isnan(values) & ~pushed, 0.0, values)
        else:
            text = self.text(column).str.lower()
            values = text.map(_FLAGS).to_numpy(np.float64)
            values = np.where((text == "").to_numpy() & ~pushed, 0.0, values)
        self._refuse(~np.isin(values, (0.0, 1.0)), column, "is neither yes nor no; give 0 or 1")
        return values.astype(np.uint8)

    def label(self, column: str) -> pd.Series:
        """Names of what was pushed, "" where held back."""
        text = self.text(column)
        return text.where(~text.str.lower().isin(_NOTHING), "")

    def time(self, column: str, numeric: bool) -> np.ndarray:
        """(n,) float64 days; a day number as it stands, or ISO 8601 as days of Universal Time since 1970."""
        series = self.frame[column]
        if pd.api.types.is_datetime64_any_dtype(series.dtype):
            stamps = pd.to_datetime(series, utc=True)
        elif numeric:
            days = self.number(column)
            self._refuse(np.isnan(days), column, "is no time; give an ISO 8601 timestamp or a day number in every row")
            return days
        else:
            stamps = pd.to_datetime(self.text(column), utc=True, format="ISO8601", errors="coerce")
        self._refuse(
            stamps.isna().to_numpy(),
            column,
            "is no time; give ISO 8601, e.g. 2024-05-31T18:20:00, or a day number, the same kind in every row",
        )
        return stamps.dt.as_unit("ns").astype("int64").to_numpy() / 86_400e9

    def numeric_time(self, column: str) -> bool:
        """Whether the first time that is given is a number."""
        series = self.frame[column]
        if pd.api.types.is_numeric_dtype(series.dtype):
            return True
        given = self.text(column)
        given = given[given != ""]
        return len(given) > 0 and bool(pd.notna(pd.to_numeric(given.iloc[0], errors="coerce")))

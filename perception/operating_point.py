"""How often a threshold errs: false match and non-match rates over cosines, measured once and shipped.

The shipped table (``operating_points.json``) says of bare faces, two single pictures compared, what share of the pairs of
different persons reach a threshold (FMR), and what share of the pairs of one person do not (FNMR), with 95 % intervals
over persons.  It is written by ``python -m perception.evaluate ... rates=FILE``; other cameras and other people have other
rates, so measure your own where it matters.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perception.errors import InputError

SHIPPED = Path(__file__).parent / "operating_points.json"
NO_AUTHENTICATION = ("This is no authentication system: there is no liveness check, a printed photograph passes as its person, and nothing "
                     "here should open a door or an account.")


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with the error rates measured at it (``*_low``, ``*_high``: 95 % interval)."""

    threshold: float
    fmr: float
    fmr_low: float | None
    fmr_high: float | None
    fnmr: float
    fnmr_low: float | None
    fnmr_high: float | None
    impostor: int
    genuine: int
    source: str

    def sentence(self) -> str:
        """The rates in words."""
        def rate(value: float, low: float | None, high: float | None) -> str:
            return f"{value:.2g}" + ("" if low is None or high is None else f" [{low:.2g}, {high:.2g}]")

        return (f"at a threshold of {self.threshold:.2f} the false match rate is {rate(self.fmr, self.fmr_low, self.fmr_high)} "
                f"({self.impostor:,} comparisons) and the false non-match rate {rate(self.fnmr, self.fnmr_low, self.fnmr_high)} "
                f"({self.genuine:,} comparisons), measured on {self.source}")


def read_rates(file: Path | None = None) -> dict[str, Any]:
    """A table of rates.

    Raises
    ------
    InputError
        If the file is missing or something else.
    """
    file = SHIPPED if file is None else file
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        rows = content["rates"]
        if [row["threshold"] for row in rows] != sorted(row["threshold"] for row in rows) or not rows:
            raise ValueError("thresholds do not rise")
        if not all(0 <= row[name] <= 1 for row in rows for name in ("fmr", "fnmr")):
            raise ValueError("a rate is no share")
        int(content["genuine"]), int(content["impostor"]), int(content["persons"]), str(content["set"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no table of error rates ({str(error)[:80]}); write one with python -m perception.evaluate "
                         "... rates=FILE") from error
    return content


def operating_point(threshold: float | None = None, fmr: float | None = None, rates: dict[str, Any] | None = None) -> OperatingPoint:
    """The point of a threshold, or the lowest threshold of a false match rate.

    A threshold between two of the table's takes the larger FMR and the larger FNMR of its neighbours.

    Raises
    ------
    InputError
        If the threshold lies outside the table, or the rate is lower than the table can show.
    """
    content = read_rates() if rates is None else rates
    rows = content["rates"]
    if threshold is None:
        if fmr is None or not 0 < fmr < 1:
            raise InputError(f"fmr= must lie between 0 and 1, not {fmr}")
        if fmr * content["impostor"] < 1:
            raise InputError(f"fmr={fmr:g} is lower than {content['impostor']:,} comparisons can show; give a threshold, or fmr= of at "
                             f"least {1 / content['impostor']:.1g}")
        fitting = [row for row in rows if row["fmr"] <= fmr]
        if not fitting:
            raise InputError(f"no threshold of the table has a false match rate of at most {fmr:g}")
        threshold = fitting[0]["threshold"]
    if not rows[0]["threshold"] <= threshold <= rows[-1]["threshold"]:
        raise InputError(f"threshold= must lie between {rows[0]['threshold']:g} and {rows[-1]['threshold']:g}, where rates were measured, "
                         f"not {threshold:g}")
    under = [row for row in rows if row["threshold"] <= threshold + 1e-9][-1]
    over = next(row for row in rows if row["threshold"] >= threshold - 1e-9)
    source = f"{content['faces']:,} pictures of {content['persons']:,} people ({content['set']})"
    return OperatingPoint(threshold, under["fmr"], under["fmr_low"], under["fmr_high"], over["fnmr"], over["fnmr_low"], over["fnmr_high"],
                          content["impostor"], content["genuine"], source)

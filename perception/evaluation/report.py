"""What an evaluation found, as a record, a terminal table and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from perception.evaluation.bootstrap import Measure


@dataclass
class Finding:
    """One set, evaluated for one task.

    Attributes
    ----------
    set, task : str
    counts : dict of str to int
        Images, persons, failures, and what was left out.
    metrics : dict of str to Measure
    thresholds : dict of str to float
        Scores of the operating points.
    confusion : dict or None
        ``labels``, ``counts`` (row = truth).
    table : list of dict
        Per-person rows (stays on this machine: it names persons).
    curve : tuple of ndarray or None
        FMR and FNMR over thresholds.
    rates : list of dict
        FMR and FNMR of bare faces at round thresholds, with intervals.
    rated : dict of str to int
        Faces, persons and comparisons behind ``rates``.
    note : str or None
        Why the set was not evaluated.
    """

    set: str
    task: str
    counts: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, Measure] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    confusion: dict[str, Any] | None = None
    table: list[dict[str, Any]] = field(default_factory=list)
    curve: tuple[np.ndarray, np.ndarray] | None = None
    rates: list[dict[str, float | None]] = field(default_factory=list)
    rated: dict[str, int] = field(default_factory=dict)
    note: str | None = None


def as_json(findings: Sequence[Finding], about: Mapping[str, Any]) -> dict[str, Any]:
    """The content of ``evaluation.json``: ``about`` and one entry per finding."""
    entries = []
    for f in findings:
        entry: dict[str, Any] = {"set": f.set, "task": f.task, "counts": f.counts, "metrics": f.metrics, "thresholds": f.thresholds}
        more = {"confusion": f.confusion, "persons": f.table, "rates": f.rates, "note": f.note}
        entry |= {name: value for name, value in more.items() if value}
        if f.curve is not None:
            entry["curve"] = _thinned(*f.curve)
        entries.append(entry)
    return {"about": dict(about), "findings": entries}


def print_findings(findings: Sequence[Finding]) -> None:
    """A table per finding."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=True)
    for f in findings:
        head = f"{f.set} · {f.task}"
        if f.note:
            console.print(f"{escape(head)}: not evaluated, {escape(f.note)}\n")
            continue
        table = Table(title=escape(head), title_justify="left", title_style="bold")
        table.add_column("metric")
        for name in ("value", "95 % interval", "n"):
            table.add_column(name, justify="right", no_wrap=True)
        for name, m in f.metrics.items():
            interval = "" if m["low"] is None or m["high"] is None else f"{m['low']:.4f} .. {m['high']:.4f}"
            table.add_row(escape(name), "cannot be told" if m["value"] is None else f"{m['value']:.4f}", interval, f"{m['n']:,}")
        console.print(table)
        line = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in f.counts.items())
        if f.thresholds:
            line += "; thresholds: " + ", ".join(f"{name} {value:.4f}" for name, value in f.thresholds.items())
        console.print(escape(line) + "\n", highlight=False)
        if f.confusion is not None:
            _print_confusion(console, f.confusion)
        if f.table:
            _print_persons(console, f.table)


def _print_confusion(console: Any, confusion: Mapping[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="confusion (row: truth, column: answer)", title_justify="left")
    for name in ("", *confusion["labels"]):
        table.add_column(escape(name), justify="right")
    for name, row in zip(confusion["labels"], confusion["counts"], strict=True):
        table.add_row(escape(name), *(str(count) for count in row))
    console.print(table)
    console.print()


def _print_persons(console: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="per person", title_justify="left")
    for name in ("person", "n", "precision", "recall", "n", "precision", "recall"):
        table.add_column(name, justify="left" if name == "person" else "right")
    table.add_row("", "training", "", "", "validation", "", "", style="dim")
    for row in rows:
        cells = [f"{row[f'{part}_{what}']:.3f}" if row[f"{part}_{what}"] is not None else "-" if what != "n" else ""
                 for part in ("training", "validation") for what in ("n", "precision", "recall")]
        for k, part in ((0, "training"), (3, "validation")):
            cells[k] = str(row[f"{part}_n"])
        table.add_row(escape(row["person"]), *cells)
    console.print(table)
    console.print()


def _thinned(fmr: np.ndarray, fnmr: np.ndarray, points: int = 200) -> dict[str, list[float]]:
    """At most about 400 points of a curve, evenly by rank in both rates."""
    if not (np.isfinite(fmr).all() and np.isfinite(fnmr).all()):
        return {"fmr": [], "fnmr": []}
    keep = np.unique(np.r_[0, len(fmr) - 1, np.searchsorted(fmr, np.logspace(-6, 0, points)).clip(0, len(fmr) - 1),
                           np.searchsorted(-fnmr, -np.linspace(1, 0, points)).clip(0, len(fmr) - 1)])
    return {"fmr": [float(f"{v:.6g}") for v in fmr[keep]], "fnmr": [float(f"{v:.6g}") for v in fnmr[keep]]}

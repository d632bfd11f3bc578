"""What a calibration leaves for people: the terminal's tables, report.md, calibration.json, parameters.csv, the figure."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from sim.calibration.identification import Estimate
from sim.calibration.moments import Moment
from sim.evaluation.statistics import Interval, clear_of_zero


@dataclasses.dataclass(frozen=True)
class Result:
    """Everything that a report tells."""

    title: str
    facts: list[str]
    rows: list[Estimate]
    held: dict[str, str]
    warnings: list[str]
    moments: list[Moment]
    held_out: dict[str, dict[str, Interval]]
    command: str
    numbers: dict[str, Any]


def _number(x: float) -> str:
    return "" if math.isnan(x) else f"{x:.3f}" if abs(x) < 10 else f"{x:.4g}"


def _interval(i: Interval | None, digits: int = 3) -> str:
    return "" if i is None else f"{i['mean']:.{digits}f} ±{(i['high'] - i['low']) / 2:.{digits}f}"


PARAMETER_COLUMNS = (
    "parameter",
    "default",
    "fitted",
    "std. error",
    "95 % from",
    "to",
    "identified",
    "most entangled with",
)


def parameter_cells(rows: list[Estimate]) -> list[list[str]]:
    out = []
    for r in rows:
        rival = f"{r.entangled} ({r.correlation:+.2f})" if abs(r.correlation) > 0.5 else ""
        numbers = [_number(x) for x in (r.start, r.fitted, r.error, r.low, r.high)]
        out.append([r.name, *numbers, f"{r.verdict} ({r.share:.2f})" + (" at bound" if r.at_bound else ""), rival])
    return out


MOMENT_COLUMNS = ("held-out customers", "log", "one step ahead", "simulated", "apart (s.e.)")


def moment_cells(moments: list[Moment]) -> list[list[str]]:
    out = []
    for m in moments:
        apart = "" if m.simulated is None else f"{m.off:.1f}" + (" *" if m.off > 2.6 else "")
        out.append(
            [m.name, _interval(m.data), "" if m.ahead is None else f"{m.ahead:.3f}", _interval(m.simulated), apart]
        )
    return out


HELD_OUT_COLUMNS = ("model", "log-likelihood per opportunity", "fitted is better by", "")


def held_out_cells(held_out: dict[str, dict[str, Interval]]) -> list[list[str]]:
    out = []
    for name, level in held_out["per_opportunity"].items():
        gain = held_out["gain"].get(name)
        verdict = "" if gain is None else ("clear" if clear_of_zero(gain) else "not distinguishable")
        out.append([name, _interval(level, 4), _interval(gain, 4), verdict])
    return out


def _markdown(columns: tuple[str, ...], cells: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "| --- " + "| ---: " * (len(columns) - 1) + "|"]
    return [*lines, *("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in cells), ""]


def to_markdown(result: Result) -> str:
    """report.md."""
    lines = [f"# {result.title}", "", *(f"- {fact}" for fact in result.facts), "", "```", result.command, "```", ""]
    lines += [
        "## What to know before believing it",
        "",
        *(f"- {w}" for w in result.warnings or ["Nothing stood out."]),
        "",
    ]
    lines += ["## Parameters", "", *_markdown(PARAMETER_COLUMNS, parameter_cells(result.rows))]
    lines += [
        "*identified* = share of the prior's variance that the log took away: yes at .95, weakly at .5, no below.",
        "",
    ]
    lines += ["Held at their starting values:", "", *(f"- {name}: {why}" for name, why in result.held.items()), ""]
    lines += ["## Held-out log-likelihood", "", *_markdown(HELD_OUT_COLUMNS, held_out_cells(result.held_out))]
    lines += ["Clicks, purchases, opt-outs and gaps of customers that were not fitted to; 95 % over customers.", ""]
    lines += ["## Moments", "", *_markdown(MOMENT_COLUMNS, moment_cells(result.moments))]
    lines += ["![calibration](calibration.png)", ""]
    return "\n".join(lines)


def to_csv(rows: list[Estimate]) -> str:
    """parameters.csv."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in dataclasses.fields(Estimate)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in rows)
    return text.getvalue()


def to_json(result: Result) -> dict[str, Any]:
    """calibration.json."""
    return {
        **result.numbers,
        "parameters": {row.name: dataclasses.asdict(row) for row in result.rows},
        "held": result.held,
        "warnings": result.warnings,
        "held_out": result.held_out,
        "moments": [m._asdict() | {"off": m.off} for m in result.moments],
        "command": result.command,
    }


def print_tables(result: Result) -> None:
    """The report to standard output."""
    import os

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if os.isatty(1) else 130, highlight=False)
    shown = (
        (result.title, PARAMETER_COLUMNS, parameter_cells(result.rows)),
        ("held-out log-likelihood (customers not fitted to)", HELD_OUT_COLUMNS, held_out_cells(result.held_out)),
        ("moments (* = further apart than chance explains)", MOMENT_COLUMNS, moment_cells(result.moments[:8])),
    )
    for title, columns, cells in shown:
        table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
        for j, column in enumerate(columns):
            table.add_column(column, justify="left" if j == 0 or column in ("", "most entangled with") else "right")
        for row in cells:
            table.add_row(*(text.replace("[", "\\[") for text in row))
        console.print(table)
    for warning in result.warnings:
        console.print(f"note: {warning}", markup=False)


def plot(path: Path, result: Result) -> None:
    """Left: every parameter's interval in units of its prior.  Middle and right: moments, the log against the shop."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [r for r in result.rows if not r.name.startswith("appeal[")]
    figure = Figure(figsize=(12.5, max(4.2, 0.26 * len(rows) + 1.2)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    colours = {"yes": "C0", "weakly": "C1", "no": "0.6"}
    for y, r in enumerate(reversed(rows)):
        scale = max(abs(r.start), 1e-9)
        low, mid, high = ((x - r.start) / scale for x in (r.low, r.fitted, r.high))
        left.plot([max(low, -3), min(high, 3)], [y, y], color=colours[r.verdict], linewidth=2)
        left.plot(min(max(mid, -3), 3), y, "o", color=colours[r.verdict], markersize=4)
    left.set_yticks(range(len(rows)), [r.name for r in reversed(rows)], fontsize=7)
    left.axvline(0, color="0.7", linewidth=0.8)
    left.set_xlim(-3.1, 3.1)
    left.set_xlabel("(fitted - start) / |start|, cut at 3")
    left.set_title("parameters, 95 %: blue identified, orange weakly, grey not", loc="left", fontsize=8)
    for axes, prefix, title in (
        (middle, "clicks at push", "click rate by push of a life"),
        (right, "opt-outs at push", "opt-out rate by push of a life"),
    ):
        chosen = [m for m in result.moments if m.name.startswith(prefix)]
        names = [m.name.removeprefix(prefix).strip() for m in chosen]
        for shift, label, pick in ((-0.1, "log", "data"), (0.1, "simulated", "simulated")):
            points = [(x + shift, getattr(m, pick)) for x, m in enumerate(chosen) if getattr(m, pick) is not None]
            if points:
                axes.errorbar(
                    [x for x, _ in points],
                    [i["mean"] for _, i in points],
                    yerr=[(i["high"] - i["low"]) / 2 for _, i in points],
                    fmt="o", capsize=2, markersize=4, label=label,
                )  # fmt: skip
        axes.plot(range(len(chosen)), [m.ahead for m in chosen], "_", color="k", markersize=10, label="one step ahead")
        axes.set_xticks(range(len(chosen)), names)
        axes.set_ylim(bottom=0)
        axes.set_title(title + " (held-out customers)", loc="left", fontsize=8)
        axes.legend(fontsize=7, frameon=False)
        axes.grid(alpha=0.25)
    figure.savefig(path)

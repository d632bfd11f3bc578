"""What a run leaves for people: the table in the terminal, summary.json, and the learning curve as a picture."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from sim.evaluation.metrics import METRICS, Totals, compare, summarise
from sim.evaluation.statistics import Interval, clear_of_zero


def write_text(path: Path, text: str) -> None:
    """Publish a text file by temp file, fsync and rename."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def results(totals: dict[str, Totals]) -> dict[str, Any]:
    """`policies.<name>.<metric>` and `paired.<a>_minus_<b>.<metric>`, each {mean, low, high, n}; all ordered pairs."""
    names = list(totals)
    return {
        "policies": {name: summarise(totals[name]) for name in names},
        "paired": {f"{a}_minus_{b}": compare(totals[a], totals[b]) for a in names for b in names if a != b},
    }


def _pm(interval: Interval, digits: int = 2) -> str:
    return f"{interval['mean']:.{digits}f} ±{(interval['high'] - interval['low']) / 2:.{digits}f}"


def print_table(summary: dict[str, Any], agent: str, note: str) -> None:
    """Policies by value, and the agent's paired differences, to standard output."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if os.isatty(1) else 110, highlight=False)
    policies, paired = summary["policies"], summary["paired"]
    ranked = sorted(policies, key=lambda name: -policies[name]["value_per_customer"]["mean"])
    table = Table(title=note, box=SIMPLE_HEAD, title_justify="left")
    table.add_column("policy")
    for column in ("value per customer", "push rate", "clicks/push", "buys/push", "opt-out", "days"):
        table.add_column(column, justify="right")
    for name in ranked:
        m = policies[name]
        table.add_row(
            name,
            _pm(m["value_per_customer"]),
            f"{m['push_rate']['mean']:.2f}",
            f"{m['click_rate']['mean']:.3f}",
            f"{m['purchase_rate']['mean']:.3f}",
            f"{m['opt_out_rate']['mean']:.2f}",
            f"{m['days_per_customer']['mean']:.0f}",
            style="bold" if name == agent else None,
        )
    console.print(table)

    pairs = [(agent, other) for other in ranked if other != agent]
    pairs += [
        (a, b) for a, b in (("linucb", "popularity"), ("popularity", "random")) if a in policies and b in policies
    ]
    table = Table(
        title="paired differences in value per customer (same customers, same luck; 95 % interval)",
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    for column in ("difference", "mean", "from", "to", ""):
        table.add_column(column, justify="left" if column in ("difference", "") else "right")
    for a, b in dict.fromkeys(pair for pair in pairs if pair[0] != pair[1]):
        d = paired[f"{a}_minus_{b}"]["value_per_customer"]
        verdict = ("better" if d["mean"] > 0 else "worse") if clear_of_zero(d) else "not distinguishable"
        table.add_row(f"{a} - {b}", f"{d['mean']:+.2f}", f"{d['low']:+.2f}", f"{d['high']:+.2f}", verdict)
    console.print(table)


def plot_learning_curve(path: Path, curve: list[tuple[int, float]], agent: str, references: dict[str, float]) -> None:
    """Value per tuning customer over training, with the other policies as lines on the same customers."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    styles = ["--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1))]
    for i, (name, value) in enumerate(sorted(references.items(), key=lambda item: -item[1])):
        axes.axhline(
            value, color=f"C{i + 1}", linestyle=styles[i % len(styles)], linewidth=1.2, label=f"{name} {value:.1f}"
        )
    if curve:
        axes.plot(*zip(*curve, strict=True), color="C0", marker="o", linewidth=2, label=f"{agent} {curve[-1][1]:.1f}")
    axes.set_xlabel("training interactions")
    axes.set_ylabel("value per customer (money)")
    axes.set_title(f"{agent} while it learns, on customers kept for tuning", loc="left", fontsize=11)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.grid(alpha=0.25)
    figure.savefig(path)


def dump_json(path: Path, value: Any) -> None:
    """Publish JSON; a number that is not finite becomes null, since JSON has none."""

    def clean(x: Any) -> Any:
        if isinstance(x, dict):
            return {k: clean(v) for k, v in x.items()}
        if isinstance(x, (list, tuple)):
            return [clean(v) for v in x]
        return None if isinstance(x, float) and (x != x or x in (float("inf"), float("-inf"))) else x

    write_text(path, json.dumps(clean(value), indent=1) + "\n")


__all__ = ["METRICS", "dump_json", "plot_learning_curve", "print_table", "results", "write_text"]

"""The answer of an off-policy evaluation: table, JSON, CSV, picture."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from sim.evaluation.estimators.estimate import Estimate
from sim.evaluation.estimators.overlap import Overlap
from sim.evaluation.statistics import Interval
from sim.report import dump_json, write_text

# Okabe & Ito (2008): told apart by colour-blind readers
_COLOUR = {"log": "#222222", "one step": "#0072B2", "whole life": "#D55E00"}


@dataclasses.dataclass(frozen=True)
class Answer:
    """Estimates of one policy from one log; `truth` where the simulator could be asked."""

    policy: str
    behaviour: str
    what: str
    estimates: list[Estimate]
    overlap: Overlap
    warnings: list[str]
    truth: Interval | None
    shown: str
    level: float


def print_answer(answer: Answer) -> None:
    """Table and warnings, to standard output."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if os.isatty(1) else 120, highlight=False)
    table = Table(
        title=f"{answer.policy} from the log of {answer.behaviour}: {answer.what}",
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    for name in (
        "estimator",
        "course",
        "money per customer",
        f"{answer.level:.0%} {answer.shown}",
        "empirical Bernstein",
        "",
    ):
        table.add_column(name, justify="left" if name in ("estimator", "course", "") else "right")
    for each in answer.estimates:
        intervals = [_span(each.intervals.get(method)) for method in (answer.shown, "bernstein")]
        table.add_row(each.name, each.kind, f"{each.value:.3f}", *intervals, each.note)
    if answer.truth is not None:
        table.add_row(
            "true value", "deployed", f"{answer.truth['mean']:.3f}", _span(answer.truth), "", "same customers, Student"
        )
    console.print(table)
    o = answer.overlap
    console.print(
        f"  overlap: {o.effective_rows:,.0f} effective of {o.rows:,} opportunities, {o.effective_customers:,.1f} of {o.customers:,} whole "
        f"lives; mean ratio {o.mean_ratio:.3f} ±{2 * o.mean_ratio_error:.3f}, largest {o.largest_ratio:.3g}, smallest propensity "
        f"{o.smallest_propensity:.3g}"
    )
    for warning in answer.warnings:
        console.print(f"  warning: {warning}")


def _span(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval['low']:.3f} to {interval['high']:.3f}"


def write(folder: Path, answer: Answer, facts: dict[str, Any]) -> list[Path]:
    """off_policy.json, off_policy.csv and off_policy.png in `folder`; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {
        "policy": answer.policy, "behaviour": answer.behaviour, "level": answer.level, **facts,
        "estimates": {e.name: {"value": e.value, "kind": e.kind, "note": e.note, "intervals": e.intervals} for e in answer.estimates},
        "overlap": dataclasses.asdict(answer.overlap), "warnings": answer.warnings, "truth": answer.truth,
    }  # fmt: skip
    dump_json(folder / "off_policy.json", numbers)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["estimator", "course", "value", "interval", "low", "high"])
    for e in answer.estimates:
        for method, interval in e.intervals.items():
            if interval is not None:
                writer.writerow([e.name, e.kind, e.value, method, interval["low"], interval["high"]])
    write_text(folder / "off_policy.csv", text.getvalue())
    draw(folder / "off_policy.png", answer)
    return [folder / f"off_policy.{kind}" for kind in ("json", "csv", "png")]


def draw(path: Path, answer: Answer) -> None:
    """Estimates with their intervals, and the true value where it is known."""
    from matplotlib.figure import Figure

    from sim.compare.figures import save

    shown = answer.estimates
    figure = Figure(figsize=(8, 0.42 * len(shown) + 1.6), layout="constrained")
    axes = figure.subplots()
    middle = [i for e in shown if (i := e.intervals.get(answer.shown)) is not None]
    ends = [v for i in middle for v in (i["low"], i["high"])] + ([answer.truth["mean"]] if answer.truth else [])
    for y, each in enumerate(shown):
        interval = each.intervals.get(answer.shown)
        if interval is not None:
            axes.plot([interval["low"], interval["high"]], [y, y], color=_COLOUR[each.kind], lw=2)
        axes.plot(each.value, y, "o", color=_COLOUR[each.kind], ms=5)
    if answer.truth is not None:
        axes.axvline(answer.truth["mean"], color="#009E73", ls="--", lw=1.2, label="true value, same customers")
        axes.legend(frameon=False, loc="best")
    axes.set_yticks(
        range(len(shown)), [f"{e.name} ({e.kind})" if e.kind != "log" else f"{answer.behaviour} itself" for e in shown]
    )
    axes.invert_yaxis()
    if ends:  # a product of ratios may lie miles off: show where most of it is
        low, high = np.quantile(ends, [0.03, 0.97])
        margin = 0.4 * max(high - low, 1e-6)
        axes.set_xlim(low - margin, high + margin)
    axes.set_xlabel(f"money per customer, {answer.level:.0%} intervals ({answer.shown})")
    axes.set_title(f"{answer.policy} from the log of {answer.behaviour}", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)

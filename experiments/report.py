"""How a study tells its answer: two tables in the terminal, the same as Markdown and JSON, and a figure."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.command import ROOT, Settings, shown
from experiments.gaps import Estimate, Gap, clear_of_zero, estimate
from experiments.study import Results
from sim.evaluation.statistics import Interval
from sim.report import dump_json, write_text

# Okabe & Ito (2008): told apart by colour-blind readers
BLUE, ORANGE, GREY, BLACK = "#0072B2", "#D55E00", "#999999", "#222222"
VALUE_HEADER = ["policy", "value per customer", "over seeds", "each seed", "by argmax", "push rate", "buys/push", "opt-out"]
GAP_HEADER = ["gap", "what", "money", "over customers", "over faces", "over seeds", "each seed", ""]


def tell(question: str, title: str, results: Results, gaps: Sequence[Gap], settings: Settings) -> None:
    """Print the tables; write results.json, answer.md and `<question>.png` below `out`, and publish the figure if asked."""
    folder = Path(settings.out).resolve() / question
    values = {arm: estimate(results.values(arm), results.faces) for arm in results.totals}
    ranked = sorted(values, key=lambda arm: -values[arm].mean)
    value_rows = [value_row(arm, values[arm], results) for arm in ranked]
    gap_rows = [gap_row(gap) for gap in gaps]
    print_table(title, VALUE_HEADER, value_rows)
    print_table("paired gaps in money per customer, 95 % intervals; ? = that seed's own interval holds zero", GAP_HEADER, gap_rows)
    answer = f"{title}\n\n{markdown(VALUE_HEADER, value_rows)}\n{markdown(GAP_HEADER, gap_rows)}"
    write_text(folder / "answer.md", answer)
    numbers = {
        "question": question, "customers": results.customers, "faces": len(np.unique(results.faces)), "seeds": results.seeds,
        "steps": settings.steps, "shop": list(settings.shop), "seconds": round(results.seconds, 1),
        "values": {arm: values[arm].as_json() for arm in ranked},
        "gaps": {gap.name: {"what": gap.what, **gap.estimate.as_json()} for gap in gaps},
    }  # fmt: skip
    dump_json(folder / "results.json", numbers)
    figure = folder / f"{question}.png"
    draw(figure, title, [(arm, values[arm]) for arm in ranked], [(f"{gap.what}\n{gap.name}", gap.estimate) for gap in gaps])
    print(f"figure {shown(figure)}, numbers results.json and answer.md beside it  ({results.seconds:.0f} s)")
    if settings.publish:
        shutil.copyfile(figure, ROOT / "docs" / figure.name)
        print(f"copied to docs/{figure.name}")


# ---------------------------------------------------------------------- words
def value_row(arm: str, e: Estimate, results: Results) -> list[str]:
    """A line of the table of values."""
    totals = results.totals[arm]
    t = totals["sampled"]
    pushes, opportunities = t["pushes"].sum(), t["opportunities"].sum()
    return [
        arm,
        plus_minus(e.customers),
        span(e.seeds).replace("+", ""),
        " ".join(f"{interval['mean']:.2f}" for interval in e.each),
        f"{totals['argmax']['value'].mean():.2f}" if "argmax" in totals else "-",
        f"{pushes / opportunities:.2f}",
        f"{t['purchases'].sum() / pushes:.3f}" if pushes else "-",
        f"{t['opted_out'].mean():.2f}",
    ]


def plus_minus(interval: Interval) -> str:
    """`mean ±half-width`; without the half-width where there is none."""
    half = (interval["high"] - interval["low"]) / 2
    return f"{interval['mean']:.2f} ±{half:.2f}" if np.isfinite(half) else f"{interval['mean']:.2f}"


def span(interval: Interval) -> str:
    """`+low to +high`, or a dash where one value gives no interval."""
    return f"{interval['low']:+.2f} to {interval['high']:+.2f}" if np.isfinite(interval["low"]) else "-"


def gap_row(gap: Gap) -> list[str]:
    """A line of the table of gaps; a question mark follows a seed whose own interval holds zero."""
    e = gap.estimate
    own = " ".join(f"{i['mean']:+.2f}{'' if clear_of_zero(i) else '?'}" for i in e.each)
    verdict = "clear" if e.clear else "not clear"
    return [gap.name, gap.what, f"{e.mean:+.2f}", span(e.customers), span(e.faces), span(e.seeds), own, verdict]


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output; the first column is words, the others are numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    for i, column in enumerate(header):
        table.add_column(column, justify="left" if i == 0 or column in ("what", "") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=None if os.isatty(1) else 170, highlight=False).print(table)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same table for a README."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


# ---------------------------------------------------------------------- figure
def draw(
    path: Path,
    title: str,
    values: Sequence[tuple[str, Estimate]],
    gaps: Sequence[tuple[str, Estimate]],
) -> None:
    """Two panels: value per customer of every policy, and paired gaps; published as a PNG by rename.

    Thick bar: interval over customers.  Thin whisker: over seeds (where two or more were trained).  Small dots: each seed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = max(len(values), len(gaps))
    figure = Figure(figsize=(11.5, 1.9 + 0.34 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    for axes, lines, sign in ((left, values, ""), (right, gaps, "+")):
        for i, (_, e) in enumerate(lines):
            colour = BLUE if sign == "" or e.clear else GREY
            if np.isfinite(e.seeds["low"]):
                axes.plot([e.seeds["low"], e.seeds["high"]], [i, i], color=BLACK, linewidth=1, zorder=1)
            axes.plot([e.customers["low"], e.customers["high"]], [i, i], color=colour, linewidth=6, alpha=0.55, zorder=2)
            axes.plot([x["mean"] for x in e.each], [i] * len(e.each), ".", color=ORANGE, markersize=5, zorder=3)
            axes.plot(e.mean, i, "o", color=colour, markersize=6, zorder=4)
            axes.annotate(
                f"{e.mean:{sign}.2f}", (e.mean, i), (0, 7), textcoords="offset points", ha="center", fontsize=8, color=BLACK
            )
        axes.set_yticks(range(len(lines)), [name for name, _ in lines], fontsize=9)
        axes.set_ylim(len(lines) - 0.4, -0.7)
        axes.grid(axis="x", alpha=0.25)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    right.axvline(0, color=BLACK, linewidth=1, linestyle=":")
    left.set_xlabel("value per customer (money)")
    right.set_xlabel("paired gap (money per customer; grey: not clear of zero)")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    keys = [
        Line2D([], [], color=BLUE, linewidth=6, alpha=0.55, marker="o", label="mean and 95 % over customers"),
        Line2D([], [], color=BLACK, linewidth=1, label="95 % over training seeds"),
        Line2D([], [], color=ORANGE, linestyle="", marker=".", label="one seed"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}", suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        figure.savefig(file, format="png")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)

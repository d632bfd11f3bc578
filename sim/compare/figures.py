"""Pictures of a comparison; each function returns a figure that `save` publishes as PNG."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.compare.gather import Curve
from sim.compare.segments import Segment
from sim.evaluation.comparison import Comparison, performance_profile, profile_band
from sim.evaluation.statistics import Interval

# Okabe & Ito (2008): told apart by colour-blind readers; line styles tell them apart in grey
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#999999")
STYLES = ("-", "--", "-.", ":")


def style_of(i: int) -> dict[str, Any]:
    """Colour and line of the i-th policy: no two alike among the first thirty."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[(i // len(COLOURS)) % len(STYLES)]}


def new(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: Path) -> None:
    """Publish by temp file, fsync and rename."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}", suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        figure.savefig(file, format="png")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def _clean(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=8)


def values_and_gaps(values: dict[str, Interval], gaps: Sequence[Comparison], best: str, label: str) -> Any:
    """Value of every policy, and its paired gap to the best one, each with its 95 % interval."""
    figure = new(10.5, 1.4 + 0.36 * len(values))
    left, right = figure.subplots(1, 2, sharey=True)
    below = {gap.b: gap for gap in gaps if gap.a == best}
    for i, (policy, v) in enumerate(values.items()):
        left.plot([v["low"], v["high"]], [i, i], color=COLOURS[0], linewidth=5, alpha=0.5)
        left.plot(v["mean"], i, "o", color=COLOURS[0])
        left.annotate(f"{v['mean']:.2f}", (v["mean"], i), (0, 7), textcoords="offset points", ha="center", fontsize=8)
        if policy in below:
            gap = below[policy]
            colour = COLOURS[1] if gap.corrected < 0.05 else COLOURS[7]
            right.plot([gap.interval["low"], gap.interval["high"]], [i, i], color=colour, linewidth=5, alpha=0.5)
            right.plot(gap.interval["mean"], i, "o", color=colour)
            note = f"{gap.interval['mean']:+.2f}  p {gap.corrected:.3f}"
            right.annotate(note, (gap.interval["mean"], i), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    left.set_yticks(range(len(values)), list(values))
    left.set_ylim(len(values) - 0.5, -0.7)
    right.axvline(0, color="black", linewidth=1, linestyle=":")
    left.set_xlabel(label, fontsize=9)
    right.set_xlabel(f"{best} minus policy (grey: not distinguishable after Holm)", fontsize=9)
    _clean(left)
    _clean(right)
    return figure


def profiles(scores: dict[str, np.ndarray], low: str, high: str) -> Any:
    """Share of (seed, face) scores above tau, with 95 % bands."""
    figure = new(7.5, 4)
    axes = figure.subplots()
    everything = np.concatenate([s.ravel() for s in scores.values()])
    first, last = np.quantile(everything, [0.01, 0.99])
    tau = np.linspace(float(first), float(last), 200)
    for i, (policy, s) in enumerate(scores.items()):
        style = style_of(i)
        axes.plot(tau, performance_profile(s, tau), label=policy, **style)
        axes.fill_between(tau, *profile_band(s, tau), color=style["color"], alpha=0.12, linewidth=0)
    axes.set_xlabel(f"normalised score tau (0 = {low}, 1 = {high}), by face and seed", fontsize=9)
    axes.set_ylabel("share of runs above tau", fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _clean(axes)
    return figure


def improvement(names: Sequence[str], probability: np.ndarray) -> Any:
    """Matrix of P(row better than column)."""
    figure = new(2.2 + 0.62 * len(names), 1.4 + 0.5 * len(names))
    axes = figure.subplots()
    axes.imshow(probability, vmin=0, vmax=1, cmap="PuOr_r", aspect="auto")
    for i in range(len(names)):
        for j in range(len(names)):
            if i != j:
                dark = abs(probability[i, j] - 0.5) > 0.35
                axes.text(
                    j,
                    i,
                    f"{probability[i, j]:.2f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                )
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_title("probability that the row earns more than the column, by face and seed", fontsize=9, loc="left")
    return figure


def curves(found: dict[str, list[Curve]]) -> Any:
    """Learning curves: every seed thin, their mean thick where the seeds share their steps."""
    figure = new(7.5, 4)
    axes = figure.subplots()
    for i, (policy, seeds) in enumerate(found.items()):
        style = style_of(i)
        for curve in seeds:
            axes.plot(*zip(*curve, strict=True), **style, alpha=0.35, linewidth=1)
        shared = [curve for curve in seeds if len(curve) == len(seeds[0])]
        steps = np.mean([[step for step, _ in curve] for curve in shared], axis=0)
        mean = np.mean([[value for _, value in curve] for curve in shared], axis=0)
        axes.plot(steps, mean, **style, linewidth=2.2, label=policy)
    axes.set_xlabel("training interactions", fontsize=9)
    axes.set_ylabel("value per tuning customer (money)", fontsize=9)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _clean(axes)
    return figure


def by_segment(found: Sequence[Segment], a: str, b: str) -> Any:
    """Paired change from b to a in every segment."""
    figure = new(8, 1.2 + 0.3 * len(found))
    axes = figure.subplots()
    for i, segment in enumerate(found):
        change = segment.change
        colour = COLOURS[7] if change["low"] <= 0 <= change["high"] else COLOURS[0 if change["mean"] > 0 else 1]
        axes.plot([change["low"], change["high"]], [i, i], color=colour, linewidth=5, alpha=0.5)
        axes.plot(change["mean"], i, "o", color=colour)
    axes.set_yticks(range(len(found)), [f"{s.kind}: {s.name} ({s.customers:,})" for s in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.axvline(0, color="black", linewidth=1, linestyle=":")
    axes.set_xlabel(f"{a} minus {b}, money per customer of the segment (95 %; grey: holds zero)", fontsize=9)
    _clean(axes)
    return figure

"""The picture of a sensitivity study: a tornado for every conclusion, and the Sobol shops below it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from experiments.designs import FACTORS, Point
from experiments.gaps import Estimate
from experiments.report import BLACK, BLUE, GREY, ORANGE


def draw(path: Path, found: dict[str, dict[str, Estimate]], shops: list[Point]) -> None:
    """One panel per conclusion; published as a PNG by rename.

    A line of a panel joins the gaps with that factor low (blue) and high (orange); the dotted line is the base shop, black is
    zero; the lowest line holds the Sobol shops.  Whiskers are 95 % over customers; hollow where they hold zero.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    together = [shop.name for shop in shops if shop.name.startswith("sobol_")]
    lines = len(FACTORS) + 1
    figure = Figure(figsize=(3.0 + 2.6 * len(found), 1.6 + 0.27 * lines), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(found), sharey=True)
    for axes, (what, by_shop) in zip(panels, found.items(), strict=True):
        for i, factor in enumerate(FACTORS):
            ends = [by_shop[f"{factor.name}_{side}"] for side in ("low", "high")]
            axes.plot([e.mean for e in ends], [i, i], color=GREY, linewidth=3, alpha=0.5, zorder=1)
            for e, colour in zip(ends, (BLUE, ORANGE), strict=True):
                mark(axes, e, i, colour)
        for j, name in enumerate(together):
            mark(axes, by_shop[name], len(FACTORS) + 0.6 * (j / max(len(together) - 1, 1) - 0.5), BLACK, size=3)
        axes.axvline(by_shop["base"].mean, color=BLACK, linewidth=1, linestyle=":")
        axes.axvline(0, color=BLACK, linewidth=1)
        axes.set_title(what, fontsize=9)
        axes.grid(axis="x", alpha=0.25)
        axes.tick_params(axis="both", length=0, labelsize=8)
        axes.spines[["top", "right", "left"]].set_visible(False)
    panels[0].set_yticks(range(lines), [*(factor.name for factor in FACTORS), "all at once (Sobol)"])
    panels[0].set_ylim(lines - 0.4, -0.6)
    figure.supxlabel("paired gap (money per customer)", fontsize=9)
    keys = [
        Line2D([], [], color=BLUE, marker="o", linestyle="", label="factor low"),
        Line2D([], [], color=ORANGE, marker="o", linestyle="", label="factor high"),
        Line2D([], [], color=BLACK, linestyle=":", label="base shop"),
        Line2D(
            [], [], color=BLACK, marker="o", markerfacecolor="none", linestyle="", label="hollow: interval holds zero"
        ),
    ]
    figure.legend(handles=keys, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}", suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        figure.savefig(file, format="png")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def mark(axes: object, e: Estimate, y: float, colour: str, size: float = 5) -> None:
    """A gap with its interval over customers at height y."""
    low, high = e.customers["low"], e.customers["high"]
    axes.plot([low, high], [y, y], color=colour, linewidth=1, zorder=2)  # type: ignore[attr-defined]
    face = "none" if low <= 0 <= high else colour
    axes.plot(e.mean, y, "o", color=colour, markerfacecolor=face, markersize=size, zorder=3)  # type: ignore[attr-defined]

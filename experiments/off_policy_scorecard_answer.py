"""Tables, JSON and figure of the off-policy scorecard."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from experiments.command import ROOT, shown
from experiments.off_policy_scores import Score
from experiments.report import markdown, print_table
from sim.report import dump_json, write_text

HEADER = ["estimator", "customers a log", "logs", "bias", "rmse", "relative error", "student", "bootstrap", "Bernstein"]
COLOURS = {"ips": "#0072B2", "snips": "#56B4E9", "dm": "#999999", "dr": "#D55E00"}


def row(s: Score) -> list[str]:
    """A line of the table."""
    covered = [f"{s.coverage[m]:.1%}" if m in s.coverage else "-" for m in ("student", "bootstrap", "bernstein")]
    bias = f"{s.bias:+.3f} ±{2 * s.bias_error:.3f}"
    return [s.estimator, f"{s.customers:,}", f"{s.logs}", bias, f"{s.rmse:.3f}", f"{s.relative:.4f}", *covered]


def rates(sizes: dict[int, list[Score]]) -> dict[str, float]:
    """Slope of log rmse on log n of each estimator that was scored at every size; -1/2 is the root of n."""
    out, n = {}, sorted(sizes)
    for name in COLOURS:
        found = [next((s.rmse for s in sizes[k] if s.estimator == name), None) for k in n]
        if None not in found and len(n) > 1:
            out[name] = float(np.polyfit(np.log(n), np.log(np.array(found, float)), 1)[0])
    return out


def tell(found: dict[str, Any], folder: Path, publish: bool) -> None:
    """Print the tables; write results.json, answer.md and the figure."""
    facts, sizes, slopes = found["facts"], found["sizes"], rates(found["sizes"])
    main = max(sizes.values(), key=len)
    parts = [
        (
            f"env=bandit without recognition: truth {facts['truth']:.3f} a customer, {facts['opportunities_per_customer']:.0f} decisions a "
            f"customer, largest ratio {facts['largest_ratio']:.1f}; coverage of 95 % intervals",
            [row(s) for s in main],
        ),
        (f"tiny logs of {found['tiny'][0].customers} customers", [row(s) for s in found["tiny"]]),
    ]
    for size, scores in found["published"].items():
        title = f"as in Open Bandit Pipeline's examples, {size}: {scores[0].customers:,} rounds a log, one a customer"
        parts.append((title, [row(s) for s in scores]))
    if "shop" in found:
        shop = found["shop"]
        parts.append(
            (
                f"default shop, whole lives: truth {shop['facts']['truth']:.2f} a customer, the logging policy earned "
                f"{shop['facts']['logged_value']:.2f}",
                [row(s) for s in shop["scores"]],
            )
        )
    text = ""
    for title, lines in parts:
        print_table(title, HEADER, lines)
        text += f"{title}\n\n{markdown(HEADER, lines)}\n"
    told = "errors fall as n to the power of " + ", ".join(f"{name} {slope:.2f}" for name, slope in slopes.items())
    print(told)
    write_text(folder / "answer.md", text + told + "\n")
    dump_json(folder / "results.json", _plain({**found, "rates": slopes}))
    figure = folder / "off_policy_scorecard.png"
    draw(figure, found, slopes)
    print(f"figure {shown(figure)}, numbers results.json and answer.md beside it")
    if publish:
        shutil.copyfile(figure, ROOT / "docs" / figure.name)
        print(f"copied to docs/{figure.name}")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def draw(path: Path, found: dict[str, Any], slopes: dict[str, float]) -> None:
    """Errors against the size of the log, coverage, and relative errors on large and tiny logs."""
    from sim.compare.figures import new, save

    sizes = found["sizes"]
    figure = new(11, 3.8)
    left, middle, right = figure.subplots(1, 3)
    n = sorted(sizes)
    for name, colour in COLOURS.items():
        line = [next(s.rmse for s in sizes[k] if s.estimator == name) for k in n]
        left.loglog(n, line, "o-", color=colour, ms=4, label=f"{name} (n^{slopes[name]:.2f})")
    left.set_xlabel("customers in the log")
    left.set_ylabel("rmse, money per customer")
    left.set_title("errors fall as the root of n", loc="left", fontsize=9)
    left.legend(frameon=False, fontsize=8)
    main = max(sizes.values(), key=len)
    y = np.arange(len(main))
    for method, marker, colour in (
        ("student", "o", "#0072B2"),
        ("bootstrap", "s", "#D55E00"),
        ("bernstein", "^", "#999999"),
    ):
        some = [(i, s.coverage[method]) for i, s in enumerate(main) if method in s.coverage]
        middle.plot([100 * c for _, c in some], [i for i, _ in some], marker, color=colour, ms=5, label=method)
    middle.axvspan(93, 97, color="#009E73", alpha=0.15, lw=0)
    middle.set_yticks(y, [s.estimator for s in main])
    middle.invert_yaxis()
    middle.set_xlabel("% of 95 % intervals that hold the truth")
    middle.set_title(f"coverage, {main[0].logs} logs of {main[0].customers} customers", loc="left", fontsize=9)
    middle.legend(frameon=False, fontsize=8)
    for (kind, scores), marker in zip(found["published"].items(), ("o", "D"), strict=True):
        label = f"{kind}, {scores[0].customers:,} rounds"
        right.semilogx(
            [s.relative for s in scores],
            y,
            marker,
            ms=5,
            label=label,
            color="#222222",
            mfc="none" if marker == "D" else "#222222",
        )
    right.set_yticks(y, [s.estimator for s in main])
    right.invert_yaxis()
    right.set_xlabel("relative error")
    right.set_title("as in Open Bandit Pipeline's example", loc="left", fontsize=9)
    right.legend(frameon=False, fontsize=8)
    for axes in (left, middle, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)

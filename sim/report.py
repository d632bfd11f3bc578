"""What a run leaves for people: the table in the terminal, summary.json, and the learning curve as a picture."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.evaluation.metrics import METRICS, Totals, compare_all, summarise
from sim.evaluation.oracle.references import value_regrets
from sim.evaluation.statistics import Interval, clear_of_zero

if TYPE_CHECKING:
    from rich.table import Table


def write_text(path: Path, text: str) -> None:
    """Publish a text file by temp file, fsync and rename."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def results(totals: dict[str, Totals], oracles: dict[str, Totals] | None = None) -> dict[str, Any]:
    """The numbers of summary.json, each {mean, low, high, n}.

    `policies.<name>.<metric>`; `paired.<a>_minus_<b>.<metric>` for all ordered pairs; `oracles.<name>.<metric>`, upper
    references that know the true state; `regret.<policy>.<oracle>.<metric>`, what the policy was worth less.
    """
    oracles = oracles or {}
    return {
        "policies": {name: summarise(t) for name, t in totals.items()},
        "paired": compare_all(totals),
        "oracles": {name: summarise(t) for name, t in oracles.items()},
        "regret": {name: {o: value_regrets(t, upper) for o, upper in oracles.items()} for name, t in totals.items()},
    }


def flat_metrics(results: dict[str, Any]) -> dict[str, float]:
    """What MLflow shows: evaluate[_low, _high]/<policy>/<metric>, oracle/<oracle>/<metric>, regret_to_<oracle>/<policy>."""
    flat: dict[str, float] = {}
    for area, bound in (("evaluate", "mean"), ("evaluate_low", "low"), ("evaluate_high", "high")):
        for policy, metrics in results["policies"].items():
            flat |= {f"{area}/{policy}/{metric}": interval[bound] for metric, interval in metrics.items()}
    for oracle, metrics in results["oracles"].items():
        flat |= {f"oracle/{oracle}/{metric}": interval["mean"] for metric, interval in metrics.items()}
    for policy, regrets in results["regret"].items():
        flat |= {f"regret_to_{oracle}/{policy}": r["value_per_customer"]["mean"] for oracle, r in regrets.items()}
    return flat


def pm(interval: Interval, digits: int = 2) -> str:
    """`mean ±half-width`."""
    return f"{interval['mean']:.{digits}f} ±{(interval['high'] - interval['low']) / 2:.{digits}f}"


def print_table(summary: dict[str, Any], agent: str, note: str) -> None:
    """Policies by value below the oracles, the agent's paired differences, and the guard rails, to standard output."""
    from rich.console import Console

    console = Console(width=None if os.isatty(1) else 116, highlight=False)
    ranked = _ranked(summary["policies"])
    console.print(_value_table(summary, agent, ranked, note))
    if summary["oracles"]:
        best = _ranked(summary["oracles"])[0]
        met = sorted({m["value_per_customer"]["n"] for m in summary["oracles"].values()})
        number = " to ".join(f"{n:,}" for n in dict.fromkeys((met[0], met[-1])))
        console.print(
            f"  * knows the true state, as no policy can; regret: value below {best}'s ({number} customers)",
            style="dim",
        )
    if "optimum" in summary:
        console.print(
            f"  exact optimum of the twin, discounted by day: V* = {summary['optimum']['discounted_value']:.6f}"
        )
    console.print(_difference_table(summary, agent, ranked))
    console.print(_guard_table(summary, agent, ranked))


def _ranked(policies: dict[str, Any]) -> list[str]:
    return sorted(policies, key=lambda name: -policies[name]["value_per_customer"]["mean"])


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="left" if column == "" else "right")
    return table


def _value_table(summary: dict[str, Any], agent: str, ranked: list[str], note: str) -> Table:
    columns = ["value per customer", "push rate", "clicks/push", "buys/push", "opt-out", "days"]
    best = _ranked(summary["oracles"])[:1]
    table = _table(note, "policy", [*columns, *("regret*" for _ in best)])

    def row(name: str, m: dict[str, Interval], regret: list[str], style: str | None) -> None:
        rates = [f"{m[rate]['mean']:.{digits}f}" for rate, digits in _RATES]
        table.add_row(name, pm(m["value_per_customer"]), *rates, *regret, style=style)

    for name in _ranked(summary["oracles"]):
        row(f"{name}*", summary["oracles"][name], [""], "dim italic")
    for name in ranked:
        regret = [pm(summary["regret"][name][oracle]["value_per_customer"]) for oracle in best]
        row(name, summary["policies"][name], regret, "bold" if name == agent else None)
    return table


_RATES = (("push_rate", 2), ("click_rate", 3), ("purchase_rate", 3), ("opt_out_rate", 2), ("days_per_customer", 0))


def _difference_table(summary: dict[str, Any], agent: str, ranked: list[str]) -> Table:
    policies, pairs = summary["policies"], [(agent, other) for other in ranked if other != agent]
    pairs += [
        (a, b) for a, b in (("linucb", "popularity"), ("popularity", "random")) if a in policies and b in policies
    ]
    title = "paired differences in value per customer (same customers, same luck; 95 % interval)"
    table = _table(title, "difference", ["mean", "from", "to", ""])
    for a, b in dict.fromkeys(pair for pair in pairs if pair[0] != pair[1]):
        d = summary["paired"][f"{a}_minus_{b}"]["value_per_customer"]
        verdict = ("better" if d["mean"] > 0 else "worse") if clear_of_zero(d) else "not distinguishable"
        table.add_row(f"{a} - {b}", f"{d['mean']:+.2f}", f"{d['low']:+.2f}", f"{d['high']:+.2f}", verdict)
    return table


def _guard_table(summary: dict[str, Any], agent: str, ranked: list[str]) -> Table:
    title = "guard rails: does a policy live off negative affect (anger, disgust, fear, sadness)?"
    columns = [
        "valence of life",
        "against hold_back",
        "push rate in neg.",
        "else",
        "neg. opportunities",
        "pushes",
        "buys",
        "opt-outs",
    ]
    table = _table(title, "policy", columns)
    for name in ranked:
        m = summary["policies"][name]
        against = summary["paired"].get(f"{name}_minus_hold_back", {}).get("valence_over_life")
        shares = [f"{m[share]['mean']:.2f}" for share in _SHARES]
        valence = [f"{m['valence_over_life']['mean']:+.3f}", "-" if against is None else _signed(against)]
        table.add_row(name, *valence, *shares, style="bold" if name == agent else None)
    return table


_SHARES = (
    "negative_push_rate", "other_push_rate", "negative_affect_share", "negative_push_share", "negative_purchase_share",
    "negative_opt_out_share",
)  # fmt: skip


def _signed(interval: Interval) -> str:
    return f"{interval['mean']:+.3f} ±{(interval['high'] - interval['low']) / 2:.3f}"


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


__all__ = ["METRICS", "dump_json", "flat_metrics", "plot_learning_curve", "print_table", "results", "write_text"]

"""The answer of a comparison: numbers, tables for the terminal and for a page, and what is written to disk."""

from __future__ import annotations

import base64
import csv
import dataclasses
import html
import io
import itertools
import os
from pathlib import Path

import numpy as np

from sim.compare import figures
from sim.compare.errors import CompareError
from sim.compare.gather import Gathered
from sim.compare.segments import Segment, fairness, segments
from sim.evaluation import comparison as c
from sim.evaluation.metrics import METRICS
from sim.evaluation.statistics import Interval
from sim.report import dump_json, write_text

Rows = list[list[str]]


@dataclasses.dataclass(frozen=True)
class Answer:
    """Policies by value (best first), all pairs, scores between two references, segments and fairness of the best two."""

    metric: str
    ranked: list[str]
    values: dict[str, Interval]
    pairs: list[c.Comparison]
    scores: dict[str, np.ndarray]
    iqm: dict[str, Interval]
    low: str
    high: str
    improvement: np.ndarray
    chances: dict[tuple[str, str], Interval]
    segments: list[Segment]
    fairness: dict[str, dict[str, tuple[float, str]]]


def total_of(metric: str) -> str:
    """The total per customer behind a metric.

    Raises
    ------
    CompareError
        There is no such metric, or it is a ratio.
    """
    known = [name for name, m in METRICS.items() if m.denominator is None]
    if metric not in known:
        raise CompareError(f"metric={metric} cannot be compared; choose one per customer: {', '.join(known)}")
    return METRICS[metric].numerator


def compare(data: Gathered, metric: str, low: str | None, high: str | None, seed: int) -> Answer:
    """Everything that is asked of the gathered policies.

    Parameters
    ----------
    low, high : policies at normalised scores 0 and 1; None takes the worst and the best (an oracle where there is one).

    Raises
    ------
    CompareError
        Fewer than two policies, or a reference that is not among them.
    """
    total = total_of(metric)
    names = [name for name in data.totals if total in data.totals[name]]
    rivals = [name for name in names if name not in data.references]
    if len(rivals) < 2:
        raise CompareError(f"there is nothing to compare: the runs hold {len(rivals)} policies; give more runs")
    sign = METRICS[metric].better or 1
    mean = {name: float(data.values(name, total).mean()) for name in names}
    ranked = sorted(rivals, key=lambda name: -sign * mean[name])
    oracles = sorted(data.references, key=lambda name: -sign * mean.get(name, -np.inf))
    low = low or ("random" if "random" in rivals else ranked[-1])
    high = high or next(iter([o for o in oracles if o in names] or [name for name in ranked if name != low]))
    for name, which in ((low, "low"), (high, "high")):
        if name not in names:
            raise CompareError(f"reference.{which}={name} is not among the policies: {', '.join(names)}")
    y = {name: data.values(name, total) for name in names}
    zero = np.zeros((1, data.customers))
    values = {name: c.paired(y[name], zero, seed + i)[0] for i, name in enumerate([*ranked, *oracles]) if name in names}
    pairs = c.compare_all({name: y[name] for name in ranked}, list(itertools.combinations(ranked, 2)), seed)
    faces = data.who["face"]
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = {name: c.normalised(y[name], y[low], y[high], faces) for name in ranked}
    chance = np.array(
        [[c.probability_of_improvement(sign * scores[a], sign * scores[b]) for b in ranked] for a in ranked]
    )
    finite = {name for name, s in scores.items() if np.isfinite(s).all()}
    chances = {
        (a, b): c.improvement_interval(sign * scores[a], sign * scores[b], seed)
        for a, b in told_pairs(ranked)
        if a in finite and b in finite
    }
    found = segments(data, total, ranked[0], ranked[1])
    iqm = {name: c.iqm_interval(s, seed) for name, s in scores.items()}
    return Answer(metric, ranked, values, pairs, scores, iqm, low, high, chance, chances, found, fairness(found, ranked))


def told_pairs(ranked: list[str]) -> list[tuple[str, str]]:
    """Pairs worth a line: the best against every other, and neighbours in the ranking."""
    return list(dict.fromkeys([(ranked[0], other) for other in ranked[1:]] + list(itertools.pairwise(ranked[1:]))))


# ---------------------------------------------------------------------- tables
def tables(answer: Answer, data: Gathered) -> list[tuple[str, list[str], Rows]]:
    """(title, header, rows) of every table."""
    unit = METRICS[answer.metric].unit
    best, second = answer.ranked[:2]
    value_rows = []
    for name in [*(n for n in answer.values if n not in answer.ranked), *answer.ranked]:
        v, iqm = answer.values[name], answer.iqm.get(name)
        seeds = f"{len(data.seeds[name])}"
        score = f"{iqm['mean']:.2f} [{iqm['low']:.2f}, {iqm['high']:.2f}]" if iqm else "-"
        mark = "*" if name in data.references else ""
        value_rows.append([name + mark, f"{v['mean']:.2f} [{v['low']:.2f}, {v['high']:.2f}]", seeds, score])
    by_pair = {(p.a, p.b): p for p in answer.pairs}
    pair_rows = []
    for a, b in told_pairs(answer.ranked):
        p, chance = by_pair[a, b], answer.chances.get((a, b))
        i = p.interval
        pair_rows.append(
            [
                f"{a} - {b}",
                f"{i['mean']:+.2f}",
                f"{i['low']:+.2f} to {i['high']:+.2f}",
                f"{p.corrected:.3f}",
                f"{chance['mean']:.2f} [{chance['low']:.2f}, {chance['high']:.2f}]" if chance else "-",
                p.verdict,
            ]
        )
    segment_rows = []
    for s in answer.segments:
        change = f"{s.change['mean']:+.2f} [{s.change['low']:+.2f}, {s.change['high']:+.2f}]"
        segment_rows.append(
            [s.kind, s.name, f"{s.customers:,}", f"{s.value[best]:.2f}", f"{s.value[second]:.2f}", change]
        )
    fair_rows = [
        [kind, *(f"{gap:.2f} ({worst})" for gap, worst in (by_policy[best], by_policy[second]))]
        for kind, by_policy in answer.fairness.items()
    ]
    return [
        (
            f"{answer.metric} ({unit}), {data.customers:,} customers, 95 % over seeds and customers",
            ["policy", "value", "seeds", f"IQM of scores (0 {answer.low}, 1 {answer.high})"], value_rows,
        ),
        ("paired differences, Holm-corrected over all pairs", ["difference", "mean", "95 %", "p", "P(better)", ""], pair_rows),
        ("by segment", ["kind", "segment", "customers", best, second, "difference"], segment_rows),
        ("fairness: best minus worst segment (and the worst)", ["kind", best, second], fair_rows),
    ]  # fmt: skip


def print_tables(found: list[tuple[str, list[str], Rows]], notes: list[str]) -> None:
    """To standard output."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if os.isatty(1) else 120, highlight=False)
    for title, header, rows in found:
        table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
        for i, column in enumerate(header):
            table.add_column(column, justify="left" if i == 0 or column in ("", "segment") else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for note in notes:
        console.print(f"  {note}")


# ---------------------------------------------------------------------- files
def write(folder: Path, answer: Answer, data: Gathered) -> list[Path]:
    """comparison.json, comparison.csv (all pairs), PNGs, and comparison.html with all of it; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "values": figures.values_and_gaps(
            {name: answer.values[name] for name in answer.ranked}, answer.pairs, answer.ranked[0],
            f"{answer.metric} ({METRICS[answer.metric].unit})",
        ),
        "improvement": figures.improvement(answer.ranked, answer.improvement),
        "segments": figures.by_segment(answer.segments, *answer.ranked[:2]),
    }  # fmt: skip
    finite = {name: s for name, s in answer.scores.items() if np.isfinite(s).all()}
    if finite:
        pictures["profiles"] = figures.profiles(finite, answer.low, answer.high)
    if data.curves:
        pictures["learning_curves"] = figures.curves(data.curves)
    paths = []
    for name, figure in pictures.items():
        figures.save(figure, folder / f"{name}.png")
        paths.append(folder / f"{name}.png")
    numbers = {
        "metric": answer.metric, "customers": data.customers, "seeds": data.seeds, "ranked": answer.ranked,
        "references": data.references, "low": answer.low, "high": answer.high, "values": answer.values, "iqm": answer.iqm,
        "pairs": [dataclasses.asdict(p) | {"verdict": p.verdict} for p in answer.pairs],
        "improvement": {a: dict(zip(answer.ranked, answer.improvement[i].tolist(), strict=True)) for i, a in enumerate(answer.ranked)},
        "chances": [{"a": a, "b": b, **interval} for (a, b), interval in answer.chances.items()],
        "segments": [dataclasses.asdict(s) for s in answer.segments],
        "fairness": {k: {p: {"gap": g, "worst": w} for p, (g, w) in v.items()} for k, v in answer.fairness.items()},
        "notes": data.notes,
    }  # fmt: skip
    dump_json(folder / "comparison.json", numbers)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["a", "b", "mean", "low", "high", "p", "p_holm", "verdict"])
    for p in answer.pairs:
        i = p.interval
        writer.writerow([p.a, p.b, i["mean"], i["low"], i["high"], p.p, p.corrected, p.verdict])
    write_text(folder / "comparison.csv", text.getvalue())
    write_text(folder / "comparison.html", page(tables(answer, data), paths, data.notes))
    return [*paths, *(folder / f"comparison.{kind}" for kind in ("json", "csv", "html"))]


def page(found: list[tuple[str, list[str], Rows]], pictures: list[Path], notes: list[str]) -> str:
    """One self-contained HTML page: tables and pictures, no script, no network."""

    def table(title: str, header: list[str], rows: Rows) -> str:
        head = "".join(f"<th scope=col>{html.escape(h)}</th>" for h in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<h2>{html.escape(title)}</h2><div><table><tr>{head}</tr>{body}</table></div>"

    parts = [table(*each) for each in found]
    parts += [f"<p>{html.escape(note)}</p>" for note in notes]
    for path in pictures:
        data = base64.b64encode(path.read_bytes()).decode()
        parts.append(f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}">')
    return _PAGE.replace("BODY", "\n".join(parts))


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Comparison of policies</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h2{font-size:1rem;margin:2rem 0 .5rem}div{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .9rem .25rem 0;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child,td:first-child{text-align:left}img{max-width:100%;height:auto;margin:1rem 0;background:#fff}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}}
</style><h1>Comparison of policies</h1>
BODY
</html>
"""

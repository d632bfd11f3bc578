"""What an improvement loop tells: a table, a figure, and champion and challenger in MLflow's registry."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from experiments.command import ROOT, shown
from experiments.improve_rounds import Study
from experiments.report import BLUE, GREY, ORANGE, markdown, print_table
from sim.report import dump_json, write_text

HEADER = ["round", "deployed", "challenger", "trial: challenger - champion", "bound", "", "true value of the champion"]


def rows(study: Study) -> list[list[str]]:
    """A line a round."""
    out, truth = [], study.state["champions"][0]["truth"]
    for r in study.rounds:
        t = r["trial"]
        truth = r["challenger"]["truth"] if t["promoted"] else truth
        span = f"{t['mean']:+.2f} [{t['low']:+.2f}, {t['high']:+.2f}]"
        value = f"{truth['mean']:.2f} ±{(truth['high'] - truth['low']) / 2:.2f}"
        out.append(
            [
                str(r["round"]),
                r["champion"],
                r["challenger"]["name"],
                span,
                f"{t['bound']:+.2f}",
                "promoted" if t["promoted"] else "kept out",
                value,
            ]
        )
    return out


def tell(study: Study) -> None:
    """Print the table; write results.json, answer.md and improve.png, and publish the figure if asked."""
    s = study.settings
    first = study.state["champions"][0]["truth"]
    title = (
        f"improvement loop: {s['agent']['name']} from the logs of {s['customers']:,} customers a round, {s['exploration']:.0%} random; "
        f"first champion {s['start']} {first['mean']:.2f}"
    )
    print_table(title, HEADER, rows(study))
    write_text(study.folder / "answer.md", f"{title}\n\n{markdown(HEADER, rows(study))}")
    dump_json(study.folder / "results.json", study.state)
    figure = study.folder / "improve.png"
    draw(figure, study, title)
    print(f"figure {shown(figure)}, numbers results.json and answer.md beside it")
    if s["publish"]:
        shutil.copyfile(figure, ROOT / "docs" / figure.name)
        print(f"copied to docs/{figure.name}")


def draw(path: Path, study: Study, title: str) -> None:
    """True value of champion and challengers over the rounds, and what the shop earned while it explored."""
    from matplotlib.figure import Figure

    from sim.compare.figures import save

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    value = study.state["champions"][0]["truth"]
    numbers: list[float] = [0]
    values = [value]
    for r in study.rounds:
        value = r["challenger"]["truth"] if r["trial"]["promoted"] else value
        numbers.append(r["round"])
        values.append(value)
    numbers, values = [*numbers, numbers[-1] + 0.5], [*values, values[-1]]  # the last champion's line has a length too
    means = [v["mean"] for v in values]
    axes.fill_between(
        numbers, [v["low"] for v in values], [v["high"] for v in values], step="post", color=BLUE, alpha=0.15, lw=0
    )
    axes.step(
        numbers, means, where="post", color=BLUE, lw=2, label="champion, true value (unseen customers and faces, 95 %)"
    )
    for promoted, marker, label in ((True, "^", "challenger, promoted"), (False, "v", "challenger, kept out")):
        some = [r for r in study.rounds if r["trial"]["promoted"] is promoted]
        axes.plot(
            [r["round"] for r in some],
            [r["challenger"]["truth"]["mean"] for r in some],
            marker,
            color=ORANGE,
            mfc=ORANGE if promoted else "none",
            label=label,
        )
    axes.plot(
        [r["round"] - 1 for r in study.rounds],
        [r["logged_value"]["mean"] for r in study.rounds],
        "--",
        color=GREY,
        lw=1,
        label="earned while deployed, exploration included",
    )
    axes.set_xticks(numbers[:-1])
    axes.set_xlabel("round")
    axes.set_ylabel("money per customer")
    axes.set_title(title, loc="left", fontsize=8)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def register(study: Study) -> None:
    """Bring the registry up to the study: a version for each champion and challenger, aliases where they belong.

    A store that fails costs one warning; the next round, or the same command again, catches up.
    """
    s = study.settings
    if not s["tracking"]["enabled"]:
        return
    try:
        _register(study)
    except Exception as error:  # MLflow's errors share no base with the network's
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        logging.getLogger(__name__).warning(
            "the registry has trouble (%s); the study goes on, run it again to catch up", reason
        )


def _register(study: Study) -> None:
    from sim.tracking import default_uri
    from sim.tracking.registry import CHALLENGER, CHAMPION, Registry

    s = study.settings
    if study.registry is None:
        study.registry = Registry(s["tracking"]["uri"] or default_uri(), s["model"], s["tracking"]["experiment"])
    entries = [study.state["champions"][0], *(r["challenger"] for r in study.rounds)]
    versions = {}
    for entry in entries:
        versions[entry["name"]] = study.registry.register(
            study.folder / "policies" / entry["name"], f"{study.state['key']}-{entry['name']}",
            labels=["hold_back", *study.shop.catalog.names], load_agent=s["load_agent"],
            metrics={"truth/value_per_customer": entry["truth"]["mean"]}, tags={"round": entry["round"], "study": study.state["key"]},
        )  # fmt: skip
    study.registry.point(CHALLENGER, versions[entries[-1]["name"]])
    study.registry.point(CHAMPION, versions[study.champion["name"]])

"""What does a floor under the customers' mood cost, in money per customer?

A policy that earns by making people feel worse should show it, and its owner should know the price of not doing so:

    max E[sum r]     subject to     E[sum (v' - v0)] / E[opportunities]  >=  floor

v' is valence after an opportunity, v0 the customer's home valence.  The floor is the shift under the policy that never
pushes, so the constraint says: on average customers feel no worse than if left alone.  Its Lagrangian is the reward
r + lambda (v' - v0 - floor) (Altman 1999), which `env.reward.affect_price` = lambda pays in training only; values are money.

PPO learns at several prices lambda.  The lambda that is deployed is the smallest one whose policy keeps the floor on *tuning*
customers (the stopping point of dual ascent on a grid: raise the price until nobody is short); what it costs is then measured
on evaluation customers, paired with PPO at lambda 0.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from experiments.command import Settings, main, shown

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from experiments.gaps import Estimate
    from experiments.study import Arm, Results
    from sim.evaluation.statistics import Interval

QUESTION = "affect_floor"
PRICES = (0, 3, 10, 30)  # lambda, money per unit of valence and opportunity; a life earns some .5 money per opportunity
BASELINES = ("hold_back", "popularity", "random")
CAMERA = tuple(f"camera.{channel}=perceived" for channel in ("emotion", "identity", "mask"))
HEADER = [
    "policy", "value", "valence of life - hold_back's", "shift - hold_back's (tuning)", "floor", "push rate", "buys neg.",
    "pushes neg.", "opt-out",
]  # fmt: skip


def arms() -> list[Arm]:
    """PPO at every price, and three policies that need none; PPO at 0 is the `perceived` arm of value_of_perception."""
    from experiments.study import Arm, Evaluation

    both = (Evaluation("sampled"), Evaluation("tune", tune=True))
    priced = [
        Arm(arm_of(price), shop=(*CAMERA, *((f"env.reward.affect_price={price}",) if price else ())), evaluations=both)
        for price in PRICES
    ]
    return [*(Arm(name, agent=name, shop=CAMERA, evaluations=both) for name in BASELINES), *priced]


def arm_of(price: float) -> str:
    return f"ppo_price_{price:g}"


def shift(results: Results, arm: str, evaluation: str = "tune") -> float:
    """Mean valence relative to home after an opportunity, over all seeds."""
    t = results.totals[arm][evaluation]
    return float(t["valence_shift"].sum() / t["opportunities"].sum())


def shift_against(results: Results, arm: str, reference: str, evaluation: str = "tune") -> Interval:
    """Paired difference of the mean shift, with its interval over customers (seeds averaged per customer)."""
    from sim.evaluation.statistics import paired_interval, ratio_influence

    parts = (results.totals[a][evaluation] for a in (arm, reference))
    first, second = (ratio_influence(t["valence_shift"].mean(0), t["opportunities"].mean(0)) for t in parts)
    return paired_interval(first, second)


def chosen_price(shifts: dict[float, float], floor: float) -> float | None:
    """The smallest price whose policy keeps the floor; None where none does."""
    return next((price for price in sorted(shifts) if shifts[price] >= floor), None)


def against(results: Results, a: str, b: str, quantity: str) -> Estimate:
    """Paired difference a - b of a total of every customer."""
    from experiments.gaps import gap

    first, second = (results.totals[arm]["sampled"][quantity] for arm in (a, b))
    return gap(first, second, results.faces)


def rows(results: Results, floor: float) -> list[list[str]]:
    """The table: policies by value."""
    from experiments.gaps import estimate
    from experiments.report import plus_minus

    def share(t: dict[str, np.ndarray], part: str, whole: str) -> str:
        return f"{t[part].sum() / t[whole].sum():.2f}" if t[whole].sum() else "-"

    table = []
    for arm in sorted(results.totals, key=lambda arm: -results.values(arm).mean()):
        t = results.totals[arm]["sampled"]
        differences = [against(results, arm, "hold_back", "own_valence").customers, shift_against(results, arm, "hold_back")]
        told = ["-" if arm == "hold_back" else f"{e['mean']:+.4f} ±{(e['high'] - e['low']) / 2:.4f}" for e in differences]
        table.append([
            arm, plus_minus(estimate(results.values(arm), results.faces).customers), *told,
            "kept" if shift(results, arm) >= floor else "broken", share(t, "pushes", "opportunities"),
            share(t, "negative_purchases", "purchases"), share(t, "negative_pushes", "pushes"), f"{t['opted_out'].mean():.2f}",
        ])  # fmt: skip
    return table


def answer(settings: Settings) -> None:
    """Run what is missing, then print, draw and keep the answer."""
    import shutil
    from pathlib import Path

    from experiments import report
    from experiments.command import ROOT
    from experiments.gaps import Gap
    from experiments.study import run
    from sim.report import dump_json, write_text

    results = run(QUESTION, arms(), settings)
    floor = shift(results, "hold_back")
    shifts = {float(price): shift(results, arm_of(price)) for price in PRICES}
    price = chosen_price(shifts, floor)
    title = f"price of an affect floor: PPO at {len(PRICES)} prices, {results.customers:,} customers, seeds: {settings.seeds}"
    table = rows(results, floor)
    gaps = [
        Gap(f"{arm_of(PRICES[0])} - {arm_of(p)}", f"cost of price {p:g}", results.gap(arm_of(PRICES[0]), arm_of(p)))
        for p in PRICES[1:]
    ]
    gap_rows = [report.gap_row(gap) for gap in gaps]
    report.print_table(title, HEADER, table)
    report.print_table("money per customer given up against price 0, paired, 95 % intervals", report.GAP_HEADER, gap_rows)
    verdict = _verdict(price, floor, shifts, results)
    print(verdict)
    folder = Path(settings.out).resolve() / QUESTION
    write_text(
        folder / "answer.md",
        f"{title}\n\n{report.markdown(HEADER, table)}\n{report.markdown(report.GAP_HEADER, gap_rows)}\n{verdict}\n",
    )
    numbers = {
        "question": QUESTION, "customers": results.customers, "seeds": results.seeds, "steps": settings.steps, "floor": floor,
        "shift_on_tuning_customers": {f"{p:g}": s for p, s in shifts.items()}, "chosen_price": price,
        "shift_against_hold_back": {
            arm: {e: shift_against(results, arm, "hold_back", e) for e in ("tune", "sampled")} for arm in results.totals
        },
        "gaps": {gap.name: {"what": gap.what, **gap.estimate.as_json()} for gap in gaps},
        "valence_of_life_against_hold_back": {
            arm: against(results, arm, "hold_back", "own_valence").as_json() for arm in results.totals
        },
    }  # fmt: skip
    dump_json(folder / "results.json", numbers)
    figure = folder / f"{QUESTION}.png"
    draw(figure, results)
    print(f"figure {shown(figure)}, numbers results.json and answer.md beside it  ({results.seconds:.0f} s)")
    if settings.publish:
        shutil.copyfile(figure, ROOT / "docs" / figure.name)


def _verdict(price: float | None, floor: float, shifts: dict[float, float], results: Results) -> str:
    start = f"Left alone, tuning customers stand {floor:+.4f} from home. "
    if price is None:
        best = max(shifts, key=lambda p: shifts[p])
        return start + f"No price up to {max(shifts):g} keeps that floor; the nearest, {best:g}, leaves them at {shifts[best]:+.4f}."
    if price == 0:
        return start + f"PPO for money alone leaves them at {shifts[0.0]:+.4f}: the floor does not bind and costs nothing."
    cost = results.gap(arm_of(0), arm_of(price)).customers
    return start + (
        f"The smallest price that keeps them there is {price:g}; it costs {cost['mean']:.2f} ({cost['low']:.2f} to "
        f"{cost['high']:.2f}) money a customer on evaluation customers."
    )


def draw(path: Path, results: Results) -> None:
    """Money against affect: one point per policy with 95 % intervals over customers, the prices joined by a line."""
    import os

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from experiments.gaps import estimate
    from experiments.report import BLUE, GREY, ORANGE

    figure = Figure(figsize=(7.5, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    frontier = []
    for arm in results.totals:
        value = estimate(results.values(arm), results.faces).customers
        valence = shift_against(results, arm, "hold_back", "sampled")
        priced = arm.startswith("ppo")
        axes.errorbar(
            valence["mean"], value["mean"], xerr=(valence["high"] - valence["low"]) / 2,
            yerr=(value["high"] - value["low"]) / 2, fmt="o", color=BLUE if priced else GREY, capsize=2,
        )  # fmt: skip
        name = f"price {arm.removeprefix('ppo_price_')}" if priced else arm
        axes.annotate(name, (valence["mean"], value["mean"]), (6, -4 - 11 * priced), textcoords="offset points", fontsize=9)
        if priced:
            frontier.append((valence["mean"], value["mean"]))
    axes.plot(*zip(*frontier, strict=True), color=BLUE, linewidth=1, alpha=0.6)
    axes.axvline(0, color=ORANGE, linestyle="--", linewidth=1)
    axes.margins(x=0.12)
    axes.set_xlabel("valence after an opportunity, against the same customers left alone (dashed: the floor)")
    axes.set_ylabel("value per customer (money)")
    axes.set_title("what an affect floor costs: PPO at several prices of affect", loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main("experiments.affect_floor", __doc__ or "", answer))

"""Which conclusions survive if the sizes that were assumed are wrong?

The shop's structure follows published findings, but several magnitudes had to be assumed.  So the conclusions are drawn
again in other shops: with one factor at a time at half and double its size (intercepts: half a logit down and up), and in a
small Sobol design over all of them at once.  In every shop the same policies are trained anew and meet the same customers with the
same luck; what perception is worth is judged on a smaller budget (`steps`) than in the main studies, what planning is worth on
each agent's own, since a planner that is cut short loses to a bandit that is not:

    a perfect camera        PPO, oracle - perceived         claim 1
    the camera there is     PPO, perceived - blind          claim 1
    planning beyond pacing  PPO - charged LinUCB            claim 2, the rival to take seriously
    context                 charged LinUCB - popularity     claim 2
    one good label          popularity - random             claim 2

A conclusion survives in a shop where its paired gap is positive, and clearly so where the interval over customers excludes
zero.  Gaps between cameras at the smaller budget are conservative: the base shop at the same budget stands beside them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from experiments.command import ROOT, Settings, main, shown

if TYPE_CHECKING:
    from experiments.designs import Point
    from experiments.gaps import Estimate
    from experiments.study import Arm, Results

QUESTION = "sensitivity"
DEFAULTS = Settings(seeds=1, steps=400_000, customers=4000)
PERCEIVED = tuple(f"camera.{channel}=perceived" for channel in ("emotion", "identity", "mask"))
# what is trained in every shop, on the study's budget: name -> (agent, camera)
POLICIES = {
    "oracle": ("ppo", tuple(s.replace("perceived", "oracle") for s in PERCEIVED)),
    "perceived": ("ppo", PERCEIVED),
    "blind": ("ppo", tuple(s.replace("perceived", "blind") for s in PERCEIVED)),
    "charged_linucb": ("charged_linucb", PERCEIVED),
    "popularity": ("popularity", PERCEIVED),
    "random": ("random", PERCEIVED),
}
PLANNERS = {"planner": "ppo", "pacer": "charged_linucb"}  # and on their own budgets, with the perceived camera
CONCLUSIONS = (
    ("oracle", "perceived", "a perfect camera"),
    ("perceived", "blind", "the camera there is"),
    ("planner", "pacer", "planning beyond pacing"),
    ("charged_linucb", "popularity", "context"),
    ("popularity", "random", "one good label"),
)


def points(settings: Settings) -> list[Point]:
    """Every shop of both designs, around the shop that the user's own overrides make."""
    from hydra import compose, initialize_config_dir

    from experiments.designs import FACTORS, one_at_a_time, own_values, sobol
    from sim.config import CONF

    with initialize_config_dir(str(CONF), version_base="1.3"):
        own = own_values(FACTORS, compose("shop", list(settings.shop)))
    return one_at_a_time(FACTORS, own) + sobol(FACTORS, own)


def arms(shops: list[Point]) -> list[Arm]:
    """Every policy in every shop."""
    from experiments.study import Arm

    cut = [
        Arm(f"{shop.name}-{name}", agent=agent, shop=(*camera, *shop.shop))
        for shop in shops
        for name, (agent, camera) in POLICIES.items()
    ]
    whole = [
        Arm(f"{shop.name}-{name}", agent=agent, shop=(*PERCEIVED, *shop.shop), own_budget=True)
        for shop in shops
        for name, agent in PLANNERS.items()
    ]
    return cut + whole


def estimates(results: Results, shops: list[Point]) -> dict[str, dict[str, Estimate]]:
    """`[conclusion][shop]`: the paired gap in money per customer."""
    return {
        what: {shop.name: results.gap(f"{shop.name}-{a}", f"{shop.name}-{b}") for shop in shops}
        for a, b, what in CONCLUSIONS
    }


def survival(found: dict[str, Estimate], chosen: list[str]) -> tuple[int, int, str]:
    """In how many of the chosen shops the gap is positive, in how many clearly, and the shop where it is smallest."""
    positive = sum(found[name].mean > 0 for name in chosen)
    clear = sum(found[name].customers["low"] > 0 for name in chosen)
    return positive, clear, min(chosen, key=lambda name: found[name].mean)


def answer(settings: Settings) -> None:
    """Run what is missing, then print, draw and keep the answer."""
    from pathlib import Path

    from experiments import report, sensitivity_figure
    from experiments.study import run
    from sim.report import dump_json, write_text

    shops = points(settings)
    results = run(QUESTION, arms(shops), settings)
    found = estimates(results, shops)
    designs = {
        "one at a time": [shop.name for shop in shops if not shop.name.startswith("sobol_")],
        "all at once (Sobol)": [shop.name for shop in shops if shop.name.startswith("sobol_")],
    }
    header = ["conclusion", "base shop", *(f"{design}: positive, clear" for design in designs), "smallest", "where"]
    rows = []
    for what, by_shop in found.items():
        counts = {design: survival(by_shop, names) for design, names in designs.items()}
        where = min((count[2] for count in counts.values()), key=lambda name: by_shop[name].mean)
        kept = [f"{p}, {c} of {len(designs[design])}" for design, (p, c, _) in counts.items()]
        rows.append([what, report.plus_minus(by_shop["base"].customers), *kept, f"{by_shop[where].mean:+.2f}", where])
    budget = settings.steps or "its own number of"
    title = (
        f"sensitivity: {len(shops)} shops, {budget} steps (planning beyond pacing: each agent's own), {results.customers:,} "
        f"customers, seeds: {settings.seeds}"
    )
    report.print_table(title, header, rows)
    moves = movers(found, shops)
    report.print_table(
        "what moves each gap most (money, factor from low to high; one at a time / Sobol main effect)", *moves
    )
    folder = Path(settings.out).resolve() / QUESTION
    write_text(folder / "answer.md", f"{title}\n\n{report.markdown(header, rows)}\n{report.markdown(*moves)}")
    numbers: dict[str, Any] = {
        "question": QUESTION, "steps": settings.steps, "seeds": settings.seeds, "customers": results.customers,
        "shops": {shop.name: list(shop.shop) for shop in shops},
        "gaps": {what: {name: e.as_json() for name, e in by_shop.items()} for what, by_shop in found.items()},
    }  # fmt: skip
    dump_json(folder / "results.json", numbers)
    figure = folder / f"{QUESTION}.png"
    sensitivity_figure.draw(figure, found, shops)
    print(f"figure {shown(figure)}, numbers results.json and answer.md beside it  ({results.seconds:.0f} s)")
    if settings.publish:
        (ROOT / "docs" / figure.name).write_bytes(figure.read_bytes())
        print(f"copied to docs/{figure.name}")


def movers(
    found: dict[str, dict[str, Estimate]], shops: list[Point], most: int = 4
) -> tuple[list[str], list[list[str]]]:
    """Header and rows: for each conclusion the factors that move its gap most, by both designs."""
    import numpy as np

    from experiments.designs import FACTORS, main_effects

    together = [shop for shop in shops if shop.name.startswith("sobol_")]
    rows = []
    for what, by_shop in found.items():
        single = [by_shop[f"{f.name}_high"].mean - by_shop[f"{f.name}_low"].mean for f in FACTORS]
        joint = main_effects(
            np.array([shop.levels for shop in together]), np.array([by_shop[shop.name].mean for shop in together])
        )
        ranked = sorted(range(len(FACTORS)), key=lambda i: -abs(single[i]))[:most]
        rows.append([what, *(f"{FACTORS[i].name} {single[i]:+.2f} / {joint[i]:+.2f}" for i in ranked)])
    return ["conclusion", *(f"{i}." for i in range(1, most + 1))], rows


if __name__ == "__main__":
    sys.exit(main("experiments.sensitivity", __doc__ or "", answer, defaults=DEFAULTS))

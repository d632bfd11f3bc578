"""Which agent earns most, and what does it cost to train?

Every agent of the family learns in the same shop with the perceived camera and its own budget (conf/agent), and meets the same
evaluation customers with the same luck.  Two tables: agents that train in about a minute, and the slow ones, whose time is
stated, beside the two to be measured against.

    fast    random, hold_back, popularity, capped_popularity, epsilon_greedy, ucb1, linucb, lints, logistic_ts, neural_linear,
            charged_linucb, ppo
    slow    a2c, dqn, maskable_ppo, recurrent_ppo, ppo_belief; with charged_linucb and ppo

  agents=fast              fast, slow, or names with commas between them
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.command import ConfigError, Settings, fail, main
from sim.config import agents_known

if TYPE_CHECKING:
    from experiments.study import Arm, Results
    from sim.compare.gather import Gathered

QUESTION = "compare_agents"
FAST = ("random", "hold_back", "popularity", "capped_popularity", "epsilon_greedy", "ucb1", "linucb", "lints", "logistic_ts",
        "neural_linear", "charged_linucb", "ppo")  # fmt: skip
SLOW = ("charged_linucb", "ppo", "a2c", "dqn", "maskable_ppo", "recurrent_ppo", "ppo_belief", "ppo_long", "fitted_q")
GROUPS = {"fast": FAST, "slow": SLOW}
CAMERA = tuple(f"camera.{channel}=perceived" for channel in ("emotion", "identity", "mask"))
DEFAULTS = Settings(seeds=5)
TIME_HEADER = ["agent", "steps", "processor seconds", "steps/s", "value per tuning customer at each quarter"]


def chosen(arguments: Sequence[str]) -> tuple[str, tuple[str, ...], list[str]]:
    """Name of the group, its agents, and the other arguments.

    Raises
    ------
    sim.config.ConfigError
        An agent is unknown, or there are fewer than two.
    """
    own = [a.partition("=")[2] for a in arguments if a.startswith("agents=")]
    rest = [a for a in arguments if not a.startswith("agents=")]
    if len(own) > 1:
        raise ConfigError("agents is given twice; give it once")
    text = own[0] if own else "fast"
    if text in GROUPS:
        return text, GROUPS[text], rest
    names = tuple(dict.fromkeys(text.strip("[]").split(",")))
    for name in names:
        if name not in agents_known():
            raise ConfigError(f"agents: {name!r} is no agent; choose fast, slow, or from {', '.join(agents_known())}")
    if len(names) < 2:
        raise ConfigError("agents: give two or more, e.g. agents=linucb,ppo")
    return "chosen", names, rest


def arms(names: Sequence[str]) -> list[Arm]:
    """One arm an agent; trainings are shared with the other studies of the perceived camera."""
    from experiments.study import Arm

    return [Arm(name, agent=name, shop=CAMERA, curve=True) for name in names]


def gathered(results: Results, settings: Settings) -> Gathered:
    """The results as `sim.compare` takes them: an agent that is the same under every seed has one row."""
    import numpy as np

    from experiments.cells import EVALUATION_SEED
    from sim.compare.gather import Gathered
    from sim.evaluation.customers import EMOTIONS, traits
    from sim.shop.scenarios import load_shop

    totals = {arm: by_evaluation["sampled"] for arm, by_evaluation in results.totals.items()}
    seeds = {}
    for arm, own in totals.items():
        same = all(np.array_equal(own[q], np.broadcast_to(own[q][:1], own[q].shape)) for q in ("value", "pushes", "clicks"))
        seeds[arm] = [0] if same else list(range(results.seeds))
        totals[arm] = {q: y[: len(seeds[arm])] for q, y in own.items()}
    curves = {
        arm: [[(int(step), float(value)) for step, value in one["curve"]] for one in trainings if len(one.get("curve", ())) > 1]
        for arm, trainings in results.trainings.items()
    }
    who = traits(load_shop((*settings.shop, *CAMERA)), results.customers, EVALUATION_SEED)
    who["emotion"] = np.array([None if e < 0 else EMOTIONS[e] for e in who["emotion"]], dtype=object)
    return Gathered(totals, seeds, who, {arm: found for arm, found in curves.items() if found}, [], [])


def time_rows(results: Results, ranked: Sequence[str]) -> list[list[str]]:
    """What each agent's training took, the median over its seeds, on one thread."""
    import numpy as np

    rows = []
    for arm in ranked:
        noted = [one for one in results.trainings[arm] if one]
        steps = noted[0]["steps"] if noted else 0
        if not steps:  # nothing to learn
            continue
        seconds = float(np.median([one["processor_seconds"] for one in noted]))
        curves = [np.array(one["curve"], float) for one in noted if len(one["curve"]) > 1]
        quarters = [
            f"{np.mean([np.interp(share * steps, c[:, 0], c[:, 1]) for c in curves]):.1f}" for share in (0.25, 0.5, 0.75, 1)
        ] if curves else ["-"]  # fmt: skip
        rows.append([arm, f"{steps:,}", f"{seconds:.0f}", f"{steps / max(seconds, 1e-9):,.0f}", " ".join(quarters)])
    return rows


def answer(group: str, names: Sequence[str], settings: Settings) -> None:
    """Run what is missing, then print, draw and keep the answer."""
    import shutil
    from pathlib import Path

    from experiments.command import ROOT, shown
    from experiments.report import markdown, print_table
    from experiments.study import run
    from sim.compare import answer as answers
    from sim.report import write_text

    results = run(QUESTION, arms(names), settings)
    data = gathered(results, settings)
    found = answers.compare(data, "value_per_customer", None, None, 0)
    folder = Path(settings.out).resolve() / QUESTION / group
    answers.write(folder, found, data)
    tables = answers.tables(found, data)
    times = ("training, median over seeds, one thread", TIME_HEADER, time_rows(results, found.ranked))
    answers.print_tables(tables, data.notes)
    print_table(*times)
    write_text(folder / "answer.md", "\n".join(f"{title}\n\n{markdown(header, rows)}" for title, header, rows in (*tables, times)))
    print(f"page {shown(folder / 'comparison.html')}; PNGs, comparison.json, answer.md beside it  ({results.seconds:.0f} s)")
    if settings.publish:
        for name in ("values", "profiles", "improvement", "learning_curves"):
            if (folder / f"{name}.png").exists():
                shutil.copyfile(folder / f"{name}.png", ROOT / "docs" / f"{QUESTION}_{group}_{name}.png")
        print(f"figures copied to docs/{QUESTION}_{group}_*.png")


def command(arguments: Sequence[str] | None = None) -> int:
    """Run the study and return its exit code."""
    try:
        group, names, rest = chosen(sys.argv[1:] if arguments is None else arguments)
    except ConfigError as error:
        return fail(error)
    study = functools.partial(answer, group, names)
    return main("experiments.compare_agents", __doc__ or "", study, rest, DEFAULTS)


if __name__ == "__main__":
    sys.exit(command())

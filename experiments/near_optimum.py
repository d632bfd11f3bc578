"""How near to the optimum do the agents come, and how much of what is missing can be reached at all?

On the twin, where the optimum is known exactly, PPO and the linear bandits learn for ten seeds; their policies are tables, and
the value of a table is exact: no luck of evaluation in it.

In the shop the oracles that know the true state (planning, priced) earn far more than any agent, mostly because taste is
hidden.  The informed oracle plays the priced oracle's rule on the exact posterior, given what the camera and the record show
(`sim/evaluation/oracle/informed.py`), so it says what hidden state leaves to be earned.  Two shares of the way from the best
bandit are reported, for each camera:

    to the planning oracle    (agent - charged_linucb) / (planning_oracle - charged_linucb)      knows the unknowable
    to the informed oracle    (agent - charged_linucb) / (informed_oracle - charged_linucb)      knows what can be known

and, under the oracle camera, what the informed oracle earns when told parts of the hidden state: where the gap lies.

The agents of the shop are trained with `seeds` seeds; everybody meets the same customers, `informed` and `planning` the first
ones of them only, and shares compare on those.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from experiments.command import Settings, main, shown

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from experiments.study import Arm, Results
    from sim.evaluation.statistics import Interval

QUESTION = "near_optimum"
CAMERAS = ("perceived", "oracle")
CHANNELS = ("emotion", "identity", "mask")
DEEP = ("ppo", "ppo_long")  # 1.5 and 5 million interactions
AGENTS = ("charged_linucb", *DEEP)
TWIN_AGENTS, TWIN_SEEDS, TWIN_STEPS = ("ppo", "linucb", "lints"), 10, 500_000
PARTICLES, BATCH = 512, 125  # of the informed oracle; 125 x 512 particles take some 100 MB
INFORMED_CUSTOMERS, PLANNING_CUSTOMERS = 1000, 250  # at most so many of `customers`
DEFAULTS = Settings(seeds=5, workers=1)
VALUE_HEADER = ["camera", "policy", "n", "money per customer", "each seed"]
SHARE_HEADER = ["camera", "agent", "share of the way from charged_linucb", "n", "share", "95 %"]
TWIN_HEADER = ["policy", "seeds", "value", "95 % over seeds", "of V*", "lowest seed", "by argmax"]


def camera(name: str) -> tuple[str, ...]:
    return tuple(f"camera.{channel}={name}" for channel in CHANNELS)


def arms() -> list[Arm]:
    """Both agents under both cameras; PPO's share their training with value_of_perception."""
    from experiments.study import Arm

    return [Arm(f"{agent}_{name}", agent=agent, shop=camera(name)) for name in CAMERAS for agent in AGENTS]


# ---------------------------------------------------------------------- the oracles
@dataclasses.dataclass(frozen=True)
class Reference:
    """An oracle in the shop of a camera, for the first `customers` evaluation customers."""

    name: str
    camera: str
    customers: int
    revealed: tuple[str, ...] = ()

    def policy(self, shop: Any) -> Any:
        from sim.evaluation.oracle.informed import InformedOracle
        from sim.evaluation.oracle.references import reference

        if self.name.startswith("informed"):
            return InformedOracle(shop, PARTICLES, revealed=self.revealed)
        return reference(self.name, shop, 1.0)


def references(customers: int) -> list[Reference]:
    """Every oracle; what does not look through the camera is listed under the oracle camera and serves both."""
    few, fewer = min(customers, INFORMED_CUSTOMERS), min(customers, PLANNING_CUSTOMERS)
    told = {"taste": ("taste",), "affect": ("affect",), "purse": ("purse",), "taste and affect": ("taste", "affect")}
    return [
        Reference("informed", "perceived", few),
        Reference("informed", "oracle", few),
        *(Reference(f"informed, told {what}", "oracle", fewer, groups) for what, groups in told.items()),
        Reference("myopic", "oracle", customers),
        Reference("priced", "oracle", customers),
        Reference("planning", "oracle", fewer),
    ]


def reference_values(settings: Settings, each: Reference) -> np.ndarray:
    """Undiscounted money (n,) of every customer under an oracle; kept in `<out>/near_optimum/oracles`, in pieces.

    A killed study goes on after the last finished piece of `BATCH` customers.
    """
    from pathlib import Path

    import numpy as np
    from tqdm import tqdm

    from experiments.cells import EVALUATION_SEED, digest, read_cell, shop_values, write_cell
    from sim.evaluation.metrics import per_customer
    from sim.evaluation.rollout import stream
    from sim.shop.scenarios import load_shop

    overrides = (*settings.shop, *camera(each.camera))
    key = digest([2, dataclasses.astuple(each)[:2], list(each.revealed), shop_values(overrides), PARTICLES, BATCH, EVALUATION_SEED])
    folder = Path(settings.out).resolve() / QUESTION / "oracles" / f"{each.name.replace(', ', '-').replace(' ', '-')}-{each.camera}-{key}"
    pieces: list[np.ndarray] = []
    shop: Any = None
    policy: Any = None
    for first in tqdm(range(0, each.customers, BATCH), desc=f"{each.name} ({each.camera} camera)", unit="piece", file=sys.stderr):
        number = min(BATCH, each.customers - first)
        path = folder / f"{first:06d}-{number}.npz"
        found = read_cell(path)
        if found is None:
            if policy is None:
                shop = load_shop(overrides)
                policy = each.policy(shop)
            log = next(stream(policy, shop, customers=number, seed=EVALUATION_SEED, first=first, decisions=False, regret=False))
            found = {"value": per_customer(log, 1.0)["value"]}
            write_cell(path, found)
        pieces.append(found["value"])
    return np.concatenate(pieces)


def share(agent: np.ndarray, low: np.ndarray, high: np.ndarray, *, seed: int = 0, resamples: int = 2000) -> Interval:
    """(agent - low) / (high - low) of means, 95 % by a bootstrap over seeds and customers, crossed.

    Parameters
    ----------
    agent, low : (S, n) money of the agent and of the rival, seed by seed.
    high : (n,) money of the reference.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    seeds, n = agent.shape
    gain, way = agent - low, high - low
    shares = np.empty(resamples)
    for r in range(resamples):
        weight = rng.multinomial(n, np.full(n, 1 / n))
        drawn = rng.integers(0, seeds, seeds)
        shares[r] = (gain[drawn] @ weight).sum() / (way[drawn] @ weight).sum()
    lower, upper = np.quantile(shares, [0.025, 0.975])
    return {"mean": float(gain.sum() / way.sum()), "low": float(lower), "high": float(upper), "n": n}


# ---------------------------------------------------------------------- the twin
def twin_values(settings: Settings, agent: str, seed: int) -> dict[str, float]:
    """Exact value of what an agent learned on the twin: `sampled` as it acts, `argmax` by its most probable action."""
    from pathlib import Path

    from experiments.cells import digest, shop_values
    from sim.report import dump_json

    plain = _agent_values(agent)
    key = digest([1, plain, shop_values(("env=twin",)), seed, TWIN_STEPS])
    path = Path(settings.out).resolve() / QUESTION / "twin" / f"{agent}-s{seed}-{key}.json"
    if (found := _read_json(path)) is not None:
        return found
    import numpy as np

    from sim import training
    from sim.envs.vector import ProductPushVectorEnv
    from sim.evaluation.oracle.dynamic_programming import START, twin_model
    from sim.shop.scenarios import load_shop

    shop = load_shop(("env=twin",))
    policy = training.build_agent(training.agent_config(agent), shop, seed, [])
    if hasattr(policy, "torch_threads"):
        policy.torch_threads = 1  # the same bits, and no waiting for a busy second core
    policy.learn(ProductPushVectorEnv(policy.num_envs, shop), steps=TWIN_STEPS)
    model, discount = twin_model(shop), 0.98  # per day, as conf/env/twin.yaml
    table = twin_policy(policy, shop)
    best = np.eye(table.shape[1])[table.argmax(1)]
    values = {
        "sampled": float(model.value_of(table, discount)[START]),
        "argmax": float(model.value_of(best, discount)[START]),
        "optimum": float(model.optimal(discount)[0][START]),
        "myopic": float(model.value_of(np.eye(table.shape[1])[model.myopic()], discount)[START]),
        "departures": int((table.argmax(1) != model.myopic()).sum()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    dump_json(path, values)
    return values


def twin_policy(policy: Any, shop: Any) -> np.ndarray:
    """Action probabilities (S, K + 1) of an agent in every state of the twin."""
    import numpy as np

    from sim.evaluation.oracle.base import twin_states
    from sim.shop.dynamics import observe_again

    lives = twin_states(shop)
    observe_again(lives.world, lives.state, lives.seed)
    return np.asarray(policy.action_probabilities(lives.observation, lives.action_masks()))


def _agent_values(agent: str) -> Any:
    from omegaconf import OmegaConf

    from sim.training import agent_config

    return OmegaConf.to_container(agent_config(agent), resolve=True)


def _read_json(path: Path) -> dict[str, Any] | None:
    import json

    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None


def twin_rows(values: dict[str, list[dict[str, float]]]) -> list[list[str]]:
    """A line per policy: mean over seeds with a Student interval, and the two exact yardsticks."""
    import numpy as np

    from sim.evaluation.statistics import mean_interval

    first = next(iter(values.values()))[0]
    best = first["optimum"]
    rows = [["optimum (dynamic programming)", "-", f"{best:.6f}", "exact", "1.000", "-", "-"]]
    for agent, runs in values.items():
        x = np.array([run["sampled"] for run in runs])
        i = mean_interval(x)
        rows.append([
            agent, str(len(x)), f"{i['mean']:.4f}", f"{i['low']:.4f} to {i['high']:.4f}", f"{i['mean'] / best:.3f}", f"{x.min():.4f}",
            f"{np.mean([run['argmax'] for run in runs]):.4f}",
        ])  # fmt: skip
    rows.append(["myopic (greedy on true rewards)", "-", f"{first['myopic']:.6f}", "exact", f"{first['myopic'] / best:.3f}", "-", "-"])
    return rows


# ---------------------------------------------------------------------- the answer
def answer(settings: Settings) -> None:
    """Run what is missing, then print, draw and keep the answer."""
    import shutil
    from pathlib import Path

    from tqdm import tqdm

    from experiments import report
    from experiments.command import ROOT
    from experiments.study import run
    from sim.report import dump_json, write_text

    todo = [(agent, seed) for agent in TWIN_AGENTS for seed in range(TWIN_SEEDS)]
    twin: dict[str, list[dict[str, float]]] = {agent: [] for agent in TWIN_AGENTS}
    for agent, seed in tqdm(todo, desc="twin", unit="training", file=sys.stderr):
        twin[agent].append(twin_values(settings, agent, seed))
    oracles = {(each.name, each.camera): reference_values(settings, each) for each in references(settings.customers)}
    results = run(QUESTION, arms(), settings)

    tables = [
        (f"the twin: {TWIN_SEEDS} seeds, {TWIN_STEPS:,} interactions, exact values discounted at .98 a day", TWIN_HEADER, twin_rows(twin)),
        ("the shop: money per customer, 95 % over customers", VALUE_HEADER, value_rows(results, oracles)),
        (f"how far the deep agents go, {results.seeds} seeds, 95 % over seeds and customers", SHARE_HEADER, share_rows(results, oracles)),
    ]
    for title, header, rows in tables:
        report.print_table(title, header, rows)
    folder = Path(settings.out).resolve() / QUESTION
    write_text(folder / "answer.md", "\n".join(f"{title}\n\n{report.markdown(header, rows)}" for title, header, rows in tables))
    numbers = {
        "question": QUESTION, "customers": results.customers, "seeds": results.seeds, "steps": settings.steps, "twin": twin,
        "shares": {f"{agent} ({name} camera, {goal})": found for name, agent, goal, found in shares(results, oracles)},
        "oracles": {f"{name} ({seen})": float(value.mean()) for (name, seen), value in oracles.items()},
    }  # fmt: skip
    dump_json(folder / "results.json", numbers)
    figure = folder / f"{QUESTION}.png"
    draw(figure, results, oracles)
    print(f"figure {shown(figure)}, numbers results.json and answer.md beside it  ({results.seconds:.0f} s of training)")
    if settings.publish:
        shutil.copyfile(figure, ROOT / "docs" / figure.name)


def value_rows(results: Results, oracles: dict[tuple[str, str], np.ndarray]) -> list[list[str]]:
    """Agents and oracles of each camera, by value."""
    from experiments.gaps import estimate
    from experiments.report import plus_minus
    from sim.evaluation.statistics import mean_interval

    lines: list[tuple[str, float, list[str]]] = []
    for name in CAMERAS:
        for agent in AGENTS:
            e = estimate(results.values(f"{agent}_{name}"), results.faces)
            each = " ".join(f"{i['mean']:.2f}" for i in e.each)
            lines.append((name, e.mean, [name, agent, str(results.customers), plus_minus(e.customers), each]))
    for (oracle, name), value in oracles.items():
        seen = name if oracle.startswith("informed") else "true state"
        interval = mean_interval(value)
        lines.append((seen, interval["mean"], [seen, f"{oracle}", str(len(value)), plus_minus(interval), "-"]))
    order = {name: i for i, name in enumerate(("true state", *reversed(CAMERAS)))}
    return [line for _, _, line in sorted(lines, key=lambda each: (order[each[0]], -each[1]))]


GOALS: tuple[tuple[str, Callable[[str], tuple[str, str]]], ...] = (
    ("planning", lambda seen: ("planning", "oracle")),
    ("informed", lambda seen: ("informed", seen)),
)


def shares(results: Results, oracles: dict[tuple[str, str], np.ndarray]) -> list[tuple[str, str, str, Interval]]:
    """(camera, agent, reference, share) of the deep agents."""
    out = []
    for name in CAMERAS:
        for goal, key in GOALS:
            high = oracles[key(name)]
            n = len(high)
            low = results.values(f"charged_linucb_{name}")[:, :n]
            out += [(name, agent, goal, share(results.values(f"{agent}_{name}")[:, :n], low, high)) for agent in DEEP]
    return out


def share_rows(results: Results, oracles: dict[tuple[str, str], np.ndarray]) -> list[list[str]]:
    return [
        [name, agent, f"to the {goal} oracle", str(i["n"]), f"{i['mean']:.2f}", f"{i['low']:.2f} to {i['high']:.2f}"]
        for name, agent, goal, i in shares(results, oracles)
    ]


def draw(path: Path, results: Results, oracles: dict[tuple[str, str], np.ndarray]) -> None:
    """Money of everybody on one axis, a band per camera, published by rename."""
    import os

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from experiments.report import BLACK, BLUE, GREY, ORANGE
    from sim.evaluation.statistics import mean_interval

    bars: list[tuple[str, Interval, str]] = []
    for name in CAMERAS:
        for agent in AGENTS:
            bars.append((f"{agent}, {name} camera", mean_interval(results.values(f"{agent}_{name}").mean(0)), BLUE))
        bars.append((f"informed oracle, {name} camera", mean_interval(oracles["informed", name]), ORANGE))
    for (oracle, _), value in oracles.items():
        if oracle.startswith("informed, "):
            bars.append((f"informed oracle, oracle camera, {oracle.removeprefix('informed, ')}", mean_interval(value), ORANGE))
    for oracle in ("myopic", "priced", "planning"):
        bars.append((f"{oracle} oracle, true state", mean_interval(oracles[oracle, "oracle"]), GREY))
    figure = Figure(figsize=(9, 0.6 + 0.38 * len(bars)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for i, (_, interval, colour) in enumerate(bars):
        axes.barh(i, interval["mean"], color=colour, height=0.7, alpha=0.85)
        axes.plot([interval["low"], interval["high"]], [i, i], color=BLACK, linewidth=1.2)
        axes.annotate(f"{interval['mean']:.1f}", (interval["high"], i), (4, -3), textcoords="offset points", fontsize=8)
    axes.set_yticks(range(len(bars)), [name for name, _, _ in bars], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("money per customer (95 % over customers)")
    axes.set_title("what is earned, what can be known, and what is hidden", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main("experiments.near_optimum", __doc__ or "", answer, defaults=DEFAULTS))

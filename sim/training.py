"""Build an agent from its configuration and let it learn in the shop, with a progress bar and a learning curve.

The learning curve is the value per customer of the *current* policy on tuning customers: training faces, but other
customers than those it learns from, on the same luck at every point.  Evaluation customers are never looked at here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from sim.config import CONF
from sim.evaluation.rollout import value_per_customer
from sim.progress import PolicyProgress, RunProgress, say
from sim.shop.catalog import read_catalog
from sim.shop.observation import observation_size
from sim.shop.parameters import VARIANTS, catalog_path
from sim.shop.variants import layout_of
from sim.shop.world import Shop
from sim.targets import built

CURVE_POINTS, CURVE_CUSTOMERS = 12, 1000


class TrainingDivergedError(Exception):
    """A number ran away while an agent learned: what, which agent, seed and environment, when, and what is left."""

    exit_code = 1


@dataclasses.dataclass
class Trained:
    """A policy that has learned: `curve` holds (interactions, value per tuning customer)."""

    policy: Any
    seconds: float
    curve: list[tuple[int, float]]
    curve_processor_seconds: float = 0.0  # what measuring the curve took


def agent_config(name: str) -> DictConfig:
    """The shipped configuration of an agent, `conf/agent/<name>.yaml`."""
    config = OmegaConf.load(CONF / "agent" / f"{name}.yaml")
    assert isinstance(config, DictConfig)
    return config


def build_agent(config: DictConfig, shop: Shop, seed: int, trusted: list[str]) -> Any:
    """An untrained agent for this shop."""
    from sim.envs import spaces

    agent = built("agent", config, trusted)(
        observation_space=spaces.observation_space(shop),
        action_space=spaces.label_space(shop),
        layout=shop.layout,
        seed=seed,
    )
    if isinstance(shop, Shop) and getattr(agent, "home", None) == {}:
        agent.home = {"env": shop.name, "labels": list(shop.catalog.names)}  # saved with it, and compared when loaded
    return agent


def check_agents(configs: list[DictConfig], env: Any, catalog: str, trusted: list[str]) -> None:
    """Build each agent once for a shop of this scenario and catalog's size and drop it: wrong settings show before any long work."""
    labels = len(read_catalog(catalog_path(catalog)).names)
    layout = layout_of({name: env[name][name] for name in VARIANTS}, labels)
    outline: Any = SimpleNamespace(labels=labels, observation_size=observation_size(labels), layout=layout)
    for config in configs:
        build_agent(config, outline, 0, trusted)


def train(
    policy: Any,
    shop: Shop,
    *,
    steps: int | None,
    tune: tuple[int, int],
    report: Callable[[int, dict[str, float]], None] | None = None,
    with_curve: bool = False,
    progress: RunProgress | None = None,
) -> Trained:
    """Let `policy` learn for `steps` interactions (None: its own budget).

    In a shop with slates it learns from single pushes, which say whose click it was and which no other label has stolen, and is
    tuned and evaluated as it will be deployed, on slates.

    Parameters
    ----------
    tune : (customers, seed) on which the agent may tune a cap or a charge.
    report : also called with every report of the agent, e.g. to track it.
    with_curve : evaluate the policy on tuning customers about a dozen times on the way.
    progress : writes checkpoints, and says where this policy's training goes on.

    Raises
    ------
    TrainingDivergedError
        A reward, a loss or a weight is not finite.
    """
    from sim.envs.vector import ProductPushVectorEnv

    customers, seed = tune
    budget = policy.budget(steps)
    env = ProductPushVectorEnv(policy.num_envs, shop.single)
    keeper = PolicyProgress(progress, policy, env) if progress is not None else None
    curve: list[tuple[int, float]] = []
    next_point, on_curve, reached, before = 0.0, 0.0, 0, 0.0
    started = time.monotonic()
    if keeper is not None and keeper.before is not None:
        kept = keeper.before
        curve, next_point = [(step, value) for step, value in kept["curve"]], kept["next_point"]
        reached, before, on_curve = kept["step"], kept["seconds"], kept["on_curve"]
        if report is not None:
            report_again(keeper.reported, curve, report)
    with tqdm(
        total=budget, desc=f"train {policy.name}", unit="step", unit_scale=True, disable=budget == 0, file=sys.stderr,
        initial=min(reached, budget),
    ) as bar:  # fmt: skip

        def now() -> float | None:
            nonlocal on_curve
            clock = time.process_time()
            try:
                return value_per_customer(policy, shop, customers=CURVE_CUSTOMERS, seed=seed)
            except Exception as error:
                if type(error).__name__ != "NotTrainedError":  # sim imports no agents
                    raise
                return None  # popularity decides nothing before its log is complete
            finally:
                on_curve += time.process_time() - clock

        def note(step: int, metrics: dict[str, float]) -> None:
            nonlocal next_point, reached
            reached = step
            bar.update(min(step, budget) - bar.n)
            if with_curve and step >= next_point * budget and (value := now()) is not None:
                if keeper is not None and value > max((v for _, v in curve), default=float("-inf")):
                    keeper.best()
                curve.append((step, value))
                metrics = metrics | {"learning/value_per_customer": value}
                bar.set_postfix_str(f"value {value:.2f} a customer")
                next_point = (int(next_point * CURVE_POINTS + 1e-9) + 1) / CURVE_POINTS
            if report is not None:
                report(step, metrics)

        if keeper is not None:
            keeper.training = lambda: {
                "curve": curve, "next_point": next_point, "step": reached, "on_curve": on_curve,
                "seconds": before + time.monotonic() - started,
            }  # fmt: skip
        try:
            with keeper.working() if keeper is not None else contextlib.nullcontext():
                policy.learn(
                    env,
                    steps=steps,
                    report=note,
                    evaluate=lambda agent: value_per_customer(agent, shop, customers=customers, seed=seed),
                )
        except Exception as error:
            if type(error).__name__ not in ("DivergedError", "NotFiniteError"):  # sim imports no agents
                raise
            known = progress.where() if progress is not None else "no checkpoints were written"
            raise TrainingDivergedError(
                f"{str(error).rstrip('.')}; it was agent {policy.name}, seed {policy.seed}, in env {shop.name}, after step {reached:,} "
                f"of {budget:,}; {known}"
            ) from error
        bar.update(budget - bar.n)
        if with_curve and not curve and (value := now()) is not None:
            curve.append((budget, value))
    return Trained(policy, before + time.monotonic() - started, curve, on_curve)


def learned(policy: Any, shop: Shop, where: Path, progress: RunProgress, **how: Any) -> Trained:
    """`train`, and the policy saved in `where`; or what came of that before the run was cut short.

    Parameters
    ----------
    how : as of `train`.
    """
    facts = progress.finished(policy.name)
    if facts is not None and getattr(policy, "saves_what_it_learned", False):  # else it learns again
        try:
            policy.load(where)
        except Exception as error:
            if type(error).__name__ != "AgentFileError":  # sim imports no agents
                raise
            say(f"{error} It learns again, to the same bits.")
        else:
            curve = [(int(step), float(value)) for step, value in facts["curve"]]
            if how.get("report") is not None:
                report_again(policy.learning_curve, curve, how["report"])
            return Trained(policy, facts["seconds"], curve)
    trained = train(policy, shop, progress=progress, **how)
    policy.save(where)
    progress.finish(policy.name, {"seconds": trained.seconds, "curve": trained.curve})
    return trained


def report_again(
    reported: list[tuple[int, dict[str, float]]],
    curve: list[tuple[int, float]],
    report: Callable[[int, dict[str, float]], None],
) -> None:
    """Report what was reported before the run was cut short; whoever tracks it drops what it has already."""
    measured = dict(curve)
    for step, metrics in reported:
        report(step, metrics | ({"learning/value_per_customer": measured[step]} if step in measured else {}))

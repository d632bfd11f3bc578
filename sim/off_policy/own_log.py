"""The log of a run: what its policies saw is brought back bit for bit by living the logged lives again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sim.evaluation.estimators.errors import OffPolicyError
from sim.evaluation.interactions import Interactions, joined
from sim.replay.log import open_log, read_lines
from sim.replay.policies import load_policy
from sim.replay.relive import relive
from sim.replay.runs import POLICIES, Run, find_run
from sim.replay.shops import build_run_shop
from sim.shop.world import Shop

BATCH = 4000  # customers whose lives are held at once


@dataclasses.dataclass(frozen=True)
class OwnLog:
    """One policy's log of a run, and the shop it was made in."""

    run: Run
    shop: Shop
    behaviour: str
    interactions: Interactions
    propensity_kind: str


def read_own(run: Run, behaviour: str, customers: int | None, trusted: list[str]) -> OwnLog:
    """The whole log of one policy.

    Raises
    ------
    OffPolicyError, sim.replay.errors.ReplayError
        The run did not log this policy, was made for something else, or its shop cannot be built again.
    """
    known = list(run.summary["policies"])
    if behaviour not in known:
        raise OffPolicyError(f"behaviour={behaviour}: run {run.name} has no such policy; it has {', '.join(known)}")
    if run.summary.get("deterministic") and behaviour == run.agent:
        raise OffPolicyError(
            f"behaviour={behaviour}: this run was evaluated with evaluate.deterministic=true, so its log has propensity 1 and "
            "says nothing about other actions; run it again without, or take behaviour=random"
        )
    shop, _ = build_run_shop(run, trusted)
    log = open_log(run.sessions)
    if log.labels != shop.catalog.names:
        raise OffPolicyError(
            f"{run.sessions}: its labels are {', '.join(log.labels)}; the run's catalog has {', '.join(shop.catalog.names)}"
        )
    ids = np.unique(log.read(["customer"], [behaviour])["customer"].to_numpy())
    if len(ids) == 0:
        raise OffPolicyError(
            f"behaviour={behaviour}: run {run.name} logged no opportunity of it; run it with evaluate.log=all"
        )
    kind = str(log.read(["propensity_kind"], [behaviour], ids[:1])["propensity_kind"][0].as_py())
    parts = []
    for first in range(0, len(ids[:customers]), BATCH):
        lines = read_lines(log, behaviour, ids[:customers][first : first + BATCH])
        lived = relive(shop, lines, run.seed)
        action = lines.at["action"].astype(np.int64)
        parts.append(
            Interactions(
                start=lines.start,
                observation=lived.observation,
                action_mask=lived.allowed,
                action=action,
                reward=lines.at["reward"].astype(float),
                propensity=lines.at["propensity"].astype(float),
                probabilities=lines.probability.astype(float),
                day=lines.at["day"].astype(float),
            )  # fmt: skip
        )
    return OwnLog(run, shop, behaviour, joined(parts), kind)


def target_policy(run: Run, name: str | None, load_agent: Callable[..., Any], trusted: list[str]) -> Any:
    """The policy that is asked about: of the run by its name, or a saved one by its folder.

    Raises
    ------
    OffPolicyError
        There is none, or it was made for another shop.
    """
    name = run.agent if name is None else name
    if (run.folder / POLICIES / name / "agent.json").is_file():
        loaded = load_policy(run, name, load_agent, trusted)
        if loaded.policy is None:
            raise OffPolicyError(f"policy={name}: {loaded.reason}")
        return loaded.policy
    saved = saved_policy(name, load_agent)
    if saved is None:
        known = ", ".join(sorted(p.name for p in (run.folder / POLICIES).glob("*") if (p / "agent.json").is_file()))
        raise OffPolicyError(
            f"policy={name}: neither a policy of run {run.name} ({known or 'none saved'}) nor a folder with agent.json"
        )
    return saved


def saved_policy(name: str, load_agent: Callable[..., Any]) -> Any | None:
    """A policy from the folder that `Agent.save` wrote; None where there is no such folder."""
    folder = Path(name).expanduser()
    return load_agent(folder) if (folder / "agent.json").is_file() else None


def check_fits(policy: Any, shop: Shop) -> None:
    """Refuse a policy of another catalog or observation.

    Raises
    ------
    OffPolicyError
        With both sizes.
    """
    sizes = (getattr(policy, "observation_size", None), getattr(policy, "num_actions", None))
    own = (shop.observation_size, shop.labels + 1)
    layout = getattr(policy, "layout", None)
    if None not in sizes and (sizes != own or (layout is not None and layout != shop.layout)):
        raise OffPolicyError(
            f"policy {policy.name} was trained on {sizes[0]} observation numbers and {sizes[1]} actions, the log's shop has "
            f"{own[0]} and {own[1]} in its own layout; take a policy that was trained in this env and catalog"
        )


__all__ = ["OwnLog", "check_fits", "find_run", "read_own", "saved_policy", "target_policy"]

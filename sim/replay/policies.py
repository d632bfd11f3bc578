"""Load the policies that a run saved, without importing `agents`: `load_agent` is handed in by the configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from sim.replay.errors import ReplayError
from sim.replay.log import Lines
from sim.replay.relive import SPLIT, Relived
from sim.replay.remembering import Reminded
from sim.replay.runs import POLICIES, Run
from sim.shop.random_streams import SPLITS, policy_uniforms
from sim.targets import followed

LoadAgent = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A policy that decides as it did, or why there is none."""

    policy: Any | None
    reason: str = ""


def load_policy(run: Run, name: str, load_agent: LoadAgent, trusted: list[str]) -> Loaded:
    """The saved policy; `reason` is a sentence where it cannot be had, since a page can do without."""
    folder = run.folder / POLICIES / name
    if not folder.is_dir():
        return Loaded(None, f"{name} was not saved with the run")
    try:
        policy = load_agent(folder, _own_class(run, name, trusted))
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        return Loaded(None, str(error))
    if run.summary.get("deterministic") and name == run.agent and hasattr(policy, "deterministic"):
        policy.deterministic = True
    return Loaded(policy)


def _own_class(run: Run, name: str, trusted: list[str]) -> Any | None:
    """The class of a user's own agent, where its package is trusted; None for the project's own agents."""
    target = (run.config.get("agent") or {}).get("_target_")
    if name != run.agent or not isinstance(target, str) or target.split(".")[0] not in trusted:
        return None
    return followed("agent", target, trusted)


def decides_alike(policy: Any, lines: Lines, relived: Relived, seed: int) -> int:
    """How many of the logged requests the policy makes again, asked with the same observations and luck."""
    uniform = policy_uniforms(seed, SPLITS[SPLIT], lines.at["customer"], lines.at["step"])
    again = Reminded(policy, relived).act(relived.observation, relived.allowed, uniform).action
    return int((again == lines.at["requested"]).sum())


def choose_policies(run: Run, run_b: Run, a: str | None, b: str | None) -> tuple[str, str]:
    """Names of the two policies: the run's agent and the best other one, unless told.

    Raises
    ------
    ReplayError
        A run has no such policy.
    """
    for which, where, name in (("policy_a", run, a), ("policy_b", run_b, b)):
        if name is not None and name not in where.summary["policies"]:
            known = ", ".join(where.summary["policies"])
            raise ReplayError(f"{which}={name}: run {where.name} has no such policy; it has {known}")
    first = a or run.agent
    if b is None and run_b is not run:
        return first, run_b.agent
    ranked = sorted(
        (name for name in run_b.summary["policies"] if name != first),
        key=lambda name: -float(np.nan_to_num(run_b.summary["policies"][name]["value_per_customer"]["mean"])),
    )
    if b is None and not ranked:
        raise ReplayError(f"run {run_b.name} has no policy beside {first}; name another run with run_b=FOLDER")
    return first, b or ranked[0]

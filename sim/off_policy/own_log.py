"""The log of a run: what its policies saw is brought back bit for bit by living the logged lives again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sim.evaluation.estimators.data import LoggedLives
from sim.evaluation.estimators.errors import OffPolicyError
from sim.evaluation.interactions import Interactions, joined
from sim.replay.log import Lines, as_lines, line_columns, open_log
from sim.replay.policies import load_policy
from sim.replay.relive import relive
from sim.replay.runs import POLICIES, Run, find_run
from sim.replay.shops import build_run_shop
from sim.shop.world import Shop

BLOCK_ROWS = 400_000  # opportunities held at once, some 4 kB each while they are estimated


@dataclasses.dataclass(frozen=True)
class OwnLog:
    """One policy's log of a run, and the shop it was made in."""

    run: Run
    shop: Shop
    behaviour: str
    propensity_kind: str
    rows: int
    customers: int
    longest: int
    notes: list[str]
    blocks: Callable[[], Iterator[Interactions]]

    @property
    def single(self) -> bool:
        """Whether all of it is one block."""
        return self.rows <= BLOCK_ROWS

    @property
    def interactions(self) -> Interactions:
        """The whole log, in memory."""
        return joined(list(self.blocks()))

    def for_target(self, policy: Any) -> Iterator[LoggedLives]:
        """Block by block, with what `policy` would have done at every opportunity."""
        row = 0
        for block in self.blocks():
            lines = np.arange(row + 1, row + 1 + len(block))
            yield dataclasses.replace(block.for_target(policy), lines=lines, longest=self.longest)
            row += len(block)


def read_own(run: Run, behaviour: str, customers: int | None, trusted: list[str]) -> OwnLog:
    """The log of one policy, whose rows are read and lived again block by block.

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
    ids, lengths = log.customers(behaviour)
    if len(ids) == 0:
        raise OffPolicyError(
            f"behaviour={behaviour}: run {run.name} logged no opportunity of it; run it with evaluate.log=all"
        )
    longest = int(lengths.max())
    ids, lengths = ids[:customers], lengths[:customers]
    kind = str(log.read(["propensity_kind"], [behaviour], ids[:1])["propensity_kind"][0].as_py())
    rows = int(lengths.sum())

    size = BLOCK_ROWS if rows > BLOCK_ROWS else rows + longest + 1  # what is one block is read as one

    def blocks() -> Iterator[Interactions]:
        for table in log.lives(line_columns(log), behaviour, size):
            wanted = int(np.searchsorted(table["customer"].to_numpy(), ids[-1], "right"))
            if wanted == 0:
                return
            yield _lived(shop, as_lines(log, behaviour, table.slice(0, wanted)), run.seed)

    return OwnLog(run, shop, behaviour, kind, rows, len(ids), longest, log.notes(), blocks)


def _lived(shop: Shop, lines: Lines, seed: int) -> Interactions:
    """Logged lives with what was seen."""
    lived = relive(shop, lines, seed)
    return Interactions(
        start=lines.start,
        observation=lived.observation,
        action_mask=lived.allowed,
        action=lines.at["action"].astype(np.int64),
        reward=lines.at["reward"].astype(float),
        propensity=lines.at["propensity"].astype(float),
        probabilities=lines.probability.astype(float),
        day=lines.at["day"].astype(float),
    )


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

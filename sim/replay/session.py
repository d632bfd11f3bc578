"""Everything a page needs, in memory: two policies, the chosen customers' lives under both, and the totals of everybody."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from sim.replay import branches, population
from sim.replay.choose import Cast, choose, featured
from sim.replay.errors import ReplayError
from sim.replay.explain import Drivers, explain
from sim.replay.log import Lines, SessionTable, open_log, read_lines
from sim.replay.policies import LoadAgent, choose_policies, decides_alike, load_policy
from sim.replay.relive import Relived, relive
from sim.replay.remembering import Reminded, remembered
from sim.replay.runs import Run
from sim.replay.settings import PageSettings
from sim.replay.shops import build_run_shop, check_pair, check_single
from sim.shop.world import Shop

REGRET_CUSTOMERS = 10_000  # beyond, living everybody again only to sort a list is not worth its memory


@dataclasses.dataclass
class Side:
    """One policy with the chosen customers' lives; what could not be had is None, and `notes` says why."""

    run: Run
    name: str
    lines: Lines
    shop: Shop | None = None
    policy: Any | None = None
    relived: Relived | None = None
    drivers: Drivers | None = None
    asked_again: tuple[int, int] | None = None
    notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Replay:
    """What a page shows."""

    run: Run
    a: Side
    b: Side
    casts: list[Cast]
    people: dict[str, dict[str, np.ndarray]]
    views: dict[str, dict[str, Any]]
    segments: list[dict[str, Any]]
    what_if: np.ndarray  # customers whose branches are on the page
    branches: branches.Branches | None
    table: pd.DataFrame | None
    labels: tuple[str, ...]
    wanted: int | None
    notes: list[str]


def prepare(
    run: Run,
    settings: PageSettings,
    load_agent: LoadAgent,
    *,
    run_b: Run | None = None,
    policy_a: str | None = None,
    policy_b: str | None = None,
    customer: int | None = None,
    shop: Shop | None = None,
    table: pd.DataFrame | None = None,
    trusted: list[str] | None = None,
) -> Replay:
    """Read, choose, live again, explain and branch; parameters as of `sim.replay.write_page`."""
    trusted, run_b = trusted or [], run_b or run
    name_a, name_b = choose_policies(run, run_b, policy_a, policy_b)
    notes = check_pair(run, run_b) if run_b is not run else []
    log = open_log(run.sessions)
    check_single(run, len(log.labels))
    log_b = open_log(run_b.sessions) if run_b is not run else log
    for each in (log, log_b) if log_b is not log else (log,):
        notes += each.notes()

    missing: list[str] = []
    if shop is None:
        shop, table = _shop(run, log, trusted, missing)
    people, views = _everybody(run, log, name_a, run_b, log_b, name_b)
    if shop is not None and not np.isfinite(people["a"]["regret"]).any():
        people["a"]["regret"] = _regret(shop, run, log, name_a, people["a"]["ids"])
    everybody = population.everybody(people["a"], people["b"])
    if customer is not None and customer not in everybody.ids:
        raise ReplayError(
            f"customer={customer} is not in the log; it holds customers {everybody.ids.min()} to {everybody.ids.max()}"
        )
    ids, casts = choose(everybody, settings.customers, name_a, _shown(run, run_b, name_b), customer)

    a = Side(run, name_a, read_lines(log, name_a, ids))
    b = Side(run_b, name_b, read_lines(log_b, name_b, ids))
    what_if = featured(casts, settings.what_if_customers)
    if customer is not None and settings.what_if_customers:
        what_if = np.union1d(what_if, [customer])
    _live_again(a, shop, load_agent, trusted, settings, np.isin(a.lines.customers, what_if))
    if run_b is not run:
        shop = _shop(run_b, log_b, trusted, missing)[0]
    _live_again(b, shop, load_agent, trusted, settings, None)
    made = None
    if a.shop is not None and a.relived is not None and a.policy is not None and len(what_if):
        state, action = branches.every_other_action(a.relived, a.lines.at["action"])
        made = branches.branch(a.shop, a.policy, a.relived, state, action, run.seed)
    shares = {name_a: people["a"], _shown(run, run_b, name_b): people["b"]}
    return Replay(
        run=run, a=a, b=b, casts=casts, people=people, views=views, segments=population.segments(shares),
        what_if=what_if if made is not None else np.zeros(0, np.int64), branches=made, table=table, labels=log.labels,
        wanted=customer, notes=list(dict.fromkeys(notes + missing + a.notes + b.notes)),
    )  # fmt: skip


def _shown(run: Run, run_b: Run, name: str) -> str:
    """The other policy's name, told apart where it comes from another run."""
    return name if run_b is run else f"{name} ({run_b.name})"


def _everybody(
    run: Run, log: SessionTable, name_a: str, run_b: Run, log_b: SessionTable, name_b: str
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, dict[str, Any]]]:
    """Totals per customer of both policies over the customers that both met, and the views of all policies."""
    labels = len(log.labels)
    views: dict[str, dict[str, Any]] = {}
    people: dict[str, dict[str, np.ndarray]] = {}
    jobs = [(run, log, name) for name in run.summary["policies"]]
    jobs += [(run_b, log_b, name_b)] if run_b is not run else []
    for where, each, name in jobs:
        sides = [key for key, wanted in (("a", (run, name_a)), ("b", (run_b, name_b))) if wanted == (where, name)]
        counts, totals = population.read_everybody(each, name, labels)
        if not totals:
            if sides:
                raise ReplayError(f"the log of run {where.name} holds no session of policy {name!r}")
            continue
        views[_shown(run, where, name)] = counts.view()
        people |= dict.fromkeys(sides, totals)
    if not np.array_equal(people["a"]["ids"], people["b"]["ids"]):
        both = np.intersect1d(people["a"]["ids"], people["b"]["ids"])
        if not len(both):
            raise ReplayError(f"{name_a} and {name_b} met no customer in common; nothing can be shown side by side")
        people = {k: {n: v[np.isin(p["ids"], both)] for n, v in p.items()} for k, p in people.items()}
    return people, views


def _shop(
    run: Run, log: SessionTable, trusted: list[str], missing: list[str]
) -> tuple[Shop | None, pd.DataFrame | None]:
    """The run's shop, if it can be built again and is the one that the log was written in; else `missing` learns why."""
    try:
        shop, table = build_run_shop(run, trusted)
    except ReplayError as error:
        missing.append(f"No explanations and no branches: {error}.")
        return None, None
    if log.shop_digest and shop.digest != log.shop_digest:
        missing.append(
            "No explanations and no branches: the shop has changed since the run (its catalog, gallery or equations), "
            "so these lives cannot be lived again."
        )
        return None, table
    return shop, table


def _regret(shop: Shop, run: Run, log: SessionTable, policy: str, ids: np.ndarray) -> np.ndarray:
    """(n,) money that the best labels would have earned at once on average, beyond those chosen; NaN where unknown."""
    if len(ids) > REGRET_CUSTOMERS:
        return np.full(len(ids), np.nan)
    lines = read_lines(log, policy, ids)
    try:
        return lines.total(relive(shop, lines, run.seed).regret(lines.at["action"]))
    except ReplayError:
        return np.full(len(ids), np.nan)


def _live_again(
    side: Side,
    shop: Shop | None,
    load_agent: LoadAgent,
    trusted: list[str],
    settings: PageSettings,
    keep: np.ndarray | None,
) -> None:
    """Fill in what the simulator and the saved policy can add to the log."""
    if shop is None:
        return
    side.shop = shop
    try:
        side.relived = relive(shop, side.lines, side.run.seed, keep)
    except ReplayError as error:
        side.notes.append(f"No explanations and no branches: {error}.")
        return
    loaded = load_policy(side.run, side.name, load_agent, trusted)
    if loaded.policy is None:
        side.notes.append(f"No explanations and no branches for {side.name}: {loaded.reason.rstrip('.')}.")
        return
    side.relived = remembered(loaded.policy, side.lines, side.relived)
    same, total = decides_alike(loaded.policy, side.lines, side.relived, side.run.seed), len(side.lines)
    side.asked_again = (same, total)
    if same < total:
        side.notes.append(
            f"No explanations and no branches for {side.name}: asked again, the saved policy decides as logged at {same} of "
            f"{total} opportunities only."
        )
        return
    side.policy = loaded.policy
    asked = Reminded(loaded.policy, side.relived)
    side.drivers = explain(asked, side.relived, side.lines.at["requested"], shop.layout, settings.drivers)

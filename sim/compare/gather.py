"""From runs to numbers: `totals[policy]` of every seed and customer, on customers that all the runs share.

A policy is told apart by its name, by the camera it looked through where the runs differ in it (`ppo@blind`), and by the
settings of its agent where the runs differ in those (`ppo[gamma=0.9]`).  One trained twice with the same seed counts once.
A policy that never learns is the same under every seed and is kept once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sim.compare.errors import CompareError
from sim.evaluation.customers import TRAITS, read_customers
from sim.replay.runs import CUSTOMERS, Run
from sim.replay.shops import check_pair

Curve = list[tuple[int, float]]
_TELL_APART = ("value", "pushes", "clicks")  # totals by which a policy that is the same under every seed is known


@dataclasses.dataclass(frozen=True)
class Gathered:
    """`totals[policy][name]` (S, n), `seeds[policy]` (S,), `who[trait]` (n,), `curves[policy]` one per seed.

    `references` are policies that know the true state (oracles): compared, never ranked among the others.
    """

    totals: dict[str, dict[str, np.ndarray]]
    seeds: dict[str, list[int]]
    who: dict[str, np.ndarray]
    curves: dict[str, list[Curve]]
    references: list[str]
    notes: list[str]

    @property
    def customers(self) -> int:
        """n, customers that every policy met."""
        return len(self.who["face"])

    def values(self, policy: str, total: str) -> np.ndarray:
        """(S, n) of one total of one policy."""
        return self.totals[policy][total]


def expand(folders: Iterable[str], outputs: Path = Path("outputs")) -> list[str]:
    """Names of runs: a folder of runs (a sweep) becomes its runs; `latest`, ids and run folders stay.

    Raises
    ------
    CompareError
        A folder holds no finished run.
    """
    names: list[str] = []
    for text in folders:
        folder = Path(text).expanduser()
        if text == "latest" or not folder.is_dir() or (folder / "summary.json").exists():
            names.append(text)
            continue
        inside = sorted(str(path.parent) for path in folder.rglob("summary.json") if "latest" not in path.parts)
        if not inside:
            raise CompareError(f"runs={text}: holds no finished run (no summary.json below it)")
        names += inside
    return list(dict.fromkeys(names))


def gather(runs: list[Run], total: str | None = None) -> Gathered:
    """The policies of all runs on the customers that all of them met.

    Parameters
    ----------
    total : the only one that is asked for, of millions of customers; None keeps all totals.

    Raises
    ------
    CompareError, sim.replay.errors.ReplayError
        A run has no table of customers, or its customers are not the others'.
    """
    notes: list[str] = []
    for other in runs[1:]:
        check_pair(runs[0], other)
    columns = None if total is None else {total, *_TELL_APART}
    frames = [_table(run, columns if columns is None or i > 0 else columns | set(TRAITS)) for i, run in enumerate(runs)]
    counts = [
        int(frame[~frame.policy.isin(_oracles(run))].customer.max()) + 1
        for run, frame in zip(runs, frames, strict=True)
    ]
    n = min(counts)
    if len(set(counts)) > 1:
        notes.append(f"the runs met {min(counts):,} to {max(counts):,} customers; the first {n:,} are compared")
    cameras = _differing([run.config.get("camera") or {} for run in runs])
    variants = _variants(runs)
    found: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    curves: dict[str, dict[int, Curve]] = {}
    references: dict[str, None] = {}
    for i, (run, frame) in enumerate(zip(runs, frames, strict=True)):
        for policy, rows in frame.groupby("policy", sort=False):
            own = rows.sort_values("customer").head(n)
            if len(own) < n:  # an oracle that met fewer
                continue
            name = _named(str(policy), run, cameras[i], variants)
            if policy in _oracles(run):
                references[name] = None
            totals = {
                c: own[c].to_numpy(float)
                for c in own.columns
                if c not in (*TRAITS, "policy", "customer") and own[c].notna().all()
            }
            found.setdefault(name, {}).setdefault(int(run.summary["seed"]), totals)
            if policy == run.agent and run.summary.get("curve"):
                points = [(int(step), float(value)) for step, value in run.summary["curve"]]
                curves.setdefault(name, {}).setdefault(int(run.summary["seed"]), points)
    first = frames[0][frames[0].policy == frames[0].policy.iloc[0]].sort_values("customer").head(n)
    who = {trait: first[trait].to_numpy() for trait in TRAITS}
    totals, seeds = {}, {}
    for name, by_seed in found.items():
        kept = _distinct(by_seed)
        common = set.intersection(*(set(by_seed[s]) for s in kept))
        totals[name] = {c: np.stack([by_seed[s][c] for s in kept]) for c in sorted(common)}
        seeds[name] = kept
    return Gathered(
        totals, seeds, who, {name: list(by_seed.values()) for name, by_seed in curves.items()}, list(references), notes
    )


def _table(run: Run, columns: set[str] | None) -> pd.DataFrame:
    path = run.folder / CUSTOMERS
    try:
        return read_customers(path, columns)
    except FileNotFoundError:
        raise CompareError(
            f"run {run.name}: holds no {CUSTOMERS}; it did not finish, or an older version made it: run it again"
        ) from None
    except Exception as error:
        if not isinstance(error, (OSError, ValueError, KeyError)):
            raise
        raise CompareError(f"{path} cannot be read ({str(error).splitlines()[0]}); run it again") from None


def _oracles(run: Run) -> set[str]:
    return set(run.summary.get("oracles") or {})


def _distinct(by_seed: Mapping[int, dict[str, np.ndarray]]) -> list[int]:
    """Seeds in order; only the first where all of them are the same policy, to the last bit."""
    seeds = sorted(by_seed)
    first = by_seed[seeds[0]]
    same = all(np.array_equal(by_seed[s][c], first[c]) for s in seeds[1:] for c in _TELL_APART)
    return seeds[:1] if same else seeds


def _differing(cameras: list[Mapping[str, Any]]) -> list[str | None]:
    """A name for each run's camera, None where all runs share one."""
    channels = [tuple(str(c.get(part)) for part in ("emotion", "identity", "mask")) for c in cameras]
    if len(set(channels)) == 1:
        return [None] * len(cameras)
    return [c[0] if len(set(c)) == 1 else "/".join(c) for c in channels]


def _variants(runs: list[Run]) -> dict[str, list[dict[str, Any]]]:
    """The different settings of each agent's name among the runs, steps included."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        settings = _settings(run)
        if settings not in found.setdefault(run.agent, []):
            found[run.agent].append(settings)
    return found


def _settings(run: Run) -> dict[str, Any]:
    return {**(run.config.get("agent") or {}), "steps": run.config.get("steps")}


def _named(policy: str, run: Run, camera: str | None, variants: Mapping[str, list[dict[str, Any]]]) -> str:
    name = policy if camera is None or policy in _oracles(run) else f"{policy}@{camera}"
    others = variants.get(policy, [])
    if policy != run.agent or len(others) < 2:
        return name
    own = _settings(run)
    keys = [key for key in own if any(other.get(key) != own[key] for other in others)]
    return f"{name}[{','.join(f'{key}={own[key]}' for key in keys)}]"

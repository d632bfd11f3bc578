"""A cell: one arm trained with one seed, and the money, purchases, pushes, ... of every customer it was evaluated on.

    arm   = an agent, the shop it learns in, and the shops it is evaluated in

A finished training is kept in `<out>/policies/<agent>-<key>` and shared by all studies; a finished cell in
`<out>/<question>/cells/<arm>-s<seed>-<key>.npz`.  Both keys are digests of every value that decides the result (agent,
shop, catalog, gallery, seed, steps, customers), taken when the study starts, and both are published by rename.  So a killed
study resumes, more seeds or customers cost only themselves, and nothing stale is used.  A change of *code* is not in the
key: after one, remove the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.command import Settings

FORMAT = 1
QUANTITIES = (
    "value", "purchases", "clicks", "pushes", "opportunities", "days", "opted_out", "lapsed", "own_valence", "own_mood",
    "valence_shift", "negative_opportunities", "negative_pushes", "negative_purchases", "negative_opt_outs",
)  # fmt: skip
EVALUATION_SEED = 10_000  # as evaluate.seed of conf/config.yaml
TUNE_SEED = 20_000
TRAINING = "training.json"  # beside a policy: its steps, the processor time of its training on one thread, its learning curve
TUNE = (2000, TUNE_SEED)  # customers and seed for caps and charges: training faces, as tune of conf/config.yaml


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One way to deploy a trained policy: shop overrides added to those of its training; argmax instead of sampling.

    `tune`: on tuning customers (training faces) instead of evaluation customers, for what is chosen and not reported.
    """

    name: str
    shop: tuple[str, ...] = ()
    deterministic: bool = False
    tune: bool = False


@dataclasses.dataclass(frozen=True)
class Arm:
    """An agent (`conf/agent/<agent>.yaml`) that learns in the shop of `shop` (Hydra overrides)."""

    name: str
    agent: str = "ppo"
    shop: tuple[str, ...] = ()
    evaluations: tuple[Evaluation, ...] = (Evaluation("sampled"),)
    curve: bool = False  # note the value per tuning customer on the way; a policy of another study that lacks it is trained again
    own_budget: bool = False  # the agent's own number of interactions, whatever the study's
    oracle: str | None = None  # instead of an agent: a reference that knows the true state (`sim.evaluation.oracle.references`)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One arm with one seed, and where its policy and its results lie."""

    arm: Arm
    seed: int
    steps: int | None
    customers: int
    policy: Path
    path: Path


def digest(value: Any) -> str:
    """Digest of a JSON value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


_material: dict[str, dict[str, str]] = {}  # digests of catalog and gallery, by their settings: many shops share them


def shop_values(overrides: Sequence[str]) -> dict[str, Any]:
    """Every value that decides what happens in the shop of these overrides, as JSON."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from sim.config import CONF
    from sim.shop.scenarios import load_shop

    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("shop", list(overrides))
    values: dict[str, Any] = {name: OmegaConf.to_container(cfg[name], resolve=True) for name in ("env", "camera")}
    population: dict[str, Any] = OmegaConf.to_container(cfg.population, resolve=True)  # type: ignore[assignment]
    values["population"] = {name: population[name] for name in ("seed", "evaluation_share", "traits")}
    catalog: Any = OmegaConf.to_container(cfg.catalog, resolve=True)
    labels = values["camera"]["emotion"] == "oracle"  # needs a labelled gallery, which is checked when the shop is built
    key = digest([catalog, {name: each for name, each in population.items() if name != "traits"}, labels])
    if key not in _material:
        shop = load_shop(overrides)
        _material[key] = {"catalog": shop.catalog.digest, "gallery": shop.gallery.digest}
    return values | _material[key]


def plan(question: str, arms: Sequence[Arm], settings: Settings) -> list[Cell]:
    """The cells of a study, seed by seed in the order of the arms, with the keys of their files.

    Raises
    ------
    sim.config.ConfigError, sim.shop.parameters.ShopError, hydra and omegaconf exceptions
        A setting of the shop is wrong.
    """
    from omegaconf import OmegaConf

    from sim.training import agent_config

    out, cells = Path(settings.out).resolve(), []
    arms = [dataclasses.replace(arm, shop=(*settings.shop, *arm.shop)) for arm in arms]
    shops = {overrides: digest(shop_values(overrides)) for arm in arms for overrides in _shops(arm)}
    for seed in range(settings.seeds):
        for arm in arms:
            agent = arm.oracle or OmegaConf.to_container(agent_config(arm.agent), resolve=True)
            steps = None if arm.own_budget else settings.steps
            trained = digest([FORMAT, agent, shops[arm.shop], seed, steps, TUNE])
            deployed = [
                [e.name, shops[(*arm.shop, *e.shop)], e.deterministic, *(["tune"] if e.tune else [])] for e in arm.evaluations
            ]
            evaluated = digest([trained, deployed, settings.customers, EVALUATION_SEED])
            policy = out / "policies" / f"{arm.agent}-{trained}"
            path = out / question / "cells" / f"{arm.name}-s{seed}-{evaluated}.npz"
            cells.append(Cell(arm, seed, steps, settings.customers, policy, path))
    return cells


def _shops(arm: Arm) -> list[tuple[str, ...]]:
    return [arm.shop, *((*arm.shop, *e.shop) for e in arm.evaluations)]


# ---------------------------------------------------------------------- doing it
def run_cell(cell: Cell, report: Callable[[int], None] | None = None) -> float:
    """Train (or load) the policy of a cell, evaluate it and publish the results; returns the seconds it took.

    `report` is called with the interactions so far.
    """
    from sim import training
    from sim.evaluation.metrics import per_customer
    from sim.evaluation.oracle.references import reference
    from sim.evaluation.rollout import rollout
    from sim.report import dump_json
    from sim.shop.scenarios import load_shop

    started = time.monotonic()
    shop = load_shop(cell.arm.shop)
    agent: Any = None
    if cell.arm.oracle is not None:
        agent = reference(cell.arm.oracle, shop, 1.0)
    else:
        agent = training.build_agent(training.agent_config(cell.arm.agent), shop, cell.seed, [])
    if cell.arm.oracle is None and not (at_hand(cell) and _loaded(agent, cell.policy)):

        def note(step: int, metrics: dict[str, float]) -> None:
            if report is not None:
                report(step)

        clock = time.process_time()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # the study has one bar of its own
            done = training.train(agent, shop, steps=cell.steps, tune=TUNE, report=note, with_curve=cell.arm.curve)
        spent = time.process_time() - clock - done.curve_processor_seconds
        agent.save(cell.policy)
        steps = int(agent.budget(cell.steps)) if agent.learning_curve else 0  # some have nothing to learn
        dump_json(cell.policy / TRAINING, {"steps": steps, "processor_seconds": round(spent, 2), "curve": done.curve})
    arrays: dict[str, np.ndarray] = {}
    for evaluation in cell.arm.evaluations:
        world = load_shop((*cell.arm.shop, *evaluation.shop))
        if hasattr(agent, "deterministic"):
            agent.deterministic = evaluation.deterministic
        split, seed = ("tune", TUNE_SEED) if evaluation.tune else ("evaluate", EVALUATION_SEED)
        log = rollout(agent, world, customers=cell.customers, seed=seed, split=split)
        totals = per_customer(log, 1.0)
        arrays |= {f"{evaluation.name}/{name}": totals[name] for name in QUANTITIES}
        if not evaluation.tune:
            first = np.searchsorted(log.events["customer"], np.arange(cell.customers))
            arrays["face"] = log.events["person"][first].astype(np.int64)
    write_cell(cell.path, arrays)
    return time.monotonic() - started


def at_hand(cell: Cell) -> bool:
    """Whether the cell's policy was trained already, with its learning curve where that is asked for."""
    if not (cell.policy / "agent.json").is_file():
        return False
    noted = read_training(cell.policy) if cell.arm.curve else {"steps": 0}
    return noted.get("steps") == 0 or bool(noted.get("curve"))


def _loaded(agent: Any, folder: Path) -> bool:
    """Whether `agent` took over a policy from `folder`; a damaged one is trained again."""
    try:
        agent.load(folder)
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        return False
    return True


# ---------------------------------------------------------------------- files
def read_training(policy: Path) -> dict[str, Any]:
    """steps, processor_seconds and curve of a trained policy; empty where nothing was noted."""
    try:
        found = json.loads((policy / TRAINING).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_cell(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Publish the arrays of a cell by temp file, fsync and rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_cell(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a finished cell; None where there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError):
        return None
    except Exception as error:  # zipfile.BadZipFile, zlib.error: a file cut short
        if type(error).__module__ in ("zipfile", "zlib"):
            return None
        raise

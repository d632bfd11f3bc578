"""Train one agent, evaluate it beside the baselines on unseen customers, track and explain the result.

python -m sim.run agent=ppo
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from sim.cli import fail, run_command
from sim.config import ConfigError


def run(cfg: Any) -> float:
    """The job, as a table of contents; returns the agent's value per customer (what a sweep would maximise)."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf
    from tqdm import tqdm

    from sim import recording, report, training
    from sim.config import ROOT
    from sim.evaluation.customers import traits, write_customers
    from sim.evaluation.evaluate import evaluate, logged_customers, shared_work
    from sim.evaluation.oracle.references import optimum, reference
    from sim.evaluation.rollout import value_per_customer
    from sim.evaluation.session_log import SessionWriter
    from sim.progress import RunProgress
    from sim.run_folder import OPERATIONAL, working_in
    from sim.shop.scenarios import build_shop
    from sim.targets import built
    from sim.tracking import Tracker, git_state, library_versions
    from sim.tracking.spool import run_record
    from sim.warm_start import begin_with_log

    started, timing = time.monotonic(), {}
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    for name in OPERATIONAL:
        plain.pop(name)

    # 1 the shop: whose faces, which labels, which customers
    p = cfg.population
    if p.gallery is not None:  # a wrong agent setting is refused before thousands of pictures are perceived
        training.check_agents(
            [cfg.agent, *map(training.agent_config, cfg.baselines)], cfg.env, cfg.catalog.path, cfg.trusted_targets
        )
    table = built("population.loader", p.loader, cfg.trusted_targets)(p.gallery, p.consent, weights=p.weights, cache=p.cache)
    shop = build_shop(plain["env"], plain["catalog"], plain["population"], plain["camera"], table)
    timing["shop"] = time.monotonic() - started
    gallery = shop.gallery
    faces = f"{len(gallery.train.persons)} faces to train on, {len(gallery.evaluate.persons)} to evaluate on (split by {gallery.split_by})"
    print(f"shop {shop.name!r}: {shop.labels} labels, {len(gallery.images)} pictures, {faces}", file=sys.stderr)

    if shop.slate_size > 1:
        print(
            f"slates of up to {shop.slate_size} labels: agents learn from single pushes and are deployed as slates "
            "(sim/evaluation/slates.py); regret and oracles know single pushes only, so there are none",
            file=sys.stderr,
        )

    # 2 who competes
    agent = training.build_agent(cfg.agent, shop, cfg.seed, cfg.trusted_targets)
    rivals = [training.build_agent(training.agent_config(name), shop, cfg.seed, []) for name in cfg.baselines]
    kept_apart = {"evaluate.seed": cfg.evaluate.seed, "tune.seed": cfg.tune.seed}
    warm = begin_with_log(agent, shop, cfg.warm_start, kept_apart=kept_apart, trusted=cfg.trusted_targets)
    if warm is not None:
        print(warm.told(), file=sys.stderr)
    policies = [agent, *(rival for rival in rivals if rival.name != agent.name)]

    versions, git = library_versions(), git_state(ROOT)
    sweep = run_record(hydra.sweep.dir) if hydra.mode is not None and hydra.mode.name == "MULTIRUN" else None
    experiment = sweep["experiment"] if sweep else cfg.tracking.experiment
    tracker = Tracker(cfg.tracking.uri, experiment, cfg.tracking.enabled)
    name = recording.run_name(agent.name, shop.name, plain["camera"], cfg.seed)
    tags = recording.tags(plain, agent.name, shop, git)
    resume = cfg.resume is not None
    with (
        working_in(folder, plain, list(hydra.overrides.task), resume) as key,
        contextlib.nullcontext(RunProgress(folder, key, cfg.checkpoint.seconds, cfg.checkpoint.keep, resume)) as progress,
        tracker.run(name=name, folder=folder, tags=tags, parent=sweep, resume=resume) as tracked,
    ):
        recording.begin(tracked, plain, shop, table, folder)
        # 3 learn
        curve: list[tuple[int, float]] = []
        for policy in policies:
            main = policy is agent
            trained = training.learned(
                policy,
                shop,
                folder / "policies" / policy.name,
                progress,
                steps=cfg.steps if main else None,
                tune=(cfg.tune.customers, cfg.tune.seed),
                report=(lambda step, metrics: tracked.metrics(metrics, step)) if main else None,
                with_curve=main,
            )
            timing[f"train_{policy.name}"] = trained.seconds
            curve = trained.curve if main else curve

        # 4 evaluate, everybody on the same unseen customers with the same luck
        if cfg.evaluate.deterministic and hasattr(agent, "deterministic"):
            agent.deterministic = True
        e, clock = cfg.evaluate, time.monotonic()
        logged, discount = logged_customers(e.log, e.customers), cfg.env.discount_per_day
        known = e.oracles if shop.slate_size == 1 else []
        same: dict[str, Any] = {"seed": e.seed, "discount_per_day": discount, "regret": e.regret}
        oracles = [(reference(name, shop, discount), _oracle_customers(name, e)) for name in known]
        lives = e.customers * len(policies) + sum(customers for _, customers in oracles)
        with (
            tqdm(total=lives, desc="evaluate", unit="life", unit_scale=True, file=sys.stderr) as bar,
            SessionWriter(folder / "sessions.parquet", shop) as writer,
            shared_work(cfg.executor) as executor,
        ):
            same |= {"progress": bar.update, "executor": executor}
            evaluated = {
                policy.name: evaluate(policy, shop, customers=e.customers, writer=writer, logged=logged, **same)
                for policy in policies
            }
            timing["evaluate"], clock = time.monotonic() - clock, time.monotonic()
            upper = {o.name: evaluate(o, shop, customers=customers, **same).totals for o, customers in oracles}
        timing["oracles"] = time.monotonic() - clock
        everybody = {name: evaluation.totals for name, evaluation in evaluated.items()}
        write_customers(folder / "customers.parquet", everybody | upper, traits(shop, e.customers, e.seed))

        # 5 tell
        references = {
            policy.name: value_per_customer(policy, shop, customers=training.CURVE_CUSTOMERS, seed=cfg.tune.seed)
            for policy in policies[1:]
        }
        report.plot_learning_curve(folder / "learning_curve.png", curve, agent.name, references)
        results = report.results(everybody, upper)
        results["guard_rails"] = {"by_emotion": {name: x.emotion_table() for name, x in evaluated.items()}}
        if "exact" in e.oracles:
            results["optimum"] = {"discounted_value": optimum(shop, discount)}
        timing["total"] = time.monotonic() - started
        summary = {
            "seed": cfg.seed, "env": shop.name, "agent": agent.name, "camera": plain["camera"],
            "customers": e.customers, "evaluation_seed": e.seed, "split_by": gallery.split_by, "rows": writer.rows,
            "log": {"customers": logged, "of": e.customers},
            "warm_start": None if warm is None else dataclasses.asdict(warm),
            "training_steps": agent.budget(cfg.steps), "deterministic": e.deterministic,
            "propensity_kind": {policy.name: policy.propensity_kind for policy in policies},
            "tuning": {p.name: p.tuning_ for p in policies if getattr(p, "tuning_", None)}, "curve": curve,
            "digests": {"shop": shop.digest, "gallery": gallery.digest, "catalog": shop.catalog.digest},
            "git": git, "versions": versions, "timing": {k: round(v, 2) for k, v in timing.items()}, **results,
        }  # fmt: skip
        report.dump_json(folder / "summary.json", summary)
        load_agent = built("load_agent", cfg.load_agent, cfg.trusted_targets)
        page = recording.replay_page(cfg.replay, folder, load_agent, shop, table, cfg.trusted_targets)
        recording.finish(tracked, plain, shop, agent, summary, folder, page)
    progress.clear()

    what = (
        f"{e.customers:,} customers, {faces}; agent {agent.name}, seed {cfg.seed}, camera {plain['camera']['emotion']}"
    )
    report.print_table(summary, agent.name, what)
    _point_latest(folder)
    shown = os.path.relpath(folder)
    print(f"{_log_note(summary)}; everything lies in {shown}  ({timing['total']:.0f} s)\n")
    print("next (in the environment: . .venv/bin/activate):")
    print("  make ui                                          the run in MLflow: parameters, curves, files")
    if page is not None:
        print(
            "  make replay                                      watch single customers, and what else could have been"
        )
    kept = [o for o in hydra.overrides.task if o.split("=")[0] not in ("agent", "camera", "seed", "resume")]
    again = shlex.join([f"agent={hydra.runtime.choices['agent']}", *kept])
    print(f"  python -m sim.run {again} camera=blind         the same without a camera: what is perception worth?")
    print(f"  python -m sim.run -m {again} 'seed=range(3)'   three seeds: how much is training luck?")
    if logged:
        print(f"  python -c \"import pandas; print(pandas.read_parquet('{shown}/sessions.parquet').head().T)\"")
    return float(results["policies"][agent.name]["value_per_customer"]["mean"])


def _oracle_customers(name: str, evaluate: Any) -> int:
    most = evaluate.planning_customers if name == "planning" else evaluate.oracle_customers
    return min(int(most), int(evaluate.customers))


def _log_note(summary: dict[str, Any]) -> str:
    log = summary["log"]
    if log["customers"] == 0:
        return "no opportunity logged (evaluate.log=none)"
    kept = (
        ""
        if log["customers"] == log["of"]
        else f" of the first {log['customers']:,} of {log['of']:,} customers of each policy"
    )
    return f"{summary['rows']:,} opportunities logged{kept}"


def _point_latest(folder: Path) -> None:
    """`outputs/latest` leads to the newest finished run; a file system without links goes without."""
    outputs = next((parent for parent in folder.parents if parent.name == "outputs"), None)
    if outputs is None:
        return
    fresh = outputs / f".latest-{os.getpid()}"
    try:
        fresh.symlink_to(folder.relative_to(outputs))
        os.replace(fresh, outputs / "latest")
    except OSError:
        fresh.unlink(missing_ok=True)


def main() -> None:
    """Entry point of `python -m sim.run` and `push-sim`."""
    arguments = sys.argv[1:]
    try:
        if any(a.startswith(("resume=", "hydra.run.dir=")) for a in arguments):
            from sim.resume import resolved

            arguments = resolved(arguments)
    except ConfigError as error:
        sys.exit(fail(error))
    sys.exit(run_command(run, "config", arguments))


if __name__ == "__main__":
    main()

"""What would another policy have earned on the customers of a log?

python -m sim.off_policy logs=latest policy=ppo
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sim.cli import run_command
from sim.off_policy.settings import OffPolicyConfig, validate
from sim.targets import joint

BY_BLOCK = "models were fitted within blocks of the log, and intervals are over groups of customers"


@dataclasses.dataclass(frozen=True)
class _Question:
    """A log with the target's probabilities, in blocks, and what is to be said about it."""

    blocks: Any
    customers: int
    single: bool
    labels: tuple[str, ...]
    policy: str
    behaviour: str
    what: str
    notes: list[str]
    truth: Any


def evaluate(cfg: Any) -> None:
    """The job, as a table of contents."""
    from hydra.core.hydra_config import HydraConfig

    from sim.evaluation.estimators.blocks import estimates_of_blocks
    from sim.off_policy import answer as answers
    from sim.off_policy.table import is_table
    from sim.tracking import Tracker

    folder = Path(cfg.out) if cfg.out else Path(HydraConfig.get().runtime.output_dir)
    question = _own_table(cfg, folder) if is_table(cfg.logs) else _own_run(cfg)
    found, diagnostics = estimates_of_blocks(
        question.blocks, tuple(cfg.estimators), customers=question.customers, single=question.single, labels=question.labels,
        unsupported=cfg.unsupported, model=cfg.model, discount=cfg.discount_per_day, folds=cfg.folds, level=cfg.level,
        resamples=cfg.resamples, seed=cfg.seed,
    )  # fmt: skip
    answer = answers.Answer(
        question.policy, question.behaviour, question.what, found, diagnostics, [*question.notes, *diagnostics.warnings()],
        question.truth, cfg.interval, cfg.level,
    )  # fmt: skip
    facts = {name: cfg[name] for name in ("logs", "model", "folds", "discount_per_day", "seed", "unsupported")}
    tracker = Tracker(cfg.tracking.uri, cfg.tracking.experiment, cfg.tracking.enabled)
    tags = {"policy": answer.policy, "behaviour": answer.behaviour}
    with tracker.run(name=f"off-policy-{answer.policy}", folder=folder, tags=tags, params=facts) as tracked:
        paths = answers.write(folder, answer, facts)
        tracked.metrics({f"off_policy/{e.name}": e.value for e in found})
        tracked.metrics({} if answer.truth is None else {"off_policy/truth": answer.truth["mean"]})
        tracked.metrics({f"overlap/{k}": v for k, v in dataclasses.asdict(diagnostics).items()})
        for path in paths:
            tracked.artifact(path)
    answers.print_answer(answer)
    print(f"picture {folder / 'off_policy.png'}; off_policy.json (every interval) and off_policy.csv beside it")


def _own_table(cfg: Any, folder: Path) -> _Question:
    """A user's own log."""
    from sim.evaluation.estimators.errors import OffPolicyError
    from sim.off_policy.own_log import saved_policy
    from sim.off_policy.partition import is_large
    from sim.off_policy.table import read_table

    path, policy = Path(cfg.logs).expanduser(), None
    if cfg.policy is not None:
        policy = saved_policy(cfg.policy, joint(cfg, "load_agent"))
        if policy is None:
            raise OffPolicyError(
                f"policy={cfg.policy}: no folder with agent.json; or leave it out and give target_probability_* columns"
            )
    if is_large(path):
        return _large_table(cfg, path, policy, folder)
    table = read_table(path, tuple(cfg.labels), policy)
    log = table.log
    if cfg.customers is not None:
        import numpy as np

        log = log.of(np.arange(min(cfg.customers, log.customers)))
    what = f"{len(log):,} decisions of {log.customers:,} customers"
    return _Question([log], log.customers, True, table.labels, "target" if policy is None else policy.name, path.name, what, [], None)


def _large_table(cfg: Any, path: Path, policy: Any | None, folder: Path) -> _Question:
    """A user's own log that is read in blocks."""
    from itertools import chain

    from sim.off_policy.partition import partition
    from sim.off_policy.table import checked

    parts = partition(path, folder, cfg.customers)
    tables = (checked(frame, path, tuple(cfg.labels), policy) for frame in parts.frames())
    first = next(tables)
    logs = (dataclasses.replace(table.log, longest=parts.longest) for table in chain([first], tables))
    blocks = _with_bar(logs, parts.rows)
    what, single = f"{parts.rows:,} decisions of {parts.customers:,} customers", len(parts.files) == 1
    notes = [] if single else [BY_BLOCK]
    name = "target" if policy is None else policy.name
    return _Question(blocks, parts.customers, single, first.labels, name, path.name, what, notes, None)


def _with_bar(blocks: Iterable[Any], rows: int) -> Iterator[Any]:
    """The blocks, with a bar of the rows that were estimated, on a terminal."""
    from tqdm import tqdm

    with tqdm(total=rows, desc="estimate", unit="row", unit_scale=True, leave=False, disable=None) as bar:
        for block in blocks:
            yield block
            bar.update(len(block))


def _own_run(cfg: Any) -> _Question:
    """The log of a run of this simulator."""
    from sim.evaluation.evaluate import evaluate as deploy
    from sim.evaluation.statistics import mean_interval
    from sim.off_policy import own_log
    from sim.tracking import default_uri

    run = own_log.find_run(cfg.logs, default_uri)
    policy = own_log.target_policy(run, cfg.policy, joint(cfg, "load_agent"), list(cfg.trusted_targets))
    own = own_log.read_own(run, cfg.behaviour, cfg.customers, list(cfg.trusted_targets))
    own_log.check_fits(policy, own.shop)
    notes = list(own.notes)
    if not own.single:
        notes.append(BY_BLOCK)
    if own.propensity_kind != "exact":
        notes.append(f"the propensities of {cfg.behaviour} are {own.propensity_kind}: their error is in no interval")
    truth = None
    if cfg.truth:
        met = deploy(
            policy,
            own.shop,
            customers=own.customers,
            seed=run.seed,
            discount_per_day=cfg.discount_per_day,
            regret=False,
        )
        truth = mean_interval(met.totals["discounted"], cfg.level)
    what = f"{own.rows:,} opportunities of {own.customers:,} customers of run {run.name}"
    blocks = _with_bar(own.for_target(policy), own.rows)
    return _Question(blocks, own.customers, own.single, own.shop.catalog.names, policy.name, cfg.behaviour, what, notes, truth)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m sim.off_policy`; exit code 2 for a wrong setting or log."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="off_policy_schema", node=OffPolicyConfig)
    return run_command(evaluate, "off_policy", arguments, check=validate)


if __name__ == "__main__":
    sys.exit(main())

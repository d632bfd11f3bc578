"""Which settings make an agent earn most?  A search with Optuna that can be stopped and goes on where it was.

Every trial trains the agent with other settings on a short budget and is worth the money per *tuning* customer of what it
learned (training faces, other customers than those it learned from; evaluation customers are never looked at).  Trials whose
learning curve runs below the median of the earlier ones at the same share of the budget are cut short (Golovin et al. 2017,
"Google Vizier", KDD).  Settings are proposed by the tree-structured Parzen estimator (Bergstra et al. 2011, NIPS); the first
trial is the agent as shipped.

All trials lie in one SQLite file: the same command goes on with the same search, also after kill -9 (a trial that is no longer
alive is marked failed half a minute later), and two commands at once share the work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.command import check_shop, run_main, shown
from sim.config import ConfigError, agents_known

if TYPE_CHECKING:
    from experiments.search_space import Space

CURVE = "learning/value_per_customer"
HEARTBEAT, GRACE = 10, 30  # seconds between signs of life of a trial, and after which one without is given up
WARM_UP = 5  # trials, and curve points of twelve, before anything is cut short


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a search understands; `shop` are overrides as in `python -m sim.run`."""

    agent: str = ""
    trials: int = 50
    seconds: int | None = None
    steps: int | None = None
    seeds: int = 1
    customers: int = 2000
    out: str = "outputs/tune"
    tracking: bool = True
    shop: tuple[str, ...] = ()


_RANGES = {
    "trials": (1, 10**6, "trials in all, those of earlier commands included"),
    "seconds": (1, 10**7, "stop after the trial that runs then; default: never"),
    "steps": (1, 10**9, "interactions of a trial; default: as in conf/search"),
    "seeds": (1, 100, "trainings of every trial, whose mean counts"),
    "customers": (2, 10**6, "tuning customers"),
}
USAGE = """  python -m experiments.tune agent=AGENT [key=value ...]

  agent=                   {agents} (conf/search)
{ranges}
  out={out:20} the database and the results
  tracking=mlflow          none: nothing in MLflow
  env.… camera.…           any setting of the shop"""


def usage() -> str:
    """The text of `--help`."""
    from experiments.search_space import searchable

    lines = []
    for name, (_, _, meaning) in _RANGES.items():
        default = getattr(Settings, name)
        lines.append(f"  {name + '=' + ('' if default is None else str(default)):24} {meaning}")
    text = USAGE.format(agents=", ".join(searchable()), ranges="\n".join(lines), out=Settings.out)
    return (__doc__ or "").strip() + "\n\n" + text


def parse(arguments: Sequence[str]) -> Settings:
    """Settings of a search from its command line.

    Raises
    ------
    sim.config.ConfigError
        A setting is unknown, missing or out of range.
    """
    given: dict[str, Any] = {}
    shop = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals:
            raise ConfigError(f"{argument!r} is no setting; write key=value, e.g. agent=ppo (see --help)")
        if name.split(".")[0] in ("env", "catalog", "population", "camera"):
            shop.append(argument)
        elif name in _RANGES:
            low, high, _ = _RANGES[name]
            if not text.replace("_", "").isdigit() or not low <= int(text) <= high:
                raise ConfigError(f"{name}={text}: give a whole number from {low} to {high}")
            given[name] = int(text)
        elif name == "tracking":
            if text not in ("mlflow", "none"):
                raise ConfigError(f"tracking={text}: choose mlflow or none")
            given[name] = text == "mlflow"
        elif name in ("agent", "out") and text:
            given[name] = text
        else:
            raise ConfigError(f"there is no setting {argument!r}; known are agent, out, tracking, {', '.join(_RANGES)}, env.…")
    if given.get("agent") not in agents_known():
        raise ConfigError(f"agent={given.get('agent', '')}: name the agent to tune, one of {', '.join(agents_known())}")
    return Settings(**given, shop=tuple(shop))


# ---------------------------------------------------------------------- the search
class TrialFailed(Exception):  # noqa: N818  named as Optuna's TrialPruned
    """Settings that do not go together, or numbers that ran away: this trial is lost, the search goes on."""


def open_study(settings: Settings, space: Space, heartbeat: int = HEARTBEAT, grace: int = GRACE) -> Any:
    """The Optuna study of these settings, new or as it was left; trials that died are marked failed.

    Its name holds a digest of all that decides what a trial is worth, so that nothing else is mixed in.
    """
    import optuna

    from experiments.cells import digest, shop_values
    from sim.training import agent_config

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    config: Any = agent_config(settings.agent)
    own = {name: value for name, value in config.items() if name not in {each.name for each in space.ranges}}
    key = digest(
        [own, dataclasses.asdict(space), shop_values(settings.shop), settings.seeds, settings.customers],
    )
    folder = Path(settings.out).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{folder / 'tune.db'}", heartbeat_interval=heartbeat, grace_period=grace,
        engine_kwargs={"connect_args": {"timeout": 60}},
    )  # fmt: skip
    name = f"{settings.agent}-{key}"
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))  # goes on differently, but each time alike
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=WARM_UP, n_warmup_steps=WARM_UP)
    optuna.storages.fail_stale_trials(study)
    if not study.trials and (first := space.shipped(config)) is not None:
        study.enqueue_trial(first)
    return study


def objective(settings: Settings, space: Space, run_of: Callable[[int, dict[str, Any]], Any]) -> Callable[[Any], float]:
    """Money per tuning customer of a trial; `run_of(number, values)` is the run that it is tracked in."""
    import optuna
    from omegaconf import OmegaConf

    from experiments.cells import TUNE_SEED
    from sim import training
    from sim.evaluation.rollout import value_per_customer
    from sim.shop.scenarios import load_shop

    shop = load_shop(settings.shop)

    def worth(trial: Any) -> float:
        try:
            return trained(trial)
        except optuna.TrialPruned:
            raise
        except Exception as error:
            if not hasattr(error, "exit_code"):
                raise
            print(f"trial {trial.number} failed: {error}", file=sys.stderr)
            raise TrialFailed(str(error)) from error

    def trained(trial: Any) -> float:
        values = space.suggest(trial)
        config: Any = OmegaConf.merge(training.agent_config(settings.agent), values)
        found = []
        with run_of(trial.number, values) as run:
            for seed in range(settings.seeds):
                agent = training.build_agent(config, shop, seed, [])
                budget = agent.budget(space.steps)

                def note(step: int, metrics: dict[str, float], seed: int = seed, budget: int = budget) -> None:
                    run.metrics({f"{name}" if seed == 0 else f"seed{seed}/{name}": v for name, v in metrics.items()}, step)
                    if seed == 0 and CURVE in metrics:
                        trial.report(metrics[CURVE], training.CURVE_POINTS * min(step, budget) // budget)
                        if trial.should_prune():
                            run.tags({"state": "pruned"})
                            raise optuna.TrialPruned

                with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # the search has its own bar
                    tune = (settings.customers, TUNE_SEED)
                    training.train(agent, shop, steps=space.steps, tune=tune, report=note, with_curve=True)
                found.append(value_per_customer(agent, shop, customers=settings.customers, seed=TUNE_SEED))
            run.metrics({"tune/value_per_customer": sum(found) / len(found)})
        return sum(found) / len(found)

    return worth


def search(settings: Settings) -> None:
    """Run what is missing, and tell."""
    import optuna
    from tqdm import tqdm

    from experiments.search_space import read_space
    from sim.tracking import Tracker
    from sim.training import agent_config

    started = time.monotonic()
    config: Any = agent_config(settings.agent)
    space = read_space(settings.agent, config)
    space = dataclasses.replace(space, steps=settings.steps or space.steps)
    study = open_study(settings, space)
    folder = Path(settings.out).resolve() / study.study_name
    done = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)

    def finished() -> int:
        return len(study.get_trials(deepcopy=False, states=done))

    tracker = Tracker(None, "tune", settings.tracking)
    params = {"agent": settings.agent, "steps": space.steps, "seeds": settings.seeds, "customers": settings.customers}
    with (
        tracker.run(f"tune-{settings.agent}", folder=folder / f"search-{int(time.time())}-{os.getpid()}",
                    tags={"kind": "tune", "study": study.study_name}, params=params) as parent,
        tqdm(total=settings.trials, initial=min(finished(), settings.trials), unit="trial", file=sys.stderr) as bar,
    ):  # fmt: skip

        def run_of(number: int, values: dict[str, Any]) -> Any:
            names = {f"agent.{name}": value for name, value in values.items()}
            return _forgiving(
                tracker.run(f"trial-{number}", folder=folder / f"trial-{number}", params=params | names,
                            tags={"kind": "trial"}, parent=parent.run_id)
            )  # fmt: skip

        worth = objective(settings, space, run_of)
        failures = 0
        while finished() < settings.trials:
            spent = time.monotonic() - started
            if settings.seconds is not None and spent >= settings.seconds:
                break
            study.optimize(worth, n_trials=1, catch=(TrialFailed,))
            failures += study.trials[-1].state == optuna.trial.TrialState.FAIL
            if failures > WARM_UP and failures > finished():
                raise ConfigError(f"{failures} trials failed and {finished()} did not; see conf/search/{settings.agent}.yaml")
            bar.update(min(finished(), settings.trials) - bar.n)
            if _complete(study):
                bar.set_postfix_str(f"best {study.best_value:.2f} a customer")
        optuna.storages.fail_stale_trials(study)
        if _complete(study):
            parent.metrics({"tune/best_value_per_customer": study.best_value, "tune/trials": finished()})
            parent.params({f"best.{name}": value for name, value in study.best_params.items()})
            parent.artifact(write(folder, study, settings))
    tell(folder, study, settings)


class _forgiving:  # noqa: N801  a context manager, named as contextlib's are
    """A run that ends FINISHED when its trial was pruned: cutting it short is no failure."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def __enter__(self) -> Any:
        return self._run.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None and kind.__name__ == "TrialPruned":
            kind = error = trace = None
        self._run.__exit__(kind, error, trace)


def _complete(study: Any) -> bool:
    import optuna

    return bool(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))


# ---------------------------------------------------------------------- the answer
def overrides(values: dict[str, Any]) -> list[str]:
    """Settings as a user would type them, to four digits."""
    return [f"agent.{name}={value:.4g}" if isinstance(value, float) else f"agent.{name}={value}" for name, value in values.items()]


def write(folder: Path, study: Any, settings: Settings) -> Path:
    """trials.json: every trial with its values, its curve and its end."""
    from sim.report import dump_json

    trials = [
        {"number": t.number, "state": t.state.name, "value": t.value, "params": t.params,
         "curve": {str(k): v for k, v in sorted(t.intermediate_values.items())}}
        for t in study.trials
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    best = overrides(study.best_params)
    dump_json(folder / "trials.json", {"settings": dataclasses.asdict(settings), "best": best, "trials": trials})
    return folder / "trials.json"


def tell(folder: Path, study: Any, settings: Settings) -> None:
    """The best trials, and what to paste."""
    from experiments.report import print_table

    states = [t.state.name for t in study.trials]
    counted = ", ".join(f"{states.count(s)} {s.lower()}" for s in ("COMPLETE", "PRUNED", "FAIL", "RUNNING") if s in states)
    if not _complete(study):
        print(f"no trial is complete yet ({counted}); the same command goes on")
        return
    ranked = sorted((t for t in study.trials if t.state.name == "COMPLETE"), key=lambda t: -t.value)
    names = list(ranked[0].params)
    rows = [[str(t.number), f"{t.value:.2f}", *(_short(t.params[n]) for n in names)] for t in ranked[:5]]
    print_table(f"{settings.agent}: best of {counted}; value per tuning customer", ["trial", "value", *names], rows)
    shipped = next((t.value for t in ranked if t.number == 0), None)
    if shipped is not None:
        print(f"as shipped (trial 0): {shipped:.2f}. The best of many is also the luckiest of them: confirm it with other seeds.")
    print(f"all trials: {shown(folder / 'trials.json')}; to use the best, and to measure it on customers that no trial met:")
    print(f"  python -m sim.run agent={settings.agent} {' '.join(overrides(study.best_params))}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)

    def job() -> None:
        settings = parse(arguments)
        from experiments.search_space import read_space
        from sim.training import agent_config

        read_space(settings.agent, agent_config(settings.agent))
        check_shop(settings.shop)
        try:
            import optuna  # noqa: F401
        except ImportError:
            raise ConfigError("experiments.tune needs Optuna: pip install 'product-push-simulator[tune]'") from None
        search(settings)

    return run_main(usage, job, arguments)


if __name__ == "__main__":
    sys.exit(main())

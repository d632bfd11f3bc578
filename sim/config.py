"""The configuration of a run: schema, validation, and what may be instantiated from it.

The YAML groups in `conf/` hold the values; the dataclasses here hold types, so that `seed=abc` is refused before any work.
Ranges and rules that span fields are checked by `validate`.  Nothing heavy is imported: a bad value is answered at once.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sim.executors.settings import check_settings as check_executor
from sim.replay.settings import PageSettings, check_settings
from sim.shop import parameters as p
from sim.shop.parameters import MISSING, ShopError
from sim.targets import check_targets

ROOT = p.CONF.parent
CONF = p.CONF


class ConfigError(ValueError):
    """Wrong configuration: the message says what, where and what to do."""

    exit_code = 2


@dataclasses.dataclass
class EnvConfig:
    name: str = MISSING
    strict_mask: bool = MISSING
    slate_size: int = MISSING
    discount_per_day: float = MISSING
    choice: p.ChoiceParams = MISSING
    affect: p.AffectParams = MISSING
    fatigue: p.FatigueParams = MISSING
    satiation: p.SatiationParams = MISSING
    returning: p.ReturningParams = MISSING
    taste: p.TasteParams = MISSING
    budget: p.BudgetParams = MISSING
    reward: p.RewardParams = MISSING
    delay: p.DelayParams = MISSING
    refunds: p.RefundParams = MISSING
    availability: p.AvailabilityParams = MISSING
    till: p.TillParams = MISSING
    twin: p.TwinParams = MISSING
    long_term: p.LongTermParams = MISSING
    organic: p.OrganicParams = MISSING


@dataclasses.dataclass
class CatalogConfig:
    path: str = MISSING


@dataclasses.dataclass
class CameraConfig:
    emotion: str = MISSING
    identity: str = MISSING
    mask: str = MISSING
    noise: float = MISSING
    expression_width: float = MISSING


@dataclasses.dataclass
class PopulationConfig:
    gallery: str | None = None
    consent: bool = False
    weights: str | None = None
    cache: str | None = None
    seed: int = MISSING
    evaluation_share: float = MISSING
    loader: dict[str, Any] = dataclasses.field(default_factory=dict)
    traits: p.PopulationParams = MISSING


@dataclasses.dataclass
class CustomersConfig:
    """How many customers, of which seed."""

    customers: int = MISSING
    seed: int = MISSING


@dataclasses.dataclass
class EvaluateConfig(CustomersConfig):
    deterministic: bool = False
    log: Any = MISSING
    regret: bool = MISSING
    oracles: list[str] = MISSING
    oracle_customers: int = MISSING
    planning_customers: int = MISSING


@dataclasses.dataclass
class TrackingConfig:
    enabled: bool = True
    uri: str | None = None
    experiment: str = MISSING


@dataclasses.dataclass
class CheckpointConfig:
    """How often a run that learns is kept."""

    seconds: float | None = MISSING
    keep: int = MISSING


@dataclasses.dataclass
class WarmStartConfig:
    """Whose log learning begins with (`sim.warm_start`)."""

    log: str | None = None
    behaviour: str = MISSING
    customers: int | None = None


@dataclasses.dataclass
class ExecutorConfig:
    """Where work that can be shared is done (`sim.executors`); it never changes a result."""

    name: str = "serial"
    workers: int | None = None
    address: str | None = None


@dataclasses.dataclass
class RunConfig:
    """What `python -m sim.run` understands."""

    seed: int = MISSING
    steps: int | None = None
    agent: dict[str, Any] = dataclasses.field(default_factory=dict)
    baselines: list[str] = MISSING
    env: EnvConfig = MISSING
    catalog: CatalogConfig = MISSING
    population: PopulationConfig = MISSING
    camera: CameraConfig = MISSING
    evaluate: EvaluateConfig = MISSING
    tune: CustomersConfig = MISSING
    tracking: TrackingConfig = MISSING
    checkpoint: CheckpointConfig = MISSING
    warm_start: WarmStartConfig = MISSING
    resume: str | None = None
    replay: PageSettings = MISSING
    executor: ExecutorConfig = dataclasses.field(default_factory=ExecutorConfig)
    trusted_targets: list[str] = dataclasses.field(default_factory=list)
    load_agent: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class ReferenceConfig:
    """Policies at normalised scores 0 and 1."""

    low: str | None = None
    high: str | None = None


@dataclasses.dataclass
class CompareConfig:
    """What `python -m sim.compare` understands."""

    runs: list[str] = dataclasses.field(default_factory=list)
    agents: list[str] = dataclasses.field(default_factory=list)
    seeds: int = MISSING
    overrides: list[str] = dataclasses.field(default_factory=list)
    metric: str = MISSING
    reference: ReferenceConfig = MISSING
    seed: int = MISSING
    out: str | None = None
    tracking: TrackingConfig = MISSING


def register_schemas() -> None:
    """Make the schemas known to Hydra under the names that `conf/*.yaml` list first."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="run_schema", node=RunConfig)
    store.store(name="compare_schema", node=CompareConfig)


def agents_known() -> list[str]:
    """Names of `conf/agent/*.yaml`."""
    return sorted(path.stem for path in (CONF / "agent").glob("*.yaml"))


def _within(name: str, number: float, low: float, high: float) -> None:
    if not low <= number <= high:
        raise ConfigError(f"{name}={number} is out of range; allowed is {low} to {high}")


def validate(cfg: Any) -> None:
    """Check ranges and rules that types cannot express.

    Raises
    ------
    ConfigError, ShopError
        One sentence that names the setting and what it may be.
    """
    from omegaconf import OmegaConf

    from sim.shop.catalog import read_catalog

    biggest = 2**32 - 1
    for name in ("seed", "evaluate.seed", "tune.seed", "population.seed"):
        _within(name, OmegaConf.select(cfg, name), 0, biggest)
    if cfg.steps is not None:
        _within("steps", cfg.steps, 1, 10**12)
    _within("evaluate.customers", cfg.evaluate.customers, 2, 10**9)
    _within("tune.customers", cfg.tune.customers, 2, 10**7)
    _within("population.evaluation_share", cfg.population.evaluation_share, 0.01, 0.9)
    _within("env.discount_per_day", cfg.env.discount_per_day, 0.0, 1.0)
    if cfg.checkpoint.seconds is not None:
        _within("checkpoint.seconds", cfg.checkpoint.seconds, 0, 10**9)
    _within("checkpoint.keep", cfg.checkpoint.keep, 1, 10**6)
    if cfg.warm_start.customers is not None:
        _within("warm_start.customers", cfg.warm_start.customers, 1, 10**9)
    if cfg.warm_start.log == "latest":
        raise ConfigError("warm_start.log=latest would be another run when this one is resumed; name its folder or its MLflow id")
    _check_evaluate(cfg.evaluate, twin=cfg.env.twin.twin > 0)
    known = agents_known()
    for name in cfg.baselines:
        if name not in known:
            raise ConfigError(f"baselines: {name!r} is no agent; choose from {', '.join(known)}")
    catalog = read_catalog(p.catalog_path(cfg.catalog.path))
    gallery = cfg.population.gallery
    if gallery is not None and not Path(gallery).is_dir():
        raise ConfigError(
            f"population.gallery={gallery}: no such folder; give a folder with one sub-folder of pictures per customer"
        )
    if gallery is not None and not cfg.population.consent:
        raise ConfigError(
            f"population.gallery={gallery} may show real people, and faces are biometric data: if they agreed to be recognised, "
            "say so with population.consent=true; without it only the rendered personas are used"
        )
    env, population, camera = (
        OmegaConf.to_container(cfg[name], resolve=True) for name in ("env", "population", "camera")
    )
    p.read_all(env, population, camera)  # type: ignore[arg-type]
    p.slate_size(env, len(catalog.names))  # type: ignore[arg-type]
    check_settings(cfg.replay)
    check_executor(cfg.executor.name, cfg.executor.workers, cfg.executor.address)
    for where in ("agent", "load_agent", "population.loader"):
        check_targets(where, OmegaConf.select(cfg, where), cfg.trusted_targets)


def validate_compare(cfg: Any) -> None:
    """Check the settings of a comparison.

    Raises
    ------
    ConfigError
        One sentence that names the setting and what it may be.
    """
    if not cfg.runs and not cfg.agents:
        raise ConfigError(
            "there is nothing to compare; give runs=[latest] or run folders, or agents=[ppo,linucb] to train now"
        )
    known = agents_known()
    for name in cfg.agents:
        if name not in known:
            raise ConfigError(f"agents: {name!r} is no agent; choose from {', '.join(known)}")
    _within("seeds", cfg.seeds, 1, 1000)
    _within("seed", cfg.seed, 0, 2**32 - 1)


ORACLES = ("myopic", "priced", "planning", "exact")  # sim.evaluation.oracle.references


def _check_evaluate(evaluate: Any, twin: bool) -> None:
    log = evaluate.log
    if log not in ("auto", "all", "none") and (isinstance(log, bool) or not isinstance(log, int) or log < 1):
        raise ConfigError(
            f"evaluate.log={log} is unknown; choose auto, all, none, or how many customers to log (1 or more)"
        )
    for name in ("oracle_customers", "planning_customers"):
        _within(f"evaluate.{name}", evaluate[name], 2, 10**9)
    for name in evaluate.oracles:
        if name not in ORACLES:
            raise ConfigError(
                f"evaluate.oracles: {name!r} is no oracle; choose from {', '.join(ORACLES)}, or [] for none"
            )
        if name == "exact" and not twin:
            raise ConfigError(
                "evaluate.oracles: only the twin can be solved exactly; use env=twin, or myopic, priced, planning"
            )


__all__ = ["CONF", "ROOT", "ConfigError", "RunConfig", "ShopError", "register_schemas", "validate"]

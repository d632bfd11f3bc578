"""What `python -m sim.calibrate` understands: `conf/calibrate.yaml` as checked values, and the text of `--help`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.calibration.errors import LogError
from sim.shop.parameters import CONF, catalog_path

HELP = """Fit the shop to your own push log, and write a scenario of it.

  python -m sim.calibrate logs=pushes.csv                      a CSV or Parquet, one row per push
  python -m sim.calibrate logs=outputs/latest/sessions.parquet policy=random      a log of our own runs
  python -m sim.calibrate logs=pushes.csv catalog.path=labels.csv                 with tone, pressure or taste of the labels

Columns of the log (any order, others are ignored):
  customer    any id                          time     ISO 8601 (2024-05-31T18:20:00) or a day number; same day = same visit
  label       what was pushed; empty or none = held back        price    asked for it, above zero (empty where held back)
  clicked, bought, opted_out     0/1 or true/false; bought needs clicked; opted_out is a customer's last row
  margin      optional, money earned by a sale                  step     optional, order of rows with the same time
  perceived_emotion_angry ... perceived_emotion_neutral         optional, all seven, 0 to 1; perceived_mask optional

Settings (key=value):
  policy=NAME             which policy's rows of a sessions.parquet
  out=outputs/calibration report.md, calibration.json, parameters.csv, calibration.png, catalog.csv, env/calibrated.yaml
  customers=3000          fitted to               held_out=.25    share of customers kept for the held-out log-likelihood
  draws=64                of hidden traits        opportunities=60  of each life
  simulated_customers=4000, margin_share=.5, max_rows=20000000, seed=0, prior.NAME=...
  env=..., population.traits...., catalog.path=FILE       where fitting starts, and what is held

What is fitted, how, and what such a log cannot tell: docs/calibration.md"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Checked settings; `shop` holds the plain configuration groups env, catalog, population and camera."""

    logs: Path
    policy: str | None
    out: Path
    seed: int
    customers: int
    held_out: float
    draws: int
    opportunities: int
    max_rows: int
    simulated_customers: int
    margin_share: float
    prior: dict[str, float]
    shop: dict[str, Any]
    catalog: Path
    own_catalog: bool  # catalog.path was given


_RANGES: dict[str, tuple[type, float, float]] = {
    "seed": (int, 0, 2**32 - 1),
    "customers": (int, 20, 10**6),
    "held_out": (float, 0.05, 0.8),
    "draws": (int, 16, 4096),
    "opportunities": (int, 2, 1000),
    "max_rows": (int, 100, 10**10),
    "simulated_customers": (int, 100, 10**6),
    "margin_share": (float, 0.0, 1.0),
}


def _number(name: str, value: Any) -> Any:
    kind, low, high = _RANGES[name]
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and (kind is float or value == int(value))
    if not fine or not low <= value <= high:
        what = "a whole number" if kind is int else "a number"
        raise LogError(f"{name}={value} is not possible; give {what} from {low:g} to {high:g}")
    return kind(value)


def read_settings(overrides: Sequence[str]) -> Settings:
    """Compose `conf/calibrate.yaml` with `overrides` and check it, before anything heavy is imported.

    Raises
    ------
    LogError, ShopError, or an exception of Hydra
        A setting is unknown, out of range, or names a file that is not there.
    """
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from sim.shop.parameters import read_all

    for text in overrides:
        if "=" not in text:
            raise LogError(f"{text!r} is no setting; write key=value, e.g. logs=pushes.csv (see --help)")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("calibrate", list(overrides))
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    if plain["logs"] is None:
        raise LogError("logs is missing; give the push log, e.g. logs=pushes.csv (see --help)")
    logs = Path(str(plain["logs"]))
    if not logs.exists():
        raise LogError(f"logs={logs}: no such file or folder")
    numbers = {name: _number(name, plain[name]) for name in _RANGES}
    for name, width in plain["prior"].items():
        if not isinstance(width, (int, float)) or isinstance(width, bool) or not 0 < width < 1e6:
            raise LogError(f"prior.{name}={width} is not possible; give a standard deviation above 0")
    shop = {name: plain[name] for name in ("env", "catalog", "population", "camera")}
    read_all(shop["env"], shop["population"], shop["camera"])
    _refuse_what_is_not_fitted(shop["env"])
    out = Path(str(plain["out"]))
    if out.exists() and not out.is_dir():
        raise LogError(f"out={out}: is a file; give a folder")
    return Settings(
        logs=logs,
        policy=None if plain["policy"] is None else str(plain["policy"]),
        out=out,
        prior=plain["prior"],
        shop=shop,
        catalog=catalog_path(shop["catalog"]["path"]),
        own_catalog=any(text.startswith("catalog") for text in overrides),
        **numbers,
    )


def _refuse_what_is_not_fitted(env: dict[str, Any]) -> None:
    """Mechanisms under which a logged life no longer tells the hidden state."""
    taste = env["taste"]
    if env["twin"]["twin"] > 0:
        raise LogError(
            "env.twin.twin=1: the tabular twin is an exact fixture and cannot be fitted; start from env=shop"
        )
    if max(taste["taste_click_rate"], taste["taste_ignore_rate"], taste["taste_noise"]) > 0:
        raise LogError(
            "env.taste: drifting taste cannot be fitted to a log; set its rates to 0 here and add them to the scenario later"
        )

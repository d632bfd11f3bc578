"""The fitted shop as a scenario: `env/calibrated.yaml` for Hydra and `catalog.csv`, to be run at once.

python -m sim.run --config-dir FOLDER env=calibrated catalog.path=FOLDER/catalog.csv
"""

from __future__ import annotations

import copy
import shlex
from pathlib import Path
from typing import Any

from sim.calibration.identification import Estimate


def rounded(value: float) -> float:
    """To six significant digits: what is written is what is simulated."""
    return float(f"{value:.6g}")


def fitted_groups(
    shop: dict[str, Any], rows: list[Estimate], visits: dict[str, float], catalog: Path
) -> dict[str, Any]:
    """The configuration groups of `shop` with the fitted values, the log's visits and the catalog put in."""
    groups = copy.deepcopy(shop)
    groups["env"]["name"] = "calibrated"
    groups["catalog"]["path"] = str(catalog)
    groups["env"]["returning"].update(visits)
    for row in rows:
        if row.name.startswith("appeal["):
            continue
        group, section, name = row.setting.split(".")
        groups[group][section][name] = rounded(row.fitted)
    return groups


def run_command(folder: Path) -> str:
    """The command that trains in the fitted shop."""
    shown = shlex.quote(str(folder))
    return (
        f"python -m sim.run --config-dir {shown} env=calibrated catalog.path={shlex.quote(str(folder / 'catalog.csv'))}"
    )


def _shipped() -> dict[str, Any]:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from sim.shop.parameters import CONF

    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("calibrate"), resolve=True)  # type: ignore[return-value]


def to_yaml(
    groups: dict[str, Any], rows: list[Estimate], visits: dict[str, float], folder: Path, provenance: list[str]
) -> str:
    """`env/calibrated.yaml`: the default shop, and every value that differs from it with what is known of it."""
    from omegaconf import OmegaConf

    shipped, known = _shipped(), {row.setting: row for row in rows}
    seen = {f"env.returning.{name}" for name in visits}
    lines = ["# @package _global_", *(f"# {line}" for line in provenance), f"#   {run_command(folder)}"]
    lines += ["defaults:", "  - /env/shop@env", "  - _self_", *_yaml({"catalog": groups["catalog"]}, OmegaConf), "env:"]
    lines += ["  name: calibrated"]
    for section, values in groups["env"].items():
        if not isinstance(values, dict):
            if section != "name" and values != shipped["env"][section]:
                lines.append(f"  {section}: {values}")
            continue
        lines += _section(f"env.{section}", values, shipped["env"][section], known, seen, "  ")
    traits = _section(
        "population.traits", groups["population"]["traits"], shipped["population"]["traits"], known, seen, "  "
    )
    if traits:
        lines += ["population:", *traits]
    return "\n".join(lines) + "\n"


def _yaml(value: dict[str, Any], omega: Any) -> list[str]:
    return omega.to_yaml(omega.create(value)).rstrip().split("\n")


def _section(
    where: str, values: dict[str, Any], shipped: dict[str, Any], known: dict[str, Estimate], seen: set[str], indent: str
) -> list[str]:
    """Lines of one group: what was fitted, was read off the log, or differs from the shipped shop."""
    lines = []
    for name, value in values.items():
        row = known.get(f"{where}.{name}")
        if row is not None:
            what = {
                "yes": "fitted",
                "weakly": "fitted, weakly identified",
                "no": "hardly identified: mostly the starting value",
            }
            note = f"{what[row.verdict]}; 95 % {row.low:.4g} to {row.high:.4g}; started at {row.start:.4g}"
        elif f"{where}.{name}" in seen:
            note = "as the log shows"
        elif value != shipped[name]:
            note = "held, as given to the fit"
        else:
            continue
        lines.append(f"{indent}  {name}: {value!r}  # {note}")
    return [f"{indent}{where.rpartition('.')[2]}:", *lines] if lines else []

"""The shop of a run, built again from the configuration that the run kept, and whether two runs can share a page."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sim.replay.errors import ReplayError
from sim.replay.runs import Run
from sim.shop.parameters import slate_size
from sim.shop.scenarios import build_shop
from sim.shop.world import Shop
from sim.targets import built


def build_run_shop(run: Run, trusted: list[str]) -> tuple[Shop, pd.DataFrame]:
    """The shop as configured, and its gallery's feature table.

    Raises
    ------
    ReplayError
        Something that the run was made with is no longer there, or its gallery is read by code that is not trusted.
    """
    try:
        population = dict(run.config["population"])
        table = built("population.loader", population["loader"], trusted)(
            population["gallery"], population["consent"], weights=population["weights"], cache=population["cache"]
        )
        groups: dict[str, Any] = {name: run.config[name] for name in ("env", "catalog", "population", "camera")}
        shop = build_shop(**groups, table=table)
        check_single(run, shop.labels)
        return shop, table
    except ReplayError:
        raise
    except Exception as error:
        if not (hasattr(error, "exit_code") or isinstance(error, (KeyError, OSError, TypeError))):
            raise
        raise ReplayError(f"the shop of run {run.name} cannot be built again ({error})") from None


def check_single(run: Run, labels: int) -> None:
    """Refuse a run that pushed slates of a catalog of so many labels: its log does not say all that living it again takes, and a page of
    first labels would mislead.

    Raises
    ------
    ReplayError
    """
    size = slate_size(run.config.get("env") or {}, labels)
    if size > 1:
        raise ReplayError(
            f"run {run.name} pushed slates of up to {size} labels, and the session player shows single pushes; "
            "read its sessions.parquet (column slate), or replay a run with env.slate_size=1"
        )


def check_pair(a: Run, b: Run) -> list[str]:
    """Refuse two runs whose customers are not the same people with the same luck; returns what else differs.

    The camera may differ: what another camera would have shown the shop is a fair question about the same customer.

    Raises
    ------
    ReplayError
        Names what differs.
    """
    for what, first, second in (
        ("evaluation seed", a.seed, b.seed),
        ("catalog", _digest(a, "catalog"), _digest(b, "catalog")),
        ("gallery", _digest(a, "gallery"), _digest(b, "gallery")),
        ("customer model (env)", a.config.get("env"), b.config.get("env")),
        ("traits (population)", (a.config.get("population") or {}).get("traits"), (b.config.get("population") or {}).get("traits")),
    ):  # fmt: skip
        if first != second:
            shown = "" if isinstance(first, dict) else f" ({first} and {second})"
            raise ReplayError(
                f"runs {a.name} and {b.name} cannot be shown beside each other: their {what} differs{shown}, "
                "so their customers are not the same people with the same luck"
            )
    camera_a, camera_b = a.config.get("camera"), b.config.get("camera")
    if camera_a != camera_b:
        return [f"The two policies look through different cameras: {_camera(camera_a)} and {_camera(camera_b)}."]
    return []


def _digest(run: Run, name: str) -> Any:
    return (run.summary.get("digests") or {}).get(name)


def _camera(camera: Any) -> str:
    return ", ".join(f"{k} {camera.get(k)}" for k in ("emotion", "identity", "mask")) if camera else "unknown"

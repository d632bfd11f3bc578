"""Command line of a study: `key=value` settings of its own, every other `group.key=value` an override of the shop.

Nothing heavy is imported: `--help` and a wrong setting answer at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sim.cli import fail
from sim.config import CONF, ROOT, ConfigError
from sim.executors.settings import check_settings as check_executor

_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_SHOP = ("env", "catalog", "population")  # groups of the shop that a study leaves to the user; the camera is the study's


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every study understands.

    Attributes
    ----------
    shop : tuple of str
        Overrides of the shop as in `python -m sim.run`, e.g. `env.reward.push_price=.1`.
    """

    seeds: int = 3
    steps: int | None = None
    customers: int = 4000
    workers: int = 2
    executor: str = "process"
    address: str | None = None
    out: str = "outputs/experiments"
    publish: bool = False
    shop: tuple[str, ...] = ()


# name -> (smallest, largest, meaning); the defaults stand in Settings
_RANGES: dict[str, tuple[int, int, str]] = {
    "seeds": (1, 100, "trainings of every agent; 2 or more give an interval over training luck"),
    "steps": (1, 10**9, "training interactions; default: the agent's own budget (conf/agent)"),
    "customers": (2, 10**6, "evaluation customers, the same ones for everybody, faces that training never showed"),
    "workers": (1, 64, "cells at a time, each on one thread"),
}
_LONG = {"executor.workers": "workers", "executor.address": "address"}  # as in `python -m sim.run`


def usage(module: str, question: str, defaults: Settings | None = None) -> str:
    """The text of `--help`; `defaults` where a study has its own."""
    defaults = defaults or Settings()
    lines = [question.strip(), "", f"  python -m {module} [key=value ...]", ""]
    for name, (_, _, meaning) in _RANGES.items():
        default = getattr(defaults, name)
        lines.append(f"  {name + '=' + ('' if default is None else str(default)):24} {meaning}")
    lines += [
        f"  {'executor=' + defaults.executor:24} serial, process, or ray (then executor.address=HOST:PORT of a cluster)",
        f"  {'out=' + Settings.out:24} policies, cells, results.json and the figure; a killed study resumes from there",
        f"  {'publish=false':24} true: also copy the figure to docs/",
        f"  {'env.… catalog.…':24} any setting of the shop, e.g. env.choice.emotion_scale=.5 population.seed=1",
    ]
    return "\n".join(lines)


def parse(arguments: Sequence[str], defaults: Settings | None = None) -> Settings:
    """Settings of a study from its command line; what is not given is as in `defaults`.

    Raises
    ------
    sim.config.ConfigError, sim.executors.ExecutorError
        A setting is unknown, given twice, not of its type or out of range.
    """
    given: dict[str, Any] = {}
    shop: list[str] = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name:
            raise ConfigError(f"{argument!r} is no setting; write key=value, e.g. seeds=3 (see --help)")
        if name.split(".")[0] in _SHOP:
            shop.append(argument)
            continue
        name = _LONG.get(name, name)
        if name in given:
            raise ConfigError(f"{name} is given twice; give it once")
        given[name] = _value(name, text)
    settings = dataclasses.replace(defaults or Settings(), **given, shop=tuple(shop))
    check_executor(settings.executor, settings.workers, settings.address)
    return settings


def _value(name: str, text: str) -> Any:
    if name in _RANGES:
        low, high, _ = _RANGES[name]
        if name == "steps" and text in ("null", ""):
            return None
        try:
            number = int(text.replace("_", ""))
        except ValueError:
            example = getattr(Settings, name) or 100_000
            raise ConfigError(f"{name}={text} is not a whole number; e.g. {name}={example}") from None
        if not low <= number <= high:
            raise ConfigError(f"{name}={number} is out of range; allowed is {low} to {high}")
        return number
    if name == "publish":
        if text.lower() not in _TRUE + _FALSE:
            raise ConfigError(f"publish={text} is neither true nor false")
        return text.lower() in _TRUE
    if name == "out":
        if not text:
            raise ConfigError(f"out= is empty; give a folder, e.g. out={Settings.out}")
        return text
    if name in ("executor", "address"):
        return text or None
    if name.split(".")[0] == "camera":
        raise ConfigError(f"{name} is what the study varies or holds fixed itself; leave it out")
    known = [*_RANGES, "executor", "executor.address", "out", "publish"]
    close = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}, {', '.join(_SHOP)}"
    raise ConfigError(f"there is no setting {name!r}; {advice}")


def check_shop(overrides: Sequence[str]) -> None:
    """Compose and check the shop of these overrides, before anything heavy is imported.

    Raises
    ------
    sim.shop.parameters.ShopError, sim.config.ConfigError, hydra and omegaconf exceptions
        A setting is unknown or out of range.
    """
    if not overrides:
        return
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from sim.shop.parameters import catalog_path, read_all

    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("shop", list(overrides))
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    read_all(plain["env"], plain["population"], plain["camera"])
    if not catalog_path(plain["catalog"]["path"]).is_file():
        raise ConfigError(f"catalog.path={plain['catalog']['path']}: no such file; give a CSV of label,price,margin")


def main(
    module: str,
    question: str,
    study: Callable[[Settings], None],
    arguments: Sequence[str] | None = None,
    defaults: Settings | None = None,
) -> int:
    """Run `study(settings)` and return the exit code: 0, 2 wrong input, 1 broken surroundings, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def job() -> None:
        settings = parse(arguments, defaults)
        check_shop(settings.shop)
        study(settings)

    return run_main(lambda: usage(module, question, defaults), job, arguments)


def run_main(usage: Callable[[], str], job: Callable[[], None], arguments: Sequence[str]) -> int:
    """Print `usage()` where help is asked for, else run `job()`; returns the exit code, as of `main`."""
    if any(argument in ("-h", "--help", "help") for argument in arguments):
        print(usage())
        return 0
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # before NumPy is loaded, here and in the workers
    try:
        job()
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except Exception as error:
        if _is_hydra(error):
            return fail(ConfigError(str(error)))
        if not hasattr(error, "exit_code") and not isinstance(error, OSError):
            raise
        return fail(error)
    return 0


def _is_hydra(error: BaseException) -> bool:
    return type(error).__module__.split(".")[0] in ("hydra", "omegaconf")


def shown(path: Path) -> str:
    """A path as a reader would type it: relative where it lies below the working folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


__all__ = ["ROOT", "ConfigError", "Settings", "check_shop", "main", "parse", "run_main", "shown", "usage"]

"""The small commands (replay, recommend, forget, register): settings as they were typed, and one sentence for a wrong one."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any


def quoted_path(argument: str, names: Sequence[str]) -> str:
    """An override `NAME=PATH` as it was typed, in the quotes that Hydra's grammar wants around spaces, commas and the like."""
    name, sign, value = argument.partition("=")
    if not sign or name not in names or value[:1] in ("'", '"') or value == "null":
        return argument
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'"


def setting_error(error: BaseException, known: Sequence[str]) -> str:
    """One sentence about an override that a configuration with the settings `known` does not take."""
    text = " ".join(str(error.__cause__ or error).split())
    unknown = re.search(r"Key '([\w.]+)' (?:is )?not in", text)
    whole = re.search(r"full_key: (\S+)", text)
    if unknown:
        name = whole.group(1) if whole else unknown.group(1)
        close = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {close[0]}?" if close else "--help lists them"
        return f"there is no setting {name!r}; {advice}"
    text = re.sub(r"\s*(full_key|object_type|reference_type)\S*.*", "", text)
    return f"{whole.group(1)}: {text}" if whole and whole.group(1) not in text else text


def guarded(work: Callable[[], object], known: Sequence[str]) -> int:
    """Do the work of a small command with the settings `known`; its exit code, after one sentence on stderr where it failed."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        work()
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {setting_error(error, known)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not hasattr(error, "exit_code") and not isinstance(error, OSError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return int(getattr(error, "exit_code", 1))
    return 0


def composed_command(
    name: str, schema: type, usage: str, paths: Sequence[str], work: Callable[[Any], int | None], arguments: list[str] | None
) -> int:
    """A whole small command: its usage, or `work(cfg)` with `conf/<name>.yaml`, of type `schema`, under the arguments.

    Parameters
    ----------
    paths : settings whose values are taken as they were typed (`quoted_path`).
    work : its own exit code, None for 0.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if any(a in ("-h", "--help") for a in arguments):
        print(usage, end="")
        return 0
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore

    from sim.shop.parameters import CONF

    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    code = [0]

    def compose_and_work() -> None:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose(name, [quoted_path(a, paths) for a in arguments])
        code[0] = work(cfg) or 0

    failed = guarded(compose_and_work, [f.name for f in dataclasses.fields(schema)])
    return failed or code[0]

"""How every Hydra command of this project starts and fails.

Bad configuration: one sentence on stderr and exit code 2, before any work and before a run folder exists.
A broken environment (missing weights, unwritable folder): one sentence, exit code 1.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sim import config
from sim.config import CONF, ConfigError, register_schemas, validate
from sim.shop import parameters


class OutOfMemoryError(Exception):
    """An allocation failed; what was written before is whole."""

    exit_code = 1

    def __init__(self, error: MemoryError) -> None:
        known = str(error) or "no size known"
        super().__init__(f"memory ran out ({known}); lower evaluate.customers or agent.num_envs, or use a larger machine")


def _sentence(error: BaseException) -> str:
    """The first lines of an error without Hydra's trace of keys and types."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("full_key:", "object_type", "reference_type"))]
    key = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("full_key:")), None)
    text = " ".join(kept) or type(error).__name__
    unknown = re.match(r"Key '(\w+)' (?:is )?not in '?(\w+)'?", text)
    if unknown:
        return _unknown_setting(unknown.group(1), unknown.group(2), key)
    return f"{key}: {text}" if key and key not in text else text


def _unknown_setting(name: str, schema: str, key: str | None) -> str:
    """Which setting does not exist, and which was probably meant."""
    kinds = {
        kind.__name__: kind for kind in (*vars(config).values(), *vars(parameters).values()) if isinstance(kind, type)
    }
    known = [field.name for field in dataclasses.fields(kinds[schema])] if schema in kinds else []
    close = difflib.get_close_matches(name, known, n=1)
    advice = (
        f"did you mean {close[0]!r}?"
        if close
        else f"known are {', '.join(known)}"
        if known
        else "see them all with --cfg job"
    )
    return f"there is no setting {key or name!r}; {advice}"


def fail(error: BaseException) -> int:
    """Print one sentence; return the exit code that the error carries, 1 where it carries none."""
    print(f"error: {_sentence(error)}", file=sys.stderr)
    return int(getattr(error, "exit_code", 1))


def _check_before_work(config_name: str, arguments: list[str], check: Callable[[Any], None]) -> None:
    """Compose and validate once before Hydra makes a run folder; sweeps and Hydra's own flags are left to Hydra."""
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if any(a.startswith("-") for a in arguments):
        return
    parsed = OverridesParser.create().parse_overrides(arguments)
    if any(o.is_sweep_override() or (o.key_or_group or "").startswith("hydra") for o in parsed):
        return
    with initialize_config_dir(str(CONF), version_base="1.3"):
        check(compose(config_name, arguments))


def _discard_if_empty() -> None:
    """Remove the folder of a run that failed before it wrote anything but its configuration."""
    from hydra.core.hydra_config import HydraConfig

    folder = Path(HydraConfig.get().runtime.output_dir)
    if all(path.name == ".hydra" or (path.suffix == ".log" and path.stat().st_size == 0) for path in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)


def run_command(
    task: Callable[[Any], Any],
    config_name: str,
    arguments: list[str] | None = None,
    check: Callable[[Any], None] = validate,
) -> int:
    """Run `task(cfg)` under Hydra and return the exit code; `check(cfg)` refuses a wrong configuration before any work."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of being printed with a trace
    # several BLAS threads spin against each other on small matrices (LinUCB: a third of the speed on a busy machine)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = sys.argv[1:] if arguments is None else arguments
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from sim import launcher, sweep
    from sim.executors.threads import one_thread

    register_schemas()
    launcher.register()
    outcome: list[int] = []

    def guarded(cfg: Any) -> Any:
        try:
            check(cfg)
            with one_thread():  # the same bits on every machine and in every worker, however many processors there are
                return task(cfg)
        except Exception as error:
            if isinstance(error, MemoryError):
                error = OutOfMemoryError(error)
            if sweep.in_sweep():  # the other jobs go on; the sweep tells in the end, wherever this job runs
                sweep.note_failure(error)
                fail(error)
                return None
            if not hasattr(error, "exit_code"):
                raise
            outcome.append(fail(error))
            _discard_if_empty()
            return None

    try:
        _check_before_work(config_name, arguments, check)
        sys.argv[1:] = arguments
        try:
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(guarded)()
        except BaseException as error:
            sweep.close(error)
            raise
        outcome += sweep.close()
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
        return fail(ConfigError(_sentence(cause)))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if not hasattr(error, "exit_code") and not isinstance(error, OSError):
            raise
        return fail(error)
    return max(outcome, default=0)

"""`resume=RUN`: find a run that was cut short, and start again in its folder with its own settings.

    resume=outputs/2026-05-04/10-20-30-ppo-shop-s0      its folder
    resume=0123456789abcdef0123456789abcdef             its MLflow id
    resume=latest                                       the unfinished run in outputs/ that began last
    resume=auto                                         that one with just these settings, else a new run: one line for a
                                                        machine that is taken away and given back

Settings beside `resume=` must be those of the run; a run that goes on with others would be neither of the two.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from sim.config import CONF, ConfigError, RunConfig

OUTPUTS = "outputs"
FREE = ("resume", "checkpoint", "replay")  # may differ from the run's own: they change no number of it


def resolved(arguments: list[str]) -> list[str]:
    """The arguments of `sim.run` with `resume=` replaced by all that it stands for.

    Raises
    ------
    ConfigError
        There is no such run, or it cannot go on; one sentence.
    """
    from sim.run_folder import read_run

    given = [a for a in arguments if a.split("=", 1)[0] == "resume"]
    rest = [a for a in arguments if a not in given]
    if not given or given[-1].split("=", 1)[1:] in ([], ["null"]):
        _refuse_unfinished(_folder_given(rest))
        return rest
    if any(a in ("-m", "--multirun") for a in arguments):
        raise ConfigError("resume= goes on with one run; give the folder of one job of the sweep, without -m")
    wanted = given[-1].split("=", 1)[1].strip("'\"")
    if wanted == "auto":
        folder = _matching(rest)
        if folder is None:
            return rest
        print(f"resume=auto: going on with {folder}", file=sys.stderr)
    else:
        folder = find_unfinished(wanted)
    overrides = [*_safe(folder, _overrides_of(folder), rest), *(a for a in rest if not a.startswith("hydra."))]
    _refuse_other_settings(folder, overrides)
    there = [f"resume={_quoted(folder)}", f"hydra.run.dir={_quoted(folder)}"]
    began = read_run(folder) is not None  # then Hydra's own record is whole, and stays as it was
    return [*overrides, *there, *(["hydra.output_subdir=null"] if began else [])]


def find_unfinished(wanted: str) -> Path:
    """The folder of an unfinished run that nobody writes now, by folder, MLflow id or `latest`; errors as of `resolved`."""
    from sim.run_folder import in_use, is_in_use, read_run

    if not wanted:
        raise ConfigError("resume= is empty; give the folder of a run, its MLflow id, latest or auto")
    if wanted == "latest":
        unfinished = _unfinished()
        if not unfinished:
            raise ConfigError(f"resume=latest: {OUTPUTS}/ holds no unfinished run; start one with: python -m sim.run agent=ppo")
        return unfinished[0]
    folder = Path(wanted).expanduser()
    if not folder.is_dir():
        if not re.fullmatch(r"[0-9a-f]{32}", wanted):
            raise ConfigError(
                f"resume={wanted}: no such folder, and no MLflow run id (32 hexadecimal digits); try resume=latest"
            )
        folder = _of_mlflow(wanted)
    folder = folder.resolve()
    if is_in_use(folder):
        raise ConfigError(f"resume: {in_use(folder)}")
    record = read_run(folder)
    if record is not None and record.finished is not None:
        raise ConfigError(f"resume={wanted}: that run finished at {record.finished}; there is nothing to go on with")
    if record is None and (folder / "summary.json").is_file():
        raise ConfigError(f"resume={wanted}: that run has finished, its summary.json is there; there is nothing to go on with")
    if record is None and not (folder / ".hydra" / "overrides.yaml").is_file():
        raise ConfigError(f"resume={wanted}: {folder} is no folder of a run (it holds no run.json); name the run's own folder")
    return folder


def _unfinished() -> list[Path]:
    """Folders in outputs/ of runs that have not finished and that nobody writes now, the newest first."""
    from sim.run_folder import RUN, is_in_use, read_run

    found: dict[Path, float] = {}
    for path in Path(OUTPUTS).glob(f"**/{RUN}"):
        try:
            record = read_run(path.parent)
            if record is not None and record.finished is None and not is_in_use(path.parent):
                found[path.parent.resolve()] = path.stat().st_mtime
        except (ConfigError, OSError):
            continue  # one that cannot be read is no candidate
    return sorted(found, key=lambda folder: -found[folder])


def _matching(arguments: list[str]) -> Path | None:
    """The newest unfinished run with the settings that these arguments make, None where there is none."""
    from sim.run_folder import in_use, is_in_use, read_run

    wanted = _settings(arguments)
    own = _folder_given(arguments)
    if own is not None and is_in_use(own):
        raise ConfigError(f"resume=auto: {in_use(own)}")
    for folder in [own] if own is not None else _unfinished():
        record = read_run(folder)
        if record is not None and record.finished is None and _difference(_comparable(record.config), wanted) is None:
            return folder.resolve()
    _refuse_unfinished(own)
    return None


def _of_mlflow(run_id: str) -> Path:
    from sim.replay.runs import local_run

    folder = local_run(run_id, Path(OUTPUTS))
    if folder is not None:
        return folder
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    from sim.tracking.store import SPOOL_TAG, prepare_environment
    from sim.tracking.uri import default_uri

    prepare_environment()
    try:
        spool = MlflowClient(tracking_uri=default_uri()).get_run(run_id).data.tags.get(SPOOL_TAG, "")
    except (MlflowException, OSError) as error:
        raise ConfigError(f"resume={run_id}: MLflow knows no such run ({str(error).splitlines()[0]})") from None
    if not spool or not Path(spool).is_file():
        raise ConfigError(f"resume={run_id}: the folder of that run is not on this machine; its checkpoints lie there")
    return Path(spool).parent


def _overrides_of(folder: Path) -> list[str]:
    from omegaconf import OmegaConf

    from sim.run_folder import read_run

    record = read_run(folder)
    if record is not None:
        return record.overrides
    try:  # killed before it wrote what it is: it had learned nothing, and begins again
        return [str(o) for o in OmegaConf.load(folder / ".hydra" / "overrides.yaml")]
    except Exception as error:  # YAML errors share no base class
        raise ConfigError(f"resume: {folder} was killed before it wrote its settings ({type(error).__name__}); start it anew") from None


def _safe(folder: Path, overrides: list[str], given: list[str]) -> list[str]:
    """The settings that a folder holds, without those by which it could choose what is imported or read for a configuration.

    `sim.run` never writes one of the former (Hydra keeps its own apart), so the folder is not as a run left it.  Trusted packages are
    named by whoever starts the run, each time.
    """
    settings = {field.name for field in dataclasses.fields(RunConfig)} - {"resume"}
    for text in overrides:
        key, _, value = str(text).lstrip("+~").partition("=")
        if re.split(r"[./@:]", key)[0] not in settings:
            raise ConfigError(f"resume: {folder} holds the setting {text!r}, which no run writes there; do not trust that folder")
        if (CONF / key.split("@")[0]).is_dir() and not re.fullmatch(r"'?[\w-]*'?", value):
            raise ConfigError(f"resume: {folder} holds {text!r}, which names no file of conf/{key}; do not trust that folder")
    trusted = [text for text in overrides if str(text).lstrip("+").startswith("trusted_targets")]
    if trusted and not any(a.startswith("trusted_targets=") for a in given):
        raise ConfigError(
            f"resume: the run in {folder} imports code of yours; a folder cannot vouch for itself, so say once more that you trust it: "
            f"{shlex.quote(f'resume={folder}')} {shlex.join(trusted)}"
        )
    return [text for text in overrides if text not in trusted]


def _refuse_other_settings(folder: Path, overrides: list[str]) -> None:
    from sim.run_folder import read_run

    record = read_run(folder)
    if record is None:
        return
    difference = _difference(_comparable(record.config), _settings(overrides))
    if difference is not None:
        name, then, now = difference
        raise ConfigError(
            f"resume: {name} was {then} in the run and would be {now} now; a run goes on with its own settings "
            "(leave them away), or start another run without resume="
        )


def _settings(arguments: list[str]) -> dict[str, Any]:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from sim.config import register_schemas

    register_schemas()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            composed = compose("config", [a for a in arguments if not a.startswith(("hydra.", "hydra/", "-"))])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"resume: {' '.join(str(error).split())}") from None
    return _comparable(OmegaConf.to_container(composed, resolve=True))  # type: ignore[arg-type]


def _comparable(config: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back, without what may differ."""
    plain: dict[str, Any] = json.loads(json.dumps(config, default=str))
    return {name: value for name, value in plain.items() if name not in FREE}


def _difference(then: Any, now: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first setting that differs, with both values."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in {**then, **now}:
            found = _difference(then.get(key), now.get(key), f"{name}.{key}" if name else key)
            if found is not None:
                return found
        return None
    return None if then == now else (name, then, now)


def _folder_given(arguments: list[str]) -> Path | None:
    """The folder that `hydra.run.dir=` names, unless it is to be made up by Hydra."""
    values = [a.split("=", 1)[1].strip("'\"") for a in arguments if a.startswith("hydra.run.dir=")]
    return Path(values[-1]) if values and "${" not in values[-1] else None


def _refuse_unfinished(folder: Path | None) -> None:
    """A new run must not begin in the folder of one that lives, or that could go on."""
    from sim.run_folder import in_use, is_in_use, read_run, unfinished

    if folder is None or not folder.is_dir():
        return
    if is_in_use(folder):
        raise ConfigError(in_use(folder))
    record = read_run(folder)
    if record is not None and record.finished is None:
        raise ConfigError(unfinished(folder))


def _quoted(path: Path) -> str:
    """A path as a value in Hydra's grammar, where a backslash is itself but before a quote, and `${` would be looked up."""
    text = re.sub(r"(\\*)('|$)", lambda match: 2 * match[1] + (f"\\{match[2]}" if match[2] else ""), str(path))
    return "'{}'".format(text.replace("${", "\\${"))

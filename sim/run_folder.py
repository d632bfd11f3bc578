"""The folder of one run: who writes it now, what run it is, and whether that run has finished.

    run.json    what the run is: its key, settings and overrides; written before the work begins, and once more at the end
    run.lock    held by the process that writes the folder, with its id inside; free again however the process ends
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sim.config import ConfigError
from sim.recording import config_hash
from sim.report import dump_json

RUN, LOCK = "run.json", "run.lock"
SCHEMA = 1
OPERATIONAL = ("resume", "checkpoint")  # how a run is looked after: no part of what it is


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What `run.json` says.

    Attributes
    ----------
    key : str
        Of this run alone; its checkpoints carry it.
    overrides : list of str
        The settings that were given, as Hydra takes them.
    config : dict
        All settings, resolved, without the operational ones.
    finished : str or None
        When everything was written.
    """

    key: str
    overrides: list[str]
    config: dict[str, Any]
    finished: str | None = None


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """The resolved settings that make a run what it is."""
    return {name: value for name, value in config.items() if name not in OPERATIONAL}


def read_run(folder: Path) -> RunRecord | None:
    """What `run.json` in a folder says; None where there is none.

    Raises
    ------
    ConfigError
        It cannot be read, or a newer version wrote it.
    """
    try:
        found = json.loads((folder / RUN).read_text(encoding="utf-8"))
        if found["schema"] > SCHEMA:
            raise ConfigError(
                f"{folder / RUN} has schema {found['schema']}, this version reads up to {SCHEMA}; use the version that wrote it"
            )
        return RunRecord(found["key"], list(found["overrides"]), found["config"], found["finished"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{folder / RUN} cannot be read as the record of a run ({type(error).__name__}: {error})") from None


@contextlib.contextmanager
def working_in(folder: Path, config: dict[str, Any], overrides: list[str], resume: bool) -> Iterator[str]:
    """Hold the folder while a run works in it; the run's key.

    `run.json` is written before, and again when all went well; else the user is told how the run goes on.

    Raises
    ------
    ConfigError
        Another process works there; or it holds a run that has not finished, and `resume` is False.
    """
    with _alone(folder):
        record = read_run(folder)
        if record is not None and record.finished is None and not resume:
            raise ConfigError(unfinished(folder))
        if record is None or record.finished is not None:
            record = RunRecord(uuid.uuid4().hex, overrides, settings(config))
            _write(folder, record)
        try:
            yield record.key
        except BaseException as error:
            if getattr(error, "exit_code", 1) != 2:
                print(f"this run has not finished; go on with it:  {go_on(folder, config)}", file=sys.stderr)
            raise
        _write(folder, dataclasses.replace(record, finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())))


def _write(folder: Path, record: RunRecord) -> None:
    fields = dataclasses.asdict(record)
    dump_json(folder / RUN, {"schema": SCHEMA, **fields, "config_hash": config_hash(record.config)})


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that no second run writes into it.

    Raises
    ------
    ConfigError
        Another process holds it; the text names the process.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no flock
        yield
        return
    with open(folder / LOCK, "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(in_use(folder)) from None
        except OSError:  # a file system without locks
            yield
            return
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def is_in_use(folder: Path) -> bool:
    """Whether a living process holds the folder's lock."""
    try:
        import fcntl

        with open(folder / LOCK, encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False


def unfinished(folder: Path) -> str:
    """The sentence for a folder whose run could go on."""
    return f"{folder} holds a run that has not finished; go on with it: resume={folder}, or choose another hydra.run.dir"


def go_on(folder: Path, config: dict[str, Any]) -> str:
    """The command by which a run goes on, relative to the working folder; packages of the user's are trusted anew each time."""
    trusted = config.get("trusted_targets")
    also = [f"trusted_targets=[{','.join(trusted)}]"] if trusted else []
    return shlex.join(["python", "-m", "sim.run", f"resume={os.path.relpath(folder)}", *also])


def in_use(folder: Path) -> str:
    """The sentence for a folder that is in use."""
    with contextlib.suppress(OSError):
        if process := (folder / LOCK).read_text(encoding="utf-8").strip():
            return f"{folder} is being written by process {process}; wait for it, or choose another hydra.run.dir"
    return f"{folder} is being written by another process; wait for it, or choose another hydra.run.dir"

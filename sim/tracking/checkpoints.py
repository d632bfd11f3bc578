"""Checkpoints of a run: everything that a killed training goes on from, published whole or not at all.

    RUN/checkpoints/000007/agent.safetensors         policy, optimiser and whatever else learns, tensors only
                           environment.safetensors   the customers mid-life
                           state.json                schema, versions, run, counters, generators
                           COMMITTED                 size and SHA-256 of each of the files above

A checkpoint is written into a hidden folder, every file is fsynced, the folder is renamed and its parent fsynced: a kill or a
full disk at any moment leaves the former ones as they are.  Reading believes nothing: a checkpoint counts where `COMMITTED` is
there and every sum agrees, else the next older one is tried and the reader says so.  Nothing is pickled, so a hostile file runs
no code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = "checkpoints"
COMMITTED, STATE = "COMMITTED", "state.json"
SCHEMA = 1
_PARTIAL = ".partial-"

Arrays = Mapping[str, NDArray]


class CheckpointError(Exception):
    """A checkpoint cannot be used; one sentence that names it.  `exit_code` 2 where the user has to decide, else 1."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class NotFiniteError(CheckpointError):
    """What an agent learned is not finite any more."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and verified.

    Attributes
    ----------
    path : Path
    state : dict
        As it was given to `write`.
    groups : dict of dict of ndarray
        One entry per safetensors file.
    """

    path: Path
    state: dict[str, Any]
    groups: dict[str, dict[str, NDArray]]


class CheckpointFolder:
    """The checkpoints of one run.

    Parameters
    ----------
    folder : Path
        Of the run; `checkpoints` in it is made when the first one is written.
    run : str
        Key of the run: what another run wrote is not read.
    keep : int
        So many of the last are kept.
    """

    def __init__(self, folder: Path | str, run: str, keep: int = 3) -> None:
        self.folder, self.run, self.keep = Path(folder) / FOLDER, run, keep

    def write(self, state: Mapping[str, Any], groups: Mapping[str, Arrays]) -> Path:
        """Publish a checkpoint, then drop those that are one too many.

        Raises
        ------
        OSError
            If the disk is full or may not be written; what was there before is untouched.
        NotFiniteError
            If an array of the group `agent` is not finite: such weights are never saved.
        """
        from safetensors.numpy import save

        _check_finite(groups.get("agent", {}))
        self.folder.mkdir(parents=True, exist_ok=True)
        names = self._names()
        target = self.folder / f"{int(names[-1]) + 1 if names else 1:06d}"
        partial = self.folder / f"{_PARTIAL}{target.name}-{os.getpid()}"
        self._drop_partial()
        try:
            partial.mkdir()
            files = {f"{name}.safetensors": save(_plain(arrays)) for name, arrays in groups.items()}
            stamped = {"schema": SCHEMA, "run": self.run, "versions": versions(), **state}
            files[STATE] = json.dumps(stamped, separators=(",", ":")).encode()
            sums = {}
            for name, data in files.items():
                _write(partial / name, data)
                sums[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            _write(partial / COMMITTED, json.dumps(sums, indent=1).encode())
            _sync_folder(partial)
            os.rename(partial, target)
            _sync_folder(self.folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        for old in self._names()[: -self.keep]:
            self._drop(self.folder / old)
        return target

    def newest(self, say: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that verifies; None where there is none.  `say` hears of every one that was passed over.

        Raises
        ------
        CheckpointError
            If a newer version of the program wrote it.
        """
        for name in reversed(self._names()):
            path = self.folder / name
            try:
                return self._read(path)
            except _UnreadableError as error:
                say(f"checkpoint {path} is passed over: {error}")
        return None

    def clear(self) -> None:
        """Drop all of them: the run is finished."""
        for name in self._names():
            self._drop(self.folder / name)
        self._drop_partial()
        with contextlib.suppress(OSError):  # something else lies in it, or there is none
            self.folder.rmdir()

    def _read(self, path: Path) -> Checkpoint:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        files = _verified(path)
        try:
            state = json.loads(files.pop(STATE))
            schema = state["schema"]
            if isinstance(schema, int) and schema > SCHEMA:
                raise CheckpointError(
                    f"checkpoint {path} has schema {schema}, this version reads up to {SCHEMA}; resume with the version that wrote it",
                    exit_code=2,
                )
            if schema != SCHEMA:
                raise _UnreadableError(f"its schema is {schema!r}")
            if state["run"] != self.run:
                raise _UnreadableError(f"it belongs to another run ({state['run']})")
            # safetensors' own arrays are read-only views
            groups = {
                name.removesuffix(".safetensors"): {key: array.copy() for key, array in load(data).items()}
                for name, data in files.items()
            }
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise _UnreadableError(f"{type(error).__name__}: {str(error).splitlines()[0][:120]}") from None
        return Checkpoint(path, state, groups)

    def _names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(p.name for p in self.folder.iterdir() if p.name.isdigit() and len(p.name) == 6 and p.is_dir())

    def _drop(self, path: Path) -> None:
        """Rename first: half a checkpoint must not look like one."""
        gone = path.with_name(f"{_PARTIAL}{path.name}-gone-{os.getpid()}")
        with contextlib.suppress(OSError):  # no reason to stop a training
            os.rename(path, gone)
            shutil.rmtree(gone, ignore_errors=True)

    def _drop_partial(self) -> None:
        if self.folder.is_dir():
            for left in self.folder.glob(f"{_PARTIAL}*"):
                shutil.rmtree(left, ignore_errors=True)


class _UnreadableError(Exception):
    """Why a checkpoint is passed over."""


@functools.cache
def versions() -> dict[str, str]:
    """The libraries whose numbers a training consists of."""
    import platform
    from importlib.metadata import version

    return {"python": platform.python_version()} | {
        name: version(name) for name in ("torch", "numpy", "numba", "stable-baselines3")
    }


def _verified(path: Path) -> dict[str, bytes]:
    """The files of a checkpoint by name, each with the size and sum that `COMMITTED` states."""
    try:
        sums = json.loads((path / COMMITTED).read_bytes())
        if not isinstance(sums, dict) or STATE not in sums:
            raise _UnreadableError(f"{COMMITTED} lists no {STATE}")
        files = {}
        for name, stated in sums.items():
            if Path(name).name != name:
                raise _UnreadableError(f"{COMMITTED} names a file elsewhere")
            data = (path / name).read_bytes()
            if len(data) != stated["bytes"] or hashlib.sha256(data).hexdigest() != stated["sha256"]:
                raise _UnreadableError(f"{name} is damaged ({len(data):,} of {stated['bytes']:,} bytes, or another SHA-256)")
            files[name] = data
        return files
    except FileNotFoundError as error:
        raise _UnreadableError(f"{Path(error.filename).name} is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _UnreadableError(f"{COMMITTED} cannot be read ({type(error).__name__})") from None


def _check_finite(arrays: Arrays) -> None:
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise NotFiniteError(f"the agent's {name!r} is not finite any more, and was not saved")


def _plain(arrays: Arrays) -> dict[str, NDArray]:
    return {name: np.ascontiguousarray(arrays[name]).reshape(np.shape(arrays[name])) for name in sorted(arrays)}


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

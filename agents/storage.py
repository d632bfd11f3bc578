"""A saved agent on disk: `agent.json` (what it is) beside `arrays-<digest>.safetensors` (what it learned).

The JSON file is the commit point. Arrays are published first under a name that holds their SHA-256, then the JSON
that names them replaces the old one, then older arrays go; a crash in between leaves the former agent whole. Every
file is written beside its target, fsynced and renamed. Nothing is pickled, so loading a foreign file runs no code.
Format 1 kept its arrays in NumPy's `.npz`; it is still read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from agents.errors import AgentFileError

FORMAT = 2
READABLE = (1, 2)
SPEC = "agent.json"
_REQUIRED = ("format", "agent", "name", "layout", "observation_size", "num_actions", "settings", "state",
             "learning_curve", "arrays", "sha256")


def write_agent(folder: Path, spec: dict[str, Any], arrays: dict[str, NDArray]) -> None:
    """Publish `spec` and `arrays` in `folder`.

    Raises
    ------
    AgentFileError
        If the folder cannot be written.
    """
    data = _pack(arrays)
    digest = hashlib.sha256(data).hexdigest()
    target = f"arrays-{digest[:16]}.safetensors"
    spec = {"format": FORMAT, **spec, "arrays": target, "sha256": digest,
            "versions": {"python": platform.python_version(), "numpy": np.__version__}}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _publish(folder / target, data)
        _publish(folder / SPEC, json.dumps(spec, indent=1, allow_nan=False).encode())
        for old in folder.glob("arrays-*"):
            if old.name != target and old.suffix in (".npz", ".safetensors"):
                old.unlink()
    except OSError as error:
        raise AgentFileError(f"the agent cannot be saved in {folder}: {error.strerror or error}.") from error


def read_agent(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """The spec and arrays that `write_agent` published in `folder`.

    Raises
    ------
    AgentFileError
        If there is no agent, it is damaged, or a newer version wrote it.
    """
    try:
        spec = json.loads((folder / SPEC).read_bytes())
    except FileNotFoundError as error:
        raise AgentFileError(f"{folder} holds no saved agent ({SPEC} is missing).") from error
    except (OSError, ValueError) as error:
        raise AgentFileError(f"{folder / SPEC} cannot be read as JSON: {error}.") from error
    missing = [key for key in _REQUIRED if not isinstance(spec, dict) or key not in spec]
    if missing:
        raise AgentFileError(f"{folder / SPEC} is not a saved agent: it lacks {', '.join(missing)}.")
    if spec["format"] not in READABLE:
        raise AgentFileError(f"{folder} was saved in format {spec['format']}, this version reads formats "
                             f"{' and '.join(map(str, READABLE))}.")
    path = folder / Path(str(spec["arrays"])).name          # the name only: never outside the folder
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != spec["sha256"]:
            raise AgentFileError(f"{path} is damaged: its SHA-256 differs from the one in {SPEC}; save the agent again.")
        return spec, _unpack(data, path.suffix)
    except (OSError, ValueError, zipfile.BadZipFile, SafetensorError) as error:
        raise AgentFileError(f"the arrays of the agent in {folder} cannot be read: {error}.") from error


def _pack(arrays: dict[str, NDArray]) -> bytes:
    return save({key: np.asarray(arrays[key], order="C") for key in sorted(arrays)})     # equal arrays give equal bytes


def _unpack(data: bytes, suffix: str) -> dict[str, NDArray]:
    if suffix == ".safetensors":
        return {key: array.copy() for key, array in load(data).items()}     # its own arrays share read-only memory
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _publish(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":              # the rename itself must survive a power cut
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

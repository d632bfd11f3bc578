"""What a run was made from: git state, library versions, digests of files."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LIBRARIES = (
    "numpy", "numba", "torch", "gymnasium", "stable-baselines3", "pandas", "pyarrow", "mlflow", "hydra-core",
    "facenet-pytorch", "fer",
)  # fmt: skip


def git_state(root: Path | str) -> dict[str, Any]:
    """Commit of the checkout at `root`, and whether tracked files differ from it.

    Returns
    -------
    dict
        `commit` (str, 40 hex digits) and `dirty` (bool); both None without git, outside a checkout, before the first
        commit, or where git does not answer within five seconds.
    """
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return {"commit": None, "dirty": None}
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(root: Path | str, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def library_versions(names: Iterable[str] = LIBRARIES) -> dict[str, str | None]:
    """Versions of Python and of the installed distributions, None where one is missing; nothing is imported."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def file_digest(path: Path | str) -> str:
    """SHA-256 of a file as 64 hex digits.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

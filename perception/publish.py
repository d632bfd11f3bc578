"""Files that appear whole or not at all."""
from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from perception.errors import CacheError


def publish(path: Path, content: bytes | Callable[[IO[bytes]], object], mode: int = 0o644) -> None:
    """Write a file by way of a temporary one in the same folder, fsync and rename.

    Parameters
    ----------
    path : Path
        Target; missing parent folders are made.
    content : bytes or callable
        The bytes, or what writes them into the open binary file it is given.
    mode : int
        Permissions of the file.

    Raises
    ------
    CacheError
        The folder cannot be written; the old file, if any, stays as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CacheError(f"cannot write {path}: {error.strerror or error}; choose a folder that can be written") from error
        raise


def publish_json(path: Path, content: Mapping[str, Any]) -> None:
    """:func:`publish` JSON of finite numbers.

    Raises
    ------
    CacheError
        See :func:`publish`.
    ValueError
        A number is NaN or infinite.
    """
    publish(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())

"""Whether the process that writes a file still lives: it holds a lock that the system gives back however the process ends.

A process id says less: ids are used again, and one of another machine says nothing.  Where there is no flock (Windows, some
network drives) every run counts as alive until it ends by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def hold(stream: IO[str]) -> None:
    """Lock an open file until it is closed or the process ends, by whatever means."""
    if fcntl is None:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pass  # a file system without locks: the run counts as alive nowhere, and its own end still tells


def is_held(path: Path | str) -> bool:
    """Whether a living process holds the file.

    Raises
    ------
    OSError
        If there is no such file, or it may not be opened.
    """
    if fcntl is None:
        return True
    with open(path, encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        fcntl.flock(stream, fcntl.LOCK_UN)
        return False

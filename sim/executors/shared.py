"""One object for many tasks: pickled once, unpickled once in every worker; without workers never.

Only between processes of one command; nothing that lies on a disk is read like this.
"""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

_KEPT = 4  # objects that a worker holds; the oldest goes first
_held: dict[str, Shared] = {}


class Shared:
    """An object to put into the arguments of many tasks; `get()` gives it where the task runs."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._sent: tuple[bytes, str] | None = None

    def get(self) -> Any:
        """The object, in one worker the same one for every task."""
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        if self._sent is None:
            import cloudpickle  # functions that were defined in a command's own file travel too

            content = cloudpickle.dumps(self._value)
            self._sent = content, hashlib.sha256(content).hexdigest()
        return _receive, self._sent


def _receive(content: bytes, key: str) -> Shared:
    if key not in _held:
        while len(_held) >= _KEPT:
            _held.pop(next(iter(_held)))
        _held[key] = Shared(pickle.loads(content))
    return _held[key]

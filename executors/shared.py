"""One object for many tasks: pickled once, unpickled once in every worker.

Only between processes of one command; nothing that lies on a disk is read like this.
"""

from __future__ import annotations

import hashlib
from typing import Any

_KEPT = 4  # objects that a worker holds; the oldest goes first
_held: dict[str, Any] = {}


class Shared:
    """An object to put into the arguments of many tasks; `get()` gives it in the worker."""

    def __init__(self, value: Any) -> None:
        import cloudpickle  # functions that were defined in a command's own file travel too

        self._bytes = cloudpickle.dumps(value)
        self._key = hashlib.sha256(self._bytes).hexdigest()

    def get(self) -> Any:
        """The object, the same one for every task of this worker that asks."""
        import pickle

        if self._key not in _held:
            while len(_held) >= _KEPT:
                _held.pop(next(iter(_held)))
            _held[self._key] = pickle.loads(self._bytes)
        return _held[self._key]

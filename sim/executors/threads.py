"""One thread for every library that would share a sum among several.

Floating-point sums depend on their order, and the order on how many threads share them: a matrix product of two threads differs
from that of one in its last bits.  (Threads that share rows and not sums, as those of the simulator do, change nothing.)
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")


def pin_to_one_thread() -> None:
    """Make this process, and whatever it loads later, use one thread; for worker processes, which do nothing else."""
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(VARIABLES, "1"))  # for what is loaded later
    threadpool_limits(1)  # for what is loaded already
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@contextlib.contextmanager
def one_thread_in_environment(names: Iterable[str] = VARIABLES) -> Iterator[None]:
    """The limit for processes that are started, and libraries that are loaded, meanwhile; then as it was."""
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread while a task runs in this process; libraries that the task loads itself find the limit in the environment."""
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    with one_thread_in_environment(name for name in VARIABLES if name != "NUMBA_NUM_THREADS"), threadpool_limits(1):
        try:
            if torch:
                torch.set_num_threads(1)
            yield
        finally:
            if torch and threads:
                torch.set_num_threads(threads)

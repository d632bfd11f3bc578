"""An executor from its settings: `executor=serial|process|ray`, `executor.workers`, `executor.address`."""

from __future__ import annotations

import importlib.util
import os
import socket

from sim.executors.errors import NO_CLUSTER, ExecutorError
from sim.executors.process import ProcessExecutor
from sim.executors.serial import SerialExecutor
from sim.executors.tasks import Executor, inside_worker

EXECUTORS = ("serial", "process", "ray")
MOST_WORKERS = 1024
_PATIENCE = 5.0  # seconds for a cluster to answer at all


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_settings(name: str, workers: int | None = None, address: str | None = None, *, what: str = "executor") -> None:
    """Refuse what cannot work, before anything is started.

    Parameters
    ----------
    what : the setting's name in messages.

    Raises
    ------
    ExecutorError
        One sentence.
    """
    if name not in EXECUTORS:
        raise ExecutorError(f"{what}={name} is unknown; choose from {', '.join(EXECUTORS)}")
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise ExecutorError(f"{what}.workers={workers} is out of range; allowed is 1 to {MOST_WORKERS}, or null for all processors")
    if address is not None and name != "ray":
        raise ExecutorError(f"{what}.address={address} is for {what}=ray; {what}={name} runs on this machine")
    if name == "ray" and importlib.util.find_spec("ray") is None:
        raise ExecutorError(f"{what}=ray needs the package ray: pip install 'product-push-simulator[ray]', or take {what}=process")
    if address is not None and address != "auto" and not inside_worker() and not _answers(address):
        raise ExecutorError(NO_CLUSTER.format(what=what, address=address))


def _answers(address: str) -> bool:
    """Whether anything listens at HOST:PORT."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_PATIENCE):
            return True
    except (OSError, ValueError, OverflowError):
        return False


def make_executor(name: str, workers: int | None = None, address: str | None = None, *, what: str = "executor") -> Executor:
    """An executor; use it with `with`.  Inside a worker it is always `serial`, so that workers start no workers.

    Parameters
    ----------
    workers : None takes all processors of this machine, or of the cluster.
    address : of a running Ray cluster, e.g. ray-head:6379 or auto; None starts Ray on this machine.

    Raises
    ------
    ExecutorError
        One sentence: as of `check_settings`, or the cluster does not answer.
    """
    check_settings(name, workers, address, what=what)
    if inside_worker() or name == "serial":
        return SerialExecutor()
    if name == "process":
        return ProcessExecutor(workers or processors())
    from sim.executors.ray_cluster import RayExecutor

    return RayExecutor(workers, address, what=what)

"""What the tests of executors let run; importable by workers."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from sim.executors import report


class RefusedError(Exception):
    exit_code = 2


def matrix_sum(seed: int) -> bytes:
    """A product whose last bits depend on how many threads share its sums."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(300, 1100)) @ rng.normal(size=(1100, 300))).tobytes()


def torch_product(seed: int) -> bytes:
    import torch

    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(shape, generator=generator) for shape in ((257, 4096), (4096, 129)))
    return (a @ b).numpy().tobytes() + torch.get_num_threads().to_bytes(2, "big")


def square(x: int) -> int:
    for step in range(3):
        report((x, step))
    time.sleep(0.05)  # a report of the last moment may come too late
    return x * x


def refuse(x: int) -> int:
    if x == 1:
        raise RefusedError("number 1 is\nnot wanted")
    if x == 2:
        raise RuntimeError("a fault")
    return x


def die(argument: tuple[str, int, int]) -> int:
    """Kill this worker with -9 the first `deaths` times that number x is asked for; folder keeps the count."""
    folder, x, deaths = argument
    before = len(list(Path(folder).glob(f"{x}-*")))
    if before < deaths:
        (Path(folder) / f"{x}-{before}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def square_on_two_nodes(argument: tuple[str, int, str]) -> int:
    """Leave a note of number and node, wait until both nodes of the cluster have something to do, and be slow on one of them."""
    import ray

    folder, x, slow = Path(argument[0]), *argument[1:]
    here = ray.get_runtime_context().get_node_id()
    (folder / f"{x}-{here}").touch()
    deadline = time.monotonic() + 240
    while len({note.name.split("-")[1] for note in folder.iterdir()}) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(6.0 if here == slow else 0.4)
    return x * x


def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def held(argument: object) -> int:
    """Identity of a shared object in this process, with the process."""
    return id(argument.get())  # type: ignore[attr-defined]

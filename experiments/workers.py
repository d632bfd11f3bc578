"""Cells side by side: worker processes of one thread each, one progress bar, no orphans."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import connection
from typing import Any

from experiments.cells import Cell, run_cell

_reports: Any = None


def _start_worker(reports: Any) -> None:
    """Remember the queue for reports; die when the study dies, however it does."""
    global _reports
    _reports = reports
    parent = multiprocessing.parent_process()

    def watch() -> None:
        connection.wait([parent.sentinel])  # type: ignore[union-attr]
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()


def _work(cell: Cell) -> float:
    return run_cell(cell, lambda step: _reports.put((cell.path.name, step)))


def run_cells(todo: Sequence[Cell], processes: int) -> None:
    """Run cells in `processes` workers with one progress bar over all their interactions."""
    from tqdm import tqdm

    from sim import training
    from sim.shop.scenarios import load_shop

    def budget(cell: Cell) -> int:
        if cell.arm.oracle is not None or (cell.policy / "agent.json").is_file():
            return 0
        agent = training.build_agent(training.agent_config(cell.arm.agent), load_shop(cell.arm.shop), cell.seed, [])
        return int(agent.budget(cell.steps))

    budgets = {cell.path.name: budget(cell) for cell in todo}
    done = dict.fromkeys(budgets, 0)
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    pool = ProcessPoolExecutor(processes, context, _start_worker, (reports,))
    try:
        with tqdm(total=sum(budgets.values()), unit="step", unit_scale=True, mininterval=1, file=sys.stderr) as bar:
            waiting = {pool.submit(_work, cell): cell for cell in todo}
            finished = 0
            while waiting:
                ready, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                with contextlib.suppress(queue.Empty):
                    while True:
                        name, step = reports.get_nowait()
                        done[name] = max(done[name], min(step, budgets[name]))
                for future in ready:
                    cell = waiting.pop(future)
                    future.result()
                    done[cell.path.name] = budgets[cell.path.name]
                    finished += 1
                bar.set_description_str(f"{finished}/{len(todo)} cells", refresh=False)
                bar.update(min(sum(done.values()), sum(budgets.values())) - bar.n)
    except BaseException:
        for process in list(getattr(pool, "_processes", {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

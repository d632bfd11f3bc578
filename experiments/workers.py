"""Cells side by side on an executor, with one progress bar; a cell that fails is told at the end, the others are kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.cells import Cell, at_hand, run_cell
from sim.executors import Outcome, Task, make_executor, report

if TYPE_CHECKING:
    from experiments.command import Settings


class CellsFailedError(RuntimeError):
    """Some cells of a study have no result."""

    exit_code = 1


def _work(cell: Cell) -> float:
    return run_cell(cell, report)


def run_cells(todo: Sequence[Cell], settings: Settings) -> None:
    """Run cells on the executor of `settings`, with one progress bar over all their interactions.

    Raises
    ------
    CellsFailedError
        With the name and the reason of every cell that has no result, after the others have finished.
    sim.executors.ExecutorError
        The executor cannot be had.
    """
    from tqdm import tqdm

    from sim import training
    from sim.shop.scenarios import load_shop

    def budget(cell: Cell) -> int:
        if cell.arm.oracle is not None or at_hand(cell):
            return 0
        agent = training.build_agent(training.agent_config(cell.arm.agent), load_shop(cell.arm.shop), cell.seed, [])
        return int(agent.budget(cell.steps))

    budgets = {cell.path.name: budget(cell) for cell in todo}
    done = dict.fromkeys(budgets, 0)
    failed: list[Outcome] = []
    with (
        make_executor(settings.executor, settings.workers, settings.address) as executor,
        tqdm(total=sum(budgets.values()), unit="step", unit_scale=True, mininterval=1, file=sys.stderr) as bar,
    ):

        def hear(name: str, step: int) -> None:
            done[name] = max(done[name], min(step, budgets[name]))
            bar.update(sum(done.values()) - bar.n)

        tasks = [Task(cell.path.name, cell) for cell in todo]
        for finished, outcome in enumerate(executor.run(_work, tasks, hear), 1):
            if outcome.failure is not None:
                failed.append(outcome)
            bar.set_description_str(f"{finished}/{len(todo)} cells", refresh=False)
            hear(outcome.name, budgets[outcome.name])
    if failed:
        for outcome in failed:
            if outcome.failure is not None and outcome.failure.trace:
                print(f"{outcome.name}\n{outcome.failure.trace}", file=sys.stderr)
        reasons = "; ".join(f"{outcome.name}: {outcome.failure.message}" for outcome in failed if outcome.failure)
        raise CellsFailedError(
            f"{len(failed)} of {len(todo)} cells failed ({reasons}); the others are kept, the same command runs only these again"
        )

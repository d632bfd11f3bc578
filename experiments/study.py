"""What the studies share: train an agent in a shop for several seeds, evaluate every policy on the same customers."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.cells import Arm, Cell, Evaluation, plan, read_cell, read_training
from experiments.command import Settings
from experiments.gaps import Estimate, gap
from experiments.workers import run_cells


@dataclasses.dataclass(frozen=True)
class Results:
    """`totals[arm][evaluation][quantity]` is (S, n): seed by evaluation customer; `faces` (n,) whose face each wears.

    `trainings[arm]`, seed by seed: what was noted of the training (`experiments.cells.read_training`).
    """

    totals: dict[str, dict[str, dict[str, np.ndarray]]]
    faces: np.ndarray
    seeds: int
    seconds: float
    trainings: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)

    @property
    def customers(self) -> int:
        """n, evaluation customers."""
        return len(self.faces)

    def values(self, arm: str, evaluation: str = "sampled") -> np.ndarray:
        """Undiscounted money (S, n) of every customer under every seed's policy."""
        return self.totals[arm][evaluation]["value"]

    def gap(self, a: str | tuple[str, str], b: str | tuple[str, str]) -> Estimate:
        """Paired difference a - b in money per customer; each an arm, or (arm, evaluation)."""
        first, second = (self.values(x) if isinstance(x, str) else self.values(*x) for x in (a, b))
        return gap(first, second, self.faces)


def run(question: str, arms: Sequence[Arm], settings: Settings) -> Results:
    """Run all cells that are not finished yet, with a progress bar, and gather the results."""
    started = time.monotonic()
    cells = plan(question, arms, settings)
    todo = [cell for cell in cells if read_cell(cell.path) is None]
    print(
        f"{question}: {len(cells)} cells ({len(arms)} arms x {settings.seeds} seeds), {len(cells) - len(todo)} finished before, "
        f"{len(todo)} to do, {min(settings.workers, max(len(todo), 1))} at a time (executor={settings.executor})",
        file=sys.stderr,
    )
    if todo:
        run_cells(todo, settings)
    return gather(cells, time.monotonic() - started)


def gather(cells: Sequence[Cell], seconds: float = 0.0) -> Results:
    """Results of finished cells, seeds in order."""
    totals: dict[str, dict[str, dict[str, list[np.ndarray]]]] = {}
    faces = None
    for cell in sorted(cells, key=lambda cell: cell.seed):
        arrays = read_cell(cell.path)
        if arrays is None:
            raise FileNotFoundError(2, "a cell of the study is missing; run the command again", str(cell.path))
        if faces is not None and not np.array_equal(faces, arrays["face"]):
            raise AssertionError(f"{cell.path.name} met other customers than the cells before it")
        faces = arrays.pop("face")
        for key, total in arrays.items():
            evaluation, quantity = key.split("/")
            totals.setdefault(cell.arm.name, {}).setdefault(evaluation, {}).setdefault(quantity, []).append(total)
    stacked = {
        arm: {e: {q: np.stack(rows) for q, rows in quantities.items()} for e, quantities in evaluations.items()}
        for arm, evaluations in totals.items()
    }
    assert faces is not None
    trainings: dict[str, list[dict[str, Any]]] = {}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        trainings.setdefault(cell.arm.name, []).append(read_training(cell.policy))
    return Results(stacked, faces, 1 + max(cell.seed for cell in cells), seconds, trainings)


__all__ = ["Arm", "Evaluation", "Results", "gather", "run"]

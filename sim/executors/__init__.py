"""Many independent tasks, the same results wherever they run: here, in processes of this machine, or on a cluster.

    with make_executor("process", workers=2) as executor:
        for outcome in executor.run(function, [Task("a", 1), Task("b", 2)]):
            outcome.name, outcome.value, outcome.failure

One task is one call of a function that can be pickled, with one argument.  Every task runs on one thread of BLAS, OpenMP, torch
and Numba, whatever the executor: sums are then added in one order, and `serial`, `process` and `ray` give the same bits with any
number of workers.  A task that raises is an outcome with a failure, and the others go on.  A worker process that dies (memory,
a signal, a lost machine) is named, its task is tried once more elsewhere, and is a failure if that worker dies too.

This package imports nothing else of the project; sweeps, studies and evaluation use it, and perception.extract, which joins it
by name.
"""

from sim.executors.errors import ExecutorError
from sim.executors.serial import SerialExecutor
from sim.executors.settings import EXECUTORS, check_settings, make_executor, processors
from sim.executors.shared import Shared
from sim.executors.tasks import Executor, Failure, Outcome, Task, in_order, inside_worker, report

__all__ = [
    "EXECUTORS", "Executor", "ExecutorError", "Failure", "Outcome", "SerialExecutor", "Shared", "Task", "check_settings", "in_order",
    "inside_worker", "make_executor", "processors", "report",
]  # fmt: skip

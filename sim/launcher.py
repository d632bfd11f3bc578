"""Hydra launcher `executor`: the jobs of a sweep as tasks of an executor (`sim.executors`), chosen by `executor=process|ray`.

What joblib's launcher does (hydra_plugins.hydra_joblib_launcher), and one thing more: a job whose process dies is named, tried
once more, and listed as failed if it dies again, while the others go on.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.plugins.launcher import Launcher

NAME = "executor"
_HOME = "hydra_plugins.product_push"  # Hydra builds plugins whose names begin like this, and no others


class ExecutorLauncher(Launcher):
    """Launches jobs on the executor of the sweep's configuration."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """What Hydra gives to every launcher."""
        self._hydra_context, self._task_function, self._config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        """Run the jobs; a `JobReturn` for each, in order."""
        from hydra.core.singleton import Singleton
        from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals

        from sim.executors import Shared, Task, in_order, make_executor
        from sim.sweep import note_death

        setup_globals()
        hydra, wanted = self._config.hydra, self._config.executor
        configure_log(hydra.hydra_logging, hydra.verbose)
        Path(str(hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        common = Shared((self._hydra_context, self._config, self._task_function, Singleton.get_state()))
        tasks = [
            Task(" ".join(overrides), (common, number, list(overrides)))
            for number, overrides in enumerate(job_overrides, initial_job_idx)
        ]
        returns = []
        with make_executor(wanted.name, wanted.workers, wanted.address) as executor:
            for outcome in in_order(executor.run(run_one, tasks)):
                value = outcome.value
                if outcome.failure is not None:
                    _, number, overrides = outcome.task.argument
                    folder = self._folder(number, overrides)
                    note_death(folder, overrides, outcome.failure.message, outcome.failure.trace)
                    value = JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=None)
                returns.append(value)
        return returns

    def _folder(self, number: int, overrides: list[str]) -> Path:
        config = _job_config(self._hydra_context, self._config, number, overrides)
        return Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)


def _job_config(hydra_context: Any, config: Any, number: int, overrides: list[str]) -> Any:
    from omegaconf import open_dict

    job = hydra_context.config_loader.load_sweep_config(config, overrides)
    with open_dict(job):
        job.hydra.job.id, job.hydra.job.num = f"{job.hydra.job.name}_{number}", number
    return job


def run_one(argument: tuple[Any, int, list[str]]) -> Any:
    """One job, in a worker."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.singleton import Singleton
    from hydra.core.utils import run_job, setup_globals

    _move_in()
    common, number, overrides = argument
    hydra_context, config, task_function, state = common.get()
    setup_globals()
    Singleton.set_state(state)
    os.environ["HYDRA_FULL_ERROR"] = "1"
    job = _job_config(hydra_context, config, number, overrides)
    HydraConfig.instance().set_config(job)
    done = run_job(
        hydra_context=hydra_context,
        config=job,
        task_function=task_function,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    done.return_value  # noqa: B018  raises what the job raised
    done.cfg = done.hydra_cfg = None  # large, and nobody asks for it
    return done


def _move_in() -> None:
    """Let `hydra_plugins.product_push` be this module."""
    try:
        home = importlib.import_module("hydra_plugins")
    except ModuleNotFoundError:  # no other plugin is installed
        home = sys.modules["hydra_plugins"] = ModuleType("hydra_plugins")
    home.product_push = sys.modules[_HOME] = sys.modules[__name__]  # type: ignore[attr-defined]
    ExecutorLauncher.__module__ = _HOME


def register() -> None:
    """Make the launcher known to Hydra."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    _move_in()
    Plugins.instance().register(ExecutorLauncher)
    node = {"_target_": f"{_HOME}.{ExecutorLauncher.__name__}"}
    ConfigStore.instance().store(group="hydra/launcher", name=NAME, node=node, provider="sim")

"""How far a run is, kept so that it can go on: which policies have learned, and where the one that learns now stands.

A checkpoint is written between two updates when it is due: `seconds` after the one before, and never so often that writing
costs more than `SHARE` of the training.  Writing is a pure look at the state, so the bits of a training do not depend on when,
or whether, checkpoints were written.

Ctrl-C and SIGTERM wait for the next such moment, write a checkpoint and end the run; a second one ends it at once.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from sim.envs.state import ForeignStateError, environment_state, restore_environment
from sim.envs.vector import ProductPushVectorEnv
from sim.tracking.checkpoints import FOLDER, Checkpoint, CheckpointError, CheckpointFolder, versions

SHARE = 0.01
BEST = "best"


class Kept(NamedTuple):
    """What an agent goes on from, as agents understand it."""

    arrays: dict[str, np.ndarray]
    values: dict[str, Any]


class RunProgress:
    """The checkpoints of a run while it works.

    Parameters
    ----------
    folder : Path
        Of the run.
    key : str
        Of the run.
    seconds : float or None
        Of training between two checkpoints; None writes none.
    keep : int
        Checkpoints kept.
    resume : bool
        Go on from the newest checkpoint that verifies.

    Raises
    ------
    CheckpointError
        With `resume`, if a newer version wrote the newest checkpoint.
    """

    def __init__(self, folder: Path, key: str, seconds: float | None, keep: int, resume: bool) -> None:
        self.folder, self.seconds = folder, seconds
        self._checkpoints = CheckpointFolder(folder, key, keep)
        self._finished: dict[str, dict[str, Any]] = {}
        self.checkpoint: Checkpoint | None = self._checkpoints.newest(say) if resume else None
        if self.checkpoint is not None:
            self._finished = self.checkpoint.state["finished"]
            _compare_versions(self.checkpoint)
        self.cost = 0.0  # seconds, of the last checkpoint
        self.signal: int | None = None  # that came while a policy learned
        self._written = time.monotonic()

    def finished(self, policy: str) -> dict[str, Any] | None:
        """What is known of a policy that has learned and was saved; None for one that has not."""
        return self._finished.get(policy)

    def finish(self, policy: str, facts: dict[str, Any]) -> None:
        """Note that a policy has learned and lies in the folder of the run."""
        self._finished[policy] = facts
        if self.seconds is not None:
            self.write({}, {})
        if self.signal is not None:  # it came after the last moment between two updates
            self.stop()

    def stop(self) -> NoReturn:
        """End the run as the signal asked for."""
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    def is_due(self) -> bool:
        """Whether a checkpoint should be written now."""
        passed = time.monotonic() - self._written
        return self.seconds is not None and passed >= max(self.seconds, self.cost / SHARE)

    def write(self, training: dict[str, Any], groups: dict[str, dict[str, np.ndarray]]) -> bool:
        """Publish a checkpoint; whether it could be.  A full disk is no reason to stop a training, and is told."""
        started = time.monotonic()
        try:
            self._checkpoints.write({"finished": self._finished, "training": training}, groups)
            return True
        except OSError as error:
            say(
                f"no checkpoint could be written ({error.strerror or error}): {self._checkpoints.folder}; training goes on, "
                "the checkpoints before are whole, and the next one is tried in its time"
            )
            return False
        finally:
            self._written = time.monotonic()
            self.cost = self._written - started

    def where(self) -> str:
        """The newest checkpoint, in words."""
        newest = self._checkpoints.newest(lambda text: None)
        return "there is no checkpoint yet" if newest is None else f"the last good checkpoint is {newest.path}"

    def clear(self) -> None:
        """The run is finished: only the best policy stays."""
        self._checkpoints.clear()


class PolicyProgress:
    """The keeper of one policy's training; see `agents.snapshot.Keeper`.

    Parameters
    ----------
    run : RunProgress
    policy : Agent
    env : ProductPushVectorEnv
        That it learns in.
    """

    def __init__(self, run: RunProgress, policy: Any, env: ProductPushVectorEnv) -> None:
        self._run, self._policy, self._env = run, policy, env
        self._offered = False
        self.training: Callable[[], dict[str, Any]] = dict  # what the training itself goes on from
        kept = run.checkpoint
        training = kept.state["training"] if kept is not None else {}
        self._kept = kept if training.get("policy") == policy.name else None
        self.before: dict[str, Any] | None = training["progress"] if self._kept is not None else None

    @property
    def reported(self) -> list[tuple[int, dict[str, float]]]:
        """What the policy had reported when the checkpoint was written that it goes on from."""
        agent = self._kept.state["training"]["agent"] if self._kept is not None else {}
        return [(int(step), dict(metrics)) for step, metrics in agent.get("learning_curve", [])]

    def kept(self) -> Kept | None:
        """The snapshot to go on from; the environment is put where it stood.

        Raises
        ------
        CheckpointError
            It does not fit this version of the shop.
        """
        if self._kept is None:
            return None
        training = self._kept.state["training"]
        try:
            restore_environment(self._env, self._kept.groups["environment"], training["environment"])
        except ForeignStateError as error:
            raise CheckpointError(f"checkpoint {self._kept.path} cannot be gone on from: {error}") from None
        return Kept(self._kept.groups["agent"], training["agent"])

    def offer(self, take: Callable[[], Any]) -> None:
        """A moment between two updates."""
        self._offered = True
        if self._run.signal is not None or self._run.is_due():
            self._write(take)
        if self._run.signal is not None:
            self._run.stop()

    def best(self) -> None:
        """The policy as it stands is the best so far on tuning customers: keep it beside the checkpoints."""
        if self._run.seconds is None:
            return
        try:
            self._policy.save(self._run.folder / FOLDER / BEST)
        except Exception as error:
            if type(error).__name__ != "AgentFileError":  # sim imports no agents
                raise
            say(str(error))

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """While the policy learns: offers are taken, and signals wait for one."""
        if self._run.seconds is not None or self._kept is not None:
            if hasattr(self._policy, "keep"):
                self._policy.keep(self)
        former = {}
        if threading.current_thread() is threading.main_thread() and self._run.seconds is not None:
            former = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            if self._kept is None or self._offered or hasattr(error, "exit_code"):
                raise
            raise CheckpointError(
                f"checkpoint {self._kept.path} does not fit agent {self._policy.name} of this version "
                f"({type(error).__name__}: {str(error).splitlines()[0][:120]}); resume with the version that wrote it"
            ) from error
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            if hasattr(self._policy, "keep"):
                self._policy.keep(None)

    def _write(self, take: Callable[[], Any]) -> None:
        snapshot = take()
        arrays, values = environment_state(self._env)
        training = {"policy": self._policy.name, "agent": snapshot.values, "environment": values, "progress": self.training()}
        self._run.write(training, {"agent": snapshot.arrays, "environment": arrays})

    def _note(self, number: int, frame: Any) -> None:
        again, self._run.signal = self._run.signal is not None, number
        if again or not self._offered:  # there is nothing to save
            self._run.stop()
        say("stopping at the next update, where a checkpoint can be written; once more to stop at once")


def say(text: str) -> None:
    """One line on standard error, beside the progress bars."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def _compare_versions(checkpoint: Checkpoint) -> None:
    then, now = checkpoint.state.get("versions") or {}, versions()
    changed = [f"{name} {then.get(name)} -> {own}" for name, own in now.items() if then.get(name) != own]
    if changed:
        say(f"{checkpoint.path} was written with other versions ({', '.join(changed)}): the run goes on, but not bit for bit")

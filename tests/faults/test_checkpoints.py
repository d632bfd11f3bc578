"""A checkpoint is there whole or not at all, whatever dies, fills up or is tampered with."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import pickle
import random
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from sim.progress import RunProgress
from sim.tracking.checkpoints import COMMITTED, SCHEMA, STATE, CheckpointError, CheckpointFolder, NotFiniteError

pytestmark = pytest.mark.faults


def groups(number: int, size: int = 40_000) -> dict[str, dict[str, np.ndarray]]:
    """Arrays whose every value is the number of the checkpoint."""
    return {
        "agent": {"weights": np.full(size, number, np.float32), "step": np.array(number, np.int64)},
        "environment": {"age": np.full(100, number, np.int32), "empty": np.zeros((0, 3))},
    }


def write_for_ever(folder: str) -> None:
    kept = CheckpointFolder(folder, "run")
    for number in range(1, 100_000):
        kept.write({"number": number}, groups(number))


def newest(folder: Path, run: str = "run"):
    said: list[str] = []
    return CheckpointFolder(folder, run).newest(said.append), said


def test_of_50_kills_while_checkpoints_are_written_each_leaves_a_whole_one(tmp_path, told):
    dice, context, partial, last = random.Random(5), multiprocessing.get_context("fork"), 0, 2
    kept = CheckpointFolder(tmp_path, "run")
    kept.write({"number": 1}, groups(1))
    clock = time.monotonic()
    kept.write({"number": 2}, groups(2))
    takes = time.monotonic() - clock
    for _ in range(50):
        process = context.Process(target=write_for_ever, args=(str(tmp_path),), daemon=True)
        process.start()
        time.sleep(dice.uniform(0.0, 4.0 * takes))
        process.kill()
        process.join()
        found, said = newest(tmp_path)
        assert found is not None and said == []
        number = int(found.path.name)
        assert number >= last  # never behind what was there
        values = {float(found.groups["agent"]["weights"].min()), float(found.groups["agent"]["weights"].max())}
        assert values == {float(found.state["number"])}
        partial += any(path.name.startswith(".partial") for path in found.path.parent.iterdir())
        last = number
    kept.write({"number": 1}, groups(1))
    names = sorted(path.name for path in kept.folder.iterdir())
    assert len(names) == 3 and all(name.isdigit() for name in names)
    told(f"50 kill -9 during checkpoint writes ({partial} left half a checkpoint)", f"50 of 50 times the newest verified, up to no. {last}")


@pytest.mark.parametrize("name", ["agent.safetensors", "environment.safetensors", STATE, COMMITTED])
@pytest.mark.parametrize("damage", ["one byte", "truncated", "empty", "deleted"])
def test_a_damaged_member_is_named_and_the_checkpoint_before_is_taken(tmp_path, told, name, damage):
    kept = CheckpointFolder(tmp_path, "run")
    for number in (1, 2):
        kept.write({"number": number}, groups(number, 100))
    path = kept.folder / "000002" / name
    data = bytearray(path.read_bytes())
    if damage == "one byte":
        data[len(data) // 2] ^= 0x20
        path.write_bytes(data)
    elif damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2 if damage == "truncated" else 0])
    found, (said,) = newest(tmp_path)
    assert found is not None and found.state["number"] == 1
    assert "000002" in said and (name in said or name == COMMITTED)
    told(f"{name} of the newest checkpoint: {damage}", "the one before, and a sentence")


class Bomb:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch '{self.canary}'",)


@pytest.mark.parametrize("name", ["agent.safetensors", "environment.safetensors", STATE, COMMITTED])
def test_a_pickle_bomb_in_a_checkpoint_is_never_set_off_even_where_the_sums_agree(tmp_path, told, name):
    kept, canary = CheckpointFolder(tmp_path, "run"), tmp_path / "canary"
    for number in (1, 2):
        kept.write({"number": number}, groups(number, 100))
    folder = kept.folder / "000002"
    bomb = pickle.dumps(Bomb(canary))
    pickle.loads(bomb)
    assert canary.exists()  # it would go off
    canary.unlink()
    (folder / name).write_bytes(bomb)
    if name != COMMITTED:
        sums = json.loads((folder / COMMITTED).read_text())
        sums[name] = {"bytes": len(bomb), "sha256": hashlib.sha256(bomb).hexdigest()}
        (folder / COMMITTED).write_text(json.dumps(sums))
    found, (said,) = newest(tmp_path)
    assert found is not None and found.state["number"] == 1 and "000002" in said
    assert not canary.exists()
    told(f"a pickle bomb as {name}, sums forged", "no canary, the checkpoint before")


def test_a_pickle_bomb_as_the_arrays_of_a_policy_is_never_set_off(tmp_path, told):
    from gymnasium import spaces

    import agents
    from agents.errors import AgentFileError
    from agents.ucb import UCB1

    agent = UCB1(
        observation_space=spaces.Box(-np.inf, np.inf, (3,), np.float32), action_space=spaces.Discrete(3), layout={}, seed=0
    )
    agent.start()
    agent.save(tmp_path / "policy")
    canary, (path,) = tmp_path / "canary", (tmp_path / "policy").glob("*.safetensors")
    bomb = pickle.dumps(Bomb(canary))
    path.write_bytes(bomb)
    spec = json.loads((tmp_path / "policy" / "agent.json").read_text())
    for arrays in (path.name, "arrays-0.npz"):  # the second is format 1
        (tmp_path / "policy" / arrays).write_bytes(bomb)
        forged = spec | {"arrays": arrays, "sha256": hashlib.sha256(bomb).hexdigest()}
        (tmp_path / "policy" / "agent.json").write_text(json.dumps(forged))
        with pytest.raises(AgentFileError, match="cannot be read"):
            agents.load_agent(tmp_path / "policy")
    assert not canary.exists()
    told("a pickle bomb as a saved policy's arrays, in both formats", "no canary, the file named")


def test_a_checkpoint_of_another_run_is_passed_over_and_one_of_a_newer_schema_refused(tmp_path, told):
    CheckpointFolder(tmp_path, "mine").write({"number": 1}, groups(1, 100))
    CheckpointFolder(tmp_path, "yours").write({"number": 2}, groups(2, 100))
    found, (said,) = newest(tmp_path, "mine")
    assert found is not None and found.state["number"] == 1 and "it belongs to another run (yours)" in said
    path = tmp_path / "checkpoints" / "000001"
    state = json.loads((path / STATE).read_text())
    text = json.dumps(state | {"schema": SCHEMA + 1}).encode()
    (path / STATE).write_bytes(text)
    sums = json.loads((path / COMMITTED).read_text())
    sums[STATE] = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    (path / COMMITTED).write_text(json.dumps(sums))
    with pytest.raises(CheckpointError, match=f"000001 has schema {SCHEMA + 1}, this version reads up to {SCHEMA}") as error:
        newest(tmp_path, "mine")
    assert error.value.exit_code == 2
    told("checkpoints of another run and of a newer schema", "passed over; refused with both numbers, exit 2")


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_disk_that_is_full_leaves_the_former_checkpoints_and_training_goes_on(tmp_path, monkeypatch, capsys, told, call):
    run = RunProgress(tmp_path, "run", 0, 3, resume=False)
    assert run.write({}, groups(1, 100))

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        assert not run.write({}, groups(2, 100))
    assert "No space left on device" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["000001"]
    found, _ = newest(tmp_path)
    assert found is not None and found.groups["agent"]["step"] == 1
    assert run.write({}, groups(3, 100)) and newest(tmp_path)[0].groups["agent"]["step"] == 3
    told(f"ENOSPC from {call}", "the former checkpoint whole, one sentence, the next one written when there was room")


def test_a_disk_of_2_megabytes_fills_up_and_is_freed(tmp_path, told, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here (needs root)")
    try:
        run = RunProgress(disk, "run", 0, 3, resume=False)
        written = [run.write({}, groups(number, 150_000)) for number in range(1, 6)]  # 600 KB each, four with the one being written
        assert written == [True, True, True, False, False]
        assert "No space left on device" in capsys.readouterr().err
        found, said = newest(disk)
        assert found is not None and found.groups["agent"]["step"] == 3 and said == []
        assert not any(path.name.startswith(".partial") for path in (disk / "checkpoints").iterdir())
        shutil.rmtree(disk / "checkpoints" / "000001")
        assert run.write({}, groups(9, 150_000)) and newest(disk)[0].groups["agent"]["step"] == 9
    finally:
        subprocess.run(["umount", disk], check=True)
    told("a disk of 2 MB full after 3 checkpoints", "all 3 whole, nothing half-written, the next one after space was freed")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, told, number):
    kept = CheckpointFolder(tmp_path, "run")
    kept.write({"number": 1}, groups(1, 100))
    spoiled = groups(2, 100)
    spoiled["agent"]["weights"][17] = number
    with pytest.raises(NotFiniteError, match="the agent's 'weights' is not finite any more, and was not saved"):
        kept.write({"number": 2}, spoiled)
    assert newest(tmp_path)[0].state["number"] == 1
    told(f"a weight of {number}", "no checkpoint of it; the last good one")

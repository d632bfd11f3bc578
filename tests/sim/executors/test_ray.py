"""The executor on Ray: the bits of the others, and a machine that is lost in the middle takes nothing with it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sim.executors import SerialExecutor, Task, in_order, make_executor
from tests.sim.executors import work

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def everything(executor, function, arguments):
    return list(in_order(executor.run(function, [Task(f"task {i}", argument) for i, argument in enumerate(arguments)])))


@pytest.fixture
def two_nodes():
    """A cluster of two nodes of one processor each: its address, the second node's id, and what removes that node."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    try:
        yield cluster.address, node.node_id, lambda: cluster.remove_node(node, allow_graceful=False)
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_ray_of_our_own_gives_the_bits_of_serial_and_the_same_failures():
    with make_executor("ray", 2) as executor:
        products = [o.value for o in everything(executor, work.matrix_sum, range(4))]
        torches = [o.value for o in everything(executor, work.torch_product, range(2))]
        refused = everything(executor, work.refuse, range(4))
    assert products == [o.value for o in everything(SerialExecutor(), work.matrix_sum, range(4))]
    assert torches == [o.value for o in everything(SerialExecutor(), work.torch_product, range(2))]
    assert [o.value for o in refused] == [0, None, None, 3]
    assert refused[1].failure.exit_code == 2 and refused[2].failure.message == "RuntimeError: a fault"


@pytest.mark.faults
def test_of_two_nodes_one_is_removed_in_the_middle_and_all_12_results_are_those_of_serial(two_nodes, tmp_path, capfd):
    address, second, remove = two_nodes
    arguments = [(str(tmp_path), x, second) for x in range(12)]
    found, cut = [], set()
    with make_executor("ray", None, address) as executor:
        assert executor.workers == 2
        for outcome in executor.run(work.square_on_two_nodes, [Task(f"task {x}", a) for x, a in enumerate(arguments)]):
            found.append(outcome)
            there = {int(note.name.split("-")[0]) for note in tmp_path.glob(f"*-{second}")} - {o.index for o in found}
            if there and not cut:  # at work on the second node right now
                cut = there
                remove()
    assert sorted(o.index for o in found) == list(range(12)) and all(o.failure is None for o in found)
    assert [o.value for o in in_order(found)] == [x * x for x in range(12)]
    lost = {o.index for o in found if o.attempts == 2}
    assert len(lost) == 1 and lost == cut and f"task {min(lost)} was lost" in capfd.readouterr().err


@pytest.mark.faults
def test_a_task_that_kills_its_worker_twice_is_a_failure_and_the_others_finish(tmp_path):
    deaths = {1: 1, 2: 2}
    with make_executor("ray", 2) as executor:
        found = everything(executor, work.die, [(str(tmp_path), x, deaths.get(x, 0)) for x in range(4)])
    assert [o.value for o in found] == [0, 1, None, 9] and [o.attempts for o in found] == [1, 2, 2, 1]
    assert found[2].failure.died and "task 2" in found[2].failure.message


def test_the_extraction_as_a_program_gives_the_table_of_serial_on_ray(tmp_path):
    """Run by `python -m`, its module is called `__main__`, which a worker of Ray takes for its own."""
    from tests.perception.material import ROOT

    pictures = sorted((ROOT / "perception" / "personas" / "shipped" / "images").rglob("*.webp"))[:6]
    (tmp_path / "pictures").mkdir()
    for i, picture in enumerate(pictures):
        (tmp_path / "pictures" / f"{i}.webp").write_bytes(picture.read_bytes())
    for name in ("serial", "ray"):
        words = ["images=pictures", f"out={name}.parquet", "cache=none", "weights=none", "batch=2", "progress=false", f"executor={name}"]
        more = ["executor.workers=2"] if name == "ray" else []
        done = subprocess.run(
            [sys.executable, "-m", "perception.extract", *words, *more], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=250,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "serial.parquet").read_bytes() == (tmp_path / "ray.parquet").read_bytes()

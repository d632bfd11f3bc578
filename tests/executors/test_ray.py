"""The executor on Ray: the bits of the others, and a machine that is lost in the middle takes nothing with it."""

from __future__ import annotations

import pytest

from executors import SerialExecutor, Task, in_order, make_executor
from tests.executors import work

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def everything(executor, function, arguments):
    return list(in_order(executor.run(function, [Task(f"task {i}", argument) for i, argument in enumerate(arguments)])))


@pytest.fixture
def two_nodes():
    """A cluster of two nodes of one processor each; the address, and what removes the second node."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    try:
        yield cluster.address, lambda: cluster.remove_node(node, allow_graceful=False)
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
    address, remove = two_nodes
    arguments = [(str(tmp_path), x) for x in range(12)]
    found = []
    with make_executor("ray", None, address) as executor:
        assert executor.workers == 2
        for outcome in executor.run(work.slow_square, [Task(f"task {x}", a) for x, a in enumerate(arguments)]):
            found.append(outcome)
            if len(found) == 3:
                remove()
    starts = len(list(tmp_path.iterdir()))
    print(f"removed 1 of 2 nodes after 3 of 12 tasks; {starts} starts; tried twice: {[o.name for o in found if o.attempts > 1]}")
    assert sorted(o.index for o in found) == list(range(12)) and all(o.failure is None for o in found)
    assert [o.value for o in in_order(found)] == [x * x for x in range(12)]
    lost = [o for o in found if o.attempts == 2]
    assert 1 <= len(lost) <= 2 and capfd.readouterr().err.count("it is tried once more") == len(lost)


@pytest.mark.faults
def test_a_task_that_kills_its_worker_twice_is_a_failure_and_the_others_finish(tmp_path):
    deaths = {1: 1, 2: 2}
    with make_executor("ray", 2) as executor:
        found = everything(executor, work.die, [(str(tmp_path), x, deaths.get(x, 0)) for x in range(4)])
    assert [o.value for o in found] == [0, 1, None, 9] and [o.attempts for o in found] == [1, 2, 2, 1]
    assert found[2].failure.died and "task 2" in found[2].failure.message

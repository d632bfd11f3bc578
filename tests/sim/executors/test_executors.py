"""Executors: equal bits anywhere, every task accounted for, dead workers named."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
import time

import pytest

from sim.config import ROOT
from sim.executors import ExecutorError, SerialExecutor, Shared, Task, check_settings, in_order, make_executor
from sim.executors.process import ProcessExecutor
from tests.sim.executors import work


@pytest.fixture(scope="module")
def two():
    with ProcessExecutor(2) as executor:
        yield executor


def values(executor, function, arguments):
    tasks = [Task(str(i), argument) for i, argument in enumerate(arguments)]
    return [outcome.value for outcome in in_order(executor.run(function, tasks))]


def test_serial_and_two_processes_give_the_same_bits_of_six_matrix_products(two):
    assert values(SerialExecutor(), work.matrix_sum, range(6)) == values(two, work.matrix_sum, range(6))


def test_nine_tasks_come_back_in_order_with_their_reports(two):
    for executor in (SerialExecutor(), two):
        heard = []
        tasks = (Task(f"task {x}", x) for x in range(9))
        found = list(in_order(executor.run(work.square, tasks, lambda name, value, heard=heard: heard.append((name, value)))))
        assert [(o.index, o.name, o.value, o.attempts) for o in found] == [(x, f"task {x}", x * x, 1) for x in range(9)]
        assert set(heard) <= {(f"task {x}", (x, step)) for x, step in itertools.product(range(9), range(3))}
        assert len(heard) >= 20


def test_a_task_that_raises_is_a_failure_with_its_sentence_and_the_other_three_finish(two):
    for executor in (SerialExecutor(), two):
        found = list(in_order(executor.run(work.refuse, [Task(str(x), x) for x in range(5)])))
        assert [o.value for o in found] == [0, None, None, 3, 4]
        expected, fault = found[1].failure, found[2].failure
        assert (expected.message, expected.exit_code, expected.trace) == ("number 1 is not wanted", 2, None)
        assert fault.message == "RuntimeError: a fault" and fault.exit_code == 1 and "raise RuntimeError" in fault.trace


def test_a_worker_killed_at_a_task_is_named_the_task_is_tried_once_more_and_twice_is_a_failure(two, tmp_path, capfd):
    deaths = {1: 1, 3: 2}
    tasks = [Task(f"task {x}", (str(tmp_path), x, deaths.get(x, 0))) for x in range(6)]
    found = list(in_order(two.run(work.die, tasks)))
    assert [o.value for o in found] == [0, 1, 4, None, 16, 25]
    assert [o.attempts for o in found] == [1, 2, 1, 2, 1, 1]
    assert found[3].failure.died and "died at task 3" in found[3].failure.message and "second time" in found[3].failure.message
    said = capfd.readouterr().err
    assert said.count("it is tried once more") == 2 and "(process " in said and "died at task 1 " in said


def test_a_worker_that_dies_between_tasks_is_replaced_without_a_word():
    with ProcessExecutor(1) as executor:
        pid = values(executor, work.sleep, [0])[0]
        os.kill(pid, 9)
        time.sleep(0.3)
        outcomes = list(executor.run(work.sleep, [Task("a", 0)]))
    assert outcomes[0].value not in (None, pid)


def test_a_shared_object_is_unpickled_once_in_a_process():
    shared = Shared({"weights": list(range(1000))})
    copies = [pickle.loads(pickle.dumps(shared)) for _ in range(3)]
    assert len({work.held(copy) for copy in copies}) == 1 and copies[0].get() == shared.get()


def test_leaving_early_ends_the_workers_at_once():
    with ProcessExecutor(1) as executor:
        pid = values(executor, work.sleep, [0])[0]
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            for _ in executor.run(work.sleep, [Task("a", 0), Task("b", 60)]):
                raise KeyboardInterrupt
    assert time.monotonic() - started < 10
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.faults
def test_the_worker_ends_when_the_program_is_killed_with_9():
    code = (
        "import sys; from sim.executors import make_executor, Task; from tests.sim.executors import work\n"
        "if __name__ == '__main__':\n"
        "    e = make_executor('process', 1); print(next(e.run(work.sleep, [Task('a', 0)])).value, flush=True)\n"
        "    list(e.run(work.sleep, [Task('b', 60)]))"
    )
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    pid = int(program.stdout.readline())
    program.kill()
    program.wait()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        with open(f"/proc/{pid}/stat") as file:
            if file.read().split(")")[1].split()[0] == "Z":
                return
        time.sleep(0.1)
    pytest.fail("the worker outlived its program by 10 seconds")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("cluster",), "executor=cluster is unknown; choose from serial, process, ray"),
        (("process", 0), "executor.workers=0 is out of range; allowed is 1 to 1024"),
        (("process", None, "head:6379"), "executor.address=head:6379 is for executor=ray; executor=process runs on this machine"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_sentence(settings, sentence):
    with pytest.raises(ExecutorError) as caught:
        check_settings(*settings)
    assert sentence in str(caught.value) and "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_an_address_where_nobody_answers_is_refused_before_any_work():
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    with pytest.raises(ExecutorError, match="executor.address=127.0.0.1:1: no Ray cluster answers there; start one with ray start"):
        check_settings("ray", None, "127.0.0.1:1")


def test_without_ray_the_extra_is_named(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExecutorError, match=r"executor=ray needs the package ray: pip install 'product-push-simulator\[ray\]'"):
        check_settings("ray")


def test_a_worker_asked_for_an_executor_takes_serial(monkeypatch):
    monkeypatch.setenv("PUSH_SIM_WORKER", "process")
    assert isinstance(make_executor("process", 2), SerialExecutor)

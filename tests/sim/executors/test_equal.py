"""serial = process = ray, on a sweep of 12 runs and on the extraction of 500 pictures."""

from __future__ import annotations

import importlib.util

import pytest

from benchmarks.executors import extraction, sweep

WAYS = ["process:2", *(["ray:2"] if importlib.util.find_spec("ray") else [])]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def serial_sweep():
    return sweep(12, "serial")[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_sweep_of_12_runs_leaves_the_same_policies_logs_and_intervals_to_the_bit(serial_sweep, way):
    assert len(serial_sweep) == 12 and len(set(serial_sweep.values())) > 6
    assert sweep(12, way)[0] == serial_sweep


@pytest.fixture(scope="module")
def serial_table():
    return extraction(500, "serial")[0]


@pytest.mark.parametrize("way", ["process:1", *WAYS])
def test_500_pictures_give_the_same_table_to_the_bit(serial_table, way):
    assert extraction(500, way)[0] == serial_table


@pytest.mark.parametrize("way", WAYS)
def test_9000_customers_evaluated_in_shares_give_the_totals_and_the_log_of_those_evaluated_here(way, tmp_path):
    from sim import training
    from sim.evaluation.evaluate import evaluate
    from sim.evaluation.oracle.references import reference
    from sim.evaluation.session_log import SessionWriter
    from sim.executors import make_executor
    from sim.shop.scenarios import load_shop

    shop = load_shop(())
    policies = [training.build_agent(training.agent_config("random"), shop, 0, []), reference("myopic", shop, 1.0)]
    name, _, workers = way.partition(":")
    found = []
    with make_executor(name, int(workers)) as executor:
        for who in (None, executor):
            path = tmp_path / ("here" if who is None else "shares")
            with SessionWriter(path, shop) as writer:
                options = {"customers": 9000, "seed": 5, "writer": writer, "logged": 500, "executor": who}
                totals = [evaluate(policy, shop, **options).totals for policy in policies]
            found.append([path.read_bytes(), *(total.tobytes() for each in totals for total in each.values())])
    assert len(found[0]) > 30 and found[0] == found[1]

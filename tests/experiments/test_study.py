"""Cells are keyed by what decides them, resume, equal the simulator's own evaluation, and end in tables and a figure."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments import myopic_gap, report, study, value_of_perception, workers
from experiments.cells import (
    EVALUATION_SEED,
    QUANTITIES,
    Arm,
    Evaluation,
    at_hand,
    plan,
    read_cell,
    read_training,
    run_cell,
    write_cell,
)
from experiments.command import Settings
from experiments.gaps import Gap, estimate
from sim import training
from sim.config import ROOT
from sim.evaluation.metrics import per_customer
from sim.evaluation.rollout import rollout
from sim.shop.scenarios import load_shop

SHORT = ("env.returning.horizon_opportunities=6",)
ARMS = [
    Arm("random", "random", shop=("camera.emotion=perceived",)),
    Arm("popularity", "popularity", shop=("camera.emotion=blind",)),
]


def settings(tmp_path, **changes):
    return Settings(**{"seeds": 2, "steps": 2048, "customers": 60, "workers": 1, "out": str(tmp_path), "shop": SHORT} | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study of two policies and two seeds, run in this process."""
    chosen = settings(tmp_path_factory.mktemp("study"))
    cells = plan("question", ARMS, chosen)
    for cell in cells:
        run_cell(cell)
    return chosen, cells


# ---------------------------------------------------------------------- keys
def test_the_key_of_a_policy_is_what_decides_its_training_and_no_more(tmp_path):
    def first(**changes):
        return plan("question", ARMS[:1], settings(tmp_path, **changes))[0]

    cell = first()
    assert first() == cell
    more_customers = first(customers=61)
    assert more_customers.policy == cell.policy and more_customers.path != cell.path
    for changes in ({"steps": 4096}, {"shop": (*SHORT, "env.reward.push_price=.1")}, {"shop": (*SHORT, "population.seed=1")}):
        assert first(**changes).policy != cell.policy and first(**changes).path != cell.path
    seeds = plan("question", ARMS, settings(tmp_path))
    assert len({c.policy for c in seeds}) == len({c.path for c in seeds}) == 4


def test_more_seeds_keep_the_cells_of_fewer(tmp_path):
    few, many = (plan("question", ARMS, settings(tmp_path, seeds=n)) for n in (2, 3))
    assert many[:4] == few and len(many) == 6


def test_planning_shares_its_ppo_with_the_perceived_camera(tmp_path):
    chosen = settings(tmp_path, seeds=1)
    (camera,) = (arm for arm in value_of_perception.arms() if arm.name == "perceived")
    (planner,) = (arm for arm in myopic_gap.arms() if arm.name == "ppo")
    (perceived,) = plan("a", [dataclasses.replace(camera, evaluations=())], chosen)
    (ppo,) = plan("b", [planner], chosen)
    assert perceived.policy == ppo.policy and perceived.path != ppo.path


# ---------------------------------------------------------------------- cells
def test_a_cell_holds_what_the_simulator_measures_for_the_same_policy(finished):
    chosen, cells = finished
    cell = next(c for c in cells if c.arm.name == "popularity" and c.seed == 1)
    shop = load_shop(cell.arm.shop)
    agent = training.build_agent(training.agent_config("popularity"), shop, 1, []).load(cell.policy)
    expected = per_customer(rollout(agent, shop, customers=60, seed=EVALUATION_SEED), 1.0)
    arrays = read_cell(cell.path)
    for name in QUANTITIES:
        np.testing.assert_array_equal(arrays[f"sampled/{name}"], expected[name])
    assert set(arrays["face"]) <= set(shop.gallery.evaluate.persons) and len(arrays["face"]) == 60


def test_a_finished_study_trains_and_evaluates_nothing_again(finished, monkeypatch, capsys):
    chosen, _ = finished
    monkeypatch.setattr(study, "run_cells", lambda *_: pytest.fail("ran a finished cell"))
    results = study.run("question", ARMS, chosen)
    assert results.values("random").shape == (2, 60)
    assert "4 cells (2 arms x 2 seeds), 4 finished before, 0 to do" in capsys.readouterr().err


def test_a_study_that_lost_a_cell_remakes_it_to_the_bit_without_training(finished, monkeypatch):
    _, cells = finished
    cell = cells[1]
    before = read_cell(cell.path)
    cell.path.write_bytes(cell.path.read_bytes()[:-200])  # cut short, as by a full disk
    assert read_cell(cell.path) is None
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained a kept policy"))
    run_cell(cell)
    after = read_cell(cell.path)
    assert before.keys() == after.keys() and all(np.array_equal(before[k], after[k]) for k in before)
    assert not list(cell.path.parent.glob(".*.tmp"))


def test_a_damaged_policy_is_trained_again_to_the_same_bits(finished):
    _, cells = finished
    cell = next(c for c in cells if c.arm.name == "popularity")
    before = read_cell(cell.path)
    next(cell.policy.glob("arrays-*")).write_bytes(b"not an archive")
    cell.path.unlink()
    run_cell(cell)
    assert np.array_equal(before["sampled/value"], read_cell(cell.path)["sampled/value"])


def test_a_policy_without_the_learning_curve_that_a_question_asks_for_is_trained_again_to_the_same_bits_with_it(finished):
    _, cells = finished
    cell = next(c for c in cells if c.arm.agent == "popularity")
    before, asks = read_cell(cell.path), dataclasses.replace(cell, arm=dataclasses.replace(cell.arm, curve=True))
    assert read_training(cell.policy)["curve"] == [] and at_hand(cell) and not at_hand(asks)
    run_cell(asks)
    assert at_hand(asks) and len(read_training(cell.policy)["curve"]) == 1
    assert np.array_equal(before["sampled/value"], read_cell(cell.path)["sampled/value"])


def test_cells_that_met_other_customers_are_not_compared(finished, tmp_path):
    _, cells = finished
    arrays = read_cell(cells[0].path)
    other = dataclasses.replace(cells[0], path=tmp_path / "other.npz")
    write_cell(other.path, arrays | {"face": arrays["face"][::-1] + 1})
    with pytest.raises(AssertionError, match="met other customers"):
        study.gather([cells[1], other])


@pytest.mark.slow
def test_worker_processes_finish_a_study_with_the_bits_of_this_process(finished, tmp_path):
    chosen, _ = finished
    own = study.run("question", ARMS, chosen)
    theirs = study.run("question", ARMS, dataclasses.replace(chosen, out=str(tmp_path), workers=1))
    for arm in ("random", "popularity"):
        np.testing.assert_array_equal(theirs.values(arm), own.values(arm))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks for orphans in /proc")
def test_a_killed_study_leaves_no_worker_behind_and_resumes(tmp_path):
    command = [sys.executable, "-m", "experiments.myopic_gap", "seeds=1", "workers=1", "customers=20", *SHORT, f"out={tmp_path}"]
    process = subprocess.Popen([*command, "steps=400000"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cells = tmp_path / "myopic_gap" / "cells"
    deadline = time.monotonic() + 200
    while len(list(cells.glob("*.npz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    children = _children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path.name for path in cells.glob("*.npz")}
    assert len(kept) >= 2 and children
    time.sleep(5)
    assert not [pid for pid in children if _running(pid)]
    arms = [arm for arm in myopic_gap.arms() if arm.name in ("random", "hold_back")]
    planned = plan("myopic_gap", arms, settings(tmp_path, seeds=1, customers=20, steps=400_000))
    assert {cell.path.name for cell in planned} <= kept


def _children(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found.append(int(name))
    return found


def _running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# ---------------------------------------------------------------------- questions
def test_each_camera_differs_from_the_perceived_one_in_what_its_name_says():
    channels = ("emotion", "identity", "mask")
    cameras = {
        arm.name: dict(item.removeprefix("camera.").split("=") for item in arm.shop) for arm in value_of_perception.arms()
    }
    assert len(cameras) == 8
    for state in ("oracle", "perceived", "noisy", "blind"):
        assert cameras[state] == dict.fromkeys(channels, state)
    for name in ("emotion_oracle", "emotion_blind", "identity_oracle", "identity_blind"):
        channel, state = name.split("_")
        assert cameras[name] == dict.fromkeys(channels, "perceived") | {channel: state}


@pytest.mark.parametrize("question", [value_of_perception, myopic_gap])
def test_every_arm_of_a_question_takes_part_in_a_gap_worked_out_from_its_customers(question):
    rng, arms = np.random.default_rng(0), question.arms()
    totals = {a.name: {e.name: {"value": rng.normal(10, 1, (2, 30))} for e in a.evaluations} for a in arms}
    results = study.Results(totals, np.arange(30) % 5, 2, 0.0)
    assert results.customers == 30
    compared = set()
    for found in question.gaps(results):
        if " - masked" in found.name:
            arm = found.name.split(":")[0]
            d = results.values(arm, "unmasked") - results.values(arm, "masked")
        else:
            a, b = found.name.split(" - ")
            compared |= {a, b}
            d = results.values(a) - results.values(b)
        assert found.estimate.mean == pytest.approx(d.mean())
    assert compared == {arm.name for arm in arms}


def test_the_masked_and_the_bare_customers_are_the_same_people_but_for_the_mask():
    agent = training.build_agent(training.agent_config("random"), load_shop(), 0, [])
    bare, masked = (
        rollout(agent, load_shop(overrides), customers=50, seed=1).events
        for overrides in (value_of_perception.UNMASKED, value_of_perception.MASKED)
    )
    assert bare["masked"].max() == 0 and masked["masked"].min() == 1
    first = [np.searchsorted(events["customer"], np.arange(50)) for events in (bare, masked)]
    for trait in ("person", "enrolled", "price_sensitivity", "valence", "mood", "budget"):
        np.testing.assert_array_equal(bare[trait][first[0]], masked[trait][first[1]])


def test_the_tables_the_file_and_the_figure_tell_the_numbers_of_the_cells(finished, capsys):
    chosen, cells = finished
    results = study.gather(cells)
    d = results.values("popularity") - results.values("random")
    report.tell("question", "a title", results, [Gap("popularity - random", "what", results.gap("popularity", "random"))], chosen)
    printed = capsys.readouterr().out
    assert f"{d.mean():+.2f}" in printed and f"{d[0].mean():+.2f}" in printed
    folder = cells[0].path.parents[1]
    written = json.loads((folder / "results.json").read_text())
    told = written["gaps"]["popularity - random"]
    assert told["mean"] == pytest.approx(d.mean()) and told["customers"]["n"] == 60 and told["seeds"]["n"] == 2
    assert written["values"]["random"]["mean"] == pytest.approx(results.values("random").mean())
    picture = (folder / "question.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and 5_000 < len(picture) < 150_000
    totals = results.totals["popularity"]["sampled"]
    row = report.value_row("popularity", estimate(results.values("popularity"), results.faces), results)
    assert row[5] == f"{totals['pushes'].sum() / totals['opportunities'].sum():.2f}" and row[4] == "-"


@pytest.mark.slow
def test_argmax_deploys_the_same_policy_without_sampling(tmp_path):
    arm = Arm("ppo", evaluations=(Evaluation("sampled"), Evaluation("argmax", deterministic=True)))
    (cell,) = plan("question", [arm], settings(tmp_path, seeds=1, steps=16_384))
    run_cell(cell)
    arrays = read_cell(cell.path)
    # after one update the sampled policy is nearly uniform, its argmax is not: other pushes to the same customers
    assert not np.array_equal(arrays["sampled/pushes"], arrays["argmax/pushes"])
    assert np.array_equal(arrays["sampled/opportunities"] > 0, arrays["argmax/opportunities"] > 0)


def test_a_cell_that_fails_is_named_with_its_reason_and_the_three_others_are_run(tmp_path, monkeypatch):
    ran = []

    def one(cell, report):
        ran.append(cell.path.name)
        if cell.seed == 1 and cell.arm.name == "random":
            raise RuntimeError("the numbers ran away")
        return 0.0

    monkeypatch.setattr(workers, "run_cell", one)
    chosen = settings(tmp_path, executor="serial")
    cells = plan("question", ARMS, chosen)
    with pytest.raises(workers.CellsFailedError) as caught:
        workers.run_cells(cells, chosen)
    assert ran == [cell.path.name for cell in cells] and caught.value.exit_code == 1
    assert "1 of 4 cells failed (random-s1-" in str(caught.value) and "RuntimeError: the numbers ran away" in str(caught.value)

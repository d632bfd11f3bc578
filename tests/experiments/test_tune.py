"""A search: its space is checked, it prunes what falls behind, goes on where it was, and buries trials that were killed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
import subprocess
import sys
import time

import pytest

from experiments import tune
from experiments.search_space import SEARCH, Range, read_space, searchable
from sim.config import ROOT, ConfigError
from sim.training import agent_config

optuna = pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage")
TINY = ["agent=linucb", "steps=2000", "customers=50", "tracking=none"]


@pytest.mark.parametrize("agent", searchable())
def test_every_shipped_space_names_settings_of_its_agent_and_holds_its_shipped_values(agent):
    space = read_space(agent, agent_config(agent))
    assert space.steps >= 100_000 and space.shipped(agent_config(agent)) is not None


@pytest.mark.parametrize(("text", "sentence"), [
    ("steps: 5\nspace:\n  alfa: {low: 0, high: 1}", "the agent has no setting 'alfa'"),
    ("steps: 5\nspace:\n  alpha: {low: 1, high: 1}", "alpha needs low < high"),
    ("steps: 5\nspace:\n  alpha: {low: 0, high: 1, log: true}", "above 0 on a logarithmic scale"),
    ("steps: 5\nspace:\n  alpha: {choices: []}", "alpha takes a list of choices"),
    ("steps: 5\nspace:\n  alpha: {from: 1}", "alpha takes low, high and log, or choices"),
    ("space: {}", "must hold `steps` and `space`"),
])  # fmt: skip
def test_a_wrong_space_is_refused_in_a_sentence(text, sentence, tmp_path):
    (tmp_path / "linucb.yaml").write_text(text)
    with pytest.raises(ConfigError, match=sentence.replace("(", r"\(")):
        read_space("linucb", agent_config("linucb"), tmp_path)


def test_whole_numbers_stay_whole_and_choices_are_taken_from_the_list():
    trial = optuna.trial.FixedTrial({"a": 3, "b": 0.5, "c": "x"})
    found = [each.suggest(trial) for each in (Range("a", 1, 9), Range("b", 0.1, 1.0, log=True), Range("c", choices=("x", "y")))]
    assert found == [3, 0.5, "x"] and isinstance(found[0], int)


@pytest.mark.parametrize(("arguments", "sentence"), [
    ([], "name the agent to tune"),
    (["agent=nobody"], "agent=nobody: name the agent to tune, one of"),
    (["agent=popularity"], "agent=popularity has no search space; choose from a2c, dqn, "),
    (["agent=ppo", "trials=0"], "trials=0: give a whole number from 1"),
    (["agent=ppo", "seconds=soon"], "seconds=soon: give a whole number"),
    (["agent=ppo", "colour=red"], "there is no setting 'colour=red'"),
    (["agent=ppo", "env.choice.taste_wait=1"], "taste_wait"),
])  # fmt: skip
def test_a_wrong_command_is_one_sentence_and_exit_code_2(arguments, sentence, capsys):
    assert tune.main(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said and len(said.strip().splitlines()) == 1


def test_help_names_what_can_be_tuned(capsys):
    assert tune.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "python -m experiments.tune agent=AGENT" in said and "ppo" in said and SEARCH.name in said


def settings(tmp_path, **more):
    return tune.Settings(agent="linucb", customers=50, out=str(tmp_path), tracking=False, **more)


def space():
    return read_space("linucb", agent_config("linucb"))


def test_a_search_goes_on_where_it_was_and_prints_what_to_paste(tmp_path, capsys):
    assert tune.main([*TINY, "trials=2", f"out={tmp_path}"]) == 0
    first = capsys.readouterr().out
    assert "2 complete" in first and "python -m sim.run agent=linucb agent.alpha=" in first
    assert tune.main([*TINY, "trials=3", f"out={tmp_path}"]) == 0
    (path,) = tmp_path.glob("linucb-*/trials.json")
    trials = json.loads(path.read_text())["trials"]
    assert [t["number"] for t in trials] == [0, 1, 2] and all(t["state"] == "COMPLETE" for t in trials)
    own = agent_config("linucb")
    assert trials[0]["params"] == {name: own[name] for name in ("alpha", "ridge", "push_charge")}    # as shipped comes first
    assert trials[1]["params"] != trials[2]["params"] and trials[0]["curve"]
    assert tune.main([*TINY, "trials=3", f"out={tmp_path}"]) == 0                                     # nothing left to do
    assert "3 complete" in capsys.readouterr().out


def test_another_shop_or_budget_is_another_study(tmp_path):
    names = {
        tune.open_study(one, space()).study_name
        for one in (settings(tmp_path), settings(tmp_path, shop=("env.reward.push_price=.2",)), settings(tmp_path, seeds=2))
    }
    assert len(names) == 3


def test_a_trial_without_a_sign_of_life_is_marked_failed_when_the_search_is_opened_again(tmp_path):
    study = tune.open_study(settings(tmp_path), space(), heartbeat=1, grace=1)
    dead = study.ask()
    study._storage.record_heartbeat(dead._trial_id)
    assert study.trials[0].state == optuna.trial.TrialState.RUNNING
    time.sleep(2.2)
    again = tune.open_study(settings(tmp_path), space(), heartbeat=1, grace=1)
    assert again.trials[0].state == optuna.trial.TrialState.FAIL


def test_a_trial_below_the_median_of_five_others_is_cut_short_after_the_warm_up(tmp_path):
    study = tune.open_study(settings(tmp_path), space())
    for value in range(10, 15):
        trial = study.ask()
        for point in range(13):
            trial.report(value, point)
        study.tell(trial, value)
    late = study.ask()
    late.report(11.0, 4)
    assert not late.should_prune()          # 4 of 12 points: still warming up
    late.report(11.9, 6)
    assert late.should_prune()              # the median is 12
    fine = study.ask()
    fine.report(12.1, 6)
    assert not fine.should_prune()


def test_settings_that_do_not_go_together_cost_one_trial_and_not_the_search(tmp_path, monkeypatch, capsys):
    from sim import training

    class RefusedError(ValueError):
        exit_code = 2

    real, calls = training.train, []

    def train(*arguments, **named):
        calls.append(1)
        if len(calls) == 1:
            raise RefusedError("batch_size 7 must divide 16")
        return real(*arguments, **named)

    monkeypatch.setattr(training, "train", train)
    assert tune.main([*TINY, "trials=1", f"out={tmp_path}"]) == 0
    said = capsys.readouterr()
    assert "trial 0 failed: batch_size 7 must divide 16" in said.err and "1 complete, 1 fail" in said.out


@pytest.mark.slow
@pytest.mark.faults
def test_a_search_killed_in_a_trial_buries_it_and_goes_on(tmp_path):
    command = [sys.executable, "-m", "experiments.tune", "agent=linucb", "steps=50_000_000", "customers=50", "tracking=none",
               "trials=1", f"out={tmp_path}"]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    given = settings(tmp_path)
    long = dataclasses.replace(space(), steps=50_000_000)
    try:
        for _ in range(600):
            time.sleep(0.2)
            assert process.poll() is None, "it ended before it was killed"
            if (tmp_path / "tune.db").exists() and running(tmp_path / "tune.db"):
                break
        time.sleep(1.0)
    finally:
        process.kill()
        process.wait()
    time.sleep(2.5)
    study = tune.open_study(given, long, heartbeat=1, grace=2)
    assert [t.state for t in study.trials] == [optuna.trial.TrialState.FAIL]
    study.optimize(lambda trial: long.suggest(trial)["alpha"], n_trials=1)
    assert study.trials[1].state == optuna.trial.TrialState.COMPLETE


def running(path):
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            return db.execute("select count(*) from trials where state = 'RUNNING'").fetchone()[0]
    except sqlite3.OperationalError:            # not yet made
        return 0

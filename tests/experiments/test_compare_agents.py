"""The comparison of the family: who takes part, and a tiny study from training to table."""

from __future__ import annotations

import json

import numpy as np
import pytest

from experiments import compare_agents
from experiments.compare_agents import FAST, SLOW, chosen, time_rows
from experiments.study import Results
from sim.config import ConfigError, agents_known


def test_every_agent_of_the_family_is_in_one_of_the_two_tables():
    """All of conf/agent but those that need the organic shop's own part of the observation."""
    organic = {"factorisation", "least_clickbait", "most_clickbait", "organic_count", "organic_popularity"}
    missing = set(agents_known()) - organic - set(FAST) - set(SLOW)
    assert not missing
    assert {"ppo", "charged_linucb"} <= set(FAST) & set(SLOW)


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["agents=ppo"], "give two or more"),
    (["agents=ppo,nobody"], "'nobody' is no agent"),
    (["agents=fast", "agents=slow"], "agents is given twice"),
])  # fmt: skip
def test_a_wrong_choice_is_refused_in_a_sentence(arguments, sentence, capsys):
    with pytest.raises(ConfigError, match=sentence):
        chosen(arguments)
    assert compare_agents.command(arguments) == 2 and sentence in capsys.readouterr().err


def test_the_choice_is_taken_out_and_the_rest_left():
    assert chosen(["seeds=2", "agents=linucb,random"]) == ("chosen", ("linucb", "random"), ["seeds=2"])
    assert chosen([])[:2] == ("fast", FAST) and chosen(["agents=slow"])[1] == SLOW


def test_times_are_medians_over_seeds_and_curves_are_read_at_the_quarters():
    trainings = [{"steps": 100, "processor_seconds": s, "curve": [[0, 0.0], [100, 4.0]]} for s in (1.0, 2.0, 9.0)]
    results = Results({}, np.zeros(2), 3, 0.0, {"ppo": trainings, "random": [{"steps": 0, "processor_seconds": 0, "curve": []}] * 3})
    assert time_rows(results, ["ppo", "random"]) == [["ppo", "100", "2", "50", "1.0 2.0 3.0 4.0"]]


def test_a_tiny_study_ends_with_table_plots_and_curves_and_costs_nothing_the_second_time(tmp_path, capsys):
    arguments = ["agents=linucb,random,hold_back", "seeds=2", "steps=40000", "customers=200", "workers=1", f"out={tmp_path}"]
    assert compare_agents.command(arguments) == 0
    said = capsys.readouterr()
    assert "6 to do" in said.err and "linucb" in said.out and "training, median over seeds" in said.out
    folder = tmp_path / "compare_agents" / "chosen"
    names = {path.name for path in folder.iterdir()}
    assert {"comparison.html", "comparison.json", "answer.md", "values.png", "profiles.png", "improvement.png",
            "learning_curves.png"} <= names  # fmt: skip
    numbers = json.loads((folder / "comparison.json").read_text())
    assert numbers["seeds"] == {"linucb": [0, 1], "random": [0], "hold_back": [0]}
    assert compare_agents.command(arguments) == 0
    assert "6 finished before, 0 to do" in capsys.readouterr().err

"""The improvement loop with a tiny budget: verdicts, resuming to the same bits, the registry, and refusals."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from experiments import improve
from experiments.improve_rounds import Exploring, verdict
from sim.evaluation.interactions import collect
from sim.shop.scenarios import load_shop
from tests.sim.conftest import ConstantPolicy

TINY = (
    "customers=40", "trial_customers=60", "evaluate.customers=40", "agent=epsilon_greedy", "env.returning.horizon_opportunities=5",
)  # fmt: skip


def run(out, *arguments, tracking="tracking=none"):
    return improve.main([*TINY, f"out={out}", tracking, *arguments])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished loop of two rounds, with its own MLflow store."""
    folder = tmp_path_factory.mktemp("improve")
    uri = f"sqlite:///{folder}/mlflow.db"
    assert run(folder / "study", "rounds=2", f"tracking.uri={uri}", tracking="tracking=mlflow") == 0
    return folder / "study", uri


def state(folder):
    found = json.loads((folder / "state.json").read_text())
    for each in found["rounds"]:
        each.pop("seconds")
    return found | {"settings": None}


# ---------------------------------------------------------------------- the verdict
def test_a_verdict_is_the_one_sided_student_bound_at_the_level_divided_by_the_rounds_by_hand():
    difference = np.array([1.0, 2.0, 3.0, 4.0])
    found = verdict(difference, level=0.95, rounds=2)
    # t with 3 degrees of freedom at 1 - .05 / 2: 3.182446; s = 1.290994, mean 2.5
    assert found["bound"] == pytest.approx(2.5 - 3.182446 * 1.290994 / 2, abs=1e-5) and found["promoted"]
    assert not verdict(difference, level=0.95, rounds=20)["promoted"]


def test_of_1000_studies_of_5_rounds_without_any_difference_at_most_5_percent_promote_ever():
    rng = np.random.default_rng(0)
    ever = [any(verdict(rng.normal(size=400), 0.95, 5)["promoted"] for _ in range(5)) for _ in range(1000)]
    assert np.mean(ever) < 0.05 + 3 * (0.05 * 0.95 / 1000) ** 0.5
    assert np.mean(ever) > 0.05 - 4 * (0.05 * 0.95 / 1000) ** 0.5  # and the level is used, not wasted


def test_a_deployed_champion_keeps_a_fifth_of_its_decisions_random_with_exact_propensities():
    shop = load_shop(("env.returning.horizon_opportunities=5",))
    log = collect(Exploring(ConstantPolicy(3), 0.2), shop, customers=400, seed=0, split="train")
    np.testing.assert_allclose(log.probabilities.sum(1), 1)
    free = log.action_mask.all(1)
    np.testing.assert_allclose(log.probabilities[free, 3], 0.8 + 0.2 / log.probabilities.shape[1])
    np.testing.assert_array_equal(log.propensity, log.probabilities[np.arange(len(log)), log.action])
    assert (log.probabilities[log.action_mask] > 0).all()


# ---------------------------------------------------------------------- the loop
def test_every_round_logs_tries_and_keeps_its_policy_and_the_curve_is_drawn(finished):
    folder, _ = finished
    found = state(folder)
    assert [r["round"] for r in found["rounds"]] == [1, 2] and found["rounds"][0]["champion"] == "round-0-random"
    assert found["rounds"][1]["logged_rows"] > found["rounds"][0]["logged_rows"]
    assert {p.name for p in (folder / "policies").iterdir()} == {"round-0-random", "round-1-epsilon_greedy", "round-2-epsilon_greedy"}
    assert (folder / "improve.png").stat().st_size > 5000 and "true value of the champion" in (folder / "answer.md").read_text()
    promoted = [r["challenger"]["name"] for r in found["rounds"] if r["trial"]["promoted"]]
    assert [c["name"] for c in found["champions"]] == ["round-0-random", *promoted]


def test_a_study_that_was_cut_after_its_first_round_ends_with_the_bits_of_an_uncut_one(finished, tmp_path):
    folder, _ = finished
    shutil.copytree(folder, tmp_path / "study")
    cut = json.loads((tmp_path / "study" / "state.json").read_text())
    cut["rounds"] = cut["rounds"][:1]
    cut["champions"] = [c for c in cut["champions"] if c["round"] <= 1]
    (tmp_path / "study" / "state.json").write_text(json.dumps(cut))
    shutil.rmtree(tmp_path / "study" / "policies" / "round-2-epsilon_greedy")
    assert run(tmp_path / "study", "rounds=2") == 0
    assert state(tmp_path / "study") == state(folder)


def test_champion_and_challenger_load_from_the_registry_without_pickle_and_decide_alike(finished, monkeypatch):
    import mlflow
    import pandas as pd

    from agents import load_agent

    folder, uri = finished
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "False")
    client = mlflow.MlflowClient(uri)
    aliases = client.get_registered_model("push-policy").aliases
    assert int(aliases["challenger"]) == 3 and int(aliases["champion"]) == len(state(folder)["champions"])
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)  # the registry follows, unless it is set by itself, which nothing could undo
    try:
        model = mlflow.pyfunc.load_model("models:/push-policy@challenger")
    finally:
        mlflow.set_tracking_uri(before)
    agent = load_agent(folder / "policies" / "round-2-epsilon_greedy")
    seen = np.random.default_rng(0).normal(size=(3, agent.observation_size)).astype(np.float32)
    answered = model.predict(pd.DataFrame({name: list(seen[:, a:b].astype(float)) for name, (a, b) in agent.layout.items()}))
    expected = agent.action_probabilities(seen, np.ones((3, agent.num_actions), bool))
    np.testing.assert_array_equal(np.array(answered["probabilities"].tolist()), expected)
    assert not list((folder.parent / "mlartifacts").rglob("*.pkl"))


def test_running_a_finished_study_again_changes_nothing_and_registers_nothing_twice(finished):
    import mlflow

    folder, uri = finished
    before = state(folder)
    assert run(folder, "rounds=2", f"tracking.uri={uri}", tracking="tracking=mlflow") == 0
    assert state(folder) == before
    assert len(mlflow.MlflowClient(uri).search_model_versions("name = 'push-policy'")) == 3


# ---------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rounds=0"], "rounds=0 is out of range; allowed is 1 to 1000"),
        (["rounds=two"], "rounds=two is no whole number"),
        (["exploration=0"], "exploration=0 is out of range"),
        (["start=nobody"], "start=nobody is no agent"),
        (["agent._target_=os.system"], "agent._target_=os.system is not trusted"),
        (["rounds=3"], "this study was planned with 2"),
        (["rounds=2", "customers=50"], "holds a study with other settings"),
        (["rounds=1", "agent=ppo", "out=OTHER"], "agent ppo cannot learn from a log"),
    ],
)
def test_a_wrong_wish_is_one_sentence_and_exit_code_2(finished, tmp_path, arguments, sentence, capsys):
    out = tmp_path / "other" if "out=OTHER" in arguments else finished[0]
    assert run(out, *[a for a in arguments if a != "out=OTHER"]) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(err) == 1 and sentence in err[0], err

"""`python -m sim.off_policy` as a user meets it: own runs brought back exactly, tables of one's own, one sentence for what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from agents import load_agent
from sim.evaluation.interactions import collect, joined
from sim.evaluation.rollout import rollout
from sim.off_policy import own_log, partition
from sim.off_policy.__main__ import main
from sim.off_policy.own_log import read_own, target_policy
from sim.off_policy.table import read_table
from sim.replay.runs import find_run
from tests.sim.replay_material import CUSTOMERS, SEED, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("off policy") / "run")


def run(*arguments):
    return main([*arguments, "tracking=none", "resamples=50"])


# ---------------------------------------------------------------------- own runs
def test_a_runs_log_gives_back_what_each_policy_saw_and_would_have_done_to_the_bit(made):
    own = read_own(find_run(str(made["folder"])), "random", None, [])
    direct = collect(made["policies"]["random"], made["shop"], customers=CUSTOMERS, seed=SEED)
    for name in ("start", "observation", "action_mask", "action", "reward", "propensity", "day"):
        np.testing.assert_array_equal(getattr(own.interactions, name), getattr(direct, name), err_msg=name)
    ppo = target_policy(find_run(str(made["folder"])), "ppo", load_agent, [])
    np.testing.assert_array_equal(own.interactions.for_target(ppo).target, direct.for_target(made["policies"]["ppo"]).target)


def test_a_log_of_four_blocks_is_lived_again_to_the_bits_of_one_and_seven_customers_are_its_first_seven(made, monkeypatch):
    run = find_run(str(made["folder"]))
    whole = read_own(run, "random", None, [])
    assert whole.single
    monkeypatch.setattr(own_log, "BLOCK_ROWS", whole.rows // 4)
    own = read_own(run, "random", None, [])
    blocks = list(own.blocks())
    assert len(blocks) >= 4 and not own.single and (own.rows, own.customers) == (len(whole.interactions), CUSTOMERS)
    for name in ("start", "observation", "action_mask", "action", "reward", "propensity", "probabilities", "day"):
        np.testing.assert_array_equal(getattr(joined(blocks), name), getattr(whole.interactions, name), err_msg=name)
    few = read_own(run, "random", 7, [])
    assert few.customers == 7 and few.interactions.customers == 7 and len(few.interactions) == few.rows == whole.interactions.start[7]


def test_collecting_in_two_halves_is_collecting_at_once_and_equals_the_session_log(made):
    policy, shop = made["policies"]["random"], made["shop"]
    whole = collect(policy, shop, customers=20, seed=3)
    halves = joined([collect(policy, shop, customers=8, seed=3), collect(policy, shop, customers=12, seed=3, first=8)])
    for name in ("start", "observation", "action", "reward", "probabilities"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(halves, name))
    log = rollout(policy, shop, customers=20, seed=3)
    np.testing.assert_array_equal(whole.reward, log.events["reward"])
    np.testing.assert_array_equal(whole.propensity, log.propensity)


def test_verification_v10_on_its_own_log_a_policy_is_worth_exactly_what_it_earned(made, tmp_path, capsys):
    assert run(f"logs={made['folder']}", "policy=random", f"out={tmp_path}", "estimators=[ips,snips,pdis,wpdis]") == 0
    found = json.loads((tmp_path / "off_policy.json").read_text())
    truth = found["truth"]["mean"]
    for name, each in found["estimates"].items():
        assert each["value"] == pytest.approx(truth, rel=1e-12), name
    assert found["overlap"]["effective_rows"] == pytest.approx(found["overlap"]["rows"]) and found["warnings"] == []
    assert "true value" in capsys.readouterr().out and (tmp_path / "off_policy.png").stat().st_size > 5000


def test_another_policy_is_estimated_with_every_estimator_and_warned_about_long_lives(made, tmp_path, capsys):
    assert run(f"logs={made['folder']}", f"policy={made['folder']}/policies/linucb", f"out={tmp_path}") == 0
    found = json.loads((tmp_path / "off_policy.json").read_text())
    assert list(found["estimates"]) == [
        "logged", "ips", "snips", "dm", "dr", "sndr", "switch_dr", "fqe", "pdis", "wpdis", "sdr", "wdr", "mis", "mdr",
    ]  # fmt: skip
    assert any("FQE, MIS and MDR" in w for w in found["warnings"])
    assert "warning: whole lives" in " ".join(capsys.readouterr().out.split())
    for each in found["estimates"].values():
        low, high = (each["intervals"]["bootstrap"][end] for end in ("low", "high"))
        assert low <= high and np.isfinite([low, high]).all()


def test_a_greedy_log_is_refused_where_the_target_acts_and_its_loss_is_stated_when_accepted(made, tmp_path, capsys):
    base = (f"logs={made['folder']}", "policy=random", "behaviour=linucb", "estimators=[snips]", "truth=false", f"out={tmp_path}")
    assert run(*base) == 2
    assert "the logging policy never did (propensity 0)" in capsys.readouterr().err
    assert run(*base, "unsupported=accept") == 0
    assert "of the target's decisions are actions that the logging policy never took" in " ".join(capsys.readouterr().out.split())


def test_a_policy_of_another_catalog_is_refused_with_both_sizes(made, tmp_path, capsys):
    other = make_run(tmp_path / "other", catalog="label,price,margin\na,11,6\nb,17,9\n", customers=2)
    assert run(f"logs={made['folder']}", f"policy={other['folder']}/policies/random") == 2
    assert "and 3 actions, the log's shop has" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["policy=nobody"], "policy=nobody: neither a policy of run run (linucb, ppo, random) nor a folder with agent.json"),
        (["behaviour=nobody"], "behaviour=nobody: run run has no such policy; it has ppo, linucb, random"),
        (["model=magic"], "model=magic is unknown; choose from ridge, boosting, zero"),
        (["estimators=[ips,magic]"], "estimators: 'magic' is unknown"),
        (["level=2"], "level=2.0 is out of range"),
        (["interval=wide"], "interval=wide is unknown; choose from bootstrap, student, bernstein"),
        (["logs=nowhere"], "run=nowhere: no such folder"),
        (["logs=null"], "logs= is missing"),
    ],
)
def test_a_wrong_wish_is_one_sentence_and_exit_code_2(made, arguments, sentence, capsys):
    here = [] if any(a.startswith("logs=") for a in arguments) else [f"logs={made['folder']}"]
    assert run(*here, *arguments) == 2
    err = capsys.readouterr().err
    assert sentence in err and len(err.strip().splitlines()) == 1


# ---------------------------------------------------------------------- a table of one's own
def frame(**changes):
    """Four decisions of two customers, rows out of order: ratios by row .5 / .25, .5 / .5, .5 / .5, .5 / .5."""
    table = {
        "customer": ["b", "a", "a", "b"], "step": [0, 1, 0, 1], "label": ["tea", None, "tea", ""], "reward": [1.0, 2.0, 3.0, 4.0],
        "propensity": [0.25, 0.5, 0.5, 0.5], "target_probability_hold_back": [0.5] * 4, "target_probability_tea": [0.5] * 4,
        "feature_age": [1.0, 2.0, 3.0, 4.0],
    }  # fmt: skip
    return pd.DataFrame(table | changes)


def behaving(table, hold_back):
    """The table with the logging policy's probabilities."""
    return table.assign(action_probability_hold_back=hold_back, action_probability_tea=1 - np.array(hold_back))


def written(tmp_path, table, kind="csv"):
    path = tmp_path / f"log.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_is_sorted_by_customer_and_step_and_labels_are_read_from_its_columns(tmp_path, kind):
    table = read_table(written(tmp_path, frame(), kind))
    assert table.labels == ("tea",)
    np.testing.assert_array_equal(table.log.lines, [1, 4, 3, 2])
    np.testing.assert_array_equal(table.log.action, [1, 0, 1, 0])
    np.testing.assert_array_equal(table.log.reward, [1, 4, 3, 2])
    np.testing.assert_array_equal(table.log.ratio, [2, 1, 1, 1])
    np.testing.assert_array_equal(table.log.start, [0, 2, 4])
    np.testing.assert_array_equal(table.log.features[:, 0], [1, 4, 3, 2])


def test_a_table_gives_the_ips_and_pdis_worked_out_by_hand(tmp_path, capsys):
    path = written(tmp_path, frame(), "parquet")
    assert run(f"logs={path}", "estimators=[ips,pdis]", f"out={tmp_path / 'out'}") == 0
    found = json.loads((tmp_path / "out" / "off_policy.json").read_text())["estimates"]
    assert found["logged"]["value"] == 5.0
    assert found["ips"]["value"] == (2 * 1 + 4 + 3 + 2) / 2
    assert found["pdis"]["value"] == (2 * 1 + 2 * 4 + 3 + 2) / 2
    assert "target from the log of log.parquet" in capsys.readouterr().out


def test_a_saved_policy_is_asked_with_the_tables_own_observations(made, tmp_path):
    log = collect(made["policies"]["random"], made["shop"], customers=5, seed=1)
    columns = {"action": log.action, "reward": log.reward, "propensity": log.propensity}
    columns |= {"customer": np.repeat(np.arange(5), np.diff(log.start))}
    columns |= {f"observation_{i}": log.observation[:, i] for i in range(log.observation.shape[1])}
    columns |= {f"allowed_{a}": log.action_mask[:, a] for a in range(5)}
    path = written(tmp_path, pd.DataFrame(columns), "parquet")
    table = read_table(path, policy=made["policies"]["ppo"])
    np.testing.assert_allclose(table.log.target, log.for_target(made["policies"]["ppo"]).target, atol=1e-12)
    assert run(f"logs={path}", f"policy={made['folder']}/policies/ppo", "estimators=[snips]", f"out={tmp_path / 'out'}") == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.drop(columns="propensity"), "lacks the column propensity"),
        (lambda t: t.drop(columns="reward"), "lacks the column reward"),
        (lambda t: t.assign(propensity=[0.25, 0.5, 0.0, 0.5]), "row 3, column propensity: 0.0 is no probability"),
        (lambda t: t.assign(propensity=[0.25, 1.5, 0.5, 0.5]), "row 2, column propensity"),
        (lambda t: t.assign(label=["tea", "", "milk", ""]), "row 3, column label: 'milk' is no known label; known are hold_back, tea"),
        (lambda t: t.assign(reward=[1, 2, None, 4]), "row 3, column reward"),
        (lambda t: t.assign(reward=["1", "2", "3", "four"]), "row 4, column reward: 'four' is no finite number"),
        (lambda t: t.drop(columns="label"), "lacks the column action"),
        (lambda t: t.assign(action=[1, 0, 2, 0]), "row 3, column action"),
        (lambda t: t.drop(columns="target_probability_hold_back"), "lacks the column target_probability_hold_back"),
        (lambda t: t[["customer", "label", "reward", "propensity"]], "what would the other policy do?"),
        (lambda t: t.assign(target_probability_tea=[0.5, 0.4, 0.5, 0.5]), "row 2: the target policy's probabilities sum to 0.9"),
        (
            lambda t: behaving(t, [0.75, 0.5, 0.5, 1.0]).assign(propensity=[0.25, 0.5, 0.5, 1.0]),
            "row 4, column action_probability_1: the target policy would take 'tea'",
        ),
        (
            lambda t: behaving(t, [0.75, 0.5, 0.5, 0.5]).assign(propensity=[0.25, 0.5, 0.4, 0.5]),
            "row 3, column propensity",
        ),
        (lambda t: t.assign(customer=["b", None, "a", "b"]), "row 2, column customer"),
        (lambda t: t.head(0), "holds no row"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("large", [False, True])
def test_what_is_wrong_in_a_table_is_named_by_row_and_column_with_exit_code_2(tmp_path, change, sentence, large, capsys, monkeypatch):
    if large:  # read in blocks
        monkeypatch.setattr(partition, "CSV_BYTES", -1)
        monkeypatch.setattr(partition, "BLOCK_ROWS", 2)
    path = written(tmp_path, change(frame()))
    assert run(f"logs={path}", "estimators=[snips]", f"out={tmp_path / 'out'}") == 2
    err = capsys.readouterr().err
    assert sentence in err and len(err.strip().splitlines()) == 1, err
    assert not (tmp_path / "out" / "off_policy.json").exists()


def test_a_file_that_is_no_table_is_refused(tmp_path, capsys):
    path = tmp_path / "log.parquet"
    path.write_bytes(b"not a table")
    assert run(f"logs={path}") == 2
    assert "is no table that can be read" in capsys.readouterr().err

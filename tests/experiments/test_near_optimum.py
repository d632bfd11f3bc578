"""Shares of a way against numbers worked out by hand; the twin's exact values of what agents learned."""

import json

import numpy as np
import pytest

from experiments import near_optimum
from experiments.command import Settings
from experiments.near_optimum import Reference, reference_values, references, share, twin_rows, twin_values
from experiments.study import Results

V_STAR, MYOPIC = 3.658049, 1.058815  # of T3 at discount .98
BANDIT = 1.111006  # value of the myopic table that holds back at f = 4, m = -1 besides


def test_a_share_is_the_ratio_of_mean_gains_and_certain_where_all_customers_and_seeds_agree():
    low = np.array([[1.0, 2.0, 3.0]] * 2)
    interval = share(low + 1.0, low, low[0] + 4.0)
    assert interval == {"mean": 0.25, "low": 0.25, "high": 0.25, "n": 3}


def test_a_share_holds_the_luck_of_customers_and_of_seeds():
    """Gains of 0 and 2 on a way of 4: from .0 to .5 between customers, or between seeds; the truth .25 lies inside."""
    way, low = np.full(400, 4.0), np.zeros((2, 400))
    customers = np.tile([0.0, 2.0], 200)[None].repeat(2, 0)
    over_customers = share(customers, low, way)
    half = 1.96 * 0.25 / np.sqrt(400)  # the deviation of gain / way is .25
    assert over_customers["mean"] == 0.25 and over_customers["high"] - 0.25 == pytest.approx(half, rel=0.2)
    over_seeds = share(np.array([[0.0], [2.0]]).repeat(400, 1), low, way)
    assert over_seeds["mean"] == 0.25 and (over_seeds["low"], over_seeds["high"]) == (0.0, 0.5)


def test_the_twins_table_has_the_mean_with_a_student_interval_and_shares_of_the_optimum():
    run = {"optimum": 4.0, "myopic": 1.0, "argmax": 3.0}
    rows = twin_rows({"ppo": [run | {"sampled": 2.0}, run | {"sampled": 4.0}]})
    assert rows[0][2:5] == ["4.000000", "exact", "1.000"]
    assert rows[1] == ["ppo", "2", "3.0000", "-9.7062 to 15.7062", "0.750", "2.0000", "3.0000"]  # 3 -+ 12.7062 x 1
    assert rows[2][4] == "0.250"


def test_an_oracle_is_kept_in_pieces_and_goes_on_from_them(tmp_path, monkeypatch):
    monkeypatch.setattr(near_optimum, "BATCH", 10)
    settings, each = Settings(out=str(tmp_path), customers=25), Reference("myopic", "oracle", 25)
    values = reference_values(settings, each)
    pieces = sorted((tmp_path / "near_optimum" / "oracles").rglob("*.npz"))
    assert [piece.name for piece in pieces] == ["000000-10.npz", "000010-10.npz", "000020-5.npz"] and values.shape == (25,)
    made, policy = [], Reference.policy
    monkeypatch.setattr(Reference, "policy", lambda self, shop: (made.append(self.name), policy(self, shop))[1])
    assert (reference_values(settings, each) == values).all() and made == []  # nothing was left to do
    pieces[1].unlink()
    assert (reference_values(settings, each) == values).all() and made == ["myopic"]


def test_the_informed_and_planning_oracles_meet_the_first_customers_only():
    by_name = {each.name: each.customers for each in references(4000)}
    assert by_name["priced"] == 4000 and by_name["informed"] == 1000 and by_name["planning"] == 250
    assert {each.customers for each in references(100)} == {100}


def results_of(values):
    """Results of agents that earned `values` (S, n), in the form that a study gathers."""
    totals = {name: {"sampled": {"value": value}} for name, value in values.items()}
    return Results(totals, np.zeros(len(next(iter(values.values()))[0]), int), 2, 0.0)


def test_tables_and_figure_compare_on_the_customers_that_an_oracle_met(tmp_path):
    """Six customers, of whom the informed oracle met four and the planning one two; ppo is 1 above the bandit throughout, ppo_long 2."""
    low = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]] * 2)
    above = {"charged_linucb": 0, "ppo": 1, "ppo_long": 2}
    results = results_of({f"{who}_{seen}": low + more for who, more in above.items() for seen in ("perceived", "oracle")})
    oracles = {(name, seen): low[0][:n] + way for name, seen, n, way in (
        ("informed", "perceived", 4, 2), ("informed", "oracle", 4, 4), ("informed, told taste", "oracle", 2, 8),
        ("planning", "oracle", 2, 10), ("myopic", "oracle", 6, 5), ("priced", "oracle", 6, 9))}  # fmt: skip
    told = [row[:5] for row in near_optimum.share_rows(results, oracles)]
    assert [row for row in told if row[1] == "ppo"] == [
        ["perceived", "ppo", "to the planning oracle", "2", "0.10"], ["perceived", "ppo", "to the informed oracle", "4", "0.50"],
        ["oracle", "ppo", "to the planning oracle", "2", "0.10"], ["oracle", "ppo", "to the informed oracle", "4", "0.25"]]  # fmt: skip
    assert [row[4] for row in told if row[1] == "ppo_long"] == ["0.20", "1.00", "0.20", "0.50"]
    rows = near_optimum.value_rows(results, oracles)
    assert [row[:3] for row in rows][:3] == [["true state", "priced", "6"], ["true state", "planning", "2"], ["true state", "myopic", "6"]]
    assert ["perceived", "ppo", "6"] in [row[:3] for row in rows] and len(rows) == 12
    near_optimum.draw(tmp_path / "figure.png", results, oracles)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_linear_bandit_departs_from_the_myopic_table_of_the_twin_in_one_state_which_earns_it_5_percent(tmp_path, monkeypatch):
    """There the push earns .014, which a sum of one effect of f and one of m cannot hit; holding back happens to pay later."""
    monkeypatch.setattr(near_optimum, "TWIN_STEPS", 200_000)
    settings = Settings(out=str(tmp_path))
    values = twin_values(settings, "linucb", 0)
    assert values["optimum"] == pytest.approx(V_STAR, abs=1e-6) and values["myopic"] == pytest.approx(MYOPIC, abs=1e-6)
    assert values["departures"] == 1 and values["sampled"] == pytest.approx(BANDIT, abs=1e-6)
    kept = next((tmp_path / "near_optimum" / "twin").glob("linucb-s0-*.json"))
    assert json.loads(kept.read_text()) == values == twin_values(settings, "linucb", 0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ppo_earns_95_percent_of_the_twins_optimum_and_lints_stays_near_the_myopic_value(tmp_path):
    """500,000 interactions, three seeds (ten in the study): the default agent, sampled as it acts."""
    settings = Settings(out=str(tmp_path))
    for seed in range(3):
        ppo, lints = (twin_values(settings, agent, seed) for agent in ("ppo", "lints"))
        print(seed, ppo["sampled"], ppo["argmax"], lints["sampled"])
        assert ppo["sampled"] >= 0.95 * V_STAR and ppo["argmax"] >= 0.98 * V_STAR
        assert MYOPIC - 1e-6 <= lints["sampled"] < 1.1 * MYOPIC

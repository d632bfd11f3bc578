"""The off-policy scorecard: what it claims, on few logs quickly and on 500 as a slow test."""

from __future__ import annotations

import json

import numpy as np
import pytest

from experiments import off_policy_scorecard as scorecard
from experiments import off_policy_scorecard_answer as told
from experiments import off_policy_scores as scores


def by_name(found):
    return {s.estimator: s for s in found}


@pytest.fixture(scope="module")
def few():
    """Twelve logs a size, of a small pool."""
    return scores.bandit_scores(12, 64, 0, pool=600, truth=1000)


def test_a_score_of_three_estimates_is_worked_out_by_hand(monkeypatch):
    from sim.evaluation.estimators.data import LoggedLives

    pool = LoggedLives(np.arange(4), np.zeros(3, int), np.array([1.0, 1.0, 4.0]), np.ones(3), np.ones((3, 1)))
    (found,) = scores.score(pool, 1.0, 3, 5, ("ips",), 0)  # every log is the whole pool: 2
    assert (found.bias, found.rmse, found.relative, found.bias_error) == (1.0, 1.0, 1.0, 0.0)
    assert found.coverage == {"student": 1.0, "bernstein": 1.0}


def test_the_study_has_every_size_and_estimator_and_its_ratios_have_mean_one(few):
    assert sorted(few["sizes"]) == [4, 16, 64, 256] and len(few["sizes"][64]) == 6
    assert few["facts"]["mean_ratio"] == pytest.approx(1, abs=0.02)
    assert {s.customers for s in few["tiny"]} == {scores.TINY}


def test_contexts_of_the_study_do_not_depend_on_actions():
    from sim.evaluation.interactions import collect
    from sim.shop.scenarios import load_shop

    shop = load_shop(scores.BANDIT)
    logging, target = scores.policies(shop, 0)
    a, b = (collect(policy, shop, customers=50, seed=4) for policy in (logging, target))
    assert not np.array_equal(a.action, b.action)
    np.testing.assert_array_equal(a.observation, b.observation)
    np.testing.assert_array_equal(a.day, b.day)


def test_verification_v10_the_order_of_open_bandit_pipelines_examples_dm_ips_snips_dr_and_dm_first_on_rare_clicks():
    found = {kind: by_name(s) for kind, s in scores.published_scores(16, 0).items()}
    large, rare = found["synthetic"], found["rare"]
    assert large["dm"].relative > 2 * large["ips"].relative > 2 * large["snips"].relative
    assert large["dr"].relative < 1.05 * large["snips"].relative
    assert rare["dm"].relative < min(rare[name].relative for name in ("ips", "snips", "dr"))


def test_the_answer_is_told_as_tables_numbers_and_a_figure(few, tmp_path, capsys):
    told.tell(few | {"published": scores.published_scores(2, 0)}, tmp_path, publish=False)
    assert (tmp_path / "off_policy_scorecard.png").stat().st_size > 10_000
    numbers = json.loads((tmp_path / "results.json").read_text())
    assert set(numbers["rates"]) == {"ips", "snips", "dm", "dr"}
    assert "| ips | 64 | 12 |" in (tmp_path / "answer.md").read_text() and "errors fall as n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("logs=few", "logs=few must be a whole number from 10"),
        ("customer=5", "did you mean customers=?"),
        ("publish=maybe", "is no setting"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_code_2(argument, sentence, capsys):
    assert scorecard.main([argument]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_verification_v10_95_percent_intervals_of_ips_snips_and_dr_cover_93_to_97_percent_of_500_logs():
    pool, truth, _ = scores.world(scores.BANDIT, 0)
    found = by_name(scores.score(pool, truth, 200, 500, ("ips", "snips", "dr"), 0))
    for name, each in found.items():
        print(f"{name:6} coverage {each.coverage['student']:.3f}  bias {each.bias:+.3f} +- {2 * each.bias_error:.3f}")
        assert 0.93 <= each.coverage["student"] <= 0.97, name
        assert abs(each.bias) < 3 * each.bias_error + 0.005 * truth

"""Off-policy estimators against numbers worked out by hand, closed forms, and each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.evaluation.estimators import contextual, intervals, marginalised, models, overlap, sequential
from sim.evaluation.estimators.errors import OffPolicyError
from sim.evaluation.estimators.estimate import ESTIMATORS, estimates, estimators_of, logged_value
from tests.sim.lives_material import Bandit, Chain, table

HALF = [[0.5, 0.5]] * 4


def four():
    """Four customers of one row: ratios 2, 0.5, 1 and 0.5 of rewards 1, 2, 3 and 4."""
    return table([0, 1, 0, 1], [1, 2, 3, 4], [0.25, 1.0, 0.5, 1.0], HALF)


def two_lives():
    """Customer 0: ratios 2, 0.5 of rewards 1, 3; customer 1: ratio 0.5 of reward 2."""
    return table([0, 1, 0], [1, 3, 2], [0.25, 1.0, 1.0], HALF[:3], start=[0, 2, 3])


# ---------------------------------------------------------------------- by hand
def test_ips_of_four_rows_is_the_mean_of_2_1_3_2():
    assert contextual.ips(four()).value == 2.0


def test_snips_of_four_rows_is_8_over_4_and_of_two_lives_5_over_3_times_1_5():
    assert contextual.snips(four()).value == 2.0
    # ratios 2, .5, .5 of rewards 1, 3, 2: 4.5 / 3 an opportunity, 1.5 opportunities a customer
    assert contextual.snips(two_lives()).value == pytest.approx(4.5 / 3 * 1.5)


def test_dm_dr_and_switch_of_two_lives_with_q_1_and_3_are_worked_out_by_hand():
    log, q = two_lives(), np.tile([1.0, 3.0], (3, 1))
    # v = 2 everywhere: (4 + 2) / 2; corrections: 2 (1 - 1) + .5 (3 - 3), .5 (2 - 1)
    assert contextual.dm(log, q).value == 3.0
    assert contextual.dr(log, q).value == 3.25
    assert contextual.switch_dr(log, q, tau=0.4).value == 3.0
    assert contextual.switch_dr(log, q, tau=1.0).value == 3.25


def test_pdis_of_two_lives_is_2_5_and_self_normalised_2_by_hand():
    # life 0: 2 x 1 + 2 x .5 x 3 = 5, life 1: .5 x 2 = 1
    assert sequential.pdis(two_lives()).value == 3.0
    # step 0: (2 + 1) / 2.5; step 1: (3 + 0) / (1 + .5), the ended life keeps its weight .5
    assert sequential.wpdis(two_lives()).value == pytest.approx(3 / 2.5 + 3 / 1.5)


def test_sequential_dr_of_two_lives_follows_jiang_and_li_by_hand():
    q = np.array([[4.0, 2.0], [1.0, 3.0], [2.0, 0.0]])
    # life 0: v0 = 3, 2 (1 - 4) = -6, rho_0 v1 = 2 x 2, rho_1 (3 - 3) = 0 -> 1; life 1: v = 1, .5 (2 - 2) -> 1
    assert sequential.sdr(two_lives(), q).value == 1.0


def test_day_two_at_half_a_day_counts_a_quarter():
    log = table([0, 1, 0], [1, 3, 2], [0.25, 1.0, 1.0], HALF[:3], start=[0, 2, 3], day=np.array([0.0, 2.0, 0.0]))
    assert contextual.ips(log, 0.5).value == pytest.approx((2 + 0.25 * 1.5 + 1) / 2)
    assert sequential.pdis(log, 0.5).value == pytest.approx((2 + 0.25 * 3 + 1) / 2)


# ---------------------------------------------------------------------- what must hold whatever the log
def test_verification_v10_on_policy_every_model_free_estimate_is_the_empirical_mean_to_the_bit():
    log = Bandit().log(500, 3)
    own = table(log.action, log.reward, log.propensity, log.behaviour, features=log.features)
    mean = logged_value(own).value
    assert contextual.ips(own).value == mean
    assert contextual.snips(own).value == pytest.approx(mean, rel=1e-14)
    assert sequential.pdis(own).value == mean and sequential.wpdis(own).value == pytest.approx(mean, rel=1e-14)


def test_verification_v10_dr_with_a_zero_model_is_ips_and_sequential_dr_is_pdis_to_the_bit():
    log, chain = Bandit().log(300, 4), Chain().log(50, 1)
    assert contextual.dr(log, np.zeros((300, 3))).value == contextual.ips(log).value
    assert sequential.sdr(chain, np.zeros((300, 2))).value == sequential.pdis(chain).value
    assert sequential.wdr(chain, np.zeros((300, 2))).value == pytest.approx(sequential.wpdis(chain).value, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_verification_v10_snips_never_leaves_the_range_of_the_rewards(data):
    n = data.draw(st.integers(2, 30))
    reward = data.draw(st.lists(st.floats(-1e3, 1e3), min_size=n, max_size=n))
    propensity = data.draw(st.lists(st.floats(1e-6, 1.0), min_size=n, max_size=n))
    share = data.draw(st.lists(st.floats(0.01, 0.99), min_size=n, max_size=n))
    log = table([0] * n, reward, propensity, np.column_stack([share, 1 - np.array(share)]))
    slack = 1e-9 * (1 + max(map(abs, reward)))
    assert min(reward) - slack <= contextual.snips(log).value <= max(reward) + slack


def test_verification_v10_ips_and_dr_are_unbiased_over_1000_logs_within_3_standard_errors():
    world = Bandit()
    truth = world.truth()
    q_wrong = lambda log: np.column_stack([log.features[:, 0], log.features[:, 1] + 1, np.ones(len(log))])  # noqa: E731
    found = {"ips": [], "dr": []}
    for seed in range(1000):
        log = world.log(100, seed)
        found["ips"].append(contextual.ips(log).value)
        found["dr"].append(contextual.dr(log, q_wrong(log)).value)
    for values in found.values():
        assert abs(np.mean(values) - truth) < 3 * np.std(values, ddof=1) / 1000**0.5 + 0.002  # the truth's own error


def test_verification_v10_errors_of_ips_snips_and_dr_fall_as_the_root_of_n():
    world = Bandit()
    truth, sizes = world.truth(), np.array([100, 400, 1600])
    errors = {"ips": [], "snips": [], "dr": []}
    for n in sizes:
        squares = []
        for seed in range(300):
            log = world.log(int(n), seed)
            q = np.tile(world.b, (n, 1))  # a model that knows the actions and nothing of the customer
            found = contextual.ips(log), contextual.snips(log), contextual.dr(log, q)
            squares.append([(each.value - truth) ** 2 for each in found])
        for name, rmse in zip(errors, np.sqrt(np.mean(squares, axis=0)), strict=True):
            errors[name].append(rmse)
    for name, rmse in errors.items():
        slope = np.polyfit(np.log(sizes), np.log(rmse), 1)[0]
        assert -0.57 < slope < -0.43, (name, slope)


def test_pdis_sdr_fqe_and_the_marginalised_ones_meet_the_chain_solved_by_dynamic_programming():
    world = Chain()
    truth, log = world.truth(), world.log(6000, 5)
    for each in estimators_of(log, ("fqe", "pdis", "wpdis", "sdr", "wdr", "mis", "mdr"), slope=0.1):
        error = intervals.student(each)
        assert abs(each.value - truth) < 3 * (error["high"] - error["low"]) / 3.92 + 0.01, each.name
    one_step = contextual.ips(log)  # another question, and here another answer
    assert abs(one_step.value - truth) > 0.1


def test_at_40_steps_marginalised_dr_errs_a_twentieth_of_per_decision_importance_sampling():
    world = Chain(horizon=40)
    truth = world.truth()
    errors = {name: [] for name in ("pdis", "sdr", "mis", "mdr")}
    for seed in range(8):
        for each in estimators_of(world.log(300, seed), tuple(errors), slope=0.1):
            errors[each.name].append(each.value - truth)
    rmse = {name: np.sqrt(np.mean(np.square(e))) for name, e in errors.items()}
    assert rmse["mdr"] < 0.05 * rmse["pdis"] and rmse["mdr"] < 0.2 * rmse["sdr"] and rmse["mis"] < 0.15 * rmse["pdis"], rmse


def test_lstdq_on_the_chain_gives_the_q_of_dynamic_programming_within_3_percent():
    world = Chain(horizon=4)
    log = world.log(20_000, 0)
    course = marginalised.lstdq(log, slope=0.1)
    assert course.value(log)[log.start[0]] == pytest.approx(world.truth(), rel=0.03)
    # visits are ratios: their mean over the log of step t is one
    for step in range(4):
        assert course.visits[log.step == step].mean() == pytest.approx(1, abs=0.05)


def test_a_customers_own_rows_do_not_change_its_prediction():
    log = Bandit().log(400, 7)
    changed = table(log.action, np.where(np.arange(400) == 11, 1e6, log.reward), log.propensity, log.target, features=log.features)
    for model in ("ridge", "boosting"):
        np.testing.assert_array_equal(models.cross_fitted(log, model, seed=3)[11], models.cross_fitted(changed, model, seed=3)[11])


@pytest.mark.parametrize("model", ["ridge", "boosting"])
def test_a_reward_model_brings_dr_below_ips_in_error(model):
    world = Bandit()
    truth = world.truth()
    errors = np.array([[e.value - truth for e in estimators_of(world.log(1000, s), ("ips", "dr"), model=model)] for s in range(8)])
    ips, dr = np.sqrt(np.square(errors).mean(0))
    assert dr < ips


# ---------------------------------------------------------------------- intervals and overlap
def test_bernstein_of_100_zeros_and_ones_is_worked_out_by_hand():
    log = table([0] * 100, [0, 1] * 50, [0.5] * 100, [[0.5, 0.5]] * 100)
    found = intervals.bernstein(contextual.ips(log), 0.95)
    log_term = np.log(4 / 0.05)
    half = np.sqrt(2 * (25 / 99) * log_term / 100) + 7 * log_term / (3 * 99)
    assert found["high"] - found["mean"] == pytest.approx(half) and found["mean"] == 0.5
    assert intervals.bernstein(contextual.snips(log)) is None


def test_student_and_bootstrap_of_snips_agree_within_6_percent():
    each = contextual.snips(Bandit().log(4000, 1))
    widths = [i["high"] - i["low"] for i in (intervals.student(each), intervals.bootstrap(each, resamples=4000))]
    assert widths[0] == pytest.approx(widths[1], rel=0.06)


def test_a_bootstrap_by_weights_is_the_estimate_on_the_resampled_customers():
    log = Chain().log(40, 3)
    chosen = np.random.default_rng(0).integers(0, 40, 40)
    weights = np.bincount(chosen, minlength=40) / 40
    names = ("ips", "snips", "pdis", "wpdis")
    for each, again in zip(estimators_of(log, names), estimators_of(log.of(chosen), names), strict=True):
        assert float(each.combine(weights @ each.columns)) == pytest.approx(again.value, rel=1e-12)


def test_effective_sample_size_of_weights_4_0_0_0_is_1_and_of_equal_ones_their_number():
    assert overlap.effective(np.array([4.0, 0, 0, 0])) == 1.0
    assert overlap.effective(np.full(7, 1e200)) == pytest.approx(7.0)


def test_wrong_propensities_and_poor_overlap_are_said_in_words():
    log = Bandit().log(3000, 0)
    assert overlap.overlap(log).warnings() == []
    rare = table([0] * 99 + [1], [1] * 100, [0.99] * 99 + [0.01], [[0.5, 0.5]] * 100)
    assert ["poor overlap" in w for w in overlap.overlap(rare).warnings()[:1]] == [True]
    halved = table(log.action, log.reward, np.maximum(log.propensity / 2, 1e-9), log.target)
    assert any("mean importance ratio" in w for w in overlap.overlap(halved).warnings())
    long = Chain(horizon=60).log(200, 0)
    assert any("FQE, MIS and MDR" in w for w in overlap.overlap(long).warnings())


# ---------------------------------------------------------------------- refusals
def test_a_propensity_of_0_is_refused_with_its_row_and_column():
    with pytest.raises(OffPolicyError, match="row 3, column propensity: 0.0"):
        table([0, 1, 0], [1, 2, 3], [0.5, 0.5, 0.0], HALF[:3]).check()


def test_an_action_that_was_never_possible_is_refused_by_row_and_name_and_its_share_returned_when_accepted():
    log = table([0, 0, 1], [1, 2, 3], [1.0, 1.0, 0.5], HALF[:3], behaviour=np.array([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]]))
    with pytest.raises(OffPolicyError, match=r"row 2, column action_probability_1: .*'tea' with probability 0.5.*1 of 3 rows"):
        log.check(("tea",))
    assert log.check(("tea",), unsupported="accept") == pytest.approx(0.5 / 3)


def test_target_probabilities_that_sum_to_less_than_one_are_refused_by_row():
    with pytest.raises(OffPolicyError, match="row 2: .* sum to 0.9"):
        table([0, 0], [1, 1], [0.5, 0.5], [[0.5, 0.5], [0.5, 0.4]]).check()


def test_unknown_estimators_models_and_a_log_without_features_are_named():
    log = Bandit().log(50, 0, features=False)
    with pytest.raises(OffPolicyError, match="'magic' is unknown"):
        estimators_of(log, ("magic",))
    with pytest.raises(OffPolicyError, match="no features"):
        estimators_of(log, ("dr",))
    assert [e.name for e in estimates(log, resamples=50)] == ["logged", "ips", "snips"]
    assert {e.name for e in estimates(Chain().log(60, 0), resamples=50)} == {"logged", *ESTIMATORS}

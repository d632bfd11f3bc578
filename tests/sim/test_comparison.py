"""Comparisons over seeds and customers: known answers, coverage, and agreement with other libraries' definitions."""

import numpy as np
import pytest
from scipy import stats

from sim.evaluation import comparison as c


def test_the_bootstrap_mean_has_the_variance_of_a_crossed_design():
    """Var = (1/S) var_seed + (1/n) var_customer for additive effects, within 15 % for 40 seeds and 400 customers."""
    rng = np.random.default_rng(0)
    y = rng.normal(0, 1, (40, 1)) + rng.normal(0, 2, (1, 400))
    means = c.crossed_bootstrap(y, 1, 4000)
    expected = y.mean(1).var() / 40 + y.mean(0).var() / 400
    assert means.var() == pytest.approx(expected, rel=0.15)
    assert means.mean() == pytest.approx(y.mean(), abs=0.02)


def test_one_seed_gives_the_plain_bootstrap_over_customers():
    y = np.random.default_rng(1).gamma(1.0, 3.0, (1, 500))
    interval, _ = c.paired(y, np.zeros_like(y))
    plain = stats.bootstrap(
        (y[0],), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (interval["low"], interval["high"]) == pytest.approx((plain.low, plain.high), abs=0.05)


@pytest.mark.parametrize("block", [1_000, 10_000_000])
def test_resampling_in_blocks_only_saves_memory(monkeypatch, block):
    monkeypatch.setattr(c, "_BLOCK", block)
    y = np.random.default_rng(3).normal(1, 1, (3, 200))
    interval, p = c.paired(y, np.zeros((1, 200)))
    assert interval["mean"] == pytest.approx(y.mean()) and interval["low"] < y.mean() < interval["high"] and p < 0.01


@pytest.mark.parametrize("customers", [41_000, 250_007])
def test_of_many_customers_groups_are_drawn_and_the_bootstrap_keeps_its_mean_and_spread(customers):
    y = np.random.default_rng(0).exponential(5.0, (1, customers))
    means = c.crossed_bootstrap(y, 0, 1500)
    error = y.std() / np.sqrt(customers)
    assert means.mean() == pytest.approx(y.mean(), abs=0.1 * error)
    assert means.std() == pytest.approx(error, rel=0.07)  # 1,500 means know their spread to 2 %


def test_95_percent_intervals_cover_the_truth_in_at_least_90_of_100_crossed_samples():
    covered = 0
    for trial in range(100):
        rng = np.random.default_rng(trial)
        y = 0.7 + rng.normal(0, 0.3, (8, 1)) + rng.normal(0, 2, (1, 120)) + rng.normal(0, 1, (8, 120))
        interval, _ = c.paired(y, np.zeros((1, 120)), trial, 400)
        covered += interval["low"] <= 0.7 <= interval["high"]
    print(f"coverage {covered} of 100, nominal 95")
    assert covered >= 90


def test_equal_policies_differ_by_exactly_nothing_and_are_called_so():
    y = np.random.default_rng(4).normal(0, 1, (3, 50))
    [found] = c.compare_all({"a": y, "b": y.copy()}, [("a", "b")])
    assert found.interval == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 50}
    assert found.p == 1.0 and found.verdict == "not distinguishable"


def test_holm_by_hand():
    """p = .01, .04, .03 -> 3 x .01 = .03; 2 x .03 = .06; max(.06, .04) = .06."""
    assert c.holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert c.holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]


def test_a_policy_with_one_seed_is_compared_with_every_seed_of_the_other():
    a, b = np.array([[2.0, 4.0], [4.0, 6.0]]), np.array([[1.0, 1.0]])
    assert c.paired(a, b)[0]["mean"] == 3.0 == -c.paired(b, a)[0]["mean"]


def test_scores_put_the_references_at_zero_and_one():
    faces = np.array([7, 7, 3, 3])
    low, high = np.array([[0.0, 2.0, 4.0, 4.0]]), np.array([[3.0, 3.0, 8.0, 8.0]])
    assert c.by_face(low, faces).tolist() == [[4.0, 1.0]]
    assert c.normalised(low, low, high, faces).tolist() == [[0.0, 0.0]]
    assert c.normalised(high, low, high, faces).tolist() == [[1.0, 1.0]]
    assert c.normalised((low + high) / 2, low, high, faces).tolist() == [[0.5, 0.5]]


def test_iqm_is_the_mean_of_the_middle_half():
    scores = np.array([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 100.0]])
    assert c.interquartile_mean(scores) == (2 + 3 + 4 + 5) / 4
    interval = c.iqm_interval(scores, resamples=500)
    assert interval["low"] < 3.5 < interval["high"]
    assert c.iqm_interval(scores[:1], resamples=50)["mean"] == 1.5


def test_probability_of_improvement_counts_pairs_of_seeds():
    a, b = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[2.0, 5.0]])
    assert c.probability_of_improvement(a, b) == (0.5 + 0.5) / 2
    assert c.probability_of_improvement(a, b) + c.probability_of_improvement(b, a) == 1.0


def test_a_profile_falls_from_one_to_zero():
    profile = c.performance_profile(np.array([[0.1, 0.5, 0.9, 1.2]]), np.array([0.0, 0.5, 1.0, 2.0]))
    assert profile.tolist() == [1.0, 0.5, 0.25, 0.0]


def test_beyond_the_bootstraps_resolution_one_seed_gives_students_p_value():
    y = np.random.default_rng(5).normal(1.0, 2.0, (1, 300))
    expected = stats.ttest_1samp(y[0], 0.0).pvalue
    assert c.student_p(y) == pytest.approx(expected, rel=1e-9) and expected < 1e-12
    assert c.paired(y, np.zeros((1, 300)))[1] == pytest.approx(expected, rel=1e-9)


def test_luck_of_seeds_alone_gives_students_p_value_over_the_seeds():
    """Customers that are all alike: 5 seeds, 4 degrees of freedom."""
    by_seed = np.array([1.0, 1.4, 0.8, 1.2, 1.1])
    y = np.repeat(by_seed[:, None], 50, axis=1)
    assert c.student_p(y) == pytest.approx(stats.ttest_1samp(by_seed, 0.0).pvalue, rel=1e-9)


def test_a_planted_difference_among_12_policies_is_still_found_after_correction_for_66_pairs():
    """2,000 resamples alone resolve p to .001, and 66 x .001 > .05: nothing could ever have been found."""
    rng = np.random.default_rng(6)
    luck = rng.normal(0, 3, (1, 400))
    values = {f"p{i}": luck + rng.normal(0, 1, (1, 400)) + (2.0 if i == 0 else 0.0) for i in range(12)}
    pairs = [(a, b) for i, a in enumerate(values) for b in list(values)[i + 1 :]]
    found = {(one.a, one.b): one for one in c.compare_all(values, pairs)}
    assert len(found) == 66 and all(found["p0", f"p{i}"].verdict == "better" for i in range(1, 12))
    assert sum(one.verdict != "not distinguishable" for one in found.values()) <= 12


def test_the_chance_of_improvement_has_an_interval_and_is_certain_where_every_seed_is_better():
    rng = np.random.default_rng(7)
    a, b = rng.normal(0.3, 1, (5, 12)), rng.normal(0, 1, (5, 12))
    found = c.improvement_interval(a, b)
    assert found["low"] < found["mean"] == c.probability_of_improvement(a, b) < found["high"]
    sure = c.improvement_interval(b + 10, b)
    assert (sure["low"], sure["mean"], sure["high"]) == (1.0, 1.0, 1.0)
    one = c.improvement_interval(a[:1], b)                     # one seed: faces are drawn, the same for both
    assert 0 <= one["low"] < one["high"] <= 1


def test_the_band_of_a_profile_holds_it_and_is_wider_with_fewer_seeds():
    rng = np.random.default_rng(8)
    scores, tau = rng.normal(0, 1, (20, 12)), np.linspace(-1, 1, 5)
    low, high = c.profile_band(scores, tau)
    profile = c.performance_profile(scores, tau)
    assert (low <= profile).all() and (profile <= high).all()
    few_low, few_high = c.profile_band(scores[:4], tau)
    assert (few_high - few_low).mean() > 1.5 * (high - low).mean()

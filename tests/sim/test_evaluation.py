"""Metrics and intervals against hand-computed numbers; the session log against what happened."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from sim.evaluation.metrics import METRICS, compare, per_customer, summarise
from sim.evaluation.rollout import rollout, value_per_customer
from sim.evaluation.session_log import write_sessions
from sim.evaluation.statistics import clear_of_zero, mean_interval, paired_interval, ratio_influence, ratio_interval
from tests.sim.conftest import ConstantPolicy, UniformPolicy, make_shop


def test_mean_interval_of_four_numbers():
    # mean 2.5, s = 1.2910, t_3(.975) = 3.1824, half = 3.1824 * 1.2910 / 2
    i = mean_interval(np.array([1.0, 2.0, 3.0, 4.0]))
    assert i["mean"] == 2.5 and i["n"] == 4
    assert i["high"] - i["mean"] == pytest.approx(3.182446 * 1.290994 / 2, rel=1e-6)


def test_intervals_cover_the_truth_in_about_95_of_100_samples():
    rng = np.random.default_rng(0)
    hits = ratio_hits = 0
    for _ in range(1000):
        x = rng.poisson(5, 200) + 1.0
        y = rng.binomial(x.astype(int), 0.3)
        i, r = mean_interval(x), ratio_interval(y, x)
        hits += i["low"] <= 6 <= i["high"]
        ratio_hits += r["low"] <= 0.3 <= r["high"]
    assert 930 <= hits <= 970 and 930 <= ratio_hits <= 970


def test_paired_interval_of_a_constant_shift_has_no_width():
    x = np.array([3.0, 5.0, 9.0])
    one = np.ones(3)
    i = paired_interval(ratio_influence(x + 2, one), ratio_influence(x, one))
    assert (i["mean"], i["low"], i["high"]) == (pytest.approx(2), pytest.approx(2), pytest.approx(2))
    assert clear_of_zero(i) and not clear_of_zero(mean_interval(np.array([-1.0, 1.0, 0.5])))


@pytest.fixture(scope="module")
def logs(shop):
    return [rollout(policy, shop, customers=300, seed=4) for policy in (UniformPolicy(), ConstantPolicy(4, "flowers"))]


def test_totals_equal_a_loop_over_the_log(logs):
    totals = per_customer(logs[0], 0.9)
    e = logs[0].events
    for who in (0, 17, 299):
        own = e[e["customer"] == who]
        assert totals["value"][who] == pytest.approx(sum(own["reward"]))
        assert totals["discounted"][who] == pytest.approx(sum(r * 0.9**d for r, d in zip(own["reward"], own["day"], strict=True)))
        assert totals["pushes"][who] == sum(own["action"] > 0) and totals["opportunities"][who] == len(own)
    m = summarise(totals)
    assert m["push_rate"]["mean"] == pytest.approx((e["action"] > 0).mean())
    assert m["opt_out_rate"]["mean"] == pytest.approx(e["opted_out"].sum() / 300)
    assert set(m) == set(METRICS)


def test_a_policy_minus_itself_is_exactly_zero_in_every_metric(logs):
    totals = per_customer(logs[0], 0.99)
    assert all(d["mean"] == d["low"] == d["high"] == 0 for d in compare(totals, totals).values())


def test_tuning_value_equals_the_mean_of_a_full_log(shop):
    log = rollout(UniformPolicy(), shop, customers=150, seed=3, split="tune")
    assert value_per_customer(UniformPolicy(), shop, customers=150, seed=3) == pytest.approx(log.events["reward"].sum() / 150)


def test_propensity_is_that_of_the_executed_action():
    shop = make_shop(["env.availability.cap_pushes_per_visit=0"])
    log = rollout(ConstantPolicy(3), shop, customers=20, seed=1)
    assert (log.events["action"] == 0).all() and (log.events["requested"] == 3).all()
    assert (log.propensity == 1).all() and (log.probabilities[:, 0] == 1).all()  # what is masked is held back
    log = rollout(UniformPolicy(), make_shop(), customers=50, seed=1)
    assert (log.propensity == 1 / 13).all()


def test_actions_of_the_uniform_policy_are_uniform(logs):
    counts = np.bincount(logs[0].events["action"], minlength=13)
    expected = counts.sum() / 13
    assert ((counts - expected) ** 2 / expected).sum() < 32.9  # chi-square with 12 degrees of freedom, p = .001


def test_sessions_parquet_says_what_happened(logs, shop, tmp_path):
    rows = write_sessions(tmp_path / "sessions.parquet", logs, shop)
    table = pq.read_table(tmp_path / "sessions.parquet")
    assert rows == len(table) == sum(len(log.events) for log in logs)
    frame = table.to_pandas()
    wanted = (
        "policy customer step day visit image perceived_identity perceived_mask action label propensity clicked bought opted_out lapsed "
        "reward margin push_cost opt_out_cost terminated truncated true_emotion true_mask true_mood propensity_kind"
    )
    assert set(wanted.split()) <= set(frame)
    assert {f"perceived_emotion_{e}" for e in ("angry", "neutral")} <= set(frame) and "action_probability_12" in frame
    emotions = frame[[c for c in frame if c.startswith("perceived_emotion_")]]
    np.testing.assert_allclose(emotions.sum(axis=1), 1, atol=1e-5)
    pushed = frame[frame["action"] > 0]
    assert (pushed["label"].astype(str) == np.array(shop.catalog.names)[pushed["action"] - 1]).all()
    assert frame.loc[frame["action"] == 0, "label"].isna().all()
    last = frame.groupby(["policy", "customer"], observed=True).tail(1)
    ended = frame["terminated"] | frame["truncated"]
    assert ended.sum() == 600 and (last["terminated"] | last["truncated"]).all()
    by_policy = frame.groupby("policy", observed=True)["reward"].sum()
    assert by_policy["flowers"] == pytest.approx(logs[1].events["reward"].sum())
    known = frame["true_recognition"].astype(str)
    assert frame.loc[known == "unknown", "perceived_identity"].isna().all()
    own = frame[known == "self"]
    assert (own["perceived_identity"].astype(str) == own["true_person"].astype(str)).all()
    other = frame[known == "other"]
    assert len(other) and (other["perceived_identity"].astype(str) != other["true_person"].astype(str)).all()


def test_a_failed_write_leaves_nothing_behind(logs, shop, tmp_path):
    class TornError(RuntimeError):
        pass

    def torn():
        yield logs[0]
        raise TornError

    with pytest.raises(TornError):
        write_sessions(tmp_path / "sessions.parquet", torn(), shop)
    assert list(tmp_path.iterdir()) == []

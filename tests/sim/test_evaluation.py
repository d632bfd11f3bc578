"""Metrics and intervals against hand-computed numbers; the session log against what happened."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from sim.evaluation.evaluate import evaluate, logged_customers
from sim.evaluation.metrics import GUARD_RAILS, METRICS, compare, compare_all, per_customer, summarise
from sim.evaluation.oracle.myopic import MyopicOracle
from sim.evaluation.oracle.priced import PricedOracle
from sim.evaluation.oracle.references import reference, value_regrets
from sim.evaluation.oracle.regret import immediate_regret, value_regret_interval
from sim.evaluation.rollout import rollout, stream, value_per_customer
from sim.evaluation.session_log import SessionWriter, write_sessions
from sim.evaluation.statistics import clear_of_zero, mean_interval, paired_interval, ratio_influence, ratio_interval
from sim.executors import SerialExecutor
from tests.sim.conftest import ConstantPolicy, UniformPolicy, make_shop
from tests.sim.synthetic import synthetic_table


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


# streaming ------------------------------------------------------------------------------------------------------------


def test_a_stream_in_batches_of_37_holds_the_bits_of_one_rollout(shop):
    whole = rollout(UniformPolicy(), shop, customers=150, seed=5)
    parts = list(stream(UniformPolicy(), shop, customers=150, seed=5, batch=37))
    assert [part.customers for part in parts] == [37, 37, 37, 37, 2]
    assert (np.concatenate([part.events for part in parts]) == whole.events).all()
    for name in ("camera", "propensity", "probabilities"):
        assert np.concatenate([getattr(part, name) for part in parts]).tobytes() == getattr(whole, name).tobytes(), name
    for name, column in whole.truth.items():
        assert np.concatenate([part.truth[name] for part in parts]).tobytes() == column.tobytes(), name
    later = rollout(UniformPolicy(), shop, customers=20, seed=5, first=130, decisions=False)
    assert (later.events == whole.events[whole.events["customer"] >= 130]).all() and len(later.camera) == 0


def test_an_evaluation_counts_what_the_log_of_all_customers_holds_and_logs_the_first_60(shop, tmp_path):
    log, seen = rollout(UniformPolicy(), shop, customers=150, seed=5), []
    with SessionWriter(tmp_path / "sessions.parquet", shop) as writer:
        result = evaluate(
            UniformPolicy(), shop, customers=150, seed=5, discount_per_day=0.99, writer=writer, logged=60, progress=seen.append
        )
    expected = per_customer(log, 0.99)
    assert set(expected) == set(result.totals) and sum(seen) == 150
    for name, total in expected.items():
        assert total.tobytes() == result.totals[name].tobytes(), name
    frame = pq.read_table(tmp_path / "sessions.parquet").to_pandas()
    assert writer.rows == len(frame) == (log.events["customer"] < 60).sum() and frame["customer"].max() == 59
    table = result.emotion_table()
    assert sum(row["pushes"] for row in table.values()) == (log.events["action"] > 0).sum()
    assert sum(row["purchases"] for row in table.values()) == log.events["bought"].sum()
    assert table["sad"]["opportunities"] == (shop.gallery.true_emotion[log.events["image"]] == 4).sum()


def test_a_log_beyond_the_size_of_a_part_is_a_folder_that_reads_as_the_same_table(shop, tmp_path):
    with SessionWriter(tmp_path / "one.parquet", shop) as one, SessionWriter(tmp_path / "many.parquet", shop, 900) as many:
        for policy in (UniformPolicy(), ConstantPolicy(4, "flowers")):
            for log in stream(policy, shop, customers=90, seed=5, batch=30):
                one.write(log)
                many.write(log)
    assert (tmp_path / "one.parquet").is_file() and len(list((tmp_path / "many.parquet").iterdir())) > 2
    a, b = (pq.read_table(tmp_path / name).to_pandas() for name in ("one.parquet", "many.parquet"))
    assert a.astype({"policy": str}).equals(b.astype({"policy": str})) and len(a) == one.rows == many.rows
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many.parquet", "one.parquet"]


def test_customers_lived_in_shares_on_an_executor_give_the_bits_of_those_lived_here(shop, tmp_path):
    found = []
    for name, executor in (("here", None), ("shares", SerialExecutor())):
        with SessionWriter(tmp_path / name, shop) as writer:
            found.append(evaluate(UniformPolicy(), shop, customers=70, seed=5, writer=writer, logged=30, executor=executor))
    here, shares = found
    assert all(here.totals[name].tobytes() == shares.totals[name].tobytes() for name in here.totals)
    assert (here.emotions == shares.emotions).all() and (tmp_path / "here").read_bytes() == (tmp_path / "shares").read_bytes()


def test_what_is_logged_follows_the_setting():
    assert [logged_customers(log, 500) for log in ("auto", "all", "none", 40, 900)] == [500, 500, 0, 40, 500]
    assert logged_customers("auto", 20_000) == 20_000 and logged_customers("auto", 1_000_000) == 1_000


# regret ---------------------------------------------------------------------------------------------------------------


def test_regret_noted_while_living_equals_regret_from_living_the_log_again(shop):
    log = rollout(UniformPolicy(), shop, customers=60, seed=8)
    for name, column in immediate_regret(log, shop, seed=8).items():
        assert column.tobytes() == log.truth[name].tobytes(), name
    myopic = rollout(MyopicOracle(), shop, customers=60, seed=8)
    assert (myopic.truth["true_best_action"] == myopic.events["action"]).all()
    assert not myopic.truth["true_immediate_regret"].any()
    frame_of = summarise(per_customer(log, 1.0))["immediate_regret"]
    assert frame_of["mean"] == pytest.approx(log.truth["true_immediate_regret"].mean())


def test_value_regrets_are_paired_on_the_first_customers_whom_the_oracle_met(shop):
    policy, oracle = (rollout(p, shop, customers=n, seed=4) for p, n in ((UniformPolicy(), 200), (PricedOracle(), 80)))
    found = value_regrets(per_customer(policy, 0.99), per_customer(oracle, 0.99))
    short = rollout(UniformPolicy(), shop, customers=80, seed=4)
    for name, discount in (("value_per_customer", 1.0), ("discounted_value", 0.99)):
        expected = value_regret_interval(short, oracle, discount)
        assert found[name] == pytest.approx(expected) and found[name]["n"] == 80


def test_the_exact_oracle_of_the_twin_has_no_regret_to_itself_and_others_do():
    twin = make_shop(["env=twin"])
    exact = evaluate(reference("exact", twin, 0.98), twin, customers=1500, seed=4, discount_per_day=0.98)
    myopic = evaluate(reference("myopic", twin, 0.98), twin, customers=1500, seed=4, discount_per_day=0.98)
    itself = value_regrets(exact.totals, exact.totals)["discounted_value"]
    regret = value_regrets(myopic.totals, exact.totals)["discounted_value"]
    print(f"myopic on the twin is worth {regret['mean']:.2f} less; exact 3.658049 - 1.058815 = 2.599234")
    assert itself["mean"] == itself["low"] == itself["high"] == 0
    assert regret["low"] < 3.658049 - 1.058815 < regret["high"]


# guard rails ----------------------------------------------------------------------------------------------------------


def test_guard_rails_equal_a_loop_over_the_log(logs, shop):
    e, m = logs[0].events, summarise(per_customer(logs[0], 1.0))
    bad = {i for i, emotion in enumerate(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"))
           if emotion in ("angry", "disgust", "fear", "sad")}  # fmt: skip
    negative = np.array([shop.gallery.true_emotion[image] in bad for image in e["image"]])
    pushed, bought, left = e["action"] > 0, e["bought"] == 1, e["opted_out"] == 1
    expected = {
        "negative_affect_share": negative.mean(),
        "negative_push_rate": pushed[negative].mean(),
        "other_push_rate": pushed[~negative].mean(),
        "negative_push_share": negative[pushed].mean(),
        "negative_purchase_share": negative[bought].mean(),
        "negative_opt_out_share": negative[left].mean(),
        "mean_valence": e["valence"].mean(dtype=float),
        "mean_mood": e["mood"].mean(dtype=float),
        "valence_shift": e["valence_shift"].mean(dtype=float),
        "valence_over_life": np.mean([e["valence"][e["customer"] == i].mean(dtype=float) for i in range(300)]),
        "mood_over_life": np.mean([e["mood"][e["customer"] == i].mean(dtype=float) for i in range(300)]),
    }
    assert set(expected) == set(GUARD_RAILS)
    for name, number in expected.items():
        assert m[name]["mean"] == pytest.approx(number, abs=1e-9), name


def test_without_labels_negative_affect_is_a_valence_below_zero():
    table = synthetic_table()
    table["true_emotion"] = None
    log = rollout(UniformPolicy(), make_shop(table=table), customers=50, seed=3)
    assert (log.truth["true_negative_affect"] == (log.events["valence"] < 0)).all()


def test_customers_left_alone_stay_around_home_and_random_pushing_leaves_them_worse(shop):
    alone = summarise(per_customer(rollout(ConstantPolicy(0, "hold_back"), shop, customers=3000, seed=3), 1.0))["valence_shift"]
    pushed = summarise(per_customer(rollout(UniformPolicy(), shop, customers=3000, seed=3), 1.0))["valence_shift"]
    print(f"valence relative to home: alone {alone['mean']:+.4f}, random {pushed['mean']:+.4f}")
    assert abs(alone["mean"]) < 0.02 and pushed["high"] < alone["low"] - 0.03


def test_all_pairs_at_once_are_the_pairs_one_by_one(logs):
    totals = {log.policy: per_customer(log, 0.99) for log in logs}
    every = compare_all(totals)
    assert set(every) == {"random_minus_flowers", "flowers_minus_random"}
    assert every["random_minus_flowers"] == compare(totals["random"], totals["flowers"])


# the affect floor -----------------------------------------------------------------------------------------------------


def test_the_price_of_affect_is_in_what_the_agent_receives_and_never_in_the_money(shop):
    price, floor = 3.0, -0.05
    priced = shop.with_params(affect_price=price, affect_floor=floor)
    plain, log = (rollout(UniformPolicy(), s, customers=200, seed=6).events for s in (shop, priced))
    for name in ("reward", "margin", "valence", "valence_shift", "action", "bought"):
        assert (plain[name] == log[name]).all(), name
    assert not plain["affect_term"].any() and (plain["received"] == plain["reward"]).all()
    np.testing.assert_allclose(log["affect_term"], price * (log["valence_shift"] - floor), atol=1e-6)
    np.testing.assert_allclose(log["received"], log["reward"] + log["affect_term"], atol=1e-12)
    lives = priced.customers(64, 6, "evaluate")
    lives.step(np.full(64, 3))
    c, e = lives.state.customers, lives.state.events
    np.testing.assert_allclose(e["affect_term"], price * (c["valence"] - c["home_valence"] - floor), atol=1e-12)
    assert (lives.state.reward == e["received"]).all()

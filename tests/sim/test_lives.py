"""Live customers: the same bits however they are stepped, and laws that hold on any action sequence."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.evaluation.rollout import rollout
from sim.shop.handle import Handle
from sim.shop.lives import LiveCustomers
from sim.shop.parameters import ShopError
from sim.shop.random_streams import policy_uniforms
from tests.sim.conftest import ConstantPolicy, UniformPolicy, make_shop


def live(shop, number, steps, first=0, seed=7, autoreset=False, actions=None):
    lives = shop.customers(number, seed, "train", first=first, autoreset=autoreset)
    out = []
    for t in range(steps):
        if actions is None:
            u = policy_uniforms(99, 0, lives.ids, lives.state.customers["opportunity"])
            a = (u * (shop.labels + 1)).astype(int)
        else:
            a = actions[t]
        lives.step(a)
        out.append((lives.observation.copy(), lives.state.reward.copy(), lives.state.events.copy()))
    return lives, out


def test_the_same_seed_gives_the_same_bits(shop):
    a, b = live(shop, 16, 60)[0], live(shop, 16, 60)[0]
    for name in a.state._fields:
        assert getattr(a.state, name).tobytes() == getattr(b.state, name).tobytes(), name


def test_a_customer_does_not_depend_on_who_stands_beside(shop):
    _, many = live(shop, 16, 40)
    _, alone = live(shop, 1, 40, first=11)
    for (obs, reward, events), (obs1, reward1, events1) in zip(many, alone, strict=True):
        assert obs[11].tobytes() == obs1[0].tobytes()
        assert reward[11] == reward1[0]
        assert events[11] == events1[0]


def test_another_seed_gives_other_customers(shop):
    a, b = live(shop, 8, 1, seed=1)[0], live(shop, 8, 1, seed=2)[0]
    assert not np.any(a.state.customers["price_sensitivity"] == b.state.customers["price_sensitivity"])


def test_two_policies_meet_the_same_picture_on_the_first_visit_and_the_same_traits(shop):
    a = shop.customers(64, 3, "evaluate")
    b = shop.customers(64, 3, "evaluate")
    a.step(np.zeros(64, int))
    b.step(np.full(64, 12))
    assert (a.state.events["image"] == b.state.events["image"]).all()
    assert (a.state.customers["price_sensitivity"] == b.state.customers["price_sensitivity"]).all()


def test_a_policy_against_itself_differs_by_exactly_zero(shop):
    a = rollout(UniformPolicy(), shop, customers=200, seed=5)
    b = rollout(UniformPolicy(), shop, customers=200, seed=5, batch=37)
    assert (a.events == b.events).all()
    assert (a.propensity == b.propensity).all()


def test_evaluation_customers_wear_faces_that_training_never_showed(shop):
    train = set(shop.customers(500, 1, "train").state.customers["person"])
    tune = set(shop.customers(500, 1, "tune").state.customers["person"])
    unseen = set(shop.customers(500, 1, "evaluate").state.customers["person"])
    assert len(train) == 28 and len(unseen) == 12 and tune <= train
    assert not train & unseen


def test_autoreset_keeps_the_last_observation_and_starts_the_next_customer(shop):
    lives = shop.customers(32, 7, autoreset=True)
    for _ in range(200):
        before = lives.ids.copy()
        lives.step(np.full(32, 12))
        ended = lives.state.terminated | lives.state.truncated
        if ended.any():
            break
    assert ended.any()
    assert (lives.ids[ended] == before[ended] + 32).all()
    fresh = shop.customers(1, 7, first=int(lives.ids[ended][0]))
    assert fresh.observation[0].tobytes() == lives.observation[ended][0].tobytes()
    assert np.isfinite(lives.state.final_observation[ended]).all()


def test_a_finished_life_stays_as_it_is(shop):
    lives = shop.customers(64, 7)
    while not lives.done.any():
        lives.step(np.full(64, 12))
    i = int(np.flatnonzero(lives.done)[0])
    frozen = lives.state.customers[i].tobytes()
    reward = lives.step(np.full(64, 12))
    assert reward[i] == 0 and lives.state.customers[i].tobytes() == frozen


def test_holding_back_earns_nothing_and_never_ends_by_opt_out(shop):
    log = rollout(ConstantPolicy(0), shop, customers=300, seed=1)
    assert (log.events["reward"] == 0).all() and not log.events["opted_out"].any()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), actions=st.lists(st.integers(0, 12), min_size=1, max_size=120))
def test_laws_that_hold_on_any_action_sequence(shop, seed, actions):
    lives = shop.customers(8, seed, "train")
    ended = np.zeros(8, bool)
    for action in actions:
        lives.step(np.full(8, action))
        e, c = lives.state.events, lives.state.customers
        live_now = ~ended
        assert np.isfinite(lives.observation).all() and np.abs(lives.observation).max() <= 20
        assert (c["budget"] >= 0).all() and (c["fatigue"] >= 0).all()
        assert (np.abs(c["valence"]) <= 1).all() and (np.abs(c["arousal"]) <= 1).all() and (np.abs(c["mood"]) <= 1).all()
        terms = e["margin"] + e["click_value"] - e["push_cost"] - e["opt_out_cost"]
        assert (e["reward"][live_now] == terms[live_now]).all()
        assert (lives.state.reward[ended] == 0).all()
        assert (e["bought"] <= e["clicked"]).all() and (e["clicked"] <= (e["action"] > 0)).all()
        assert not (lives.state.terminated & lives.state.truncated).any()
        left = lives.state.terminated == ((e["opted_out"] == 1) | (e["lapsed"] == 1))
        assert left[live_now].all()
        ended |= lives.done


def test_actions_out_of_range_are_named(shop):
    lives = shop.customers(2, 1)
    with pytest.raises(ShopError, match="action 13 is out of range; 0 holds back, 1 to 12 push a label"):
        lives.step(np.array([0, 13]))
    with pytest.raises(ShopError, match=r"need \(2,\)"):
        lives.step(np.array([0]))
    with pytest.raises(ShopError, match="seed is -1"):
        shop.customers(2, -1)


def test_a_frequency_cap_masks_and_executes_as_hold_back():
    shop = make_shop(["env.availability.cap_pushes_per_window=2"])
    log = rollout(ConstantPolicy(1), shop, customers=200, seed=1)
    e = log.events
    window = e["day"] // 7
    keys, counts = np.unique(np.stack([e["customer"], window])[:, e["action"] > 0], axis=1, return_counts=True)
    assert counts.max() == 2 and len(keys) == 2
    assert ((e["requested"] == 1) & (e["action"] == 0)).any()


def test_a_strict_shop_refuses_a_masked_action():
    shop = make_shop(["env.availability.cap_pushes_per_visit=0", "env.strict_mask=true"])
    lives = shop.customers(2, 1)
    assert lives.action_masks()[:, 1:].sum() == 0
    with pytest.raises(ShopError, match="'coffee' is masked for customer 0 and env.strict_mask is set"):
        lives.step(np.array([1, 0]))


def test_stock_is_the_same_for_all_customers_of_a_day_and_has_its_rate():
    shop = make_shop(["env.availability.out_of_stock_probability=.3"])
    lives = shop.customers(400, 1)
    assert (lives.action_masks() == lives.action_masks()[0]).all()  # everybody starts on day 0
    masks, days = [], []
    for _ in range(30):
        lives.step(np.zeros(400, int))
        masks.append(lives.action_masks()[:, 1:].copy())
        days.append(lives.state.customers["day"].copy())
    masks, days = np.concatenate(masks), np.concatenate(days)
    by_day = {d: masks[days == d] for d in np.unique(days)}
    assert all((rows == rows[0]).all() for rows in by_day.values())
    assert np.mean([rows[0].mean() for rows in by_day.values()]) == pytest.approx(0.7, abs=0.05)


def test_quiet_hours_close_the_whole_catalog_for_their_share_of_visits():
    shop = make_shop(["env.availability.quiet_from_hour=22", "env.availability.quiet_to_hour=4"])
    masks = shop.customers(4000, 1).action_masks()
    assert masks[:, 0].all()
    closed = ~masks[:, 1:].any(1)
    assert closed.mean() == pytest.approx(6 / 24, abs=0.03)
    assert (masks[:, 1:].all(1) | closed).all()


def test_the_bits_do_not_depend_on_how_many_threads_share_the_rows(shop):
    runs = []
    for threads in (1, 3):
        lives = LiveCustomers(shop, 101, 7, "train", autoreset=True, threads=threads)
        for _ in range(50):
            lives.step(np.full(101, 4))
        runs.append(lives)
    for name in runs[0].state._fields:
        assert getattr(runs[0].state, name).tobytes() == getattr(runs[1].state, name).tobytes(), name


def test_a_handle_refuses_arrays_that_compiled_code_would_misread(shop):
    lives = shop.customers(2, 0)
    fixed = np.zeros(2)
    fixed.flags.writeable = False
    wrong = {
        "reward is float32": {"reward": np.zeros(2, np.float32)},
        "record is .* C contiguous": {"record": np.asfortranarray(lives.state.record)},
        "reward is read-only": {"reward": fixed},
    }
    for message, arrays in wrong.items():
        with pytest.raises(TypeError, match=f"Lives.{message}"):
            Handle(lives.world, lives.state._replace(**arrays))
    with pytest.raises(TypeError, match=r"observation has shape \(1, .*must have \(2, "):
        Handle(lives.world, lives.state).replace(observation=lives.observation[:1])

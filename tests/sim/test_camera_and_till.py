"""The camera's channels, and the till's record against an independent computation from the log."""

import math

import numpy as np
import pytest

from sim.shop import camera, till
from sim.shop.parameters import ShopError
from sim.shop.types import OTHER, SELF, UNKNOWN
from tests.sim.conftest import make_shop
from tests.sim.synthetic import synthetic_table


def test_expression_probabilities_of_a_calm_and_of_a_delighted_customer(shop):
    calm = camera.expression_probabilities(shop.params, 0.0, 0.0)
    assert calm.argmax() == camera.NEUTRAL
    # six centres at distance .75, width .35: exp(-.75^2 / (2 * .35^2)) = .1006
    assert calm[camera.NEUTRAL] == pytest.approx(1 / (1 + 6 * math.exp(-(0.75**2) / (2 * 0.35**2))), abs=1e-12)
    assert camera.expression_probabilities(shop.params, 0.7, 0.25).argmax() == 3


def test_drawn_expressions_have_their_probabilities(shop):
    p = shop.params[0]
    expected = camera.expression_probabilities(shop.params, -0.3, 0.2)
    u = (np.arange(20000) + 0.5) / 20000
    drawn = np.bincount([camera.draw_expression(p, -0.3, 0.2, x) for x in u], minlength=7) / 20000
    np.testing.assert_allclose(drawn, expected, atol=2e-4)


def test_a_customer_shows_only_pictures_of_its_own_face_and_mask_state(shop):
    c = shop.customers(3000, 5).state.customers
    assert (shop.gallery.person_of[c["image"]] == c["person"]).all()
    assert (shop.gallery.true_mask[c["image"]] == c["masked"]).all()
    # .2 * .9 + .8 * .05 = .22 of visits are masked
    assert c["masked"].mean() == pytest.approx(0.22, abs=0.025)


@pytest.mark.parametrize("channel", ["oracle", "blind"])
def test_the_channels_show_truth_or_nothing(channel):
    shop = make_shop([f"camera={channel}"])
    lives = shop.customers(500, 5)
    part = {name: lives.observation[:, a:b] for name, (a, b) in shop.layout.items()}
    c = lives.state.customers
    if channel == "oracle":
        assert (part["emotion"].argmax(1) == shop.gallery.true_emotion[c["image"]]).all()
        assert (part["emotion"].max(1) == 1).all() and (part["mask"][:, 0] == c["masked"]).all()
        assert (c["recognised"] == SELF).all() and (part["segment"][:, 0] == c["segment"].astype(np.float32)).all()
    else:
        np.testing.assert_allclose(part["emotion"], 1 / 7, rtol=1e-6)
        assert (c["recognised"] == UNKNOWN).all()
        assert not lives.observation[:, 7:].any()


def test_a_noisy_channel_is_blind_for_its_share_of_visits_and_else_as_perceived(shop):
    noisy, plain = make_shop(["camera=noisy", "camera.noise=.4"]).customers(4000, 5), shop.customers(4000, 5)
    emotion = slice(0, 7)
    hidden = np.isclose(noisy.observation[:, emotion], 1 / 7).all(1)
    missed = plain.observation[:, 8] == 0
    assert hidden[~missed].mean() == pytest.approx(0.4, abs=0.03)
    np.testing.assert_array_equal(noisy.observation[~hidden, emotion], plain.observation[~hidden, emotion])


def test_recognition_follows_the_gallery_and_enrolment(shop):
    c = shop.customers(6000, 5).state.customers
    enrolled = c["enrolled"] == 1
    assert enrolled.mean() == pytest.approx(0.8, abs=0.02)
    assert (c["recognised"][~enrolled] != SELF).all()
    expected = shop.gallery.recognised[c["enrolled"], c["image"]]
    assert (c["recognised"] == expected).all()
    assert (c["recognised"][enrolled] == SELF).mean() > 0.6 and (c["recognised"] == OTHER).any()


def test_unknown_shows_an_empty_record_and_mistaken_a_typical_one(shop):
    lives = shop.customers(3000, 5)
    for _ in range(12):
        lives.step(np.full(3000, 1))
    c, record = lives.state.customers, lives.observation[:, camera.FEATURES :]
    live = ~lives.done
    assert not record[live & (c["recognised"] == UNKNOWN)].any()
    other = live & (c["recognised"] == OTHER)
    np.testing.assert_array_equal(record[other], shop.typical[c["typical"][other]])
    own = live & (c["recognised"] == SELF)
    np.testing.assert_array_equal(record[own], lives.state.record[own])


def test_the_table_of_typical_records_is_a_pure_function_of_its_seed(shop):
    again, other = make_shop(), make_shop(["population.seed=1"])
    assert again.typical.tobytes() == shop.typical.tobytes()
    assert again.digest == shop.digest != other.digest
    assert shop.typical.shape == (512, 6 * 12 + 6) and (shop.typical[:, :12].max(1) > 0).mean() > 0.5


def recomputed_record(shop, events, seen_valence, segment, day):
    """The till's record from the log alone, in plain Python; `events` of one customer, all recognised."""
    k_count = shop.labels
    pushes, clicks, buys, last = np.zeros(k_count), np.zeros(k_count), np.zeros(k_count), np.full(k_count, -np.inf)
    valence, spent, recent, visits, history, seen = [[] for _ in range(k_count)], 0.0, 0.0, 0, 0.0, None
    previous = None
    for e, v in zip(events, seen_valence, strict=True):
        if previous is not None:
            recent *= math.exp(-(e["day"] - previous) / 7)
        previous = e["day"]
        if seen != e["visit"]:
            visits, seen = visits + 1, e["visit"]
            history += 0.2 * (v - history)
        if e["action"]:
            k = e["action"] - 1
            pushes[k], clicks[k], buys[k] = pushes[k] + 1, clicks[k] + e["clicked"], buys[k] + e["bought"]
            last[k] = e["day"]
            valence[k].append(v)
            recent += 1
            spent += e["bought"] * shop.catalog.table["price"][k]
    recent *= math.exp(-(day - previous) / 7)
    lift = (clicks + 2 * 0.22) / (pushes + 2) - 0.22
    affinity = 0.5 * (lift * np.minimum(pushes, 5)) @ (shop.catalog.features @ shop.catalog.features.T)
    mean_valence = [np.mean(v) if v else 0.0 for v in valence]
    last_seen = day if events[-1]["gap"] == 0 else previous
    overall = [
        recent / 3, math.log1p(visits) / 3, math.log1p(spent) / 4, history, math.exp(-(day - last_seen) / 5), segment,
    ]  # fmt: skip
    recency = np.exp(-(day - last) / 7)
    shown_lift = np.where(pushes > 0, 4 * lift, 0)
    return np.concatenate([np.log1p(pushes), shown_lift, np.log1p(buys), recency, affinity, mean_valence, overall])


def test_the_record_equals_an_independent_computation_from_the_log():
    shop = make_shop(["camera.identity=oracle"])
    lives = shop.customers(40, 9)
    rng = np.random.default_rng(0)
    history = [[] for _ in range(40)]
    for _ in range(30):
        valence = lives.state.customers["seen_valence"].copy()
        alive = ~lives.done
        lives.step(rng.integers(0, 13, 40))
        for i in np.flatnonzero(alive):
            history[i].append((lives.state.events[i].copy(), valence[i]))
    checked = 0
    for i in np.flatnonzero(~lives.done):
        events, valence = zip(*history[i], strict=True)
        c = lives.state.customers[i]
        expected = recomputed_record(shop, events, valence, c["segment"], int(c["day"]))
        # the visit feature is written when a visit begins; within a visit it still says how long ago the one before was
        expected[-2] = lives.state.record[i][-2] if events[-1]["gap"] == 0 else expected[-2]
        np.testing.assert_allclose(lives.state.record[i], expected, atol=2e-5)
        checked += 1
    assert checked >= 5


def test_the_layout_covers_the_observation_without_a_gap(shop):
    ends = list(shop.layout.values())
    assert ends[0][0] == 0 and ends[-1][1] == shop.observation_size == 11 + 6 * 12 + 6
    assert all(a[1] == b[0] for a, b in zip(ends, ends[1:], strict=False))
    assert [name for name in shop.layout][5:11] == list(till.PER_LABEL)


def test_latent_state_does_not_reach_the_observation(shop):
    a, b = shop.customers(200, 5), shop.customers(200, 5)
    for name, number in (("fatigue", 4.0), ("mood", -0.7), ("valence", -0.9), ("arousal", 0.9), ("budget", 1.0), ("expectation", 1.0)):
        b.state.customers[name] = number
    b.state.labels["relevance"], b.state.labels["satiation"] = -1.0, 9.0
    b.state.taste[:] = 0
    from sim.shop import dynamics

    dynamics.observe_again(b.world, b.state, b.seed)
    np.testing.assert_array_equal(a.observation, b.observation)


def test_a_gallery_without_truth_draws_pictures_by_perceived_expression():
    table = synthetic_table(persons=12)
    table["true_emotion"], table["true_mask"] = None, None
    shop = make_shop(table=table)
    assert not shop.gallery.labelled
    c = shop.customers(20000, 5).state.customers
    image, emotion = c["image"], shop.gallery.emotion
    happy = c["valence"] > 0.6
    assert emotion[image[happy], 3].mean() > 2 * emotion[image[~happy], 3].mean()
    with pytest.raises(ShopError, match="needs the true emotion of every picture"):
        make_shop(["camera.emotion=oracle"], table=table)


def test_a_small_gallery_is_split_by_picture_and_says_so():
    shop = make_shop(table=synthetic_table(persons=4))
    assert shop.gallery.split_by == "picture"
    train, unseen = set(shop.gallery.train.image), set(shop.gallery.evaluate.image)
    assert not train & unseen and len(train | unseen) == 4 * 7 * 2 * 3


def test_an_empty_cell_takes_the_nearest_expression():
    table = synthetic_table(persons=12)
    table = table[~((table["person"] == "p00") & (table["true_emotion"] == "disgust"))]
    gallery = make_shop(table=table).gallery
    cells = gallery.train if 0 in gallery.train.persons else gallery.evaluate
    assert gallery.train.empty + gallery.evaluate.empty == 2
    start, size = cells.start[0, 0, 1], cells.size[0, 0, 1]
    shown = set(gallery.true_emotion[cells.image[start : start + size]])
    assert shown == {0}  # angry at 145 degrees is the neighbour of disgust at 180


def test_a_gallery_of_one_person_or_without_columns_is_refused():
    with pytest.raises(ShopError, match="1 person"):
        make_shop(table=synthetic_table(persons=2).query("person == 'p00'"))
    with pytest.raises(ShopError, match="lacks the column role"):
        make_shop(table=synthetic_table(persons=2).drop(columns="role"))

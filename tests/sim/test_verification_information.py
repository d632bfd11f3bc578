"""V8: more information is never worth less to whoever uses it best (Blackwell 1953, Ann. Math. Stat. 24:265).

A small decision problem is cut out of the shipped shop and solved exactly: one customer in each of the seven true emotions,
rewards and opt-outs from the shop's own response, the camera as the confusion matrix C[e, y] of the shipped gallery (true
emotion to the most probable perceived one).  Its value is found by Bayes' rule, for one opportunity

    V(C) = sum_y max_a sum_e p(e) C[e, y] r(e, a)

and for three in a row, with emotions that follow from what is pushed, by dynamic programming over beliefs.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.evaluation.oracle.response import response_of
from sim.shop.camera import CENTRES, FEATURES, expression_probabilities
from sim.shop.scenarios import load_shop

NOISE, STEPS = 0.3, 3
TRUE, BLIND = np.eye(7), np.ones((7, 1))


def show(what, value, expected):
    print(f"  {what:58s} {value:12.6f}   expected {expected:>12s}")


def garbled(channel, noise):
    """The channel, but nothing with probability `noise`: an eighth signal that every emotion sends alike."""
    return np.hstack([(1 - noise) * channel, np.full((7, 1), noise)])


@pytest.fixture(scope="module")
def shipped():
    return load_shop()


@pytest.fixture(scope="module")
def cameras(shipped):
    """Confusion matrices (7, 7) of the shipped gallery's pictures, bare and masked."""
    g, out = shipped.gallery, {}
    for name, masked in (("bare", 0), ("masked", 1)):
        counts = np.zeros((7, 7))
        rows = g.true_mask == masked
        np.add.at(counts, (g.true_emotion[rows], g.emotion[rows].argmax(1)), 1)
        out[name] = counts / counts.sum(1, keepdims=True)
    return out


@pytest.fixture(scope="module")
def problem(shipped):
    """prior (7,), reward (7, A), survival (7, A), transition (A, 7, 7): A = hold back and the two most contested labels."""
    lives, p = shipped.customers(7, 3), shipped.params[0]
    for array in lives.state[:3]:
        array[:] = array[0]  # seven copies of one customer ...
    lives.state.customers["valence"], lives.state.customers["arousal"] = CENTRES.T  # ... in seven emotions
    lives.state.customers["fatigue"], lives.state.customers["mood"] = 4.0, 0.0  # tired enough for rest to be an option
    response = response_of(lives, np.arange(7))
    best = response.reward.argmax(1)
    labels = np.argsort(-np.bincount(best[best > 0], minlength=shipped.labels + 1) - response.reward.max(0) / 100)[:2]
    actions = np.concatenate([[0], labels])
    surprise = response.mood_step[:, actions] / p["mood_rate"]  # at mood 0
    transition = np.zeros((len(actions), 7, 7))
    for a in range(len(actions)):
        for e in range(7):
            v, arousal = 0.6 * CENTRES[e] + p["valence_jump"] * np.array([surprise[e, a], abs(surprise[e, a])])
            transition[a, e] = expression_probabilities(shipped.params, v, arousal)
    rng = np.random.default_rng(0)
    prior = np.mean([expression_probabilities(shipped.params, *rng.normal(0, 0.45, 2).clip(-1, 1)) for _ in range(4000)], axis=0)
    return prior, response.reward[:, actions], 1 - response.opt_out[:, actions], transition


def value(problem, channel, steps=1):
    """V of the best policy that sees the true emotion only through `channel` (7, Y), by recursion over beliefs."""
    prior, reward, survival, transition = problem

    def ahead(weight, left):
        """Best value of unnormalised belief `weight` (7,), before the signal of this opportunity is seen."""
        total = 0.0
        for y in range(channel.shape[1]):
            seen = weight * channel[:, y]
            if not seen.any():
                continue
            options = seen @ reward
            if left > 1:
                options = options + [ahead((seen * survival[:, a]) @ transition[a], left - 1) for a in range(reward.shape[1])]
            total += options.max()
        return total

    return ahead(prior, steps)


@pytest.mark.parametrize("steps", [1, STEPS])
@pytest.mark.parametrize("mask", ["bare", "masked"])
def test_verification_v8_true_emotion_is_worth_most_then_perceived_then_noisier_then_none(problem, cameras, mask, steps):
    perceived = cameras[mask]
    channels = {"true": TRUE, "perceived": perceived, "noisy": garbled(perceived, NOISE),
                "noisier": garbled(perceived, 0.7), "blind": BLIND}  # fmt: skip
    values = {name: value(problem, channel, steps) for name, channel in channels.items()}
    above = ["the most", *(f"<= {v:.6f}" for v in values.values())]
    for (name, v), limit in zip(values.items(), above, strict=False):
        show(f"V({name}), {mask}, {steps} opportunities", v, limit)
    ordered = list(values.values())
    assert all(a >= b - 1e-12 for a, b in zip(ordered, ordered[1:], strict=False))
    assert values["true"] > values["perceived"] > values["blind"] > 0  # and information does matter here
    if steps == 1:  # closed form: with probability NOISE the signal is void, and the two cases are told apart
        expected = (1 - NOISE) * values["perceived"] + NOISE * values["blind"]
        show(f"V(noisy), {mask}", values["noisy"], f"{expected:.6f}")
        assert values["noisy"] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(weights=st.lists(st.lists(st.floats(1e-3, 1), min_size=5, max_size=5), min_size=7, max_size=7), steps=st.sampled_from([1, 2]))
def test_verification_v8_no_garbling_helps_who_decides_best(problem, cameras, weights, steps):
    garbling = np.array(weights) / np.array(weights).sum(1, keepdims=True)  # (7, 5) stochastic
    perceived = cameras["bare"]
    assert value(problem, perceived @ garbling, steps) <= value(problem, perceived, steps) + 1e-12
    assert value(problem, BLIND, steps) <= value(problem, perceived @ garbling, steps) + 1e-12


def test_verification_v8_a_noisy_camera_shows_what_the_perceived_one_does_or_what_the_blind_one_does():
    """The shop's channels are nested: `noisy` picks between the other two with luck that knows nothing of the customer."""
    number, lives = 3000, {}
    for camera in ("perceived", "noisy", "blind"):
        lives[camera] = load_shop([f"camera={camera}"] if camera != "noisy" else ["camera=noisy", f"camera.noise={NOISE}"])
        lives[camera] = lives[camera].customers(number, 5, "evaluate")
    void, told = [], []
    for _ in range(3):
        seen = {camera: each.observation[:, :FEATURES].copy() for camera, each in lives.items()}
        for part in (slice(0, 7), slice(9, 11)):  # emotion; identity
            as_seen, as_blind = ((seen["noisy"][:, part] == seen[c][:, part]).all(1) for c in ("perceived", "blind"))
            assert (as_seen | as_blind).all()
            differ = (seen["perceived"][:, part] != seen["blind"][:, part]).any(1)
            void.append(as_blind[differ])
            told.append(lives["noisy"].state.customers["valence"][differ])
        for each in lives.values():
            each.step(np.zeros(number, int))
    void, told = np.concatenate(void), np.concatenate(told)
    error = 3.5 * np.sqrt(NOISE * (1 - NOISE) / len(void)) * np.sqrt(3)  # a visit may last three opportunities
    show("share of void signals", void.mean(), f"{NOISE:.6f}")
    assert abs(void.mean() - NOISE) < error and abs(np.corrcoef(void, told)[0, 1]) < 0.05

"""V9: with all carry-over off the shop is a contextual bandit: a response depends on customer and moment, not on the past."""

import dataclasses

import numpy as np
import pytest

from agents.linear_bandits import LinUCB
from sim.envs import spaces
from sim.envs.vector import ProductPushVectorEnv
from sim.evaluation.oracle.response import response_of
from sim.evaluation.rollout import rollout
from tests.sim.conftest import UniformPolicy, make_shop


def show(what, value, expected):
    print(f"  {what:58s} {value:12.6f}   expected {expected:>12s}")


def lived(shop, pushes):
    """400 customers, ten opportunities into their lives, pushed at random or left alone."""
    lives, rng = shop.customers(400, 11), np.random.default_rng(3)
    for _ in range(10):
        actions = rng.integers(1, shop.labels + 1, 400)
        lives.step(actions if pushes else np.zeros(400, int))
    return lives


def test_verification_v9_in_the_bandit_response_and_reward_do_not_depend_on_earlier_actions():
    responses, events = [], []
    bandit = make_shop(["env=bandit"])
    for pushes in (True, False):
        lives = lived(bandit, pushes)
        responses.append(response_of(lives, np.arange(400)))
        lives.step(np.full(400, 4))
        events.append(lives.state.events.copy())
    for name in ("reward", "click", "purchase", "opt_out"):
        a, b = (getattr(response, name) for response in responses)
        show(f"bandit: largest difference in {name}", np.abs(a - b).max(), "0")
        assert (a == b).all(), name
    for name in ("day", "image", "valence", "mood", "clicked", "bought", "opted_out", "reward", "received", "gap"):
        assert (events[0][name] == events[1][name]).all(), name
    assert events[0]["clicked"].sum() > 50 and not events[0]["opted_out"].any()


def test_verification_v9_in_the_default_shop_they_do(shop):
    after = [lived(shop, pushes) for pushes in (True, False)]
    rows = np.flatnonzero(~after[0].done & ~after[1].done)
    pushed, rested = (response_of(lives, rows).click[:, 1:].mean() for lives in after)
    show("default shop: mean click probability after ten pushes", pushed, f"< {rested:.6f}")
    assert len(rows) > 150 and pushed < rested - 0.05


def test_verification_v9_the_regret_of_the_uniform_policy_is_linear():
    log = rollout(UniformPolicy(), make_shop(["env=bandit"]), customers=4000, seed=2)
    regret = log.truth["true_immediate_regret"].cumsum()
    at = (np.array([0.1, 0.25, 0.5, 0.75, 1.0]) * len(regret)).astype(int) - 1
    for t, r in zip(at, regret[at], strict=True):
        show(f"uniform policy: regret after {t + 1} decisions, of the whole", r / regret[-1], f"{(t + 1) / len(regret):.6f}")
        assert r / regret[-1] == pytest.approx((t + 1) / len(regret), abs=0.01)
    exponent = np.log(regret[at[-1]] / regret[at[0]]) / np.log((at[-1] + 1) / (at[0] + 1))
    show("uniform policy: exponent of regret over the last decade", exponent, "1")
    assert exponent == pytest.approx(1, abs=0.03)


@dataclasses.dataclass
class Context:
    """Best actions by true emotion: the most a policy can know that is shown nothing else of use."""

    reward: np.ndarray  # (7, K + 1) mean expected reward


class WatchedEnv(ProductPushVectorEnv):
    """Notes what each decision costs against the best action for the emotion shown."""

    def __init__(self, number, shop, context):
        super().__init__(number, shop)
        self.context, self.regret = context, []

    def step(self, actions):
        emotion = self._lives.observation[:, :7].argmax(1)
        table = self.context.reward[emotion]
        self.regret.append((table.max(1) - table[np.arange(len(actions)), actions]).sum())
        return super().step(actions)


@pytest.mark.slow
def test_verification_v9_the_regret_of_linucb_is_sub_linear():
    """Seven contexts, all of them shown: customers alike but for their emotion, which the oracle camera tells."""
    alike = [f"population.traits.{name}=0" for name in (
        "price_sensitivity_deviation", "budget_deviation", "home_valence_deviation", "mood_deviation")]  # fmt: skip
    tasteless = ["env.choice.taste_weight=0", "env.choice.buy_taste_weight=0"]
    shop = make_shop(["env=bandit", "camera=oracle", *tasteless, *alike])
    lives, total, count = shop.customers(4000, 5), np.zeros((7, shop.labels + 1)), np.zeros(7)
    for _ in range(20):
        np.add.at(total, lives.observation[:, :7].argmax(1), response_of(lives, np.arange(4000)).reward)
        np.add.at(count, lives.observation[:, :7].argmax(1), 1)
        lives.step(np.zeros(4000, int))
    context = Context(total / count[:, None])
    assert len(set(context.reward.argmax(1))) > 1  # the emotion decides which label is best
    env = WatchedEnv(256, shop, context)
    runtime = {"observation_space": spaces.observation_space(shop), "action_space": spaces.action_space(shop), "layout": shop.layout}
    LinUCB(num_envs=256, seed=0, **runtime).learn(env, steps=512_000)
    regret = np.cumsum(env.regret)
    at = (np.array([1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]) * len(regret)).astype(int) - 1
    uniform = (context.reward.max(1, keepdims=True) - context.reward).mean(1) @ (count / count.sum())
    for t in at:
        show(f"LinUCB: regret after {(t + 1) * 256} decisions, of uniform's", regret[t] / ((t + 1) * 256 * uniform), "falling")
    exponent = np.log(regret[at[-1]] / regret[at[-3]]) / np.log(4)
    show("LinUCB: exponent of regret over the last two doublings", exponent, "< .8")
    assert exponent < 0.8 and regret[-1] < 0.25 * uniform * len(regret) * 256

"""Laws of a customer's life, whatever is done to the customer: a state machine of random legal and illegal actions."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sim.shop.dynamics import observe_again
from sim.shop.observation import check_observation
from sim.shop.parameters import ShopError
from tests.sim.conftest import make_shop

SHOPS = {
    "shop": [],
    "late and closed": [
        "env=drift", "env.delay.delay_days=4", "env.refunds.refunds=1", "env.availability.out_of_stock_probability=.3",
        "env.availability.cap_pushes_per_visit=2", "env.availability.quiet_from_hour=20", "env.availability.quiet_to_hour=3",
        "env.reward.affect_price=1.5", "env.reward.affect_floor=-.1",
    ],
    "eager to leave": ["env.fatigue.opt_out_intercept=-2", "env.returning.lapse_days=6", "env.returning.horizon_opportunities=9"],
}  # fmt: skip
LATENT = ("valence", "arousal", "mood", "expectation", "fatigue", "budget", "price_sensitivity", "home_valence")
_shops = {}


def shop_of(name):
    if name not in _shops:
        _shops[name] = make_shop(SHOPS[name])
    return _shops[name]


class AnyLife(RuleBasedStateMachine):
    """One customer of one of three shops."""

    @initialize(name=st.sampled_from(sorted(SHOPS)), seed=st.integers(0, 2**32 - 1), first=st.integers(0, 10**12))
    def step_up(self, name, seed, first):
        self.shop = shop_of(name)
        self.lives = self.shop.customers(1, seed, "train", first=first)
        self.day, self.opportunities, self.pushes, self.ended = 0, 0, 0, False
        self.received = self.money = self.affect = 0.0

    def act(self, requested):
        c = self.lives.state.customers[0]
        before, allowed = c.copy(), bool(self.lives.action_masks()[0, requested])
        reward = float(self.lives.step(np.array([requested]))[0])
        e = self.lives.state.events[0]
        if self.ended:  # nothing happens any more
            assert reward == 0.0 and c == before
            return
        assert e["requested"] == requested and e["action"] == (requested if allowed else 0)
        assert e["day"] == before["day"] and c["day"] >= self.day
        terms = e["margin"] + e["click_value"] - e["push_cost"] - e["opt_out_cost"] - e["refund"]
        assert e["reward"] == terms and e["received"] == reward and np.isfinite(reward)
        assert e["bought"] <= e["clicked"] <= (e["action"] > 0) and e["opted_out"] <= (e["action"] > 0)
        assert e["price"] <= before["budget"] * (1 + 1e-12)
        left, cut = bool(e["opted_out"] or e["lapsed"]), bool(e["truncated"])
        assert bool(e["terminated"]) == left == bool(self.lives.state.terminated[0]) and not (left and cut)
        assert cut == bool(self.lives.state.truncated[0])
        self.day, self.ended = int(c["day"]), left or cut
        self.opportunities, self.pushes = self.opportunities + 1, self.pushes + int(e["action"] > 0)
        self.received, self.money, self.affect = (
            self.received + reward,
            self.money + e["reward"],
            self.affect + e["affect_term"],
        )
        assert c["opportunity"] == self.opportunities and bool(self.lives.done[0]) == self.ended

    @rule()
    def hold_back(self):
        self.act(0)

    @rule(data=st.data())
    def push_what_is_allowed(self, data):
        self.act(data.draw(st.sampled_from(np.flatnonzero(self.lives.action_masks()[0]).tolist())))

    @rule(action=st.integers(0, 12))
    def ask_for_anything(self, action):
        self.act(action)

    @precondition(lambda self: not self.lives.action_masks()[0].all() and not self.ended)
    @rule(data=st.data())
    def ask_for_what_is_masked(self, data):
        masked = data.draw(st.sampled_from(np.flatnonzero(~self.lives.action_masks()[0]).tolist()))
        self.act(masked)
        assert self.lives.state.events[0]["action"] == 0

    @rule(action=st.one_of(st.integers(13, 2**62), st.integers(-(2**62), -1)))
    def ask_for_what_does_not_exist(self, action):
        before = [array.tobytes() for array in self.lives.state]
        with pytest.raises(ShopError, match="out of range; 0 holds back, 1 to 12 push a label"):
            self.lives.step(np.array([action]))
        assert before == [array.tobytes() for array in self.lives.state]

    @precondition(lambda self: not self.ended)
    @rule(to=st.floats(-0.9, 0.9))
    def feel_otherwise_in_secret(self, to):
        """Latent state may be anything: what the agent sees, and the mask, stay as they are."""
        state = self.lives.state
        kept, labels = state.customers.copy(), state.labels.copy()
        seen, mask = state.observation.tobytes(), state.action_mask.tobytes()
        for name in LATENT:
            state.customers[name] = abs(to) if name in ("fatigue", "budget", "price_sensitivity") else to
        state.labels["satiation"] += np.float32(abs(to))
        state.labels["relevance"] = -state.labels["relevance"]
        observe_again(self.lives.world, state, self.lives.seed)
        assert state.observation.tobytes() == seen and state.action_mask.tobytes() == mask
        state.customers[:], state.labels[:] = kept, labels

    @invariant()
    def laws(self):
        if not hasattr(self, "lives"):
            return
        c = self.lives.state.customers[0]
        check_observation(self.lives.observation, self.shop.layout)
        assert np.abs(self.lives.observation[0, :11]).max() <= 1 and self.lives.action_masks()[0, 0]
        assert 0 <= c["budget"] <= c["monthly_budget"] * (1 + 1e-12) and c["fatigue"] >= 0
        assert max(abs(c["valence"]), abs(c["arousal"]), abs(c["mood"])) <= 1
        assert self.pushes <= self.opportunities and 0 <= c["awaited"] <= 8
        if self.ended:
            assert c["awaited"] == 0
            assert self.received == pytest.approx(self.money + self.affect, abs=1e-9)  # all money has been paid


AnyLife.TestCase.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)
TestVerificationOfAnyLife = AnyLife.TestCase

"""An agent that remembers: what it may know of a customer, and that the NumPy cell is the one that was trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_env import HintEnv, build, views

import agents
from agents.errors import AgentConfigError, ShapeMismatchError
from agents.memory import heeded
from agents.recurrent_policy import FilingLSTM
from agents.recurrent_ppo import RecurrentPPOAgent

SMALL = {"n_steps": 32, "batch_size": 256, "net_arch": (), "lstm_units": 8, "gamma": 0.5, "reward_scale": 1.0}
BEGINS_OWN, BEGINS_UNKNOWN, GOES_ON_OWN = (True, True), (True, False), (False, True)


class OnceShown(HintEnv):
    """A hint that is shown at the first of two steps of a visit, or at the first visit of a life, and paid for all the time.

    Without a memory no policy can earn more than .0625 a step on average where the hint is hidden: one of 4 labels pays 1, the
    others -.25.
    """

    def __init__(self, shown: str, own: bool = True, **more):
        self.shown, self.own = shown, own
        super().__init__(**more)

    def reset(self, *, seed=None, options=None):
        self.kept = np.zeros(self.num_envs, int)
        return super().reset(seed=seed)

    def visits(self):
        return np.stack([self.age % 2 == 0, np.full(self.num_envs, self.own)], axis=1)

    def _look(self):
        observation = super()._look()
        begins = self.age % 2 == 0
        fresh = begins if self.shown == "visit" else self.age == 0
        self.kept = np.where(fresh, self.hint, self.kept)
        self.hint = self.kept.copy()
        observation[:, -5:-1] = np.eye(4, dtype=np.float32)[self.hint] * fresh[:, None]
        observation[:, -1] = fresh
        return observation


def value_where_hidden(agent, env, steps=400):
    """Mean reward at the steps that show no hint, with the memory kept as a shop keeps it."""
    observation, _ = env.reset(seed=5)
    memory, rng, paid, hidden = np.zeros((env.num_envs, agent.memory_size)), np.random.default_rng(0), 0.0, 0
    for _ in range(steps):
        memory[env.age == 0] = 0.0
        decision, memory = agent.act_with_memory(observation, env.action_masks(), rng.random(env.num_envs), memory, env.visits())
        dark = observation[:, -1] == 0
        observation, reward, *_ = env.step(decision.action)
        paid, hidden = paid + reward[dark].sum(), hidden + dark.sum()
    return paid / hidden


@pytest.mark.slow
@pytest.mark.parametrize("shown, own, memory, pays", [
    ("visit", False, "visit", True),            # within a visit nobody needs to be recognised
    ("life", True, "visit", False),             # but nothing is carried to the next one,
    ("life", True, "recognised", True),         # unless it is filed under a recognised face
    ("life", False, "recognised", False),
    ("life", False, "life", True),              # the upper bound knows everybody without a camera
])
def test_memory_pays_exactly_where_it_may_reach(shown, own, memory, pays):
    """Where nothing is carried over, one hidden step in five is still in the first visit: (1 + 4 x .0625) / 5 = .25 at most."""

    def env():
        return OnceShown(shown, own, num_envs=32, horizon=6, leave=0.0)

    agent = build(RecurrentPPOAgent, env(), memory=memory, learning_rate=2e-2, **SMALL)
    agent.learn(env(), steps=20_000)
    value = value_where_hidden(agent, env())
    assert value > 0.8 if pays else value < 0.3


def test_the_cell_files_recalls_and_forgets_as_said():
    """h of the visit and h on file over five opportunities, by hand: own, own again, unknown, own again, a new life."""
    torch.manual_seed(0)
    lstm = FilingLSTM(3 + 2, 4)
    x = torch.randn(5, 1, 3)
    flags = torch.tensor([[1, 1], [1, 1], [1, 0], [1, 1], [1, 1]], dtype=torch.float32)[:, None]
    starts = torch.tensor([[1.0], [0], [0], [0], [1]])
    blank = torch.full((2, 1, 4), 7.0)                                  # left over from somebody else
    out, (h, c) = lstm(torch.cat([x, flags], 2), (blank, blank), starts)

    def step(t, state):
        return lstm.cell(x[t], state)

    nothing = (torch.zeros(1, 4), torch.zeros(1, 4))
    first = step(0, nothing)
    second = step(1, first)
    unknown = step(2, nothing)
    back = step(3, second)                                              # what the visit before last had filed
    expected = [first[0], second[0], unknown[0], back[0], step(4, nothing)[0]]
    torch.testing.assert_close(out, torch.stack(expected))
    torch.testing.assert_close(h[1], out[-1])
    torch.testing.assert_close(c.shape, torch.Size([2, 1, 4]))


def caught(memory="recognised", env=None):
    env = env or HintEnv(num_envs=16, mask_rate=0.3)
    agent = build(RecurrentPPOAgent, env, memory=memory, **SMALL)
    models, make = [], agent._model
    agent._model = lambda lanes: models.append(make(lanes)) or models[-1]
    agent.learn(env, steps=1024)
    return agent, models[0]


@pytest.mark.parametrize("memory", ["visit", "recognised", "life"])
def test_a_life_in_numpy_is_the_same_life_in_torch(memory):
    """Twelve opportunities of 20 customers under random visits and masks, to 1e-5."""
    agent, model = caught(memory)
    rng = np.random.default_rng(3)
    observation, mask, _ = views(HintEnv(), 12 * 20)
    observation, mask = observation.reshape(12, 20, -1), mask.reshape(12, 20, -1)
    visits = rng.random((12, 20, 2)) < 0.5
    remembered = np.zeros((20, agent.memory_size))
    states = (torch.zeros(2, 20, 8), torch.zeros(2, 20, 8))
    for t in range(12):
        probabilities, remembered = agent.recall(observation[t], mask[t], remembered, visits[t])
        seen = np.concatenate([observation[t], mask[t], heeded(visits[t], memory)], 1, dtype=np.float32)
        distribution, states = model.policy.get_distribution(torch.as_tensor(seen), states, torch.zeros(20))
        np.testing.assert_allclose(probabilities, distribution.distribution.probs.detach().numpy(), atol=1e-5)
        assert (probabilities[~mask[t]] == 0).all()


def test_memory_does_not_depend_on_who_else_is_in_the_batch_and_survives_saving(tmp_path):
    agent, _ = caught()
    agent.save(tmp_path)
    again = agents.load_agent(tmp_path)
    assert again.memory == "recognised" and again.memory_size == 32
    observation, mask, _ = views(HintEnv(), 300)
    rng = np.random.default_rng(0)
    memory, visits = rng.standard_normal((300, 32)), rng.random((300, 2)) < 0.5
    probabilities, after = agent.recall(observation, mask, memory, visits)
    for rows in (slice(7, 8), slice(100, 231)):
        one, kept = again.recall(observation[rows], mask[rows], memory[rows], visits[rows])
        np.testing.assert_array_equal(one, probabilities[rows])
        np.testing.assert_array_equal(kept, after[rows])


def test_asked_without_a_memory_it_takes_everybody_for_new():
    agent, _ = caught()
    observation, mask, uniform = views(HintEnv(), 40)
    decision, _ = agent.act_with_memory(observation, mask, uniform, np.zeros((40, 32)), np.tile(BEGINS_UNKNOWN, (40, 1)))
    np.testing.assert_array_equal(agent.act(observation, mask, uniform).probabilities, decision.probabilities)
    other, _ = agent.act_with_memory(observation, mask, uniform, np.ones((40, 32)), np.tile(GOES_ON_OWN, (40, 1)))
    assert (other.probabilities != decision.probabilities).any()


def test_memory_of_another_size_and_unknown_spans_are_refused_with_the_sizes():
    agent, _ = caught()
    observation, mask, _ = views(HintEnv(), 4)
    with pytest.raises(ShapeMismatchError, match=r"memory of shape \(4, 32\), got \(4, 31\)"):
        agent.recall(observation, mask, np.zeros((4, 31)), np.tile(BEGINS_OWN, (4, 1)))
    with pytest.raises(ShapeMismatchError, match=r"visits of shape \(4, 2\), got \(4,\)"):
        agent.recall(observation, mask, np.zeros((4, 32)), np.ones(4))
    with pytest.raises(AgentConfigError, match="visit, recognised, life, got 'day'"):
        build(RecurrentPPOAgent, HintEnv(), memory="day", **SMALL)


def test_an_environment_that_does_not_say_when_visits_begin_is_refused():
    class Silent(HintEnv):
        visits = property()

    with pytest.raises(AgentConfigError, match="says when a visit begins"):
        build(RecurrentPPOAgent, Silent(), **SMALL).learn(Silent(), steps=64)

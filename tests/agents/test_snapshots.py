"""Learning that is cut between two updates and goes on in a new agent ends with the bits of learning that was not."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from test_agent_protocol import BANDITS, LIBRARY, SETTINGS
from toy_env import HintEnv, build

from agents.fitted_q import FittedQ
from agents.linear_bandits import ChargedLinUCB
from agents.ppo import PPOAgent
from agents.ppo_belief import PPOBelief
from agents.snapshot import Snapshot

RESUMABLE = [*BANDITS, ChargedLinUCB, PPOAgent, PPOBelief, *LIBRARY, FittedQ]
WALL_CLOCK = {"rollout/fps"}


class CutError(Exception):
    """The kill."""


class InMemory:
    """Takes the snapshot of one boundary, with the environment beside it, and then ends the training."""

    def __init__(self, env, boundary=None, kept=None):
        self.env, self.boundary, self.offers, self._kept = env, boundary, 0, kept

    def kept(self):
        return self._kept

    def offer(self, take):
        self.offers += 1
        if self.offers == self.boundary:
            arrays, values = take()
            arrays = {name: np.array(array) for name, array in arrays.items()}
            self.snapshot, self.env_then = Snapshot(arrays, json.loads(json.dumps(values))), copy.deepcopy(self.env)
            raise CutError


def learned(agent, env, keeper=None):
    agent.keep(keeper)
    agent.learn(env, steps=16 * env.num_envs, evaluate=lambda candidate: float(len(candidate.learning_curve)))
    return agent


def curve(agent):
    return [(step, {name: v for name, v in metrics.items() if name not in WALL_CLOCK}) for step, metrics in agent.learning_curve]


def state(agent):
    return {name: array.tobytes() for name, array in agent._state()[0].items()}, agent._state()[1]


# bandits take up to 128 rows one by one and more at once; the others do not care
@pytest.mark.parametrize(("agent_class", "lanes"), [*((c, 16) for c in RESUMABLE), *((c, 160) for c in BANDITS)],
                         ids=lambda value: getattr(value, "name", str(value)))
def test_a_training_cut_at_any_of_three_boundaries_ends_with_the_same_weights_and_metrics(agent_class, lanes):
    def make(env):
        return build(agent_class, env, 3, **SETTINGS[agent_class])

    steps_env = HintEnv(num_envs=lanes)
    counting = InMemory(steps_env)
    whole = learned(make(steps_env), steps_env, counting)
    assert counting.offers >= 1
    for boundary in sorted({1, (counting.offers + 1) // 2, counting.offers}):
        env = HintEnv(num_envs=lanes)
        killed = InMemory(env, boundary)
        with pytest.raises(CutError):
            learned(make(env), env, killed)
        resumed = learned(make(env), killed.env_then, InMemory(killed.env_then, kept=killed.snapshot))
        assert state(resumed) == state(whole)
        assert curve(resumed) == curve(whole)


@pytest.mark.parametrize("agent_class", RESUMABLE, ids=lambda c: c.name)
def test_taking_a_snapshot_at_every_boundary_changes_no_bit(agent_class):
    class Taking(InMemory):
        def offer(self, take):
            self.offers += 1
            take()

    plain_env, kept_env = HintEnv(num_envs=16), HintEnv(num_envs=16)
    plain = learned(build(agent_class, plain_env, 1, **SETTINGS[agent_class]), plain_env)
    keeper = Taking(kept_env)
    kept = learned(build(agent_class, kept_env, 1, **SETTINGS[agent_class]), kept_env, keeper)
    assert keeper.offers >= 1 and state(kept) == state(plain) and curve(kept) == curve(plain)

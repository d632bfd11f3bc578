"""A policy that remembers lives the same lives in any batch, and in a replay; what it remembers follows the till's record."""

import dataclasses

import numpy as np
import pytest

from agents.recurrent_ppo import RecurrentPPOAgent
from sim.envs import spaces
from sim.envs.vector import ProductPushVectorEnv
from sim.evaluation.rollout import decide, rollout, value_per_customer
from sim.evaluation.session_log import SessionWriter
from sim.replay import branches
from sim.replay.explain import explain
from sim.replay.log import open_log, read_lines
from sim.replay.policies import decides_alike
from sim.replay.relive import relive
from sim.replay.remembering import Reminded, remembered

SEED = 11


@pytest.fixture(scope="module")
def policy(shop):
    """A recurrent policy of one update, its weights blown up so that its memory matters."""
    env = ProductPushVectorEnv(16, shop)
    agent = RecurrentPPOAgent(
        observation_space=spaces.observation_space(shop), action_space=spaces.action_space(shop), layout=shop.layout, seed=0,
        memory="recognised", lstm_units=4, net_arch=(), n_steps=8, batch_size=128, n_epochs=1,
    )  # fmt: skip
    agent.learn(env, steps=128)
    lstm = agent.actor_
    head = lstm.head._replace(weights=tuple(100 * weight for weight in lstm.head.weights))
    agent.actor_ = lstm._replace(states=4 * lstm.states, head=head)
    return agent


def test_the_batch_does_not_change_a_bit_of_a_life_with_a_memory(shop, policy):
    whole = rollout(policy, shop, customers=60, seed=SEED)
    parts = rollout(policy, shop, customers=60, seed=SEED, batch=7)
    np.testing.assert_array_equal(whole.probabilities, parts.probabilities)
    np.testing.assert_array_equal(whole.events, parts.events)
    money = whole.events["reward"].sum() / 60
    assert value_per_customer(policy, shop, customers=60, seed=SEED, split="evaluate") == pytest.approx(money, abs=1e-9)


def test_memory_matters_in_these_tests(shop, policy):
    log = rollout(policy, shop, customers=60, seed=SEED)
    forgetful = dataclasses.make_dataclass("Forgetful", ["name", "propensity_kind"])("f", "exact")
    forgetful.act = policy.act
    other = rollout(forgetful, shop, customers=60, seed=SEED)
    assert len(log.events) != len(other.events) or (log.events["action"] != other.events["action"]).any()


def test_what_is_filed_is_of_recognised_visits_only(shop, policy):
    """Every customer's file changes exactly at the opportunities at which the till knows the customer."""
    lives = shop.customers(50, SEED, "evaluate")
    rows, changed, known = np.arange(50), [], []
    half = policy.memory_size // 2
    for _ in range(10):
        before = np.zeros((50, half)) if lives.memory is None else lives.memory[:, half:].copy()
        own = lives.visits()[rows, 1]
        actions = np.zeros(50, np.int64)
        actions[rows] = decide(policy, lives, rows).action
        changed.append((lives.memory[rows, half:] != before[rows]).any(1))
        known.append(own)
        lives.step(actions)
        rows = rows[~lives.done[rows]]
    changed, known = np.concatenate(changed), np.concatenate(known)
    np.testing.assert_array_equal(changed, known)
    assert 0.2 < known.mean() < 0.95


def test_training_and_evaluation_are_told_of_the_same_visits(shop):
    env = ProductPushVectorEnv(20, shop)
    env.reset(seed=3)
    lives = shop.customers(20, 3, "train")
    for _ in range(5):
        going_on = ~lives.done
        np.testing.assert_array_equal(env.visits()[going_on], lives.visits()[going_on])
        env.step(np.zeros(20, int))
        lives.step(np.zeros(20, int))


@pytest.fixture(scope="module")
def logged(shop, policy, tmp_path_factory):
    log = rollout(policy, shop, customers=12, seed=SEED)
    path = tmp_path_factory.mktemp("log") / "sessions.parquet"
    with SessionWriter(path, shop) as writer:
        writer.write(log)
    lines = read_lines(open_log(path), policy.name)
    return lines, relive(shop, lines, SEED, np.ones(12, bool))


def test_a_replay_asks_it_again_with_what_it_remembered(shop, policy, logged):
    lines, relived = logged
    assert decides_alike(policy, lines, remembered(policy, lines, relived), SEED) == len(lines)
    blank = dataclasses.replace(relived, memory=np.zeros((len(lines), policy.memory_size)))
    assert decides_alike(policy, lines, blank, SEED) < len(lines)


def test_a_branch_that_takes_the_logged_action_is_the_rest_of_the_log_memory_included(shop, policy, logged):
    lines, relived = logged
    relived = remembered(policy, lines, relived)
    every = np.arange(len(relived.kept))
    again = branches.branch(shop, policy, relived, every, lines.at["action"][relived.kept], SEED)
    np.testing.assert_allclose(again.value, branches.money_left(lines)[again.line], atol=1e-9)


def test_its_decisions_are_explained_with_its_memory(shop, policy, logged):
    lines, relived = logged
    relived = remembered(policy, lines, relived)
    drivers = explain(Reminded(policy, relived), relived, lines.at["requested"], shop.layout, 4)
    assert drivers.weight.shape == (len(lines), 4) and np.isfinite(drivers.weight).all()

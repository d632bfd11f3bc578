"""Learning that begins with an earlier run's log, and never with the customers it is judged by."""

from __future__ import annotations

import types

import numpy as np
import pytest

from agents import LinUCB, Random
from agents.errors import AgentConfigError
from sim.config import ConfigError
from sim.envs import spaces
from sim.envs.vector import ProductPushVectorEnv
from sim.evaluation.interactions import collect
from sim.off_policy.own_log import find_run
from sim.warm_start import begin_with_log
from tests.sim.replay_material import CUSTOMERS, SEED, make_run, untrained_ppo
from tests.sim.test_command import command

APART = {"evaluate.seed": SEED + 1, "tune.seed": 20000}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("warm start") / "run")


def runtime_of(shop):
    spaces_of = {"observation_space": spaces.observation_space(shop), "action_space": spaces.action_space(shop)}
    return spaces_of | {"layout": shop.layout, "seed": 0}


def linucb(shop) -> LinUCB:
    return LinUCB(**runtime_of(shop), num_envs=64, total_steps=640)


def settings(log, **more):
    return types.SimpleNamespace(**{"log": None if log is None else str(log), "behaviour": "random", "customers": None} | more)


def scores(agent, shop) -> np.ndarray:
    agent.learn(ProductPushVectorEnv(64, shop))
    observation = collect(agent, shop, customers=5, seed=SEED).observation
    return np.asarray(agent._greedy_scores(observation))


def test_it_is_what_the_agent_makes_of_the_same_lives_lived_anew(made):
    shop = made["shop"]
    warm, told, cold = linucb(shop), linucb(shop), linucb(shop)
    begun = begin_with_log(warm, shop, settings(made["folder"]), kept_apart=APART, trusted=[])
    random = next(log for log in made["logs"] if log.policy == "random")
    assert (begun.rows, begun.customers, begun.same_shop) == (len(random.events), CUSTOMERS, True)
    assert f"{CUSTOMERS} customers that random met" in begun.told()
    told.warm_start(collect(Random(**runtime_of(shop)), shop, customers=CUSTOMERS, seed=SEED))
    np.testing.assert_array_equal(scores(warm, shop), scores(told, shop))
    assert not np.array_equal(scores(warm, shop), scores(cold, shop))


def test_so_many_customers_are_taken_as_were_asked_for(made):
    begun = begin_with_log(linucb(made["shop"]), made["shop"], settings(made["folder"], customers=7), kept_apart=APART, trusted=[])
    random = next(log for log in made["logs"] if log.policy == "random")
    assert begun.customers == 7 and begun.rows == int((random.events["customer"] < 7).sum())


@pytest.mark.parametrize("name", ["evaluate.seed", "tune.seed"])
def test_the_customers_of_the_evaluation_and_of_tuning_are_refused(made, name):
    with pytest.raises(ConfigError, match=rf"customers are those of {name}={SEED}, which nothing may be learned from.*{name}={SEED + 1}"):
        begin_with_log(linucb(made["shop"]), made["shop"], settings(made["folder"]), kept_apart=APART | {name: SEED}, trusted=[])


def test_no_log_no_warm_start_and_an_agent_that_cannot_says_so(made):
    shop = made["shop"]
    assert begin_with_log(untrained_ppo(shop), shop, settings(None), kept_apart=APART, trusted=[]) is None
    with pytest.raises(AgentConfigError, match="agent ppo cannot start from a log"):
        begin_with_log(untrained_ppo(shop), shop, settings(made["folder"]), kept_apart=APART, trusted=[])


def test_a_run_that_is_not_there_is_named(made, tmp_path):
    with pytest.raises(ConfigError, match="warm_start.log=.*nowhere names no run with a log to learn from .*no such folder"):
        begin_with_log(linucb(made["shop"]), made["shop"], settings(tmp_path / "nowhere"), kept_apart=APART, trusted=[])
    assert find_run(str(made["folder"])).seed == SEED


def test_the_command_refuses_latest_which_would_change_on_resume(tmp_path):
    done = command("agent=linucb", "warm_start.log=latest", cwd=tmp_path)
    assert done.returncode == 2 and "name its folder or its MLflow id" in done.stderr and list(tmp_path.iterdir()) == []

"""Every file of conf/agent makes the agent it names, and lists all of its settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from toy_env import HintEnv

import agents

FILES = sorted((Path(agents.__path__[0]).parent / "conf" / "agent").glob("*.yaml"))


SCORES = ("clickbait", "views", "view_share", "last_view")     # parts with one number per label that a scenario may show


def made(path):
    env = HintEnv()
    env.observation_layout |= dict.fromkeys(SCORES, env.observation_layout["hint"])
    return instantiate(OmegaConf.load(path))(
        observation_space=env.single_observation_space, action_space=env.single_action_space,
        layout=env.observation_layout, seed=3)


def test_there_is_a_file_for_each_agent():
    assert {path.stem for path in FILES} >= {"random", "hold_back", "popularity", "capped_popularity", "linucb",
                                             "charged_linucb", "ppo", "epsilon_greedy", "ucb1", "lints",
                                             "logistic_ts", "neural_linear", "maskable_ppo", "recurrent_ppo", "dqn", "a2c"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config_builds_the_agent_of_its_name_with_its_values(path):
    config, agent = OmegaConf.to_container(OmegaConf.load(path)), made(path)
    assert agent.name == path.stem == config["name"] and agent.seed == 3
    settings = {key: value for key, value in config.items() if not key.startswith("_")}
    assert {key: agent.settings()[key] for key in settings} == settings


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_agent_built_from_config_learns_and_comes_back_from_disk_with_its_settings(path, tmp_path):
    agent, env = made(path), HintEnv(num_envs=128)             # 128 * 32 steps are one minibatch of ppo
    agent.tuning_steps = 64                                     # of charged_linucb: seven short trainings
    agent.learn(env, steps=64, evaluate=lambda candidate: 0.0)
    agent.save(tmp_path)
    assert agents.load_agent(tmp_path).settings() == agent.settings()


def test_the_update_of_the_default_ppo_divides_into_whole_minibatches():
    agent = made(next(path for path in FILES if path.stem == "ppo"))
    assert agent.num_envs * agent.n_steps % agent.batch_size == 0

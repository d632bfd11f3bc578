"""What every agent promises, whichever it is."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from toy_env import HintEnv, build, views

import agents
from agents.a2c import A2CAgent
from agents.base import Agent, one_hot
from agents.baselines import CappedPopularity, HoldBack, Popularity, Random
from agents.dqn import DQNAgent
from agents.epsilon_greedy import EpsilonGreedy
from agents.errors import AgentConfigError, AgentFileError, DivergedError, NotTrainedError, ShapeMismatchError
from agents.fitted_q import FittedQ
from agents.linear_bandits import ChargedLinUCB, LinUCB
from agents.logistic import LogisticTS
from agents.maskable_ppo import MaskablePPOAgent
from agents.neural_bandits import NeuralLinear
from agents.organic import Factorisation, OrganicCount, OrganicPopularity
from agents.ppo import PPOAgent
from agents.ppo_belief import PPOBelief
from agents.ranked import Ranked
from agents.recurrent_ppo import RecurrentPPOAgent
from agents.thompson import LinTS
from agents.ucb import UCB1

SETTINGS = {
    Random: {}, HoldBack: {}, Popularity: {}, CappedPopularity: {"caps": (1.0, None)}, LinUCB: {},
    ChargedLinUCB: {"charges": (0.0, 0.1), "tuning_steps": 64}, EpsilonGreedy: {}, UCB1: {}, LinTS: {}, LogisticTS: {},
    NeuralLinear: {"net_arch": (8,), "train_every": 4, "train_updates": 5, "batch_size": 32, "memory": 100},
    PPOAgent: {"n_steps": 8, "batch_size": 64, "n_epochs": 2, "net_arch": (8,), "torch_threads": 1},
    PPOBelief: {"n_steps": 8, "batch_size": 64, "n_epochs": 2, "net_arch": (8,), "warm_up_steps": 8},
    MaskablePPOAgent: {"n_steps": 8, "batch_size": 64, "n_epochs": 2, "net_arch": (8,)},
    RecurrentPPOAgent: {"n_steps": 8, "batch_size": 64, "n_epochs": 2, "net_arch": (8,), "lstm_units": 6},
    A2CAgent: {"n_steps": 8, "net_arch": (8,)},
    DQNAgent: {"net_arch": (8,), "learning_starts": 32, "batch_size": 32, "buffer_size": 128, "target_update_interval": 64},
    Ranked: {"part": "hint"}, OrganicPopularity: {"views": "hint"}, OrganicCount: {"last_view": "hint"},
    Factorisation: {"parts": ("hint",), "n_epochs": 2, "batch_size": 64},
    FittedQ: {"net_arch": (8,), "iterations": 2, "updates": 5, "batch_size": 32},
}
BANDITS = [LinUCB, EpsilonGreedy, UCB1, LinTS, LogisticTS, NeuralLinear]
LIBRARY = [MaskablePPOAgent, RecurrentPPOAgent, A2CAgent, DQNAgent]
LEARNERS = [Popularity, CappedPopularity, *BANDITS, ChargedLinUCB, PPOAgent, PPOBelief, *LIBRARY, OrganicPopularity,
            OrganicCount, Factorisation, FittedQ]


def trained(agent_class, seed=0, **more):
    env = HintEnv(num_envs=16)
    agent = build(agent_class, env, seed, **SETTINGS[agent_class], **more)
    agent.learn(env, steps=256, evaluate=lambda candidate: 1.0)
    return agent


@pytest.fixture(scope="module", params=[*((cls, False) for cls in SETTINGS), *((cls, True) for cls in BANDITS)],
                ids=lambda param: param[0].name + "-exploring" * param[1])
def agent(request):
    agent_class, exploring = request.param
    return trained(agent_class, **({"explore_at_evaluation": True} if exploring else {}))


def test_probabilities_sum_to_1_and_are_0_where_masked(agent):
    observation, mask, _ = views(HintEnv(), 500)
    probabilities = agent.action_probabilities(observation, mask)
    assert probabilities.shape == (500, 5) and probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-14)
    assert (probabilities[~mask] == 0).all() and (probabilities >= 0).all()


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2.0**-53])
def test_no_uniform_however_extreme_gives_a_masked_action(agent, uniform):
    observation, mask, _ = views(HintEnv(), 2000)
    decision = agent.act(observation, mask, np.full(2000, uniform))
    assert mask[np.arange(2000), decision.action].all()
    assert (decision.propensity > 0).all() and decision.action.dtype == np.int64


def test_propensity_is_the_probability_of_the_chosen_action(agent):
    observation, mask, uniform = views(HintEnv(), 300)
    decision = agent.act(observation, mask, uniform)
    np.testing.assert_array_equal(decision.propensity, decision.probabilities[np.arange(300), decision.action])
    np.testing.assert_array_equal(decision.probabilities, agent.action_probabilities(observation, mask))


def test_a_row_has_the_same_bits_in_batches_of_1_7_and_300(agent):
    observation, mask, uniform = views(HintEnv(), 300)
    whole = agent.act(observation, mask, uniform)
    for size in (1, 7):
        for start in range(0, 300, 60):
            rows = slice(start, start + size)
            part = agent.act(observation[rows], mask[rows], uniform[rows])
            for a, b in zip(part, whole, strict=True):
                np.testing.assert_array_equal(a, b[rows])
    order = np.random.default_rng(0).permutation(300)
    np.testing.assert_array_equal(agent.act(observation[order], mask[order], uniform[order]).probabilities,
                                  whole.probabilities[order])


def test_with_only_holding_back_allowed_every_agent_holds_back_with_propensity_1(agent):
    observation, mask, uniform = views(HintEnv(), 50)
    mask[:, 1:] = False
    decision = agent.act(observation, mask, uniform)
    assert (decision.action == 0).all() and (decision.propensity == 1).all()


def test_saved_and_loaded_agents_give_equal_probabilities_to_the_bit(agent, tmp_path):
    agent.save(tmp_path / "policy")
    observation, mask, _ = views(HintEnv(), 200)
    expected = agent.action_probabilities(observation, mask)
    rebuilt = agents.load_agent(tmp_path / "policy")
    exploring = {key: value for key, value in agent.settings().items() if key == "explore_at_evaluation"}
    fresh = build(type(agent), HintEnv(), **SETTINGS[type(agent)], **exploring).load(tmp_path / "policy")
    for other in (rebuilt, fresh):
        np.testing.assert_array_equal(other.action_probabilities(observation, mask), expected)
        assert other.learning_curve == agent.learning_curve and other.name == agent.name
    assert rebuilt.settings() == agent.settings() and rebuilt.seed == agent.seed


def test_saving_again_leaves_two_files_and_the_same_bytes(agent, tmp_path):
    agent.save(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    agents.load_agent(tmp_path).save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    assert len(first) == 2


def test_a_saved_agent_refuses_another_size_and_names_both(agent, tmp_path):
    agent.save(tmp_path)
    with pytest.raises(ShapeMismatchError, match="12 observation numbers, this environment has 13"):
        build(type(agent), HintEnv(size=13), **SETTINGS[type(agent)]).load(tmp_path)
    with pytest.raises(ShapeMismatchError, match="5 actions, this environment has 4"):
        build(type(agent), HintEnv(labels=3), **SETTINGS[type(agent)]).load(tmp_path)


def test_wrong_shapes_are_refused_with_both_sizes_in_the_sentence(agent):
    observation, mask, uniform = views(HintEnv(), 9)
    for arguments, words in [((observation[:, :-1], mask, uniform), r"\(N, 12\), got \(9, 11\)"),
                             ((observation, mask[:5], uniform), r"\(9, 5\) bool, got \(5, 5\)"),
                             ((observation, mask.astype(int), uniform), "got .* int64"),
                             ((observation, mask, uniform[:4]), r"9 uniforms, got shape \(4,\)"),
                             ((observation, mask, uniform + 1), r"in \[0, 1\)")]:
        with pytest.raises(ShapeMismatchError, match=words):
            agent.act(*arguments)


def test_a_masked_hold_back_or_a_nan_observation_is_refused_with_its_row(agent):
    observation, mask, uniform = views(HintEnv(), 9)
    closed, bad = mask.copy(), observation.copy()
    closed[3, 0], bad[4, 2] = False, np.nan
    with pytest.raises(ShapeMismatchError, match="row 3"):
        agent.act(observation, closed, uniform)
    with pytest.raises(DivergedError, match="row 4"):
        agent.act(bad, mask, uniform)


@pytest.mark.parametrize("agent_class", LEARNERS, ids=lambda cls: cls.name)
def test_acting_before_learning_is_refused(agent_class):
    observation, mask, uniform = views(HintEnv(), 3)
    with pytest.raises(NotTrainedError, match=agent_class.name):
        build(agent_class, HintEnv(), **SETTINGS[agent_class]).act(observation, mask, uniform)


@pytest.mark.parametrize("agent_class", LEARNERS, ids=lambda cls: cls.name)
def test_two_trainings_with_one_seed_end_with_the_same_bits_and_another_seed_does_not(agent_class):
    first, second, other = trained(agent_class), trained(agent_class), trained(agent_class, seed=1)
    differs = False
    for key, array in first._state()[0].items():
        np.testing.assert_array_equal(array, second._state()[0][key])
        differs |= not np.array_equal(array, other._state()[0][key])
    assert differs


@pytest.mark.parametrize("agent_class", LEARNERS, ids=lambda cls: cls.name)
def test_training_does_not_touch_the_global_generators(agent_class):
    np.random.seed(3)
    expected = np.random.random(4)
    np.random.seed(3)
    trained(agent_class)
    np.testing.assert_array_equal(np.random.random(4), expected)


@pytest.mark.parametrize("agent_class", LEARNERS, ids=lambda cls: cls.name)
def test_the_last_report_stands_at_the_budget(agent_class):
    seen = []
    env = HintEnv(num_envs=16)
    agent = build(agent_class, env, **SETTINGS[agent_class])
    agent.learn(env, steps=256, evaluate=lambda candidate: 0.0, report=lambda step, metrics: seen.append((step, metrics)))
    assert seen[-1][0] == agent.budget(256) and seen == agent.learning_curve
    assert [step for step, _ in seen] == sorted(step for step, _ in seen)
    assert all(np.isfinite(value) and "/" in key for _, metrics in seen for key, value in metrics.items())


@pytest.mark.parametrize("agent_class", LEARNERS, ids=lambda cls: cls.name)
def test_masked_actions_are_never_sent_while_learning(agent_class):
    env = HintEnv(num_envs=16, mask_rate=0.7)       # raises when it gets one
    agent = build(agent_class, env, **SETTINGS[agent_class])
    agent.learn(env, steps=1024, evaluate=lambda candidate: 0.0)
    assert agent.learning_curve


@pytest.mark.parametrize("agent_class", LEARNERS, ids=lambda cls: cls.name)
def test_a_reward_that_is_not_finite_stops_training(agent_class):
    class Broken(HintEnv):
        def step(self, actions):
            observation, reward, *rest = super().step(actions)
            reward[5] = np.nan
            return observation, reward, *rest

    with pytest.raises(DivergedError, match="lane 5"):
        env = Broken(num_envs=16)
        build(agent_class, env, **SETTINGS[agent_class]).learn(env, steps=256, evaluate=lambda candidate: 0.0)


@pytest.mark.parametrize("agent_class", LEARNERS, ids=lambda cls: cls.name)
def test_an_environment_with_next_step_autoreset_or_other_sizes_is_refused(agent_class):
    agent, env = build(agent_class, HintEnv(), **SETTINGS[agent_class]), HintEnv()
    env.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    with pytest.raises(AgentConfigError, match="same-step"):
        agent.learn(env, steps=64, evaluate=lambda candidate: 0.0)
    with pytest.raises(ShapeMismatchError, match=r"\(12,\), the environment gives \(13,\)"):
        agent.learn(HintEnv(size=13), steps=64, evaluate=lambda candidate: 0.0)


def test_another_layout_of_the_same_size_is_refused_with_the_part_that_moved(tmp_path):
    trained(HoldBack).save(tmp_path)
    agent = HoldBack(observation_space=HintEnv().single_observation_space, action_space=spaces.Discrete(5), seed=0,
                     layout={"noise": (0, 7), "hint": (8, 12), "recent_pushes": (7, 8)})
    with pytest.raises(ShapeMismatchError, match=r"'hint' at \(7, 11\), this environment has it at \(8, 12\)"):
        agent.load(tmp_path)


def at_home(env, *labels):
    agent = build(LinUCB, HintEnv())
    agent.home = {"env": env, "labels": list(labels)}
    return agent


def test_a_policy_of_another_catalog_of_the_same_size_is_refused_with_the_label_that_differs(tmp_path):
    saved = trained(LinUCB)
    saved.home = {"env": "shop", "labels": ["tea", "book", "pen", "cup"]}
    saved.save(tmp_path)
    with pytest.raises(ShapeMismatchError, match="action 3 pushes 'pen', here it would push 'candle'"):
        at_home("shop", "tea", "book", "candle", "cup").load(tmp_path)
    assert agents.load_agent(tmp_path).home == saved.home


def test_a_policy_of_another_environment_acts_with_a_warning_that_says_so(tmp_path, caplog):
    saved = trained(LinUCB)
    saved.home = {"env": "drift", "labels": ["tea", "book", "pen", "cup"]}
    saved.save(tmp_path)
    at_home("drift", "tea", "book", "pen", "cup").load(tmp_path)
    assert not caplog.records
    at_home("shop", "tea", "book", "pen", "cup").load(tmp_path)
    assert "was trained in env=drift and is now in env=shop" in caplog.text
    build(LinUCB, HintEnv()).load(tmp_path)             # whoever does not say where it is, is not warned
    assert len(caplog.records) == 1


@pytest.mark.parametrize("damage, words", [
    (lambda folder: (folder / "agent.json").unlink(), "agent.json is missing"),
    (lambda folder: (folder / "agent.json").write_text("{"), "cannot be read as JSON"),
    (lambda folder: (folder / "agent.json").write_text("[]"), "is not a saved agent"),
    (lambda folder: next(folder.glob("*.safetensors")).write_bytes(b"PK"), "SHA-256 differs"),
    (lambda folder: next(folder.glob("*.safetensors")).unlink(), "cannot be read"),
    (lambda folder: edit(folder, format=3), "format 3, this version reads formats 1 and 2"),
    (lambda folder: edit(folder, agent="Path"), "class 'Path'"),
    (lambda folder: edit(folder, settings={"colour": 1}), "settings .* do not fit"),
])
def test_a_damaged_save_is_refused_with_its_reason(tmp_path, damage, words):
    trained(LinUCB).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(AgentFileError, match=words):
        agents.load_agent(tmp_path)


def test_an_agent_saved_in_format_1_is_still_read(tmp_path):
    agent = trained(LinUCB)
    agent.save(tmp_path)
    arrays = agents.storage.read_agent(tmp_path)[1]
    np.savez(tmp_path / "arrays-old.npz", **arrays)
    digest = hashlib.sha256((tmp_path / "arrays-old.npz").read_bytes()).hexdigest()
    edit(tmp_path, format=1, arrays="arrays-old.npz", sha256=digest)
    assert np.array_equal(agents.load_agent(tmp_path).weights_, agent.weights_)


def edit(folder, **changes):
    path = folder / "agent.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_agent_of_another_class_is_refused(tmp_path):
    trained(Random).save(tmp_path)
    with pytest.raises(AgentFileError, match="holds a Random, not a HoldBack"):
        trained(HoldBack).load(tmp_path)


def test_a_save_that_fails_half_way_leaves_the_former_agent_whole(tmp_path, monkeypatch):
    trained(LinUCB).save(tmp_path)
    before = agents.load_agent(tmp_path).weights_
    import os
    real = os.replace

    def full_disk(source, target):
        if str(target).endswith("agent.json"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(AgentFileError, match="No space left"):
        trained(LinUCB, seed=1).save(tmp_path)
    np.testing.assert_array_equal(agents.load_agent(tmp_path).weights_, before)
    assert not list(tmp_path.glob("*.tmp"))


def test_an_agent_written_outside_the_package_needs_two_methods_and_round_trips(tmp_path):
    class Second(Agent):
        name = "second"

        def __init__(self, *, label: int = 2, **runtime):
            super().__init__(**runtime)
            self.label = label

        def learn(self, env, *, steps=None, evaluate=None, report=None):
            pass

        def _probabilities(self, observation, action_mask):
            return one_hot(np.where(action_mask[:, self.label], self.label, 0), self.num_actions)

    build(Second, HintEnv(), label=3).save(tmp_path)
    with pytest.raises(AgentFileError, match="pass its class"):
        agents.load_agent(tmp_path)
    assert agents.load_agent(tmp_path, Second).label == 3


@pytest.mark.parametrize("spaces_, words", [
    ((spaces.Box(-1, 1, (3, 2)), spaces.Discrete(3)), r"Box of shape \(D,\)"),
    ((spaces.Box(-1, 1, (3,)), spaces.Discrete(3, start=1)), "Discrete"),
])
def test_spaces_that_are_no_push_problem_are_refused(spaces_, words):
    with pytest.raises(AgentConfigError, match=words):
        Random(observation_space=spaces_[0], action_space=spaces_[1], layout={}, seed=0)


def test_inverse_cdf_draws_each_action_as_often_as_its_probability():
    """40,000 uniforms on a grid: the count of each action is its probability to 1 in 40,000."""
    observation, mask, _ = views(HintEnv(), 1)
    agent = trained(PPOAgent)
    n = 40_000
    decision = agent.act(observation.repeat(n, 0), mask.repeat(n, 0), (np.arange(n) + 0.5) / n)
    np.testing.assert_allclose(np.bincount(decision.action, minlength=5) / n, decision.probabilities[0], atol=1.01 / n)


@pytest.mark.parametrize("agent_class", [PPOAgent, *LIBRARY], ids=lambda cls: cls.name)
def test_importing_agents_and_loading_a_trained_network_needs_no_torch(agent_class, tmp_path):
    trained(agent_class).save(tmp_path)
    code = ("import sys, agents, numpy as np; a = agents.load_agent(sys.argv[1]); "
            "p = a.action_probabilities(np.zeros((1, 12)), np.ones((1, 5), bool)); assert abs(p.sum() - 1) < 1e-9; "
            "assert not {'torch', 'stable_baselines3', 'tensorflow'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=agents.__path__[0] + "/..")

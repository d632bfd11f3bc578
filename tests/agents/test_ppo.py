"""The PPO agent as a whole: it learns, it is reproducible, and what it saves is what it learned."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from toy_env import HintEnv, build, hint_value, views

import agents
from agents.errors import AgentConfigError, DivergedError
from agents.ppo import PPOAgent

QUICK = {"n_steps": 16, "batch_size": 256, "n_epochs": 6, "net_arch": (32, 32), "learning_rate": 3e-3, "gamma": 0.5,
         "reward_scale": 1.0, "torch_threads": 1}


@pytest.fixture(scope="module")
def learned():
    env = HintEnv(num_envs=64, mask_rate=0.2)
    agent = build(PPOAgent, env, **QUICK)
    agent.learn(env, steps=40_960)
    return agent


def test_ppo_earns_95_percent_of_the_optimum_where_the_best_label_is_in_plain_sight(learned):
    assert hint_value(learned, labels_masked=0.2) > 0.95


def test_argmax_acts_with_propensity_1_and_earns_at_least_as_much(learned, tmp_path):
    learned.save(tmp_path)
    greedy = build(PPOAgent, HintEnv(), **QUICK, deterministic=True).load(tmp_path)
    observation, mask, uniform = views(HintEnv(), 100)
    assert (greedy.act(observation, mask, uniform).propensity == 1).all()
    assert hint_value(greedy, labels_masked=0.2) >= hint_value(learned, labels_masked=0.2)


def test_the_learning_curve_has_an_entry_per_update_with_the_metrics_of_training(learned):
    assert [step for step, _ in learned.learning_curve] == list(range(1024, 40_961, 1024))
    first, last = learned.learning_curve[0][1], learned.learning_curve[-1][1]
    for key in ("train/loss", "train/entropy", "train/approx_kl", "train/explained_variance", "train/learning_rate",
                "train/clip_fraction", "rollout/value_per_step", "rollout/value_per_customer", "rollout/fps"):
        assert np.isfinite(last[key]), key
    assert first["train/entropy"] > 1.0 > last["train/entropy"] > 0
    assert last["rollout/value_per_step"] > 0.9 > first["rollout/value_per_step"]
    assert first["train/learning_rate"] > 0.9 * 3e-3 and last["train/learning_rate"] < 0.1 * 3e-3


def test_the_saved_actor_equals_the_trained_network_to_a_millionth(monkeypatch):
    from agents.actor_critic import ActorCritic
    from agents.ppo_update import masked_log_softmax

    models = []
    monkeypatch.setattr(ActorCritic, "actor", lambda self, _actor=ActorCritic.actor: (models.append(self), _actor(self))[1])
    env = HintEnv(num_envs=64, mask_rate=0.2)
    agent = build(PPOAgent, env, **QUICK)
    agent.learn(env, steps=4096)
    observation, mask, _ = views(env, 300)
    model = models[-1]
    logits = model.logits(torch.from_numpy(observation), model.space(300))
    expected = masked_log_softmax(logits, torch.from_numpy(mask)).exp().numpy()
    np.testing.assert_allclose(agent.action_probabilities(observation, mask), expected, atol=1e-6)


def test_the_learned_weights_do_not_depend_on_the_number_of_threads():
    env, actors = HintEnv(num_envs=256), []
    for threads in (1, 2):
        agent = build(PPOAgent, env, **{**QUICK, "batch_size": 4096, "torch_threads": threads})
        agent.learn(env, steps=4096)
        actors.append(agent.actor_)
    for a, b in zip(actors[0].weights, actors[1].weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_are_rounded_up_to_whole_updates():
    env = HintEnv(num_envs=64)
    agent = build(PPOAgent, env, **QUICK)
    agent.learn(env, steps=1025)
    assert agent.learning_curve[-1][0] == 2048 == agent.budget(2048)


def test_torchs_threads_and_generator_are_left_alone():
    env = HintEnv(num_envs=64)
    threads = torch.get_num_threads()
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    build(PPOAgent, env, **{**QUICK, "torch_threads": threads + 1}).learn(env, steps=1024)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    assert torch.get_num_threads() == threads


def test_a_loss_that_is_not_finite_stops_with_the_setting_to_lower_and_keeps_the_former_policy():
    env = HintEnv(num_envs=64)
    agent = build(PPOAgent, env, **QUICK)
    agent.learn(env, steps=1024)
    actor, agent.learning_rate = agent.actor_, 1e36
    with pytest.raises(DivergedError, match="learning_rate") as caught:
        agent.learn(env, steps=20_480)
    assert caught.value.exit_code == 1 and agent.actor_ is actor


@pytest.mark.parametrize("settings, words", [
    ({"gamma": 1.5}, r"gamma must lie in \[0, 1\]"), ({"n_steps": 0}, "n_steps"), ({"batch_size": 1}, "batch_size"),
    ({"torch_threads": 0}, "torch_threads"), ({"net_arch": (0,)}, "net_arch"), ({"learning_rate": -1}, "learning_rate")])
def test_impossible_settings_are_refused_by_name(settings, words):
    with pytest.raises(AgentConfigError, match=words) as caught:
        build(PPOAgent, HintEnv(), **settings)
    assert caught.value.exit_code == 2


def test_a_batch_that_does_not_divide_the_update_is_refused_with_the_numbers():
    env = HintEnv(num_envs=64)
    with pytest.raises(AgentConfigError, match=r"batch_size 300 must divide num_envs \* n_steps = 64 \* 16 = 1024"):
        build(PPOAgent, env, **{**QUICK, "batch_size": 300}).learn(env, steps=1024)


def test_training_ppo_imports_neither_sb3_nor_tensorflow():
    code = ("import sys, agents.ppo, agents.ppo_update, agents.rollout_buffer; "
            "assert not {'stable_baselines3', 'tensorflow', 'torch.utils.tensorboard'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=agents.__path__[0] + "/..")


def test_sb3_is_imported_without_tensorflow():
    """It would come through torch's TensorBoard; see agents/sb3.py."""
    code = ("import sys, agents.masked_policy, agents.sb3_vec_env; "
            "assert 'stable_baselines3' in sys.modules and 'tensorflow' not in sys.modules; "
            "assert 'torch.utils.tensorboard' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=agents.__path__[0] + "/..")

"""Training in the shop that is cut short goes on to the same bits; numbers that run away stop it and are never saved."""

from __future__ import annotations

import errno
import os
import signal
from typing import Any

import numpy as np
import pytest

from agents.a2c import A2CAgent
from agents.baselines import Random
from agents.dqn import DQNAgent
from agents.epsilon_greedy import EpsilonGreedy
from agents.fitted_q import FittedQ
from agents.linear_bandits import ChargedLinUCB, LinUCB
from agents.logistic import LogisticTS
from agents.maskable_ppo import MaskablePPOAgent
from agents.neural_bandits import NeuralLinear
from agents.ppo import PPOAgent
from agents.ppo_belief import PPOBelief
from agents.recurrent_ppo import RecurrentPPOAgent
from agents.thompson import LinTS
from agents.ucb import UCB1
from sim import training
from sim.envs import spaces
from sim.envs.state import ForeignStateError, environment_state, restore_environment
from sim.envs.vector import ProductPushVectorEnv
from sim.progress import RunProgress
from sim.tracking.checkpoints import CheckpointError
from sim.training import TrainingDivergedError, train
from tests.sim.conftest import make_shop

pytestmark = pytest.mark.faults

SMALL: dict[str, Any] = {"num_envs": 32, "total_steps": 4096}
NETWORK = SMALL | {"net_arch": (8,), "n_steps": 16}
SETTINGS: dict[type, dict[str, Any]] = {
    PPOAgent: NETWORK | {"batch_size": 256, "n_epochs": 2}, LinUCB: SMALL | {"total_steps": 1024},
    PPOBelief: NETWORK | {"batch_size": 256, "n_epochs": 2, "warm_up_steps": 8},
    MaskablePPOAgent: NETWORK | {"batch_size": 256, "n_epochs": 2}, A2CAgent: NETWORK,
    RecurrentPPOAgent: NETWORK | {"batch_size": 256, "n_epochs": 2, "lstm_units": 6},
    DQNAgent: SMALL | {"net_arch": (8,), "learning_starts": 256, "batch_size": 64, "buffer_size": 2048, "target_update_interval": 512},
    FittedQ: SMALL | {"net_arch": (8,), "iterations": 4, "updates": 10, "batch_size": 64},
    ChargedLinUCB: SMALL | {"charges": (0.0, 0.3), "tuning_steps": 1024}, EpsilonGreedy: SMALL, UCB1: SMALL, LinTS: SMALL,
    LogisticTS: SMALL, NeuralLinear: SMALL | {"net_arch": (8,), "train_every": 16, "train_updates": 10, "batch_size": 64, "memory": 3000},
}  # fmt: skip
QUICK = [PPOAgent, LinUCB]
SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in SETTINGS if kind not in QUICK]
WALL_CLOCK = {"rollout/fps"}


@pytest.fixture(autouse=True)
def _short_curve(monkeypatch):
    monkeypatch.setattr(training, "CURVE_CUSTOMERS", 20)


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, nothing is written after it."""


def agent_of(kind: type, shop: Any) -> Any:
    return kind(
        observation_space=spaces.observation_space(shop), action_space=spaces.label_space(shop), layout=shop.layout, seed=4,
        **SETTINGS[kind],
    )  # fmt: skip


def learn(kind: type, shop: Any, folder: Any = None, kill_at: int | None = None, resume: bool = False, curve: bool = False) -> Any:
    """(agent, curve, what was reported); killed when it has reported `kill_at` times."""
    reported: dict[tuple[int, str], float] = {}
    calls = 0

    def report(step: int, metrics: dict[str, float]) -> None:
        nonlocal calls
        calls += 1
        if calls == kill_at:
            raise Killed
        reported.update({(step, name): value for name, value in metrics.items() if name not in WALL_CLOCK})

    agent = agent_of(kind, shop)
    progress = None if folder is None else RunProgress(folder, "run", 0, 3, resume)
    if progress is not None:
        progress.is_due = lambda: True  # at every update, whatever it costs
    done = train(agent, shop, steps=None, tune=(20, 9), report=report, with_curve=curve, progress=progress)
    return agent, done.curve, reported


def same(a: Any, b: Any) -> bool:
    (one, curve, reported), (other, other_curve, other_reported) = a, b
    x, y = one._state()[0], other._state()[0]
    bits = x.keys() == y.keys() and all(x[name].tobytes() == y[name].tobytes() for name in x)
    return bits and curve == other_curve and repr(reported) == repr(other_reported)


@pytest.mark.parametrize("kind", [*QUICK, *SLOW], ids=lambda kind: kind.name)
def test_a_killed_training_in_the_shop_goes_on_to_the_same_weights_curve_and_metrics(shop, tmp_path, told, kind):
    whole = learn(kind, shop, curve=True)
    reports = len({step for step, _ in whole[2]})
    kill_at = max(reports // 2, 1)
    with pytest.raises(Killed):
        learn(kind, shop, tmp_path, kill_at=kill_at, curve=True)
    assert any((tmp_path / "checkpoints").glob("0*"))
    assert same(learn(kind, shop, tmp_path, resume=True, curve=True), whole)
    told(f"{kind.name} killed at report {kill_at} of {reports}", f"the same weights, curve and {len(whole[2])} metric values")


def test_without_a_whole_checkpoint_the_training_begins_again_to_the_same_bits(shop, tmp_path, told, capsys):
    whole = learn(LinUCB, shop)
    with pytest.raises(Killed):
        learn(LinUCB, shop, tmp_path, kill_at=1)
    left = sorted((tmp_path / "checkpoints").glob("0*"))
    for path in left:
        (path / "agent.safetensors").write_bytes(b"spoiled")
    assert same(learn(LinUCB, shop, tmp_path, resume=True), whole)
    assert capsys.readouterr().err.count("is passed over: agent.safetensors is damaged") == len(left) >= 1
    told(f"all {len(left)} checkpoints spoiled", "each named, training from the start, the same bits")


def test_a_reward_that_is_nan_stops_the_training_with_agent_seed_env_lane_and_step(shop, tmp_path, told, monkeypatch):
    steps, real = 0, ProductPushVectorEnv.step

    def spoiled(self, actions):
        nonlocal steps
        steps += 1
        observation, reward, *rest = real(self, actions)
        if steps == 70:  # after four updates of 16 steps
            reward[5] = np.nan
        return observation, reward, *rest

    with monkeypatch.context() as patch, pytest.raises(TrainingDivergedError) as error:
        patch.setattr(ProductPushVectorEnv, "step", spoiled)
        learn(PPOAgent, shop, tmp_path)
    text = str(error.value)
    assert steps == 70  # within the step
    for words in ("not finite in lane 5", "agent ppo", "seed 4", "env shop", "after step 2,048 of 4,096", "the last good checkpoint is"):
        assert words in text, text
    assert "000004" in text and error.value.exit_code == 1
    assert same(learn(PPOAgent, shop, tmp_path, resume=True), learn(PPOAgent, shop))  # the good ones are good
    told("a reward of nan in lane 5 at step 70", f"stopped in that step: {text}")


def test_an_observation_that_is_nan_stops_the_training_before_it_is_saved(shop, tmp_path, told, monkeypatch):
    steps, real = 0, ProductPushVectorEnv.step

    def spoiled(self, actions):
        nonlocal steps
        steps += 1
        observation, *rest = real(self, actions)
        if steps == 70:
            observation[3, 0] = np.nan
        return observation, *rest

    monkeypatch.setattr(ProductPushVectorEnv, "step", spoiled)
    with pytest.raises(TrainingDivergedError, match="agent ppo, seed 4, in env shop"):
        learn(PPOAgent, shop, tmp_path)
    newest = RunProgress(tmp_path, "run", None, 3, resume=True).checkpoint
    assert newest is not None and newest.path.name == "000004"
    assert all(np.isfinite(a).all() for a in newest.groups["agent"].values() if a.dtype.kind == "f")
    told("an observation of nan", "stopped within its update, last good checkpoint finite")


def test_a_loss_that_explodes_stops_the_training_and_the_last_good_weights_stay(shop, tmp_path, told, monkeypatch):
    rates = {"n": 0}

    def exploding(self, share):
        rates["n"] += 1
        return 1e-3 if rates["n"] < 4 else 1e38

    monkeypatch.setattr(PPOAgent, "_learning_rate_at", exploding)
    with pytest.raises(TrainingDivergedError, match="the loss is no longer finite after 2,048 steps.*after step 1,536 of 4,096"):
        learn(PPOAgent, shop, tmp_path)
    newest = RunProgress(tmp_path, "run", None, 3, resume=True).checkpoint
    assert newest is not None and all(np.isfinite(a).all() for a in newest.groups["agent"].values() if a.dtype.kind == "f")
    told("a learning rate of 1e38 in update 4", f"stopped, {newest.path.name} finite")


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_waits_for_the_next_update_saves_and_ends(shop, tmp_path, told, number, raised, capsys):
    agent, handlers = agent_of(PPOAgent, shop), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    progress = RunProgress(tmp_path, "run", 1e9, 3, resume=False)  # none is due
    calls = 0

    def report(step: int, metrics: dict[str, float]) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.kill(os.getpid(), number)

    with pytest.raises(raised) as error:
        train(agent, shop, steps=None, tune=(20, 9), report=report, progress=progress)
    if raised is SystemExit:
        assert error.value.code == 143
    assert "stopping at the next update" in capsys.readouterr().err
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert RunProgress(tmp_path, "run", None, 3, resume=True).checkpoint.state["training"]["progress"]["step"] == 3 * 512
    resumed = learn(PPOAgent, shop, tmp_path, resume=True)
    assert resumed[0]._state()[0]["weight_0"].tobytes() == learn(PPOAgent, shop)[0]._state()[0]["weight_0"].tobytes()
    told(f"{signal.Signals(number).name} while update 3 was reported", "a checkpoint of update 3, then the end; the same weights later")


def test_of_the_policies_that_had_learned_those_that_can_be_loaded_are_and_the_others_learn_again(shop, tmp_path, told, capsys):
    class Forgetful(Random):
        """A user's agent that keeps what it learned where `save` does not look."""

        name = "forgetful"

        def learn(self, env, **how):
            learned.append(self.name)
            self.learned = True

    class Counted(UCB1):
        def learn(self, env, **how):
            learned.append(self.name)
            super().learn(env, **how)

    learned: list[str] = []
    SETTINGS[Forgetful], SETTINGS[Counted] = {"num_envs": 8}, SMALL | {"total_steps": 512}
    how = {"steps": None, "tune": (20, 9)}
    values = []
    for resume in (False, True, True):
        progress = RunProgress(tmp_path, "run", 0, 3, resume)
        for agent in (agent_of(Forgetful, shop), agent_of(Counted, shop)):
            training.learned(agent, shop, tmp_path / agent.name, progress, **how)
        assert agent_of(Forgetful, shop).saves_what_it_learned is False
        values.append(agent._means().tolist())
        if resume and len(values) == 2:
            (arrays,) = (tmp_path / "ucb1").glob("*.safetensors")
            arrays.write_bytes(b"spoiled")
    assert learned == ["forgetful", "ucb1", "forgetful", "forgetful", "ucb1"]
    assert values[0] == values[1] == values[2] and "is damaged" in capsys.readouterr().err
    told("a kill after two policies had learned; then a saved one spoiled", "loaded where that can be, else learned again")


def test_a_disk_full_for_a_while_costs_checkpoints_and_no_bit(shop, tmp_path, told, monkeypatch, capsys):
    real, calls = os.fsync, {"n": 0}

    def full(handle):
        calls["n"] += 1
        if 9 <= calls["n"] < 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        done = learn(LinUCB, shop, tmp_path)
    assert "No space left on device" in capsys.readouterr().err
    assert same(done, learn(LinUCB, shop))
    told("ENOSPC for a while during training", "training went on to the same bits, and wrote checkpoints again")


COMPILED_APART = [pytest.param(env, marks=pytest.mark.slow) for env in ("twin", "long_term_satisfaction", "organic")]


@pytest.mark.parametrize("env", ["shop", *COMPILED_APART])
def test_the_customers_of_every_scenario_go_on_mid_life_from_their_arrays(env, told):
    shop = make_shop([f"env={env}"])
    one, other = ProductPushVectorEnv(24, shop), ProductPushVectorEnv(24, shop)
    dice = np.random.default_rng(1)
    actions = dice.integers(0, shop.labels + 1, (40, 24))
    one.reset(seed=8)
    for action in actions[:20]:
        one.step(action)
    arrays, values = environment_state(one)
    restore_environment(other, {name: array.copy() for name, array in arrays.items()}, values)
    for action in actions[20:]:
        for a, b in zip(one.step(action)[:4], other.step(action)[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(one.action_masks(), other.action_masks())
        np.testing.assert_array_equal(one.visits(), other.visits())
    told(f"24 customers of env={env} taken out of memory after 20 steps", "20 more steps with the same bits")


def test_customers_of_another_shop_are_refused_by_the_part_that_differs(shop, told):
    one, other = ProductPushVectorEnv(24, shop), ProductPushVectorEnv(16, shop)
    one.reset(seed=8)
    with pytest.raises(ForeignStateError, match="the saved customers' '[a-z_]+' is laid out otherwise"):
        restore_environment(other, *environment_state(one))
    told("the state of 24 customers for an environment of 16", "refused, with the part that differs")


def test_a_checkpoint_that_does_not_fit_the_agent_is_one_sentence(shop, tmp_path, told, monkeypatch):
    with pytest.raises(Killed):
        learn(PPOAgent, shop, tmp_path, kill_at=4)
    monkeypatch.setitem(SETTINGS, PPOAgent, SETTINGS[PPOAgent] | {"net_arch": (16,)})
    with pytest.raises(CheckpointError, match="checkpoint .*0000.* does not fit agent ppo of this version"):
        learn(PPOAgent, shop, tmp_path, resume=True)
    told("weights of 8 units for an agent of 16", "refused in one sentence, nothing changed")

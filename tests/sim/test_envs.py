"""The Gymnasium adapters: both checkers pass, and a row of the vector environment is the single environment, bit for bit."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sim.envs.buffers import Buffers
from sim.envs.single import ProductPushEnv
from sim.envs.vector import ProductPushVectorEnv
from sim.shop.parameters import ShopError
from tests.sim.conftest import make_shop


def test_verification_v14_gymnasium_checker_passes_without_a_warning(shop, recwarn):
    check_env(ProductPushEnv(shop), skip_render_check=True)
    assert [str(w.message) for w in recwarn if "env_checker" in str(w.filename) or "Box" in str(w.message)] == []


def test_verification_v14_sb3_checker_passes(shop):
    from stable_baselines3.common.env_checker import check_env as check_sb3

    import agents.sb3  # noqa: F401  # keeps SB3 from loading TensorFlow through tensorboard

    check_sb3(ProductPushEnv(shop), warn=True)


def test_a_row_of_the_vector_env_equals_the_single_env_bit_for_bit(shop):
    vector = ProductPushVectorEnv(6, shop)
    many, _ = vector.reset(seed=21)
    singles = [ProductPushEnv(shop) for _ in range(6)]
    customer = list(range(6))
    for i, env in enumerate(singles):
        obs, _ = env.reset(seed=21, options={"customer": i})
        assert obs.tobytes() == many[i].tobytes()
    rng = np.random.default_rng(0)
    finished = 0
    for _ in range(150):
        actions = rng.integers(0, 13, 6)
        many, rewards, terminated, truncated, info = vector.step(actions)
        masks = vector.action_masks()
        for i, env in enumerate(singles):
            obs, reward, done, cut, extra = env.step(int(actions[i]))
            assert (reward, done, cut, extra) == (rewards[i], terminated[i], truncated[i], {})
            if done or cut:
                finished += 1
                assert info["_final_obs"][i] and obs.tobytes() == info["final_obs"][i].tobytes()
                customer[i] += 6
                obs, _ = env.reset(options={"customer": customer[i]})
            assert obs.tobytes() == many[i].tobytes()
            assert (env.action_masks() == masks[i]).all()
    assert finished >= 6


def test_observations_lie_in_the_space_and_are_the_callers_own(shop):
    env = ProductPushVectorEnv(64, shop)
    first, _ = env.reset(seed=1)
    kept = first.copy()
    for _ in range(60):
        obs, *_ = env.step(env.action_space.sample())
        assert env.observation_space.contains(obs)
    assert (first == kept).all()


def test_a_buffer_is_used_again_only_when_nobody_holds_it():
    buffers = Buffers((6,), np.float64)
    first, second = buffers.take(), buffers.take()
    address, view = first.ctypes.data, first[2:]
    del first
    third = buffers.take()
    assert len({address, second.ctypes.data, third.ctypes.data}) == 3 and view.shape == (4,)
    del view
    assert buffers.take().ctypes.data == address


def test_everything_handed_out_over_many_steps_stays_as_it_was(shop):
    env = ProductPushVectorEnv(16, shop)
    env.reset(seed=1)
    steps = [env.step(np.full(16, 3)) for _ in range(40)]
    again = ProductPushVectorEnv(16, shop)
    again.reset(seed=1)
    for kept in steps:
        obs, reward, terminated, truncated, info = again.step(np.full(16, 3))
        assert (obs == kept[0]).all() and (reward == kept[1]).all() and (terminated == kept[2]).all()
        if info:
            assert (info["final_obs"][info["_final_obs"]] == kept[4]["final_obs"][info["_final_obs"]]).all()


def test_info_never_holds_latent_state(shop):
    env = ProductPushVectorEnv(64, shop)
    assert env.reset(seed=1)[1] == {}
    keys = set()
    for _ in range(100):
        keys |= set(env.step(np.full(64, 12))[4])
    assert keys == {"final_obs", "_final_obs"}


def test_reset_without_a_seed_goes_on_to_new_customers(shop):
    env = ProductPushEnv(shop)
    a, _ = env.reset(seed=5)
    b, _ = env.reset()
    again, _ = env.reset(seed=5)
    assert a.tobytes() == again.tobytes() != b.tobytes()
    vector = ProductPushVectorEnv(4, shop)
    first, _ = vector.reset(seed=5)
    second, _ = vector.reset()
    assert not (first == second).all(axis=1).any()


def test_step_before_reset_and_after_the_end_is_refused(shop):
    env = ProductPushEnv(shop)
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(0)
    env.reset(seed=1)
    while not any(env.step(12)[2:4]):
        pass
    with pytest.raises(gymnasium.error.ResetNeeded, match="episode has ended"):
        env.step(0)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (13, "action 13 is out of range; 0 holds back, 1 to 12 push a label"),
        (-1, "action -1 is out of range"),
        (2**40, "action 1099511627776 is out of range"),
        (1.5, "action 1.5 is no integer; 0 holds back, 1 to 12 push a label"),
        (float("nan"), "action nan is no integer"),
        ("tea", "action 'tea' is no integer"),
        (None, "action None is no integer"),
    ],
)
def test_an_action_that_is_no_label_is_named_and_nothing_has_happened(shop, action, message):
    env = ProductPushEnv(shop)
    env.reset(seed=1)
    with pytest.raises(ShopError, match=message):
        env.step(action)
    untouched = ProductPushEnv(shop)
    untouched.reset(seed=1)
    assert env.step(np.int64(3))[0].tobytes() == untouched.step(np.array(3))[0].tobytes()


def test_a_masked_action_executes_as_hold_back_and_is_an_error_where_the_shop_is_strict():
    closed = ["env.availability.cap_pushes_per_visit=0"]
    env, rested = ProductPushEnv(make_shop(closed)), ProductPushEnv(make_shop(closed))
    for each in (env, rested):
        each.reset(seed=1)
    assert env.action_masks().tolist() == [True] + [False] * 12
    assert env.step(5)[1] == 0.0 == rested.step(0)[1]
    event = env._lives.state.events[0]
    assert (event["requested"], event["action"]) == (5, 0)
    strict = ProductPushEnv(make_shop([*closed, "env.strict_mask=true"]))
    strict.reset(seed=1)
    with pytest.raises(ShopError, match="is masked for customer 0 and env.strict_mask is set; use action_masks"):
        strict.step(5)


SHIPPED = """
import sys
{first}
env = gymnasium.make("sim:ProductPush-v0")
obs, info = env.reset(seed=3)
env.step(1)
assert env.unwrapped.action_masks().shape == (13,)
many = gymnasium.make_vec("sim:ProductPush-v0", num_envs=5, vectorization_mode="vector_entry_point")
batch, _ = many.reset(seed=3)
assert (batch[0] == obs).all() and many.step(many.action_space.sample())[0].shape == batch.shape
blind = gymnasium.make("sim:ProductPush-v0", overrides=["camera=blind"])
assert abs(blind.reset(seed=3)[0][:7] - 1 / 7).max() < 1e-6
assert not {{"torch", "mlflow", "tensorflow"}} & set(sys.modules), "an environment needs no learning library"
"""


@pytest.mark.parametrize("first", ["import gymnasium", "import sim, gymnasium"])
def test_gymnasium_makes_the_shipped_shop_whatever_is_imported_first(first):
    subprocess.run([sys.executable, "-c", SHIPPED.format(first=first)], check=True, timeout=280)

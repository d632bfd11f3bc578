"""V12 and V13: the same seed and policy give the same bytes, a policy never differs from itself, and N are N times one."""

import hashlib
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from sim.envs.single import ProductPushEnv
from sim.envs.vector import ProductPushVectorEnv
from sim.evaluation.metrics import METRICS, compare, per_customer
from sim.evaluation.rollout import rollout
from sim.evaluation.session_log import write_sessions
from tests.sim.conftest import UniformPolicy, make_shop

BUSY = [
    "env=drift", "env.delay.delay_days=3", "env.refunds.refunds=1", "env.availability.out_of_stock_probability=.2",
    "env.availability.cap_pushes_per_window=5", "env.reward.affect_price=2",
]  # fmt: skip


def jsonl(path):
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in pq.read_table(path).to_pylist()).encode()


@pytest.mark.parametrize("overrides", [[], BUSY], ids=["shop", "busy"])
def test_verification_v12_the_same_seed_and_policy_give_byte_identical_sessions(tmp_path, overrides):
    digests = []
    for name, batch in (("a", 4096), ("b", 7)):
        shop = make_shop(overrides)
        write_sessions(tmp_path / f"{name}.parquet", [rollout(UniformPolicy(), shop, customers=40, seed=6, batch=batch)], shop)
        lines = jsonl(tmp_path / f"{name}.parquet")
        digests.append([hashlib.sha256(x).hexdigest()[:16] for x in ((tmp_path / f"{name}.parquet").read_bytes(), lines)])
    other = rollout(UniformPolicy(), shop, customers=40, seed=7)
    print(f"  sessions.parquet {digests[1][0]}   expected {digests[0][0]}")
    print(f"  as JSON lines    {digests[1][1]}   expected {digests[0][1]}   ({len(lines):,} bytes)")
    assert digests[0] == digests[1]
    assert len(other.events) != lines.count(b"\n") or other.events["reward"].sum() != 0


def test_verification_v12_identical_policies_differ_by_exactly_zero_in_every_metric(shop):
    a, b = (per_customer(rollout(UniformPolicy(), shop, customers=120, seed=6, batch=n), 0.99) for n in (4096, 31))
    worst = max(abs(d[bound]) for d in compare(a, b).values() for bound in ("mean", "low", "high"))
    print(f"  largest paired difference of {len(METRICS)} metrics {worst}   expected 0.0")
    assert worst == 0.0


@pytest.mark.parametrize("overrides", [[], BUSY, ["env=twin"], ["camera=noisy"]], ids=["shop", "busy", "twin", "noisy"])
def test_verification_v13_a_vector_environment_is_n_scalar_environments_step_by_step(overrides):
    shop, n = make_shop(overrides), 4
    vector, singles = ProductPushVectorEnv(n, shop), [ProductPushEnv(shop) for _ in range(n)]
    many, _ = vector.reset(seed=9)
    for i, env in enumerate(singles):
        assert env.reset(seed=9, options={"customer": i})[0].tobytes() == many[i].tobytes()
    customer, rng, steps, lives = list(range(n)), np.random.default_rng(1), 0, 0
    for _ in range(120):
        actions = rng.integers(0, shop.labels + 1, n)
        many, rewards, terminated, truncated, info = vector.step(actions)
        for i, env in enumerate(singles):
            observation, reward, done, cut, _ = env.step(int(actions[i]))
            assert (reward, done, cut) == (rewards[i], terminated[i], truncated[i])
            if done or cut:
                assert observation.tobytes() == info["final_obs"][i].tobytes()
                customer[i] += n
                observation, _ = env.reset(options={"customer": customer[i]})
                lives += 1
            assert observation.tobytes() == many[i].tobytes()
            assert (env.action_masks() == vector.action_masks()[i]).all()
            steps += 1
    print(f"  {steps} steps and {lives} ended lives: 0 bits differ   expected 0")

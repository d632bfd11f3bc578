"""customers.parquet says the same as the session log and never depends on the policy but in its totals."""

import numpy as np

from perception.features import EMOTIONS
from sim.evaluation.customers import TRAITS, read_customers, traits, write_customers
from sim.evaluation.metrics import per_customer
from sim.evaluation.rollout import rollout
from tests.sim.conftest import ConstantPolicy, UniformPolicy, make_shop


def test_traits_and_totals_equal_the_log_of_either_policy(tmp_path, monkeypatch):
    monkeypatch.setattr("sim.evaluation.customers._BATCH", 17)  # batches change nothing
    shop = make_shop()
    logs = [rollout(policy, shop, customers=50, seed=3) for policy in (UniformPolicy(), ConstantPolicy(1, "first"))]
    who = traits(shop, 50, 3)
    path = tmp_path / "customers.parquet"
    write_customers(path, {log.policy: per_customer(log, 0.99) for log in logs}, who)
    frame = read_customers(path)
    assert len(frame) == 100 and not list(tmp_path.glob(".*"))
    for log in logs:
        own = frame[frame.policy == log.policy]
        first = log.events[np.searchsorted(log.events["customer"], np.arange(50))]
        assert np.array_equal(own.face, first["person"]) and np.array_equal(own.masked, first["masked"] == 1)
        assert np.array_equal(own.known, first["recognised"] == 1) and np.array_equal(
            own.enrolled, first["enrolled"] == 1
        )
        assert np.allclose(own.price_sensitivity, first["price_sensitivity"], rtol=1e-6)
        true = shop.gallery.true_emotion[first["image"]]
        assert [EMOTIONS.index(e) for e in own.emotion] == true.tolist()
        assert own.value.sum() == log.events["reward"].sum() or np.isclose(
            own.value.sum(), log.events["reward"].sum(), rtol=1e-12
        )
    assert set(TRAITS) < set(frame.columns)

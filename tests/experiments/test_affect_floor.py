"""The study of the affect floor: which price is chosen, and the numbers it compares, by hand."""

import numpy as np
import pytest

from experiments.affect_floor import PRICES, arm_of, arms, chosen_price, shift, shift_against
from experiments.study import Results


def test_the_smallest_price_that_keeps_the_floor_is_chosen():
    shifts = {0.0: -0.03, 3.0: 0.004, 10.0: 0.002, 30.0: 0.02}
    assert chosen_price(shifts, 0.003) == 3.0 and chosen_price(shifts, 0.01) == 30.0
    assert chosen_price(shifts, -0.1) == 0.0 and chosen_price(shifts, 0.5) is None


def test_shifts_are_ratios_of_sums_and_compared_customer_by_customer():
    def totals(shifts, opportunities):
        return {"tune": {"valence_shift": np.array([shifts]), "opportunities": np.array([opportunities])}}

    results = Results({"a": totals([1.0, 2.0, 0.0], [2.0, 4.0, 4.0]), "b": totals([0.0, 1.0, 1.0], [5.0, 5.0, 10.0])}, np.zeros(3), 1, 0.0)
    assert shift(results, "a") == pytest.approx(0.3) and shift(results, "b") == pytest.approx(0.1)
    gap = shift_against(results, "a", "b")
    # influences (y - r x) / mean x: a (.4, .8, -1.2) / (10/3), b (-.5, .5, 0) / (20/3)
    d = np.array([0.4, 0.8, -1.2]) * 0.3 - np.array([-0.5, 0.5, 0.0]) * 0.15
    assert gap["mean"] == pytest.approx(0.2) and gap["high"] - 0.2 == pytest.approx(4.302653 * d.std(ddof=1) / np.sqrt(3))
    assert shift_against(results, "a", "a")["high"] == 0


def test_arms_differ_in_the_price_alone_and_price_0_shares_its_training_with_the_perceived_camera():
    from experiments.value_of_perception import arms as cameras

    by_name = {arm.name: arm for arm in arms()}
    perceived = next(arm for arm in cameras() if arm.name == "perceived")
    assert sorted(by_name[arm_of(0)].shop) == sorted(perceived.shop)
    for price in PRICES[1:]:
        assert set(by_name[arm_of(price)].shop) - set(perceived.shop) == {f"env.reward.affect_price={price}"}
    assert all({e.name: e.tune for e in arm.evaluations} == {"sampled": False, "tune": True} for arm in by_name.values())

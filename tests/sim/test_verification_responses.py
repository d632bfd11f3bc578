"""V6: what customers do has the logged probabilities; odds of two labels do not depend on the customer's condition."""

import math

import numpy as np
import pytest
from scipy import stats

from sim.evaluation.rollout import rollout
from sim.shop.choice import click_probability
from sim.shop.types import CUSTOMER, LABEL
from tests.sim.conftest import UniformPolicy

BINS = 20


@pytest.fixture(scope="module")
def pushes(shop):
    e = rollout(UniformPolicy(), shop, customers=3000, seed=21).events
    return e[e["action"] > 0]


@pytest.mark.parametrize(("probability", "outcome"), [
    ("click_probability", "clicked"), ("purchase_probability", "bought"), ("opt_out_probability", "opted_out"),
])  # fmt: skip
def test_verification_v6_frequencies_equal_probabilities(pushes, probability, outcome):
    e = pushes[pushes["clicked"] == 1] if outcome == "bought" else pushes
    p, y = e[probability].astype(float), e[outcome].astype(float)
    groups = np.array_split(np.argsort(p), BINS)
    terms = [(y[g].sum() - p[g].sum()) ** 2 / (p[g] * (1 - p[g])).sum() for g in groups if p[g].max() > 0]
    chance = stats.chi2.sf(sum(terms), len(terms))
    print(f"  {outcome:10s} {len(e):6d} draws, chi-square {sum(terms):7.2f} on {len(terms)} groups, p = {chance:.3f}")
    assert len(terms) >= BINS / 2 and chance > 1e-3
    assert not y[p == 0].any()


def test_verification_v6_the_odds_ratio_of_two_labels_is_the_same_for_whatever_else_moves_all_labels_alike(shop):
    p, tea, book = shop.params[0], *shop.catalog.table[[2, 5]]
    ratios = []
    for fatigue, mood in [(0, 0), (4, 0), (0, -0.9), (7, 0.6)]:
        customer, label = np.zeros(1, CUSTOMER)[0], np.zeros(1, LABEL)[0]
        customer["fatigue"], customer["mood"], customer["price_sensitivity"] = fatigue, mood, 0.35
        odds = [q / (1 - q) for q in (click_probability(p, customer, label, item) for item in (tea, book))]
        ratios.append(math.log(odds[0] / odds[1]))
    # the difference of their own utilities: appeal - beta price / p_ref
    own = tea["appeal"] - book["appeal"] - 0.35 * (tea["price"] - book["price"]) / p["price_reference"]
    np.testing.assert_allclose(ratios, own, atol=1e-9)

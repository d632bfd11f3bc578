"""The oracles that a run holds its policies against, by name, and what the policies earned less.

    myopic    best immediate reward, from the true state: the most that a contextual bandit could become
    priced    immediate reward minus shadow prices of fatigue, life and mood (tuned on env=shop): plans, cheaply
    planning  one step of policy improvement on the priced oracle by Monte-Carlo futures: slow, for some hundred customers
    exact     the optimal policy of the twin, by dynamic programming (discounted at env.discount_per_day)

They know the true state, so nobody who looks through a camera can be expected to reach them.  Value regret is the paired
difference oracle - policy on the same customers with the same luck.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.evaluation.metrics import METRICS, Totals, influence
from sim.evaluation.oracle.dynamic_programming import START, TwinPolicy, twin_model
from sim.evaluation.oracle.myopic import MyopicOracle
from sim.evaluation.oracle.planning import PlanningOracle
from sim.evaluation.oracle.priced import TWIN_PRICES, PricedOracle
from sim.evaluation.statistics import Interval, paired_interval
from sim.shop.world import Shop

ORACLES = ("myopic", "priced", "planning", "exact")
REGRETS = ("value_per_customer", "discounted_value")


def reference(name: str, shop: Shop, discount_per_day: float) -> Any:
    """The oracle of one of the names in `ORACLES` for a shop.

    Raises
    ------
    ShopError
        `exact` is asked for outside the twin.
    """
    if name == "exact":
        model = twin_model(shop)
        table = np.eye(shop.labels + 1)[model.optimal(discount_per_day)[1]]
        return TwinPolicy(table, shop, name="exact_oracle")
    twin = shop.params["twin"][0] > 0
    priced = PricedOracle(TWIN_PRICES, discount_per_day) if twin else PricedOracle()
    return {"myopic": MyopicOracle(), "priced": priced, "planning": PlanningOracle(base=priced)}[name]


def optimum(shop: Shop, discount_per_day: float) -> float:
    """V* of the twin's first state, money discounted by day: exact, free of luck."""
    return float(twin_model(shop).optimal(discount_per_day)[0][START])


def first(totals: Totals, customers: int) -> Totals:
    """Totals of the first `customers` customers."""
    return {name: total[:customers] for name, total in totals.items()}


def value_regrets(totals: Totals, oracle: Totals) -> dict[str, Interval]:
    """Oracle minus policy in undiscounted and discounted value, paired over the oracle's customers, the first ones."""
    own = first(totals, len(oracle["value"]))
    return {name: paired_interval(influence(oracle, METRICS[name]), influence(own, METRICS[name])) for name in REGRETS}

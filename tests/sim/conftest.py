"""Fixtures of the shop's tests: a shop on a synthetic gallery, and agents that need no training."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sim.shop.scenarios import CONF, build_shop
from tests.sim.synthetic import synthetic_table

GROUPS = ("env", "catalog", "population", "camera")


def make_shop(overrides=(), table=None):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("shop", list(overrides))
    plain = {name: OmegaConf.to_container(cfg[name], resolve=True) for name in GROUPS}
    return build_shop(**plain, table=synthetic_table() if table is None else table)


@pytest.fixture(scope="session")
def shop():
    return make_shop()


class Decision(NamedTuple):
    action: np.ndarray
    propensity: np.ndarray
    probabilities: np.ndarray


@dataclasses.dataclass
class UniformPolicy:
    """Uniform over allowed actions; needs no training."""

    name: str = "random"
    propensity_kind: str = "exact"

    def act(self, observation, action_mask, uniform):
        probabilities = action_mask / action_mask.sum(1, keepdims=True)
        action = (probabilities.cumsum(1) <= uniform[:, None]).sum(1)
        return Decision(action, probabilities[np.arange(len(action)), action], probabilities)


@dataclasses.dataclass
class ConstantPolicy:
    """Always requests one action."""

    label: int = 0
    name: str = "constant"
    propensity_kind: str = "exact"

    def act(self, observation, action_mask, uniform):
        probabilities = np.zeros(action_mask.shape)
        probabilities[:, self.label] = 1.0
        return Decision(np.full(len(observation), self.label), np.ones(len(observation)), probabilities)

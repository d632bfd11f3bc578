"""A scenario is a configuration: this module turns one into a `Shop`.

Values live in `conf/` only.  `load_shop(["env=shop", "camera=blind"])` composes the same groups as the command line does, so
an environment made by `gymnasium.make` and one made by `sim.run` are the same shop.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sim.shop.catalog import read_catalog
from sim.shop.gallery import build_gallery
from sim.shop.parameters import CONF, ShopError, catalog_path, pack, read_all, slate_size
from sim.shop.world import Shop, with_typical_records
from sim.targets import built


def build_shop(
    env: Mapping[str, Any],
    catalog: Mapping[str, Any],
    population: Mapping[str, Any],
    camera: Mapping[str, Any],
    table: pd.DataFrame,
) -> Shop:
    """A shop from plain configuration groups and a gallery feature table."""
    items = read_catalog(catalog_path(catalog["path"]))
    params = pack(read_all(env, population, camera))
    for name in ("price_reference", "budget_median"):  # stated for the default catalog
        params[name] *= items.money_scale
    gallery = build_gallery(
        table, population["evaluation_share"], population["seed"], opaque=population["gallery"] is not None
    )
    if camera["emotion"] == "oracle" and not gallery.labelled:
        raise ShopError(
            "camera.emotion=oracle needs the true emotion of every picture; give the gallery a labels.csv (image,person,emotion,mask)"
        )
    shop = Shop(
        items, gallery, params, population["seed"], bool(env["strict_mask"]), str(env["name"]),
        slate_size=slate_size(env, len(items.names)),
    )  # fmt: skip
    return with_typical_records(shop)


@functools.lru_cache(maxsize=8)
def _load(overrides: tuple[str, ...]) -> Shop:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    if GlobalHydra.instance().is_initialized():
        cfg = compose("shop", list(overrides))
    else:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("shop", list(overrides))
    population = cfg.population
    table = built("population.loader", population.loader)(
        population.gallery, population.consent, weights=population.weights, cache=population.cache
    )
    plain: dict[str, Any] = {
        name: OmegaConf.to_container(cfg[name], resolve=True) for name in ("env", "catalog", "population", "camera")
    }
    return build_shop(**plain, table=table)


def load_shop(overrides: Sequence[str] = ()) -> Shop:
    """The shop of `conf/shop.yaml` with Hydra overrides, e.g. `["camera=blind", "env.reward.push_price=.1"]`."""
    return _load(tuple(overrides))

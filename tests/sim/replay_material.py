"""A small run on disk, made without training for long: what the session player reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from agents import LinUCB, PPOAgent, Random
from agents.actor import Actor
from perception.features import EMOTIONS
from sim.envs import spaces
from sim.envs.vector import ProductPushVectorEnv
from sim.evaluation.metrics import per_customer, summarise
from sim.evaluation.rollout import rollout
from sim.evaluation.session_log import write_sessions
from sim.replay.settings import PageSettings
from sim.shop.scenarios import CONF, build_shop

HOSTILE = "</script><img src=x onerror=document.title='broken'>"
CATALOG = f'label,price,margin,appeal\ncoffee,11,6.6,.9\n"{HOSTILE}",17,9.35,.5\n<!--tea & "milk",12,7.2,.4\nstore card,26,15.6,-.1\n'
CUSTOMERS, SEED = 60, 10000


def settings(**changes: Any) -> PageSettings:
    """The shipped settings of a page, with changes."""
    plain = OmegaConf.to_container(OmegaConf.load(CONF / "replay" / "default.yaml"))
    return PageSettings(**{**plain, **changes})


def untrained_ppo(shop, seed=3):
    """A PPO agent with drawn weights: as good as a trained one for everything but money."""
    agent = PPOAgent(
        observation_space=spaces.observation_space(shop),
        action_space=spaces.action_space(shop),
        layout=shop.layout,
        seed=seed,
    )
    rng, sizes = np.random.default_rng(seed), (shop.observation_size, 16, shop.labels + 1)
    weights = tuple(rng.normal(0, 0.6, pair) for pair in zip(sizes[:-1], sizes[1:], strict=True))
    biases = tuple(rng.normal(0, 0.2, size) for size in sizes[1:])
    single = [tuple(np.asarray(a, np.float32).astype(float) for a in group) for group in (weights, biases)]  # as saved
    agent.actor_ = Actor(*single)
    return agent


def make_run(folder: Path, overrides=(), *, customers=CUSTOMERS, seed=SEED, catalog=CATALOG) -> dict[str, Any]:
    """Write a run's folder as `sim.run` does; returns shop, logs, policies and the gallery's table."""
    folder.mkdir(parents=True)
    (folder / "catalog.csv").write_text(catalog)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("shop", [f"catalog.path='{folder / 'catalog.csv'}'", *overrides])
    plain = {
        name: OmegaConf.to_container(cfg[name], resolve=True) for name in ("env", "catalog", "population", "camera")
    }
    from hydra.utils import instantiate

    population = cfg.population
    table = instantiate(population.loader)(population.gallery, population.consent, weights=None, cache=None)
    shop = build_shop(**plain, table=table)
    runtime = {
        "observation_space": spaces.observation_space(shop), "action_space": spaces.action_space(shop), "layout": shop.layout,
        "seed": 0,
    }  # fmt: skip
    linucb = LinUCB(**runtime, num_envs=64, total_steps=64 * 40)
    linucb.learn(ProductPushVectorEnv(64, shop))
    policies = [untrained_ppo(shop), linucb, Random(**runtime)]
    logs, totals = [], {}
    for policy in policies:
        policy.save(folder / "policies" / policy.name)
        log = rollout(policy, shop, customers=customers, seed=seed)
        logs.append(log)
        totals[policy.name] = per_customer(log, 1.0)
    write_sessions(folder / "sessions.parquet", logs, shop)
    (folder / ".hydra").mkdir()
    OmegaConf.save(
        OmegaConf.create({**plain, "agent": {"_target_": "agents.PPOAgent", "name": "ppo"}}),
        folder / ".hydra" / "config.yaml",
    )
    summary = {
        "seed": 0, "env": shop.name, "agent": "ppo", "evaluation_seed": seed, "deterministic": False,
        "policies": {name: summarise(each) for name, each in totals.items()},
        "digests": {"shop": shop.digest, "gallery": shop.gallery.digest, "catalog": shop.catalog.digest},
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    return {"folder": folder, "shop": shop, "logs": logs, "policies": {p.name: p for p in policies}, "table": table}


def open_gallery(folder=None, consent=False, weights=None, cache=None, emotion="combined"):
    """A gallery of 'photographs' in a folder, perceived by nobody: features are drawn, and two of three pictures recognised."""
    rng, rows = np.random.default_rng(0), []
    for path in sorted(Path(folder).glob("*/*.jpg")):
        person, own = path.parent.name, rng.random() < 0.7
        emotion = rng.dirichlet(np.full(7, 0.4))
        row = {
            "image": f"{person}/{path.name}", "person": person, "role": "camera", "face": 0, "status": "face", "true_emotion": None,
            "true_mask": None, "mask_probability": 0.1, "identity": person if own else None,
            "similarity": 0.8 if own else np.nan, "identity_unenrolled": None, "similarity_unenrolled": np.nan,
            "x0": 8.0, "y0": 8.0, "x1": 40.0, "y1": 48.0,
        }  # fmt: skip
        rows.append(row | {f"emotion_{name}": emotion[j] for j, name in enumerate(EMOTIONS)})
    return pd.DataFrame(rows)

"""Product-push simulator: a shop, its customers and their faces, as a reinforcement-learning environment.

    import gymnasium
    env = gymnasium.make("sim:ProductPush-v0")

    from sim import load_shop, rollout

Importing this package is cheap; names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_LAZY = {
    "ProductPushEnv": "sim.envs.single",
    "ProductPushVectorEnv": "sim.envs.vector",
    "Shop": "sim.shop.world",
    "load_shop": "sim.shop.scenarios",
    "rollout": "sim.evaluation.rollout",
}
__all__ = sorted(_LAZY)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'sim' has no attribute {name!r}")


def _is_own_command() -> bool:
    """Whether this process is one of our commands, which need no registry and answer `--help` at once."""
    return any(part.startswith("sim.") or part.endswith("push-sim") for part in sys.orig_argv[1:3])


if "gymnasium" in sys.modules or not _is_own_command():
    from sim.envs.registration import register

    register()

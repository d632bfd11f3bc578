"""Who may import whom: every import statement of every file, functions included, is held against the house rules.

experiments -> sim          sim -> perception.features          agents -> gymnasium, SB3, torch, numpy
perception -> none of ours  nobody -> experiments
within sim: commands -> tracking, replay, evaluation -> envs -> shop, executors, targets, never back
perception.extract joins sim.executors by name at run time, as sim.run joins its rooms by Hydra's _target_
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"sim", "perception", "agents", "conf", "experiments", "tests", "benchmarks"}
ROOMS = ("sim", "perception", "agents", "experiments", "conf", "benchmarks")
AGENT_LIBRARIES = {"gymnasium", "stable_baselines3", "sb3_contrib", "torch", "numpy", "numba", "safetensors"}

# Higher may import lower; rooms of the same height do not know each other, except that pages and tracked runs are made
# from what evaluation measured.  Whatever lies in sim/ itself is a command or a command's helper.
HEIGHT = {"executors": -1, "targets": -1, "shop": 0, "envs": 1, "evaluation": 2, "calibration": 3, "tracking": 3, "replay": 3}
COMMANDS = 4


def imported(source: str, module: str, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that the source of `module` imports; `from a import b` yields `a.b`."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def broken_rule(module: str, target: str) -> str | None:
    """The rule that an import of `target` (a dotted name) by `module` breaks, None where it is fine."""
    room, goal = module.split(".")[0], target.split(".")[0]
    if room == "agents" and goal not in OURS:
        fine = goal in AGENT_LIBRARIES or goal in sys.stdlib_module_names
        return None if fine else f"agents use {', '.join(sorted(AGENT_LIBRARIES))} and the standard library only"
    if goal not in OURS or room == goal and room != "sim":
        return None
    if goal == "experiments":
        return "nobody imports experiments"
    if goal in ("tests", "benchmarks"):
        return "nobody imports tests or benchmarks"
    if room == "benchmarks" or room == "experiments" and goal == "sim":
        return None
    if room == "experiments":
        return "experiments import sim only"
    if room in ("agents", "perception", "conf"):
        return f"{room} imports none of our packages"
    if goal == "perception":
        fine = target == "perception.features" or target.startswith("perception.features.")
        return None if fine else "sim imports perception.features only"
    if goal != "sim":
        return f"sim does not import {goal}"
    return _broken_height(module, target)


def _broken_height(module: str, target: str) -> str | None:
    here, there = _sim_room(module), _sim_room(target)
    if here == there or HEIGHT.get(here, COMMANDS) > HEIGHT.get(there, COMMANDS):
        return None
    return f"sim.{here} does not import sim.{there}: commands -> tracking, replay -> evaluation -> envs -> shop"


def _sim_room(name: str) -> str:
    """`shop` for `sim.shop.camera`; `commands` for everything that lies in sim/ itself."""
    part = (name.split(".") + [""])[1]
    return part if part in HEIGHT else "commands"


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """Broken rules in one source text, each as `module:line imports target: rule`."""
    found = []
    for line, target in imported(source, module, is_package):
        rule = broken_rule(module, target)
        if rule:
            found.append(f"{module}:{line} imports {target}: {rule}")
    return found


def test_no_import_of_any_file_goes_against_the_direction_of_the_house():
    found, files = [], 0
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            found += violations(path.read_text(encoding="utf-8"), module, is_package)
            files += 1
    assert files >= 20
    assert found == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("agents.ppo", "import sim"),
        ("agents.ppo", "from perception.features import EMOTIONS"),
        ("agents.ppo", "import pandas"),
        ("perception.pipeline", "from sim.shop import camera"),
        ("perception.extract", "from sim.executors import Task"),
        ("perception.pipeline", "def f():\n    import agents.base"),
        ("sim.run", "import agents"),
        ("sim.executors.process", "from sim import config"),
        ("sim.executors.process", "import sim.shop.world"),
        ("agents.ppo", "import sim.executors"),
        ("sim.run", "import perception"),
        ("sim.run", "from perception import FacePipeline"),
        ("sim.run", "from perception.pipeline import FacePipeline"),
        ("sim.run", "import perception.features_extra"),
        ("sim.run", "import experiments.tune"),
        ("benchmarks.speed", "from experiments import tune"),
        ("experiments.tune", "import agents.ppo"),
        ("sim.shop.camera", "from sim.envs.vector import ShopVectorEnv"),
        ("sim.shop.camera", "from ..envs import vector"),
        ("sim.shop.camera", "from sim import config"),
        ("sim.envs.vector", "import sim.evaluation.rollout"),
        ("sim.evaluation.rollout", "from sim import run"),
        ("sim.evaluation.rollout", "from sim.tracking import Tracker"),
        ("sim.tracking.tracker", "from sim.replay import page"),
        ("sim.tracking.tracker", "import importlib\nimportlib.import_module('sim.run')"),
        ("sim.envs.vector", "if True:\n    try:\n        from agents import base\n    except ImportError: pass"),
    ],
)
def test_the_check_finds_each_planted_violation(module, source):
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("agents.ppo", "import json\nfrom agents.base import Agent\nfrom stable_baselines3 import PPO\nimport numpy"),
        ("perception.pipeline", "from .features import EMOTIONS\nimport torch"),
        ("sim.run", "from sim.tracking import Tracker\nfrom sim import config\nimport pandas"),
        ("sim.run", "from perception.features import EMOTIONS\nfrom perception import features"),
        ("sim.envs.vector", "from ..shop import dynamics\nfrom . import single\nimport gymnasium"),
        ("sim.replay.page", "from sim.evaluation.session_log import read_sessions"),
        ("experiments.tune", "from sim.evaluation import statistics"),
        ("sim.evaluation.evaluate", "from sim.executors import Executor"),
        ("benchmarks.speed", "import agents.ppo, sim.envs, perception.pipeline"),
    ],
)
def test_the_check_lets_the_allowed_directions_pass(module, source):
    assert violations(source, module) == []


def test_a_relative_import_in_a_package_file_starts_at_the_package_itself():
    assert list(imported("from . import ppo", "agents", is_package=True)) == [(1, "agents.ppo")]
    assert list(imported("from ..shop import x", "sim.envs", is_package=True)) == [(1, "sim.shop.x")]

"""A configuration that somebody else wrote can import and call nothing: not by a name of ours, not deeper down, not from a run's folder,
not from the artifacts of a run in MLflow."""

from __future__ import annotations

import json
import sys

import pytest
from omegaconf import OmegaConf

from sim.config import ConfigError
from sim.targets import TargetError, built, check_targets, followed
from tests.security.bomb import CANARY

GALLERY = "population.loader"


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / CANARY
    yield path
    assert not path.exists(), "a configuration was obeyed"


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """The name of a module that must not be imported: importing it makes the canary."""
    (tmp_path / "foreign_code.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / CANARY)!r}).touch()\ndef go(*a, **k): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "foreign_code"
    assert "foreign_code" not in sys.modules


@pytest.mark.parametrize(
    "target",
    [
        "os.system", "builtins.eval", "foreign_code.go",  # of others
        "sim.run.os.system", "sim.cli.shutil.rmtree", "agents.base.logging.os.system", "agents.importlib.import_module",  # by way of ours
        "sim.report.write_text", "sim.tracking.policy_model.named", "perception.publish.publish", "sim.run.main",  # ours, and not for this
        "agents.base.Agent.__subclasses__", "agents.base.Agent.learn.__globals__", "agents._HOME.get", "agents.ppo", "agents",
        "agents.nothing.here", "agents..ppo", "agents.ppo.PPOAgent()", "", None, 7, ["os.system"], "${oc.env:HOME}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["agent", GALLERY])
def test_a_target_that_is_no_agent_or_joint_is_refused_and_nothing_is_called(canary, foreign, where, target):
    for config in ({"_target_": target}, {"_target_": target, "_partial_": True}, {"_target_": target, "_args_": [f"touch {canary}"]}):
        with pytest.raises(TargetError) as error:
            built(where, config)
        assert error.value.exit_code == 2 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "deeper",
    [
        {"name": {"_target_": "os.system", "_args_": ["touch CANARY"]}},
        {"net_arch": [64, {"_target_": "os.system", "_args_": ["touch CANARY"]}]},
        {"name": {"_target_": "sim.run.os.system", "_args_": ["touch CANARY"]}},
        {"name": {"_target_": "foreign_code.go"}},
        {"name": "${oc.create:'{_target_: os.system, _args_: [touch CANARY]}'}"},
        {"name": "\\${oc.create:'{_target_: os.system, _args_: [touch CANARY]}'}"},  # an interpolation once it is read a second time
        {"_target_": "${name}", "name": "os.system"},
    ],
)
def test_what_an_agents_settings_hold_deeper_down_or_look_up_later_is_refused_too(canary, foreign, deeper):
    text = json.dumps({"_target_": "agents.ppo.PPOAgent", "_partial_": True, **deeper}).replace("CANARY", str(canary))
    for config in (OmegaConf.create(json.loads(text)), json.loads(text)):
        try:
            made = built("agent", config)
        except TargetError as error:
            assert error.exit_code == 2
        else:  # a plain dictionary's text is a name like any other
            assert made.keywords == {"name": "PPO"}, made


def test_a_package_is_trusted_by_its_user_only_and_for_what_it_defines_itself(tmp_path, monkeypatch, canary):
    (tmp_path / "my_own_agents.py").write_text("import os\nfrom agents.baselines import Random\nclass Mine(Random):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TargetError, match=r"add trusted_targets=\[my_own_agents\]"):
        check_targets("agent", {"_target_": "my_own_agents.Mine"})
    assert followed("agent", "my_own_agents.Mine", ["my_own_agents"]).__name__ == "Mine"
    assert followed("agent", "my_own_agents.Random", ["my_own_agents"]).__name__ == "Random"
    with pytest.raises(TargetError, match="leads to os, which is not trusted"):
        built("agent", {"_target_": "my_own_agents.os.system", "_args_": [f"touch {canary}"]}, ["my_own_agents"])


def test_every_agent_and_joint_that_is_shipped_is_allowed():
    from sim.config import CONF
    from sim.targets import JOINTS

    agents = sorted((CONF / "agent").glob("*.yaml"))
    assert len(agents) >= 20
    for path in agents:
        followed("agent", OmegaConf.load(path)["_target_"])
    for where, target in JOINTS.items():
        followed(where, target)


# ---------------------------------------------------------------------- the folder of a run that somebody else sent
def unfinished(folder, *overrides, config=None):
    """A run's folder whose record says these overrides."""
    folder.mkdir()
    record = {"schema": 1, "key": "k", "overrides": list(overrides), "config": config or {}, "finished": None}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("hydra.callbacks.x._target_=os.system", "which no run writes there"),
        ("+hydra.callbacks.x={_target_:os.system,_args_:[touch]}", "which no run writes there"),
        ("hydra/launcher=joblib", "which no run writes there"),
        ("hydra.searchpath=[file:///tmp]", "which no run writes there"),
        ("--config-dir=/tmp", "which no run writes there"),
        ("-m", "which no run writes there"),
        ("agent=../../../tmp/evil", "names no file of conf/agent"),
        ("env@agent=/tmp/evil", "names no file of conf/env"),
        ("resume=elsewhere", "which no run writes there"),
        ("trusted_targets=[foreign_code]", "a folder cannot vouch for itself"),
        ("++trusted_targets=[os]", "a folder cannot vouch for itself"),
    ],
)
def test_a_folder_that_would_choose_what_is_imported_is_not_resumed(tmp_path, canary, foreign, override, says):
    from sim.resume import resolved

    folder = unfinished(tmp_path / "run", "agent=random", override)
    with pytest.raises(ConfigError, match=says) as error:
        resolved([f"resume={folder}"])
    assert error.value.exit_code == 2 and "\n" not in str(error.value)


def test_a_run_with_code_of_the_users_goes_on_once_the_user_trusts_it_again(tmp_path):
    from hydra import compose, initialize_config_dir

    from sim.config import CONF, register_schemas
    from sim.resume import resolved
    from sim.run_folder import go_on

    register_schemas()
    given = ["agent=random", "agent._target_=mine.Moody", "trusted_targets=[mine]"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", given), resolve=True)
    folder = unfinished(tmp_path / "run", *given, config=config)
    assert "'trusted_targets=[mine]'" in go_on(folder, config)
    assert resolved([f"resume={folder}", "trusted_targets=[mine]"])[:3] == given
    with pytest.raises(ConfigError, match="trusted_targets was"):
        resolved([f"resume={folder}", "trusted_targets=[mine,os]"])


def test_a_hostile_target_in_a_resumed_folder_is_refused_before_any_work(tmp_path, canary):
    from sim.config import register_schemas, validate
    from sim.resume import _settings

    register_schemas()
    from hydra import compose, initialize_config_dir

    from sim.config import CONF

    for text in (f"agent._target_=os.system,agent._args_=[touch {canary}]", "population.loader._target_=os.system",
                 "load_agent._target_=os.system", f"+agent.deeper={{_target_:os.system,_args_:['touch {canary}']}}"):  # fmt: skip
        overrides = ["agent=random", *([text] if text.startswith("+") else text.split(",")[:1])]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            with pytest.raises(TargetError, match="is not trusted"):
                validate(compose("config", overrides))
        assert _settings(overrides)  # composing itself calls nothing


# ---------------------------------------------------------------------- a run to look at, and one of MLflow's
@pytest.mark.parametrize(
    "target", ["os.system", "sim.run.os.system", "sim.report.write_text", "foreign_code.go"]
)
@pytest.mark.parametrize("where", [".hydra", "config"])  # a folder; what is downloaded of a MLflow run
def test_the_gallery_reader_and_agent_that_a_foreign_run_names_are_not_called(tmp_path, canary, foreign, where, target):
    from sim.replay.errors import ReplayError
    from sim.replay.policies import load_policy
    from sim.replay.runs import read_run
    from sim.replay.shops import build_run_shop

    folder = tmp_path / "run"
    (folder / where).mkdir(parents=True)
    (folder / "policies" / "mine").mkdir(parents=True)
    (folder / "sessions.parquet").touch()
    (folder / "summary.json").write_text(json.dumps({"agent": "mine", "evaluation_seed": 0, "policies": {"mine": {}}}))
    hostile = {"_target_": target, "_args_": [f"touch {canary}"]}
    population = {"gallery": f"touch {canary}", "consent": True, "weights": None, "cache": None, "loader": hostile}
    config = {"agent": hostile, "load_agent": hostile, "population": population, "trusted_targets": ["os", "foreign_code"],
              "env": {}, "catalog": {}, "camera": {}}  # fmt: skip
    OmegaConf.save(OmegaConf.create(config), folder / where / "config.yaml")
    run = read_run(folder)
    with pytest.raises(ReplayError, match="cannot be built again"):
        build_run_shop(run, [])
    classes = []
    load_policy(run, "mine", lambda folder, agent_class: classes.append(agent_class), [])
    assert classes == [None]
    with pytest.raises(ReplayError, match="cannot be built again"):  # trusting one package is not trusting its imports
        build_run_shop(run, ["mine"])

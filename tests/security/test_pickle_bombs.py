"""Every file that is loaded, replaced by one that would run a command if it were unpickled: the canary never appears, and where
the file was needed the refusal is one sentence.  (Checkpoints, saved policies: tests/faults/test_checkpoints.py.)"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sqlite3
from types import SimpleNamespace

import numpy as np
import pytest

from tests.security import bomb


@pytest.fixture
def canary(tmp_path):
    """The file that must never appear; every test ends by looking for it."""
    path = tmp_path / bomb.CANARY
    yield path
    assert not path.exists(), "a file was unpickled"


def refused(load, *arguments, saying: str, **how) -> None:
    """The call ends in an error with one sentence and an exit code."""
    with pytest.raises(Exception, match=saying) as error:
        load(*arguments, **how)
    assert hasattr(error.value, "exit_code") and "\n" not in str(error.value), repr(error.value)


def test_the_bombs_go_off_where_they_are_handled_carelessly(canary):
    assert bomb.goes_off(bomb.pickled(canary), canary, pickle.load)
    assert bomb.goes_off(bomb.npz(canary, "a"), canary, lambda file: np.load(file, allow_pickle=True)["a"])
    import torch

    assert bomb.goes_off(bomb.torch_archive(canary), canary, lambda file: torch.load(file, weights_only=False))


@pytest.mark.parametrize("kind", ["pickled", "parquet"])
def test_a_feature_table_and_a_log_of_ones_own(tmp_path, canary, kind):
    from perception.errors import FeaturesError
    from perception.features import read_features
    from sim.off_policy.table import read_table

    content = getattr(bomb, kind)(canary)
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(FeaturesError, match="t.parquet"):
        read_features(tmp_path / "t.parquet")
    refused(read_table, tmp_path / "t.parquet", (), None, saying=r"t\.parquet")


@pytest.mark.parametrize("kind", ["pickled", "parquet"])
def test_a_session_log_and_a_log_for_calibration(tmp_path, canary, kind):
    from sim.calibration.errors import LogError
    from sim.calibration.reading import read_log
    from sim.replay.log import open_log

    (tmp_path / "sessions.parquet").write_bytes(getattr(bomb, kind)(canary))
    refused(open_log, tmp_path / "sessions.parquet", saying=r"sessions\.parquet")
    with pytest.raises(LogError):
        read_log(
            tmp_path / "sessions.parquet", policy=None, max_rows=100, lapse_days=90, catalog_prices={}, capped=None, quiet=True
        )


def test_a_log_in_parts_and_its_manifest(tmp_path, canary):
    from sim.replay.log import open_log

    log = tmp_path / "sessions.parquet"
    log.mkdir()
    content = bomb.pickled(canary)
    (log / "part-00000.parquet").write_bytes(content)
    part = {"file": "part-00000.parquet", "rows": 1, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "policies": {}}
    (log / "_manifest.json").write_text(json.dumps({"version": 1, "complete": True, "rows": 1, "parts": [part]}))
    refused(open_log, log, saying=r"sessions\.parquet")
    (log / "_manifest.json").write_bytes(content)
    refused(open_log, log, saying="sessions.parquet|_manifest.json")


@pytest.mark.slow
def test_facenets_weights_in_both_formats_of_torch(tmp_path, canary, monkeypatch):
    from perception import weights

    monkeypatch.setattr(weights, "check_file", lambda file: None)  # it would refuse by size and digest before
    for content in (bomb.pickled(canary), bomb.torch_archive(canary)):
        (tmp_path / "w.pt").write_bytes(content)
        refused(weights.load_facenet, tmp_path / "w.pt", saying="cannot be loaded safely")


def test_the_heads_of_emotion_and_mask_and_the_network_of_emotion(tmp_path, canary):
    from perception.emotion import load_network
    from perception.emotion_head import EmotionHead
    from perception.mask import MaskHead

    for content in (bomb.pickled(canary), bomb.npz(canary, "bare.coefficients")):
        (tmp_path / "head").write_bytes(content)
        refused(EmotionHead.load, tmp_path / "head", saying="the emotion head")
        refused(MaskHead.load, tmp_path / "head", saying="the mask head")
        refused(load_network, tmp_path / "head", saying="is not the emotion network")


def test_an_entry_of_perceptions_cache_counts_as_none(tmp_path, canary):
    from perception.cache import ImageCache

    cache, content = ImageCache(tmp_path / "cache", "0" * 64, embeddings=False), "ab" * 32
    file = cache._file(content)
    file.parent.mkdir(parents=True)
    file.write_bytes(bomb.pickled(canary))
    assert cache.get(content, "a.png") is None


def test_a_finished_cell_of_a_study_counts_as_none(tmp_path, canary):
    from experiments.cells import read_cell

    for content in (bomb.pickled(canary), bomb.npz(canary, "value")):
        (tmp_path / "cell.npz").write_bytes(content)
        assert read_cell(tmp_path / "cell.npz") is None


def test_the_arrays_of_a_saved_policy_in_both_formats(tmp_path, canary):
    import agents
    from agents.storage import SPEC, write_agent

    spec = dict.fromkeys(("agent", "name", "layout", "observation_size", "num_actions", "settings", "state", "learning_curve"), {})
    write_agent(tmp_path / "policy", spec | {"agent": "UCB1", "seed": 0}, {"a": np.zeros(2)})
    plain = json.loads((tmp_path / "policy" / SPEC).read_text())
    for name, content in (("arrays-0.npz", bomb.npz(canary, "a")), ("arrays-0.safetensors", bomb.pickled(canary))):
        (tmp_path / "policy" / name).write_bytes(content)
        forged = plain | {"arrays": name, "sha256": hashlib.sha256(content).hexdigest()}
        (tmp_path / "policy" / SPEC).write_text(json.dumps(forged))
        refused(agents.load_agent, tmp_path / "policy", saying="cannot be read")
    (tmp_path / "policy" / SPEC).write_bytes(bomb.pickled(canary))
    refused(agents.load_agent, tmp_path / "policy", saying="cannot be read as JSON")


def test_a_configuration_with_python_in_its_yaml_and_a_summary_that_is_a_pickle(tmp_path, canary):
    from sim.replay.runs import read_run
    from sim.resume import resolved

    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / "sessions.parquet").touch()
    (tmp_path / "run" / "summary.json").write_text('{"agent": "a", "evaluation_seed": 0, "policies": {}}')
    python = f"a: !!python/object/apply:os.system ['touch {canary}']\n"
    (tmp_path / "run" / ".hydra" / "config.yaml").write_text(python)
    refused(read_run, tmp_path / "run", saying=r"config\.yaml cannot be read")
    (tmp_path / "run" / "summary.json").write_bytes(bomb.pickled(canary))
    refused(read_run, tmp_path / "run", saying=r"summary\.json cannot be read")
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text(python)
    refused(resolved, [f"resume={tmp_path / 'run'}"], saying="before it wrote its settings")
    (tmp_path / "run" / "run.json").write_bytes(bomb.pickled(canary))
    refused(resolved, [f"resume={tmp_path / 'run'}"], saying=r"run\.json cannot be read")


def test_the_database_of_a_search_holds_json_only_and_a_pickle_in_it_is_not_read_as_one(tmp_path, canary):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = f"sqlite:///{tmp_path / 'tune.db'}"
    study = optuna.create_study(storage=url, study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    study.set_user_attr("a", 1)
    with sqlite3.connect(tmp_path / "tune.db") as store:
        tables = [name for (name,) in store.execute("select name from sqlite_master where type = 'table'")]
        cells = [cell for name in tables for row in store.execute(f"select * from {name}") for cell in row]
        assert len(cells) > 20 and not any(isinstance(cell, bytes) for cell in cells)
        store.execute("update study_user_attributes set value_json = ?", (bomb.pickled(canary),))
        store.execute("update trial_params set distribution_json = ?", (bomb.pickled(canary),))
    with pytest.raises((ValueError, TypeError)):
        again = optuna.load_study(storage=url, study_name="s")
        assert again.user_attrs and again.trials


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners are POSIX's")
def test_the_cache_of_machine_code_is_its_owners_alone_and_that_of_another_user_is_not_used(tmp_path, monkeypatch, capsys):
    from sim.shop import compiled

    monkeypatch.setattr(compiled.numba.config, "CACHE_DIR", compiled.numba.config.CACHE_DIR)
    monkeypatch.setenv("PUSH_SIM_CACHE", str(tmp_path))
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba").chmod(0o777)
    assert compiled._prepare_cache() is not None and (tmp_path / "numba").stat().st_mode & 0o777 == 0o700
    true = (tmp_path / "numba").stat()
    monkeypatch.setattr(compiled.os, "getuid", lambda: true.st_uid + 1)
    if true.st_uid != 0:  # root's is trusted, as its interpreter is
        assert compiled._prepare_cache() is None and "belongs to another user" in capsys.readouterr().err
    stranger = SimpleNamespace(st_uid=true.st_uid + 2, st_mode=true.st_mode)
    assert not compiled._is_ours_alone(SimpleNamespace(stat=lambda: stranger))

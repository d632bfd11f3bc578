"""Names, values and addresses in the form MLflow accepts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.tracking import TrackingError, default_uri, file_digest, flatten, git_state, library_versions, metric_name
from sim.tracking.names import clean_name, finite_only, shortened
from sim.tracking.uri import artifact_location, checked_uri, project_root, shown_uri

ROOT = Path(__file__).resolve().parents[2]


def test_a_metric_keeps_its_area_or_gets_run():
    assert metric_name("train/loss") == "train/loss"
    assert metric_name("loss") == "run/loss"
    assert metric_name("policies/ppo/value = 3?") == "policies/ppo/value _ 3_"
    assert metric_name("../../etc") == "run/etc"


@settings(deadline=None)  # the first example imports mlflow
@given(st.text())
def test_any_text_becomes_a_name_that_mlflow_accepts(text):
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name, _validate_tag_name

    _validate_metric_name(metric_name(text))
    _validate_param_name(clean_name(text))
    _validate_tag_name(clean_name(text))


@given(st.text(max_size=700), st.integers(50, 600))
def test_shortened_text_fits_and_short_text_is_untouched(text, limit):
    short = shortened(text, limit)
    assert len(short) <= limit
    assert (short == text) == (len(text) <= limit)


def test_numpy_numbers_and_truth_values_are_metrics():
    kept, dropped = finite_only({"a/f": np.float32(0.5), "a/i": np.int64(3), "a/b": True, "a/s": "x", "a/n": np.nan})
    assert kept == {"a/f": 0.5, "a/i": 3.0, "a/b": 1.0}
    assert all(type(value) is float for value in kept.values())
    assert dropped == 2


def test_a_nested_configuration_becomes_one_level():
    config = {"env": {"shop": {"k": 12}, "caps": [1, 2], "empty": {}}, "seed": 0, "none": None}
    assert flatten(config) == {"env.shop.k": 12, "env.caps": [1, 2], "env.empty": {}, "seed": 0, "none": None}


def test_the_default_address_is_one_absolute_file_whatever_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    assert default_uri() == f"sqlite:///{ROOT}/mlflow.db"
    assert project_root() == ROOT


def test_the_environment_variable_wins_and_a_wrong_one_is_named(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://example.org:5000")
    assert default_uri() == "http://example.org:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")
    with pytest.raises(TrackingError, match="MLFLOW_TRACKING_URI='mlruns'"):
        default_uri()


def test_relative_sqlite_addresses_and_bare_files_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert checked_uri("sqlite:///a.db") == checked_uri("a.db") == f"sqlite:///{tmp_path}/a.db"
    assert checked_uri("postgresql+psycopg2://u@h/db") == "postgresql+psycopg2://u@h/db"


def test_artifacts_lie_beside_a_sqlite_file_and_where_a_server_wants_them():
    assert artifact_location("sqlite:////x y/mlflow.db", "a/b c") == "file:///x%20y/mlartifacts/a-b-c"
    assert artifact_location("http://example.org", "q") is None


def test_a_shown_address_has_no_password():
    assert shown_uri("http://me:secret@example.org:5000/x") == "http://example.org:5000/x"
    assert shown_uri("sqlite:////x/mlflow.db") == "sqlite:////x/mlflow.db"


def test_the_git_state_follows_commit_and_change(tmp_path, monkeypatch):
    assert git_state(tmp_path) == {"commit": None, "dirty": None}

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init", "-q")
    assert git_state(tmp_path)["commit"] is None
    (tmp_path / "f").write_text("1")
    git("add", "f")
    git("commit", "-qm", "one", "--no-verify")
    state = git_state(tmp_path)
    assert len(state["commit"]) == 40 and state["dirty"] is False
    (tmp_path / "f").write_text("2")
    assert git_state(tmp_path)["dirty"] is True
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


def test_versions_are_those_installed_and_none_for_a_missing_package():
    versions = library_versions(["numpy", "no-such-package-here"])
    assert versions["numpy"] == np.__version__
    assert versions["no-such-package-here"] is None


def test_the_digest_of_3_bytes_is_the_published_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_digest(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_importing_the_tracking_room_imports_no_mlflow_torch_or_pandas():
    program = "import sim.tracking, sys; print([m for m in ('mlflow', 'torch', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("command", "arguments", "code", "text"),
    [
        ("sim.tracking", [], 0, "sqlite:///"),
        ("sim.tracking", ["nonsense"], 2, "usage:"),
        ("sim.tracking", ["metrics"], 0, "| `value_per_customer` | money |"),
        ("sim.sync", ["a", "b"], 2, "usage:"),
        ("sim.sync", ["nowhere"], 2, "error: no spool.jsonl at or below nowhere"),
    ],
)
def test_the_commands_answer_with_the_address_their_usage_or_one_sentence(command, arguments, code, text):
    done = subprocess.run(
        [sys.executable, "-m", command, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == code
    assert text in done.stdout + done.stderr

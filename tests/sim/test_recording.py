"""What a run tells MLflow, held against a recorder instead of a store."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from sim import recording
from sim.tracking.store import NOTE_TAG
from tests.sim.replay_material import make_run

CAMERA = dict.fromkeys(("emotion", "identity", "mask"), "perceived")


class Recorder:
    """Takes the calls of a tracked run."""

    def __init__(self):
        self.calls: dict[str, list] = {}

    def __getattr__(self, name):
        return lambda *arguments, **more: self.calls.setdefault(name, []).append((arguments, more))


@pytest.mark.parametrize(
    ("camera", "name"),
    [
        (CAMERA, "ppo-shop-s3"),
        (dict.fromkeys(CAMERA, "blind"), "ppo-shop-blind-s3"),
        ({**CAMERA, "emotion": "oracle"}, "ppo-shop-oracle+perceived+perceived-s3"),
    ],
)
def test_the_name_tells_policy_scenario_camera_and_seed(camera, name):
    assert recording.run_name("ppo", "shop", camera, 3) == name


def test_the_configuration_hash_follows_what_decides_the_numbers_and_nothing_else():
    base = {"seed": 0, "env": {"a": 1, "b": 2}, "tracking": {"uri": None}}
    same = {"env": {"b": 2, "a": 1}, "seed": 0, "tracking": {"uri": "http://elsewhere"}, "replay": {"customers": 5}}
    assert recording.config_hash(base) == recording.config_hash(same)
    assert recording.config_hash(base) != recording.config_hash({**base, "seed": 1})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = make_run(tmp_path_factory.mktemp("recording") / "run", customers=20)
    (made["folder"] / "replay.html").write_text("<!doctype html>")
    summary = json.loads((made["folder"] / "summary.json").read_text())
    pair = {"value_per_customer": {"mean": 1.0, "low": 0.5, "high": 1.5, "n": 20}}
    summary |= {
        "training_steps": 512, "timing": {"total": 2.0}, "rows": 99, "customers": 20, "oracles": {}, "regret": {},
        "paired": {"ppo_minus_linucb": pair}, "seed": 0,
    }  # fmt: skip
    return made | {"summary": summary}


def finished(made, gallery) -> Recorder:
    tracked, page = Recorder(), SimpleNamespace(shareable=True, path=made["folder"] / "replay.html")
    config = OmegaConf.to_container(OmegaConf.load(made["folder"] / ".hydra" / "config.yaml"))
    config = {**config, "seed": 0, "load_agent": {"_target_": "agents.load_agent"}}
    config["population"] = {**config["population"], "gallery": gallery}
    recording.begin(tracked, config, made["shop"], made["table"], made["folder"])
    recording.finish(tracked, config, made["shop"], made["policies"]["ppo"], made["summary"], made["folder"], page)
    return tracked


def artifacts(tracked: Recorder) -> set[str]:
    return {arguments[0].name for arguments, _ in tracked.calls["artifact"]}


def test_the_player_of_rendered_customers_is_logged_and_that_of_real_ones_never(made):
    personas, real = finished(made, None), finished(made, "/photographs")
    assert "replay.html" in artifacts(personas) and "replay.html" not in artifacts(real)
    notes = [arguments[0][NOTE_TAG] for each in (personas, real) for arguments, _ in each.calls["tags"][-1:]]
    assert "artifacts/replay.html" in notes[0] and "replay.html" not in notes[1]
    assert artifacts(real) >= {"summary.json", "sessions.parquet", "metrics.md", "policies", "policies.png"}


def test_no_dataset_describes_an_embedding_and_all_3_have_digests(made):
    described = {d["name"]: (d, context) for (d, context), _ in finished(made, None).calls["dataset"]}
    assert {name: context for name, (_, context) in described.items()} == {
        "catalog": "labels", "gallery-features": "faces", "sessions": "evaluation",
    }  # fmt: skip
    assert all(d["digest"] and "embedding" not in d["schema"] for d, _ in described.values())
    assert described["gallery-features"][0]["digest"] == made["shop"].gallery.digest


def test_results_stand_on_the_axis_of_learning_under_names_that_runs_share(made):
    calls = finished(made, None).calls
    assert {arguments[1] for arguments, _ in calls["metrics"]} == {512}
    metrics = {name: value for arguments, _ in calls["metrics"] for name, value in arguments[0].items()}
    own = made["summary"]["policies"]["ppo"]["push_rate"]
    assert metrics["evaluate/push_rate"] == metrics["evaluate/ppo/push_rate"] == own["mean"]
    assert metrics["paired_low/minus_linucb/value_per_customer"] == 0.5
    (((folder, name), model),) = calls["model"]
    assert (folder.name, name, model["step"]) == ("ppo", "ppo", 512)
    assert model["labels"] == list(made["shop"].catalog.names) and model["load_agent"] == "agents.load_agent"


def test_a_hostile_label_or_policy_cannot_leave_its_cell_of_the_description(made):
    summary = made["summary"] | {"agent": "ppo", "env": "shop"}
    text = recording.describe_results(summary, with_page=False)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(summary["policies"]) and all(row.count("|") == 6 for row in rows)

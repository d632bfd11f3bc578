"""A trained policy as an MLflow model answers as the policy itself does, in process, from the registry, and over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sim.config import ROOT
from sim.tracking import Tracker, TrackingError
from sim.tracking.models import code_of, save_policy, signature
from sim.tracking.registry import register, run_id_of
from sim.tracking.store import MlflowStore
from sim.tracking.sync import sync
from sim.training import agent_config, build_agent
from tests.sim.conftest import make_shop

DEAD = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A LinUCB and a PPO agent that learned a little, saved; the shop; and 40 observations with masks and luck."""
    from sim.envs.vector import ProductPushVectorEnv

    shop, folder = make_shop(), tmp_path_factory.mktemp("policies")
    policies = {}
    for name, settings in (("linucb", {"num_envs": 64}), ("ppo", {"num_envs": 32, "n_steps": 16, "batch_size": 512})):
        policy = build_agent({**agent_config(name), **settings}, shop, 0, [])
        policy.learn(ProductPushVectorEnv(policy.num_envs, shop), steps=2048)
        policy.save(folder / name)
        policies[name] = policy
    lives = shop.customers(40, 7, "evaluate")
    for _ in range(3):
        lives.step(np.arange(40) % 13)
    rng = np.random.default_rng(0)
    allowed = rng.random((40, 13)) < 0.6
    allowed[:, 0] = True
    return policies, shop, folder, lives.observation.copy(), allowed, rng.random(40)


def state_of(shop, observation, allowed=None, uniform=None) -> pd.DataFrame:
    table = {name: list(observation[:, a:b].astype(float)) for name, (a, b) in shop.layout.items()}
    table |= {} if allowed is None else {"allowed": list(allowed)}
    return pd.DataFrame(table | ({} if uniform is None else {"uniform": uniform}))


def model_settings(policy, shop) -> dict:
    return {"labels": list(shop.catalog.names), **code_of("agents.load_agent", type(policy))}


@pytest.fixture(scope="module")
def loaded(trained, tmp_path_factory):
    import mlflow.pyfunc

    policies, shop, folder, *_ = trained
    models = {}
    for name, policy in policies.items():
        target = tmp_path_factory.mktemp("models") / name
        save_policy(target, folder / name, **model_settings(policy, shop))
        models[name] = mlflow.pyfunc.load_model(str(target))
    return models


@pytest.mark.parametrize("name", ["linucb", "ppo"])
def test_the_model_gives_the_policys_probabilities_label_and_draw(trained, loaded, name):
    policies, shop, _, observation, allowed, uniform = trained
    policy = policies[name]
    answer = loaded[name].predict(state_of(shop, observation, allowed, uniform))
    probabilities = policy.action_probabilities(observation, allowed)
    assert np.array_equal(np.array(answer["probabilities"].tolist()), probabilities)
    assert np.array_equal(answer["action"], policy.act(observation, allowed, uniform).action)
    names = ["hold back", *shop.catalog.names]
    assert list(answer["label"]) == [names[a] for a in answer["action"]]
    likeliest = loaded[name].predict(state_of(shop, observation))
    assert np.array_equal(
        likeliest["action"], policy.action_probabilities(observation, np.ones_like(allowed)).argmax(1)
    )


def test_a_bandit_says_what_it_expects_and_ppo_which_has_no_such_estimate_says_nothing(trained, loaded):
    policies, shop, _, observation, *_ = trained
    answer = loaded["linucb"].predict(state_of(shop, observation))
    policy = policies["linucb"]
    by_hand = np.c_[np.ones(40), observation.astype(float)] @ policy.weights_.T / policy.reward_scale
    assert np.allclose(answer["expected_value"].astype(float), by_hand[np.arange(40), answer["action"]])
    assert loaded["ppo"].predict(state_of(shop, observation))["expected_value"].isna().all()


def test_the_signature_names_the_17_slices_of_the_state_and_4_answers():
    layout = make_shop().layout
    found = signature(layout)
    assert found.inputs.input_names() == [*layout, "allowed", "uniform"] and len(layout) == 17
    assert found.outputs.input_names() == ["action", "label", "probabilities", "expected_value"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="emotion"), "emotion"),
        (lambda t: t.assign(emotion=[np.zeros(6)] * len(t)), "emotion: give 7 numbers per customer, not 6"),
        (lambda t: t.assign(spent=[np.array([np.nan])] * len(t)), "spent: a number is missing or not finite"),
        (lambda t: t.assign(allowed=[np.zeros(13, bool)] * len(t)), "holding back, which is always allowed"),
    ],
)
def test_a_wrong_state_is_refused_with_the_part_that_is_wrong(trained, loaded, change, words):
    from mlflow.exceptions import MlflowException

    _, shop, _, observation, *_ = trained
    with pytest.raises(MlflowException, match=words):
        loaded["linucb"].predict(change(state_of(shop, observation)))


def test_no_file_of_a_model_is_a_pickle_and_its_weights_are_safetensors(trained, tmp_path):
    policies, shop, folder, *_ = trained
    save_policy(tmp_path / "m", folder / "ppo", **model_settings(policies["ppo"], shop))
    files = [path for path in (tmp_path / "m").rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".npz", ".joblib")]
    assert [path.suffix for path in files if "arrays-" in path.name] == [".safetensors"]
    assert any(path.name == "ppo.py" and "code" in path.parts for path in files)


@pytest.mark.slow
def test_a_users_own_agent_travels_with_its_module(tmp_path, monkeypatch):
    (tmp_path / "corner_shop.py").write_text(
        "from agents.baselines import HoldBack\n\n\nclass Closed(HoldBack):\n    name = 'closed'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    shop = make_shop()
    policy = build_agent({"_target_": "corner_shop.Closed", "_partial_": True}, shop, 0, ["corner_shop"])
    policy.save(tmp_path / "policy")
    save_policy(tmp_path / "m", tmp_path / "policy", **model_settings(policy, shop))
    program = (
        "import sys, mlflow.pyfunc, pandas, numpy\n"
        f"model = mlflow.pyfunc.load_model({str(tmp_path / 'm')!r})\n"
        "table = pandas.DataFrame({k: [numpy.zeros(b - a)] for k, (a, b) in model.model_config['layout'].items()})\n"
        "print(model.predict(table)['label'][0], sys.modules['corner_shop'].__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path.parent, check=True
    )
    label, where = done.stdout.strip().splitlines()[-1].rsplit(" ", 1)
    assert label == "hold back" and Path(where).is_relative_to(tmp_path / "m")


def logged(trained, uri: str, folder: Path, name: str = "linucb"):
    policies, shop, saved, *_ = trained
    with Tracker(uri, "q").run(name, folder=folder) as run:
        run.model(
            saved / name, name, step=2048, tags={"value_per_customer": 1.5}, **model_settings(policies[name], shop)
        )
    return run


def test_a_run_logs_its_policy_once_however_often_it_is_delivered(trained, uri, client, tmp_path):
    logged(trained, DEAD, tmp_path)
    spool = tmp_path / "spool.jsonl"
    sync(tmp_path, uri)
    spool.write_text("\n".join(line for line in spool.read_text().splitlines() if '"delivered"' not in line) + "\n")
    sync(tmp_path, uri)
    experiment = client.get_experiment_by_name("q").experiment_id
    (model,) = client.search_logged_models([experiment])
    (run,) = client.search_runs([experiment])
    assert (model.name, str(model.status), model.tags["value_per_customer"]) == ("linucb", "READY", "1.5")
    assert {output.model_id for output in run.outputs.model_outputs} == {model.model_id}


def test_an_alias_moves_between_versions_and_a_policy_is_registered_once(trained, uri, client, tmp_path):
    import mlflow

    first, second = (logged(trained, uri, tmp_path / name, name).run_id for name in ("linucb", "ppo"))
    store = MlflowStore(uri)
    assert register(store, first, "push-policy", "champion")[:3] == ("push-policy", "1", "champion")
    assert register(store, first, "push-policy", "challenger").version == "1"
    moved = register(store, run_id_of(tmp_path / "ppo"), "push-policy", "champion")
    assert (moved.version, moved.uri) == ("2", "models:/push-policy@champion")
    assert client.get_model_version_by_alias("push-policy", "challenger").version in (1, "1")
    mlflow.set_tracking_uri(uri)
    policies, shop, _, observation, *_ = trained
    answer = mlflow.pyfunc.load_model(moved.uri).predict(state_of(shop, observation))
    assert np.array_equal(
        np.array(answer["probabilities"].tolist()),
        policies["ppo"].action_probabilities(observation, np.ones((40, 13), bool)),
    )
    with pytest.raises(TrackingError, match="is no alias"):
        register(store, first, "push-policy", "v2")
    with pytest.raises(TrackingError, match="knows no such run"):
        register(store, "0" * 32, "push-policy", "champion")
    with Tracker(uri, "q").run("empty") as empty:
        pass
    with pytest.raises(TrackingError, match="logged no policy"):
        register(store, empty.run_id, "push-policy", "champion")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(url: str, payload: object) -> tuple[int, dict]:
    request = urllib.request.Request(url, json.dumps(payload).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linucb", "ppo"])
def test_the_served_policy_answers_as_the_one_in_process_with_pickles_refused(trained, uri, tmp_path, name):
    policies, shop, _, observation, allowed, uniform = trained
    made = register(MlflowStore(uri), logged(trained, uri, tmp_path, name).run_id, "push-policy", "champion")
    port = free_port()
    environment = {
        **os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "False", "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", made.uri, "--env-manager", "local"]
    with open(tmp_path / "serve.log", "w") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
            env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2):
                    break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "serve.log").read_text()
                time.sleep(0.5)
        table = state_of(shop, observation, allowed, uniform)
        rows = json.loads(table.to_json(orient="records"))
        url = f"http://127.0.0.1:{port}/invocations"
        expected = policies[name].act(observation, allowed, uniform)
        for payload in (
            {"dataframe_records": rows},
            {"dataframe_split": {"columns": list(table), "data": [list(row.values()) for row in rows]}},
        ):  # MLflow's `inputs` and `instances` take no columns of arrays
            status, answer = post(url, payload)
            assert status == 200, answer
            found = pd.DataFrame(answer["predictions"])
            assert np.array_equal(found["action"], expected.action)
            assert np.allclose(np.array(found["probabilities"].tolist()), expected.probabilities, atol=1e-12)
            assert found["expected_value"].isna().all() == (name == "ppo")
        bare = [{name: row[name] for name in shop.layout} for row in rows]
        status, answer = post(url, {"dataframe_records": bare})
        free = policies[name].action_probabilities(observation, np.ones((40, 13), bool))
        assert status == 200 and [row["action"] for row in answer["predictions"]] == free.argmax(1).tolist()
        status, answer = post(url, {"dataframe_records": [{**rows[0], "emotion": [1.0]}]})
        assert status == 400 and "emotion: give 7 numbers" in answer["message"]
    finally:
        os.killpg(server.pid, 15)
        server.wait(20)


@pytest.mark.slow
def test_the_repository_is_not_needed_to_serve(trained, tmp_path):
    policies, shop, folder, observation, allowed, _ = trained
    save_policy(tmp_path / "m", folder / "linucb", **model_settings(policies["linucb"], shop))
    state_of(shop, observation, allowed).to_json(tmp_path / "in.json", orient="records")
    program = (
        "import sys, json, mlflow.pyfunc, pandas, numpy\n"
        f"assert not any({str(ROOT)!r} == p for p in sys.path)\n"
        f"model = mlflow.pyfunc.load_model({str(tmp_path / 'm')!r})\n"
        f"table = pandas.read_json({str(tmp_path / 'in.json')!r}, orient='records')\n"
        "answer = model.predict(table)\n"
        "import agents\n"
        "print(json.dumps([agents.__file__, answer['action'].tolist()]))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    where, actions = json.loads(done.stdout.strip().splitlines()[-1])
    assert Path(where).is_relative_to(tmp_path / "m")
    assert actions == policies["linucb"].action_probabilities(observation, allowed).argmax(1).tolist()

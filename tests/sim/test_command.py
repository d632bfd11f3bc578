"""`python -m sim.run` as a user meets it: bad input is one sentence and exit code 2, and a tiny run ends with everything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from sim.config import ROOT


def command(*arguments, cwd=ROOT, timeout=280, **environment):
    return subprocess.run(
        [sys.executable, "-m", "sim.run", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("agent=nope", "Could not find 'agent/nope'"),
        ("agnt=ppo", "did you mean 'agent'"),
        ("seed=abc", "seed: Value 'abc' of type 'str' could not be converted to Integer"),
        ("seed=-1", "seed=-1 is out of range"),
        ("evaluate.customers=0", "evaluate.customers=0 is out of range"),
        ("evaluate.oracles=[delphi]", "'delphi' is no oracle; choose from myopic, priced, planning, exact"),
        ("evaluate.oracles=[exact]", "only the twin can be solved exactly; use env=twin"),
        ("evaluate.log=some", "evaluate.log=some is unknown; choose auto, all, none, or how many customers"),
        ("env.reward.affect_price=-1", "env.reward.affect_price = -1.0 is out of range; allowed is 0 to"),
        ("env.choice.taste_weight=99", "env.choice.taste_weight = 99.0 is out of range; allowed is 0 to 20"),
        ("env.returning.horizon_days=0", "env.returning.horizon_days = 0.0 is out of range; allowed is 1 to 100000 (days of a life)"),
        ("env.slate_size=13", "env.slate_size = 13 is out of range; allowed is 1 (one label per push) to 12, the labels of the catalog"),
        ("env.choice.taste_wait=1", "did you mean 'taste_weight'"),
        ("camera.noise=2", "camera.noise = 2.0 is out of range; allowed is 0 to 1"),
        ("agent.nope=1", "there is no setting 'agent.nope'"),
        ("camera.identity=psychic", "choose perceived, oracle, blind, noisy"),
        ("baselines=[clairvoyant]", "'clairvoyant' is no agent; choose from"),
        ("catalog.path=nowhere.csv", "catalog.path=nowhere.csv: cannot be read"),
        ("population.gallery=nowhere", "population.gallery=nowhere: no such folder"),
        ("population.gallery=/usr", "say so with population.consent=true"),
        ("executor.address=head:6379", "executor.address=head:6379 is for executor=ray; executor=serial runs on this machine"),
        ("agent._target_=os.system", "agent._target_=os.system is not trusted"),
    ],
)
def test_a_bad_setting_is_one_sentence_and_exit_code_2_and_leaves_nothing(argument, sentence, tmp_path):
    done = command(argument, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr and done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_help_shows_what_to_type_and_loads_nothing_heavy(tmp_path):
    done = command("--help", cwd=tmp_path)
    assert done.returncode == 0 and "python -m sim.run agent=ppo" in done.stdout and "agent: " in done.stdout
    code = (
        "import sys; sys.argv = ['sim.run', '--help']; sys.orig_argv = ['python', '-m', 'sim.run']\n"
        "import sim.run\n"
        "try: sim.run.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mlflow', 'numba', 'pandas', 'gymnasium', 'matplotlib', 'facenet_pytorch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_an_unwritable_output_folder_is_exit_code_1(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = command("agent=random", f"hydra.run.dir={tmp_path / 'file' / 'run'}", "tracking=none", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr


TINY = ("evaluate.customers=200", "tune.customers=50", "baselines=[random,hold_back,popularity]")


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a folder with ünïcode")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    done = command("agent=linucb", "steps=20000", *TINY, cwd=folder, MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 0, done.stderr
    return folder, next((folder / "outputs").glob("*/*/summary.json")).parent, done


def test_a_run_of_slates_ends_with_its_results_and_says_why_there_is_no_page(tmp_path):
    done = command("env=slate", "agent=linucb", "steps=2048", *TINY, "tracking=none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = next((tmp_path / "outputs").glob("*/*/summary.json")).parent
    assert "no session player's page: run" in done.stderr and "pushed slates of up to 3 labels" in done.stderr
    assert not (run / "replay.html").exists()


def test_a_run_writes_its_contract(tiny_run):
    _, run, done = tiny_run
    summary = json.loads((run / "summary.json").read_text())
    assert {"seed", "env", "agent", "git", "versions", "timing", "policies", "paired"} <= set(summary)
    assert set(summary["policies"]) == {"linucb", "random", "hold_back", "popularity"}
    for metric in ("value_per_customer", "discounted_value", "purchases_per_customer", "push_rate", "opt_out_rate"):
        assert set(summary["policies"]["linucb"][metric]) == {"mean", "low", "high", "n"}
    assert summary["policies"]["hold_back"]["value_per_customer"]["mean"] == 0
    paired = summary["paired"]["linucb_minus_random"]["value_per_customer"]
    values = {name: summary["policies"][name]["value_per_customer"]["mean"] for name in ("linucb", "random")}
    assert paired["mean"] == pytest.approx(values["linucb"] - values["random"]) and paired["n"] == 200
    frame = pd.read_parquet(run / "sessions.parquet")
    assert frame.groupby("policy", observed=True)["customer"].nunique().to_dict() == dict.fromkeys(summary["policies"], 200)
    sums = frame.groupby("policy", observed=True)["reward"].sum() / 200
    assert sums["linucb"] == pytest.approx(values["linucb"])
    assert set(summary["oracles"]) == {"myopic_oracle", "priced_oracle"} and summary["log"] == {"customers": 200, "of": 200}
    regret = summary["regret"]["linucb"]["priced_oracle"]["value_per_customer"]
    assert regret["mean"] == pytest.approx(summary["oracles"]["priced_oracle"]["value_per_customer"]["mean"] - values["linucb"])
    mean = frame.loc[frame["policy"] == "linucb", "true_immediate_regret"].mean()
    assert summary["policies"]["linucb"]["immediate_regret"]["mean"] == pytest.approx(mean) and mean > 0
    emotions = summary["guard_rails"]["by_emotion"]["linucb"]
    assert sum(row["opportunities"] for row in emotions.values()) == (frame["policy"] == "linucb").sum()
    assert {"true_best_action", "true_negative_affect", "true_valence_shift", "affect_term"} <= set(frame)
    assert (run / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    assert (run / ".hydra" / "config.yaml").exists() and (run / "policies" / "linucb").is_dir()


def test_a_run_prints_the_table_and_what_to_type_next(tiny_run):
    _, _, done = tiny_run
    assert "priced_oracle*" in done.stdout and "guard rails" in done.stdout
    assert "linucb - random" in done.stdout and "make ui" in done.stdout and "Traceback" not in done.stderr


def test_a_run_is_in_mlflow_with_parameters_metrics_and_artifacts(tiny_run):
    import mlflow

    folder, _, _ = tiny_run
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("shop").experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == "linucb-shop-s0"
    assert run.data.params["agent.alpha"] == "0.5" and "evaluate/linucb/value_per_customer" in run.data.metrics
    artifacts = {a.path for a in client.list_artifacts(run.info.run_id)}
    assert artifacts >= {"summary.json", "sessions.parquet", "replay.html", "metrics.md", "config", "policies", "figures"}
    assert {a.path for a in client.list_artifacts(run.info.run_id, "figures")} == {"figures/learning_curve.png", "figures/policies.png"}


def test_a_run_in_mlflow_says_from_what_it_was_made_and_what_came_out(tiny_run):
    import mlflow

    from sim.tracking.dictionary import entry_of

    folder, where, _ = tiny_run
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("shop").experiment_id
    (run,) = client.search_runs([experiment])
    summary = json.loads((where / "summary.json").read_text())
    assert {d.dataset.name for d in run.inputs.dataset_inputs} == {"catalog", "gallery-features", "sessions"}
    described = {d.dataset.name: d.dataset for d in run.inputs.dataset_inputs}
    assert described["catalog"].digest == summary["digests"]["catalog"] and "embedding" not in described["gallery-features"].schema
    assert json.loads(described["sessions"].profile)["num_rows"] == summary["rows"]
    tags = run.data.tags
    assert (tags["git_commit"], tags["shop_digest"]) == (str(summary["git"]["commit"]), summary["digests"]["shop"])
    assert len(tags["config_hash"]) == 16 and tags["kind"] == "run" and "mlflow.parentRunId" not in tags
    value = summary["policies"]["linucb"]["value_per_customer"]
    for suffix, bound in (("", "mean"), ("_low", "low"), ("_high", "high")):
        assert run.data.metrics[f"evaluate{suffix}/value_per_customer"] == pytest.approx(value[bound])
    paired = summary["paired"]["linucb_minus_random"]["value_per_customer"]["low"]
    assert run.data.metrics["paired_low/minus_random/value_per_customer"] == pytest.approx(paired)
    assert [name for name in run.data.metrics if entry_of(name) is None] == []
    steps = {m.step for m in client.get_metric_history(run.info.run_id, "evaluate/value_per_customer")}
    assert steps == {summary["training_steps"]}  # the axis of the learning curve
    note = tags["mlflow.note.content"]
    assert f"| **linucb** | {value['mean']:.2f} " in note and f"/runs/{run.info.run_id}/artifacts/metrics.md" in note
    (model,) = client.search_logged_models([experiment])
    assert (model.name, model.source_run_id, model.params["env"]) == ("linucb", run.info.run_id, "shop")


def test_the_same_seed_gives_the_same_sessions(tiny_run, tmp_path):
    _, run, _ = tiny_run
    done = command("agent=linucb", "steps=20000", *TINY, "tracking=none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = next(tmp_path.glob("outputs/*/*/sessions.parquet"))
    pd.testing.assert_frame_equal(pd.read_parquet(run / "sessions.parquet"), pd.read_parquet(again))


def test_a_users_own_agent_is_one_class_and_one_line(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom agents.base import Agent\n\n\nclass Coffee(Agent):\n"
        "    name = 'coffee'\n\n"
        "    def learn(self, env, *, steps=None, evaluate=None, report=None):\n        pass\n\n"
        "    def _probabilities(self, observation, action_mask):\n"
        "        p = np.zeros(action_mask.shape)\n"
        "        p[np.arange(len(p)), np.where(action_mask[:, 1], 1, 0)] = 1\n        return p\n"
    )
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = command(
        "agent=random", "agent._target_=mine.Coffee", "agent.name=coffee", "trusted_targets=[mine]", *TINY, "tracking=none",
        cwd=tmp_path, PYTHONPATH=path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(next(Path(tmp_path).glob("outputs/*/*/summary.json")).read_text())
    assert summary["policies"]["coffee"]["push_rate"]["mean"] == 1


WHOLE = """
import sys
sys.argv = ["sim.run", *sys.argv[1:]]
import sim.run
try:
    sim.run.main()
except SystemExit as end:
    assert not end.code, end.code
assert "tensorflow" not in sys.modules, "the main path must not load TensorFlow"
"""


def test_the_main_job_trains_ppo_and_never_loads_tensorflow(tmp_path):
    small = ["agent.num_envs=64", "agent.batch_size=1024", "steps=8192", "evaluate.customers=100", "tune.customers=50"]
    small.append("baselines=[random]")
    done = subprocess.run(
        [sys.executable, "-c", WHOLE, "agent=ppo", "evaluate.deterministic=true", *small, "tracking=none"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = next(tmp_path.glob("outputs/*/*/summary.json")).parent
    frame = pd.read_parquet(run / "sessions.parquet")
    assert (frame.loc[frame["policy"] == "ppo", "propensity"] == 1).all()  # deterministic
    assert frame.loc[frame["policy"] == "random", "propensity"].between(1 / 13 - 1e-9, 1).all()
    assert (run / "policies" / "ppo" / "agent.json").exists() and os.path.samefile(tmp_path / "outputs" / "latest", run)

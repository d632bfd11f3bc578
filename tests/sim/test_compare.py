"""A comparison gathers the policies of runs on the customers they share, names what differs, and writes what it says."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from perception.features import EMOTIONS
from sim.compare import answer as answers
from sim.compare.errors import CompareError
from sim.compare.gather import expand, gather
from sim.compare.segments import FEWEST
from sim.evaluation.customers import write_customers
from sim.replay.errors import ReplayError
from sim.replay.runs import Run

N = 240
ENV = {"name": "shop"}


def run_of(tmp_path, name, seed, policies, camera="perceived", agent="ppo", n=N, oracles=(), gamma=0.97, env=ENV):
    """A finished run on disk whose policy p earns policies[p] on average, on luck that all runs share."""
    folder = tmp_path / name
    folder.mkdir()
    luck = np.random.default_rng(0)
    base = luck.gamma(2.0, 3.0, N)
    who = {
        "face": np.arange(N) % 12, "emotion": (np.arange(N) % 7).astype(np.int8), "masked": np.arange(N) % 5 == 0,
        "known": np.arange(N) % 3 > 0, "enrolled": np.arange(N) % 4 > 0, "price_sensitivity": luck.random(N),
    }  # fmt: skip
    noise = np.random.default_rng(100 + seed)
    totals = {}
    for policy, mean in policies.items():
        own = noise.normal(0, 0.3, N) if policy == agent else 0.0
        value = (base - base.mean() + mean + own)[:n]
        totals[policy] = {"value": value, "pushes": np.round(value), "clicks": np.zeros(n), "opted_out": (value < 0).astype(float)}
    write_customers(folder / "customers.parquet", totals, {key: column[:n] for key, column in who.items()})
    summary = {
        "seed": seed, "agent": agent, "evaluation_seed": 10_000, "policies": dict.fromkeys(policies, {}),
        "oracles": dict.fromkeys(oracles, {}), "curve": [[0, 1.0], [100, 2.0 + seed]], "digests": {"catalog": "c", "gallery": "g"},
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    config = {
        "agent": {"gamma": gamma}, "steps": None, "env": env, "camera": dict.fromkeys(("emotion", "identity", "mask"), camera),
        "population": {"traits": {}, "gallery": None},
    }  # fmt: skip
    return Run(folder, summary, config)


POLICIES = {"ppo": 15.0, "linucb": 12.0, "random": 7.0, "myopic_oracle": 22.0}


@pytest.fixture
def data(tmp_path):
    return gather([run_of(tmp_path, f"r{s}", s, POLICIES, oracles=["myopic_oracle"]) for s in range(3)])


def test_a_learner_has_a_row_a_seed_and_a_policy_that_is_always_the_same_has_one(data):
    assert {name: len(seeds) for name, seeds in data.seeds.items()} == {"ppo": 3, "linucb": 1, "random": 1, "myopic_oracle": 1}
    assert data.values("ppo", "value").shape == (3, N) and data.references == ["myopic_oracle"]
    assert len(data.curves["ppo"]) == 3 and data.customers == N


def test_the_answer_finds_the_planted_differences(data):
    found = answers.compare(data, "value_per_customer", None, None, 0)
    assert found.ranked == ["ppo", "linucb", "random"] and (found.low, found.high) == ("random", "myopic_oracle")
    pair = {(p.a, p.b): p for p in found.pairs}["ppo", "linucb"]
    assert pair.interval["mean"] == pytest.approx(3.0, abs=0.1) and pair.verdict == "better"
    assert found.iqm["ppo"]["mean"] == pytest.approx((15 - 7) / (22 - 7), abs=0.02)
    assert found.improvement[0, 1] == 1.0 and found.improvement[1, 0] == 0.0
    assert {s.kind for s in found.segments} == {"emotion at arrival", "masked at arrival", "recognised at arrival", "price sensitivity"}
    assert all(s.customers >= FEWEST for s in found.segments)
    assert sum(s.customers for s in found.segments if s.name in EMOTIONS) == N


def test_a_metric_that_should_be_low_ranks_the_lowest_first(tmp_path):
    runs = [run_of(tmp_path, "a", 0, {"ppo": 1.0, "random": 9.0})]
    assert answers.compare(gather(runs), "opt_out_rate", None, None, 0).ranked == ["random", "ppo"]


def test_everything_said_is_written_and_a_hostile_name_stays_text(tmp_path):
    name = "<script>alert(1)</script>"
    data = gather([run_of(tmp_path, "a", 0, {"ppo": 15.0, name: 3.0, "random": 7.0})])
    found = answers.compare(data, "value_per_customer", None, None, 0)
    paths = answers.write(tmp_path / "out", found, data)
    assert {p.name for p in paths} >= {"values.png", "profiles.png", "improvement.png", "segments.png", "learning_curves.png"}
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page and "http" not in page
    numbers = json.loads((tmp_path / "out" / "comparison.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out" / "comparison.csv").open()))
    assert len(rows) == 3 == len(numbers["pairs"]) and float(rows[0]["mean"]) == numbers["pairs"][0]["interval"]["mean"]
    for title, header, table in answers.tables(found, data):
        assert title and all(len(row) == len(header) for row in table)


def test_cameras_and_settings_that_differ_are_part_of_the_name(tmp_path):
    runs = [
        run_of(tmp_path, "a", 0, {"ppo": 15.0, "random": 7.0}),
        run_of(tmp_path, "b", 0, {"ppo": 12.0, "random": 7.0}, camera="blind", gamma=0.9),
    ]
    assert list(gather(runs).totals) == [
        "ppo@perceived[gamma=0.97]", "random@perceived", "ppo@blind[gamma=0.9]", "random@blind",
    ]  # fmt: skip


def test_runs_of_different_length_are_compared_on_the_customers_they_share(tmp_path):
    runs = [run_of(tmp_path, "a", 0, POLICIES), run_of(tmp_path, "b", 1, POLICIES, n=100)]
    data = gather(runs)
    assert data.customers == 100 and data.values("ppo", "value").shape == (2, 100)
    assert data.notes == ["the runs met 100 to 240 customers; the first 100 are compared"]


def test_what_cannot_be_compared_is_refused_with_the_reason(tmp_path):
    a = run_of(tmp_path, "a", 0, {"ppo": 15.0})
    with pytest.raises(ReplayError, match="customer model"):
        gather([a, run_of(tmp_path, "b", 0, {"ppo": 15.0}, env={"name": "drift"})])
    with pytest.raises(CompareError, match="1 policies; give more runs"):
        answers.compare(gather([a]), "value_per_customer", None, None, 0)
    two = gather([run_of(tmp_path, "c", 0, {"ppo": 15.0, "random": 7.0})])
    with pytest.raises(CompareError, match="metric=push_rate cannot be compared; choose one per customer: value_per_customer"):
        answers.compare(two, "push_rate", None, None, 0)
    with pytest.raises(CompareError, match=r"reference\.low=nobody is not among the policies: ppo, random"):
        answers.compare(two, "value_per_customer", "nobody", None, 0)
    (a.folder / "customers.parquet").write_bytes(b"torn")
    with pytest.raises(CompareError, match="cannot be read"):
        gather([a])
    (a.folder / "customers.parquet").unlink()
    with pytest.raises(CompareError, match=r"holds no customers\.parquet"):
        gather([a])


def test_a_folder_of_runs_stands_for_its_runs(tmp_path):
    run_of(tmp_path, "a", 0, {"ppo": 15.0})
    run_of(tmp_path, "b", 1, {"ppo": 15.0})
    assert expand([str(tmp_path), "latest"]) == [str(tmp_path / "a"), str(tmp_path / "b"), "latest"]
    (tmp_path / "none").mkdir()
    with pytest.raises(CompareError, match="holds no finished run"):
        expand([str(tmp_path / "none")])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to compare; give runs=[latest]"),
        (["agents=[nobody]"], "agents: 'nobody' is no agent; choose from"),
        (["runs=[nowhere]"], "run=nowhere: no such folder"),
        (["run=[latest]"], "there is no setting 'run'; did you mean 'runs'?"),
        (["runs=[latest]", "metric=joy"], "metric=joy cannot be compared"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_exit_2(arguments, says, tmp_path):
    command = [sys.executable, "-m", "sim.compare", "tracking=none", f"hydra.run.dir={tmp_path}/out", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1

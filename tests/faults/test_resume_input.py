"""`resume=` with what cannot go on is one sentence and exit code 2, and a folder has one run at a time."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from sim.config import ConfigError
from sim.resume import find_unfinished, resolved
from sim.run_folder import LOCK, RUN, is_in_use, read_run, working_in

pytestmark = pytest.mark.faults

GIVEN = ["agent=random", "seed=3"]


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs"


def run_in(folder: Path, overrides=GIVEN, finished=False, **config) -> Path:
    """A run that was cut short, or has finished."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from sim.config import CONF, register_schemas

    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        plain = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    folder.mkdir(parents=True)
    try:
        with working_in(folder, plain | config, list(overrides), resume=False):
            if not finished:
                raise InterruptedError
    except InterruptedError:
        pass
    return folder


def refusal(*arguments: str) -> str:
    with pytest.raises(ConfigError) as error:
        resolved(list(arguments))
    assert error.value.exit_code == 2 and "\n" not in str(error.value)
    return str(error.value)


def test_a_run_goes_on_in_its_folder_with_its_own_settings_by_folder_or_latest(outputs, told):
    run_in(outputs / "a", finished=True)
    folder = run_in(outputs / "b c’s 'run' ü")
    expected = f"'{str(folder.resolve())}'".replace("'run'", "\\'run\\'")
    for wanted in (str(folder), os.path.relpath(folder), "latest"):
        made = resolved([f"resume={wanted}"])
        assert made == [*GIVEN, f"resume={expected}", f"hydra.run.dir={expected}", "hydra.output_subdir=null"]
    assert resolved([f"resume={folder}", "seed=3", "checkpoint.seconds=99"])[:4] == [*GIVEN, "seed=3", "checkpoint.seconds=99"]
    told("a run cut short in a folder with blanks, quotes and an umlaut", "found by path and by latest, with its own settings")


@pytest.mark.parametrize("name", ["my störe, 100 % 'new' = ${x}", "a\\b\\'c", "ends in \\"])
def test_a_path_reaches_hydra_as_it_is_whatever_characters_are_in_it(name, told):
    from hydra import compose, initialize_config_dir

    from sim.config import CONF, register_schemas
    from sim.resume import _quoted

    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        made = compose("config", ["agent=random", f"resume={_quoted(Path(name))}"])
    assert made.resume == name
    told(f"a folder named {name}", "taken as it is")


def test_auto_goes_on_with_the_unfinished_run_of_the_same_settings_and_else_begins_anew(outputs, told):
    assert resolved([*GIVEN, "resume=auto"]) == GIVEN
    run_in(outputs / "other", ["agent=random", "seed=4"])
    run_in(outputs / "done", finished=True)
    assert resolved([*GIVEN, "resume=auto"]) == GIVEN
    folder = run_in(outputs / "mine")
    assert resolved([*GIVEN, "resume=auto"])[-2] == f"hydra.run.dir='{folder.resolve()}'"
    assert resolved([*GIVEN, "resume=auto", "hydra.run.dir=elsewhere"]) == [*GIVEN, "hydra.run.dir=elsewhere"]
    told("resume=auto beside runs of other settings and finished ones", "the matching one, or a new one")


def test_resume_of_what_cannot_go_on_is_refused_in_one_sentence(outputs, told):
    done = run_in(outputs / "done", finished=True)
    (outputs / "foreign").mkdir()
    (outputs / "old").mkdir()
    (outputs / "old" / "summary.json").write_text("{}")
    sentences = {
        "resume=": "resume= is empty; give the folder of a run, its MLflow id, latest or auto",
        f"resume={done}": "that run finished at 2",
        "resume=outputs/old": "its summary.json is there; there is nothing to go on with",
        "resume=outputs/foreign": "is no folder of a run (it holds no run.json)",
        "resume=nowhere": "no such folder, and no MLflow run id (32 hexadecimal digits); try resume=latest",
        "resume=latest": "resume=latest: outputs/ holds no unfinished run",
    }
    for argument, sentence in sentences.items():
        if argument != "resume=":
            assert sentence in refusal(argument)
    with pytest.raises(ConfigError, match="resume= is empty"):
        find_unfinished("")
    assert "give the folder of one job of the sweep" in refusal("-m", "resume=latest", "seed=0,1")
    told("resume of finished, foreign and unknown runs, and in a sweep", f"{len(sentences) + 1} sentences, exit 2")


@pytest.mark.slow
def test_an_id_that_mlflow_does_not_know_and_one_of_another_machine_are_refused(outputs, told, monkeypatch):
    import mlflow

    uri = f"sqlite:///{outputs.parent / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert "MLflow knows no such run" in refusal("resume=0123456789abcdef0123456789abcdef")
    client = mlflow.MlflowClient(uri)
    run = client.create_run("0", tags={"push_sim.spool": "/elsewhere/spool.jsonl"})
    assert "the folder of that run is not on this machine" in refusal(f"resume={run.info.run_id}")
    told("resume of unknown MLflow ids, and of another machine's run", "one sentence each, exit 2")


def test_other_settings_than_the_runs_are_refused_by_name_with_both_values(outputs, told):
    folder = run_in(outputs / "a")
    assert refusal(f"resume={folder}", "seed=5").startswith("resume: seed was 3 in the run and would be 5 now;")
    said = refusal(f"resume={folder}", "agent=ppo")
    assert "agent._target_ was agents.baselines.Random in the run and would be agents.ppo.PPOAgent" in said
    assert "env.reward.push_cost" in refusal(f"resume={folder}", "env.reward.push_cost=0.123")
    assert "Could not find 'agent/nope'" in refusal(f"resume={folder}", "agent=nope")
    told("resume with another seed, agent or price", "refused, the setting and both values named")


def test_a_record_of_a_newer_schema_or_a_torn_one_is_refused_by_name(outputs, told):
    folder = run_in(outputs / "a")
    record = json.loads((folder / RUN).read_text())
    (folder / RUN).write_text(json.dumps(record | {"schema": 99}))
    assert "run.json has schema 99, this version reads up to 1" in refusal(f"resume={folder}")
    (folder / RUN).write_text(json.dumps(record)[:50])
    assert "run.json cannot be read as the record of a run" in refusal(f"resume={folder}")
    told("run.json of a newer schema, and a torn one", "refused by name")


def test_a_run_killed_before_it_wrote_what_it_is_begins_again_from_hydras_record(outputs, told):
    folder = outputs / "a"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("- agent=random\n- seed=3\n")
    assert resolved([f"resume={folder}"])[:2] == GIVEN
    (folder / ".hydra" / "overrides.yaml").write_text("- {\n")
    assert "was killed before it wrote its settings" in refusal(f"resume={folder}")
    told("a kill within the first second", "the run begins again with the settings that Hydra had written")


def hold(folder: str, ready) -> None:
    with working_in(Path(folder), {}, [], resume=True):
        ready.set()
        time.sleep(60)


def test_of_two_runs_in_one_folder_the_second_is_refused_and_told_the_process(outputs, told):
    folder = run_in(outputs / "a")
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(str(folder), ready), daemon=True)
    process.start()
    try:
        assert ready.wait(30)
        there = f"hydra.run.dir={folder}"
        for arguments in ([f"resume={folder}"], [*GIVEN, there], [*GIVEN, "resume=auto", there]):
            assert f"is being written by process {process.pid}; wait for it" in refusal(*arguments)
        assert "holds no unfinished run" in refusal("resume=latest")  # nobody takes it away from its process
        with pytest.raises(ConfigError, match=f"is being written by process {process.pid}"), working_in(folder, {}, [], True):
            pass
    finally:
        process.kill()
        process.join()
    assert not is_in_use(folder) and (folder / LOCK).exists()
    assert resolved([f"resume={folder}"])[:2] == GIVEN
    told(f"a second run in the folder of process {process.pid}, then kill -9 of that", "refused while it lived, free after")


def test_a_new_run_does_not_begin_in_the_folder_of_an_unfinished_one(outputs, told):
    folder = run_in(outputs / "a")
    before = (folder / RUN).read_bytes()
    assert "holds a run that has not finished; go on with it: resume=" in refusal("agent=random", f"hydra.run.dir={folder}")
    with pytest.raises(ConfigError, match="holds a run that has not finished"), working_in(folder, {}, [], resume=False):
        pass
    assert (folder / RUN).read_bytes() == before and read_run(folder).finished is None
    told("a new run in the folder of an unfinished one", "refused, nothing touched")

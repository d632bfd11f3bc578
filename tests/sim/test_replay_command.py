"""`python -m sim.replay` as a user meets it: a page or one sentence, and `sim.run`'s own folder understood."""

import json
import shutil

import pytest

from sim.replay.__main__ import main
from tests.sim.replay_material import make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("command") / "a run, with ünïcode")


def test_a_page_is_written_beside_the_log_and_its_path_is_printed(made, capsys):
    code = main([f"run={made['folder']}", "replay.customers=12", "customer=7", "policy_b=random", "open=false"])
    out, err = capsys.readouterr()
    assert code == 0 and err == "" and out.startswith("12 customers, what-if for 12 of them") and "replay.html" in out
    text = (made["folder"] / "replay.html").read_text(encoding="utf-8")
    facts = json.loads(text.split('id="facts">')[1].split("</script>")[0])
    assert (
        facts["wanted"] == 7
        and 7 in [c["id"] for c in facts["customers"]]
        and facts["policies"]["b"]["name"] == "random"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["policy_a=clairvoyant"],
            "policy_a=clairvoyant: run a run, with ünïcode has no such policy; it has ppo, linucb, random",
        ),
        (["customer=4000"], "customer=4000 is not in the log; it holds customers 0 to 59"),
        (["customer=-1"], "customer=-1 is not in the log"),
        (["custmer=4"], "there is no setting 'custmer'; did you mean customer?"),
        (["replay.pixels=4"], "did you mean replay.picture_pixels?"),
        (["customer=abc"], "customer: Value 'abc' of type 'str' could not be converted to Integer"),
        (["replay.megabytes=0"], "replay.megabytes=0.0 is out of range; allowed is 0.5 to 100"),
        (["serve=true", "port=70000"], "port=70000 is out of range"),
        (["run="], "run= is empty; give a folder, an MLflow run id, or latest"),
        (["run=nowhere"], "run=nowhere: no such folder, and no MLflow run id (32 hexadecimal digits); try run=latest"),
        (["run_b=nowhere"], "run=nowhere: no such folder"),
    ],
)
def test_a_wrong_wish_is_one_sentence_and_exit_code_2(made, arguments, sentence, capsys):
    here = [] if any(a.startswith("run=") for a in arguments) else [f"run={made['folder']}"]
    assert main([*here, "open=false", *arguments]) == 2
    out, err = capsys.readouterr()
    assert sentence in err and err.startswith("error: ") and len(err.strip().splitlines()) == 1 and out == ""


def test_a_folder_without_a_finished_run_is_one_sentence(made, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run=latest"]) == 2
    assert "holds no finished run; make one with: python -m sim.run agent=ppo" in capsys.readouterr().err

    def without(*names):
        folder = tmp_path / f"without {names[0]}"
        shutil.copytree(made["folder"], folder, ignore=shutil.ignore_patterns(*names))
        assert main([f"run={folder}", "open=false"]) == 2
        return capsys.readouterr().err

    assert "holds no sessions.parquet, so there is no session to show" in without("sessions.parquet")
    assert "holds no .hydra/config.yaml, so its shop is not known" in without(".hydra")
    assert "summary.json cannot be read" in without("summary.json")


@pytest.mark.parametrize("how", ["torn", "empty", "other"])
def test_a_broken_log_is_one_sentence(made, tmp_path, capsys, how):
    folder = tmp_path / "broken"
    shutil.copytree(made["folder"], folder)
    path = folder / "sessions.parquet"
    if how == "other":
        import pandas as pd

        pd.DataFrame({"a": [1]}).to_parquet(path)
    else:
        path.write_bytes(path.read_bytes()[:1000] if how == "torn" else b"")
    before = sorted(p.name for p in folder.iterdir())
    assert main([f"run={folder}", "open=false"]) == 2
    err = capsys.readouterr().err
    told = "is no session log of this version" if how == "other" else "cannot be read as Parquet"
    assert told in err and len(err.strip().splitlines()) == 1
    assert sorted(p.name for p in folder.iterdir()) == before


def test_help_tells_what_to_type(capsys):
    assert main(["--help"]) == 0
    assert "python -m sim.replay customer=128" in capsys.readouterr().out

"""The command line of a study: key=value, one sentence and exit code 2 for whatever is wrong."""

import subprocess
import sys

import pytest

from experiments.command import Settings, parse
from sim.config import ROOT, ConfigError


def test_settings_are_read_and_whatever_belongs_to_the_shop_is_passed_on():
    assert parse([]) == Settings(seeds=3, steps=None, customers=4000, workers=2, publish=False, shop=())
    settings = parse(["seeds=5", "steps=20_000", "env.reward.push_price=.1", "population.seed=2", "publish=true"])
    assert (settings.seeds, settings.steps, settings.publish) == (5, 20_000, True)
    assert settings.shop == ("env.reward.push_price=.1", "population.seed=2")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("sedes=3", "did you mean 'seeds'"),
        ("colour=red", "there is no setting 'colour'; known are seeds"),
        ("seeds", "'seeds' is no setting; write key=value"),
        ("seeds=many", "seeds=many is not a whole number; e.g. seeds=3"),
        ("steps=x", "steps=x is not a whole number; e.g. steps=100000"),
        ("seeds=0", "seeds=0 is out of range; allowed is 1 to 100"),
        ("customers=1", "customers=1 is out of range"),
        ("publish=maybe", "publish=maybe is neither true nor false"),
        ("out=", "out= is empty"),
        ("camera.emotion=blind", "camera.emotion is what the study varies"),
    ],
)
def test_a_wrong_setting_is_a_sentence_that_says_what_to_do(argument, sentence):
    with pytest.raises(ConfigError) as caught:
        parse([argument])
    assert sentence in str(caught.value) and caught.value.exit_code == 2


def test_a_setting_given_twice_is_refused():
    with pytest.raises(ConfigError, match="seeds is given twice"):
        parse(["seeds=3", "seeds=4"])


def command(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("module", ["experiments.value_of_perception", "experiments.myopic_gap"])
def test_help_asks_the_question_and_lists_the_settings(module):
    done = command(module, "--help")
    assert done.returncode == 0 and "in money per customer?" in done.stdout and "customers=4000" in done.stdout


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [("seeds=0", "seeds=0 is out of range"), ("env.choice.taste_wait=1", "env.choice.taste_wait"),
     ("env.choice.taste_weight=99", "env.choice.taste_weight = 99 is out of range; allowed is 0 to 20")],
)  # fmt: skip
def test_a_wrong_command_is_one_line_on_stderr_and_exit_code_2(argument, sentence, tmp_path):
    done = command("experiments.myopic_gap", argument, f"out={tmp_path}")
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr and done.stderr.startswith("error: ") and len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []

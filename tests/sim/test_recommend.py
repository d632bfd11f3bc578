"""`python -m sim.recommend`: from a photograph to a label, by the run's own perception, camera and policy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import agents
from perception.features import EMOTIONS, read_features
from perception.gallery import SHIPPED_FEATURES
from sim.recommend import RecommendConfig, camera_features, main, recommend, state_features, told
from sim.replay.errors import ReplayError
from tests.sim.replay_material import make_run

CAMERA = dict.fromkeys(("emotion", "identity", "mask"), "perceived")
SEEN = {
    "status": "face", "reason": None, "box": [1, 2, 3, 4], "score": 0.99, "mask_probability": 0.25, "identity": "ann",
    "emotions": dict(zip(EMOTIONS, (0.1, 0.0, 0.2, 0.4, 0.1, 0.1, 0.1), strict=True)), "similarity": 0.8, "threshold": 0.5,
}  # fmt: skip
NOBODY = {**SEEN, "status": "no_face", "emotions": None, "mask_probability": None, "identity": None, "similarity": None}


def test_the_11_features_of_the_camera_are_those_of_the_photograph():
    assert np.allclose(camera_features(SEEN, CAMERA), [0.1, 0, 0.2, 0.4, 0.1, 0.1, 0.1, 0.25, 1, 1, 0.8])
    stranger = camera_features({**SEEN, "identity": None}, CAMERA)
    assert list(stranger[9:]) == [0, 0]
    assert np.allclose(camera_features(NOBODY, CAMERA), [1 / 7] * 7 + [0] * 4)


@pytest.mark.parametrize(("channel", "changed"), [("emotion", range(9)), ("mask", [7]), ("identity", [9, 10])])
def test_a_blind_channel_shows_what_it_shows_in_the_shop(channel, changed):
    blind = camera_features(SEEN, {**CAMERA, channel: "blind"})
    nothing = np.array([1 / 7] * 7 + [0] * 4, np.float32)
    differing = [i for i in range(11) if i in changed and not (channel == "emotion" and i == 7)]
    assert np.allclose(blind[differing], nothing[differing])
    rest = [i for i in range(11) if i not in differing]
    assert np.allclose(blind[rest], camera_features(SEEN, CAMERA)[rest])


def test_a_recorded_picture_gives_the_features_that_the_shop_itself_showed(shop):
    """What `sim.shop.camera` writes for an image, against what this command writes for the same perceived numbers."""
    lives = shop.customers(60, 3, "evaluate")
    gallery, state = shop.gallery, lives.state.customers
    for i in range(60):
        image, enrolled = state["image"][i], state["enrolled"][i]
        seen = {
            "status": "face" if gallery.has_face[image] else "no_face",
            "emotions": dict(zip(EMOTIONS, gallery.emotion[image], strict=True)),
            "mask_probability": gallery.mask_probability[image],
            "identity": None if gallery.recognised[enrolled, image] == 0 else "somebody",
            "similarity": gallery.similarity[enrolled, image],
        }
        assert np.allclose(camera_features(seen, CAMERA), lives.observation[i, :11], atol=1e-7)


def test_the_record_of_a_moment_counts_unless_the_camera_is_blind_to_who_comes():
    record = np.arange(20, dtype=np.float32)
    observation = state_features(SEEN, CAMERA, 20, record)
    assert np.allclose(observation[:9], camera_features(SEEN, CAMERA)[:9]) and list(observation[9:]) == list(record[9:])
    assert not state_features(SEEN, CAMERA, 20, None)[11:].any()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("recommend") / "run")


def config(made, **changes):
    given = {"image": "x.jpg", "run": str(made["folder"]), "step": 0, "drivers": 5, "background": 10, **changes}
    return OmegaConf.structured(RecommendConfig(**given))


def perceive(*_):
    return {**SEEN, "notes": ["a note"]}


def test_the_answer_is_the_policys_own_and_its_reasons_are_ranked(made):
    answer = recommend(config(made), perceive, agents.load_agent, lambda: "")
    policy = agents.load_agent(made["folder"] / "policies" / answer["policy"])
    observation = np.array(list(answer["features"].values()), np.float32)[None]
    allowed = np.ones((1, policy.num_actions), bool)
    assert np.allclose(list(answer["probabilities"].values()), policy.action_probabilities(observation, allowed)[0])
    best = max(answer["probabilities"], key=answer["probabilities"].get)
    assert (answer["pushed"] or "hold back") == best
    weights = [abs(d["weight"]) for d in answer["why"]["drivers"]]
    assert weights == sorted(weights, reverse=True)
    text = told(answer)
    assert "happy" in text and "note: a note" in text and f"pushed: {answer['pushed'] or 'nothing (hold back)'}" in text
    json.dumps(answer)


def test_a_logged_moment_brings_its_record_and_its_allowed_labels(made):
    import pandas as pd

    frame = pd.read_parquet(made["folder"] / "sessions.parquet")
    name = json.loads((made["folder"] / "summary.json").read_text())["agent"]
    mine = frame[frame["policy"] == name]
    customer = int(mine.groupby("customer").size().idxmax())
    answer = recommend(config(made, customer=customer, step=3), perceive, agents.load_agent, lambda: "")
    fresh = recommend(config(made), perceive, agents.load_agent, lambda: "")
    assert {k: v for k, v in answer["features"].items() if "/" not in k} != {k: v for k, v in fresh["features"].items() if "/" not in k}
    with pytest.raises(ReplayError, match=r"step=9999 is out of range"):
        recommend(config(made, customer=customer, step=9999), perceive, agents.load_agent, lambda: "")
    with pytest.raises(ReplayError, match=r"customer=-5 is not in the log"):
        recommend(config(made, customer=-5), perceive, agents.load_agent, lambda: "")


def test_a_run_whose_shop_is_gone_still_answers_and_says_that_reasons_are_missing(made, tmp_path):
    import shutil

    shutil.copytree(made["folder"], tmp_path / "run")
    path = tmp_path / "run" / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("catalog.csv", "nowhere.csv"))
    answer = recommend(config({"folder": tmp_path / "run"}), perceive, agents.load_agent, lambda: "")
    assert answer["why"] is None and "no reasons are given" in answer["notes"][-1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "image= is missing"),
        (["image=nowhere.jpg"], "image=nowhere.jpg: no such file"),
        (["image=README.md"], "cannot be used"),
        (["image=x.jpg", "policy=clairvoyant"], "has no such policy; it has"),
        (["image=x.jpg", "run=nowhere"], "run=nowhere: no such folder"),
        (["image=x.jpg", "drivers=0"], "drivers must lie between 1 and 16"),
        (["image=x.jpg", "polcy=ppo"], "did you mean policy"),
        (["image=README.md", "gallery=/usr"], "add consent=true"),
    ],
)
def test_a_wrong_wish_is_one_sentence_and_exit_code_2(made, arguments, sentence, capsys):
    if arguments and not any(a.startswith("run=") for a in arguments):
        arguments = [*arguments, f"run={made['folder']}"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and sentence in error and len(error.strip().splitlines()) == 1


def test_a_rendered_customer_goes_the_whole_way(made, facenet_weights, capsys, tmp_path):
    table = read_features(SHIPPED_FEATURES)
    shown = table[(table["role"] == "camera") & table["true_mask"].eq(False) & table["identity"].eq(table["person"])].iloc[0]
    image = SHIPPED_FEATURES.parent / str(shown["image"])
    out = tmp_path / "answer.json"
    arguments = [f"image={image}", f"run={made['folder']}", f"weights={facenet_weights}", f"out={out}"]
    assert main(arguments) == 0
    answer = json.loads(out.read_text())
    for emotion in EMOTIONS:
        assert answer["seen"]["emotions"][emotion] == pytest.approx(float(shown[f"emotion_{emotion}"]), abs=2e-3)
    assert answer["seen"]["identity"] == shown["person"]
    assert answer["seen"]["similarity"] == pytest.approx(float(shown["similarity"]), abs=2e-3)
    assert answer["seen"]["mask_probability"] == pytest.approx(float(shown["mask_probability"]), abs=2e-2)
    assert "pushed: " in capsys.readouterr().out
    assert Path(answer["image"]) == image

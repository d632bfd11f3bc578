"""The session player's data: lives lived again, branches, explanations, lists and what is written into the page."""

import base64
import dataclasses
import json
import re
import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import load_agent
from sim.evaluation.oracle.regret import immediate_regret
from sim.replay import ReplayError, branches, find_run, page, read_run, write_page
from sim.replay.choose import Everybody, choose, featured
from sim.replay.explain import FLOOR, explain
from sim.replay.log import open_log, read_lines
from sim.replay.pack import Columns, json_for_script
from sim.replay.page import first_difference
from sim.replay.policies import decides_alike
from sim.replay.relive import live_customers, relive
from sim.replay.session import prepare
from tests.sim.replay_material import CUSTOMERS, HOSTILE, SEED, make_run, settings


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("replay") / "a run with ünïcode")


@pytest.fixture(scope="module")
def lines(made):
    return read_lines(open_log(made["folder"] / "sessions.parquet"), "ppo")


@pytest.fixture(scope="module")
def relived(made, lines):
    return relive(made["shop"], lines, SEED, np.ones(len(lines.customers), bool))


@pytest.fixture(scope="module")
def frame(made):
    return pd.read_parquet(made["folder"] / "sessions.parquet")


def facts_and_columns(path):
    """What a browser would unpack."""
    html = path.read_text(encoding="utf-8")
    facts = json.loads(re.search(r'id="facts">(.*?)</script>', html, re.S).group(1))
    data = zlib.decompress(base64.b64decode(re.search(r'id="block">(.*?)</script>', html, re.S).group(1)))
    return facts, {
        name: np.frombuffer(data, "<" + kind, length, offset) / scale
        for name, (kind, offset, length, scale) in facts["columns"].items()
    }


# ------------------------------------------------------------------ living again
def test_lives_lived_again_show_what_the_evaluation_computes_from_the_whole_log(made, lines, relived):
    regret = immediate_regret(made["logs"][0], made["shop"], seed=SEED)
    np.testing.assert_array_equal(relived.regret(lines.at["action"]), regret["true_immediate_regret"])
    assert (relived.expected[:, 0] == 0).all() and len(relived.kept) == len(lines)
    np.testing.assert_array_equal(relived.observation[:, :7], lines.emotion)


def test_every_saved_policy_asked_again_decides_as_logged(made):
    log = open_log(made["folder"] / "sessions.parquet")
    for name in made["policies"]:
        own = read_lines(log, name)
        again = load_agent(made["folder"] / "policies" / name)
        assert decides_alike(again, own, relive(made["shop"], own, SEED), SEED) == len(own)


def test_a_log_of_other_luck_is_not_lived_again(made, lines):
    with pytest.raises(ReplayError, match="does not live again as logged: at opportunity"):
        relive(made["shop"], lines, SEED + 1)


# ------------------------------------------------------------------ branches
def test_the_branch_that_takes_the_logged_action_is_the_rest_of_the_log(made, lines, relived):
    order = np.arange(len(relived.kept))
    made_again = branches.branch(
        made["shop"], made["policies"]["ppo"], relived, order, lines.at["action"][relived.kept], SEED
    )
    np.testing.assert_allclose(made_again.value, branches.money_left(lines)[made_again.line], atol=1e-9)
    for m in (0, len(order) // 2, len(order) - 1):
        line, steps = made_again.line[m], made_again.steps[made_again.start[m] : made_again.start[m + 1]]
        row = np.searchsorted(lines.start, line, "right") - 1
        rest = slice(line, lines.start[row + 1])
        np.testing.assert_array_equal(steps["action"], lines.at["action"][rest])
        np.testing.assert_array_equal(steps["reward"], lines.at["reward"][rest])
        np.testing.assert_array_equal(steps["flags"], lines.flags[rest])


def test_a_branch_equals_the_same_life_stepped_by_hand(made, lines, relived):
    from sim.evaluation.rollout import decide

    state, action = branches.every_other_action(relived, lines.at["action"])
    found = branches.branch(made["shop"], made["policies"]["ppo"], relived, state, action, SEED)
    assert len(found.line) == len(lines) * made["shop"].labels  # nothing is masked here: K others everywhere
    for m in np.random.default_rng(0).integers(0, len(found.line), 5):
        customer, step = lines.at["customer"][found.line[m]], lines.at["step"][found.line[m]]
        first = int(np.flatnonzero(lines.at["customer"] == customer)[0])
        lives, total, t = live_customers(made["shop"], np.array([customer]), SEED), 0.0, 0
        while not lives.done[0]:
            chosen = lines.at["requested"][first + t] if t < step else found.action[m] if t == step else None
            chosen = decide(made["policies"]["ppo"], lives, np.array([0])).action[0] if chosen is None else chosen
            lives.step(np.array([chosen]))
            total += lives.state.events["reward"][0] * (t >= step)
            t += 1
        assert found.value[m] == pytest.approx(total, abs=1e-9)


# ------------------------------------------------------------------ explanations
def test_linear_weights_add_up_to_the_lead_over_the_best_rival(made):
    policy = made["policies"]["linucb"]
    own = read_lines(open_log(made["folder"] / "sessions.parquet"), "linucb")
    again = relive(made["shop"], own, SEED)
    action = own.at["requested"]
    drivers = explain(policy, again, action, made["shop"].layout, 16)
    assert (drivers.method, drivers.unit, drivers.group.shape) == ("linear", "money", (len(own), 16))
    rows, x = np.arange(len(own)), again.observation.astype(float)
    score, usual = policy.scores(x, 0.0), policy.scores(x.mean(0)[None], 0.0)
    rival = score.copy()
    rival[rows, action] = -np.inf
    rival = rival.argmax(1)
    lead = (score[rows, action] - score[rows, rival]) - (usual[0, action] - usual[0, rival])
    np.testing.assert_allclose(drivers.weight.sum(1), lead / policy.reward_scale, atol=1e-4)


def test_occlusion_blames_the_one_feature_that_decides_verification(made, lines, relived):
    start = made["shop"].layout["spent"][0]

    def action_probabilities(observation, mask):
        p = 1 / (1 + np.exp(-observation[:, start].astype(float)))
        return np.column_stack([1 - p, p, np.zeros((len(p), mask.shape[1] - 2))])

    policy = SimpleNamespace(action_probabilities=action_probabilities, weights_=None)
    action = np.ones(len(lines), np.int64)
    drivers = explain(policy, relived, action, made["shop"].layout, 3)
    x = relived.observation[:, start].astype(float)
    expected = np.log(1 / (1 + np.exp(-x))) - np.log(1 / (1 + np.exp(-np.float32(x.mean()))))
    named = np.array(drivers.names)[drivers.group]
    told = np.where(named == "money spent so far", drivers.weight, 0).sum(1)
    print("occlusion of the only feature, computed and expected:", told[:4], expected[:4])
    np.testing.assert_allclose(told, expected, atol=2e-6)
    assert (np.abs(drivers.weight[named != "money spent so far"]) < 1e-12).all() and FLOOR == 1e-3


def test_a_policy_that_looks_at_nothing_has_no_drivers(made):
    own = read_lines(open_log(made["folder"] / "sessions.parquet"), "random")
    drivers = explain(
        made["policies"]["random"], relive(made["shop"], own, SEED), own.at["requested"], made["shop"].layout, 5
    )
    assert (drivers.weight == 0).all()


# ------------------------------------------------------------------ lists
def people(n, seed=0):
    rng = np.random.default_rng(seed)
    flag = lambda p: rng.random(n) < p  # noqa: E731
    return Everybody(
        np.arange(n) * 3, rng.normal(size=n), rng.normal(size=n), flag(0.3), flag(0.1), rng.poisson(1.0, n), rng.poisson(0.2, n),
        rng.random(n),
    )  # fmt: skip


@given(n=st.integers(1, 60), number=st.integers(1, 80), seed=st.integers(0, 99))
def test_as_many_customers_as_asked_are_chosen_each_once_and_every_list_names_only_them(n, number, seed):
    everybody = people(n, seed)
    wanted = int(everybody.ids[seed % n])
    ids, casts = choose(everybody, number, "a", "b", wanted)
    assert len(ids) == min(number, n) == len(set(ids)) and (np.diff(ids) > 0).all() and wanted in ids
    assert all(np.isin(cast.customers, ids).all() for cast in casts)
    assert set(featured(casts, number)) <= set(ids)


def test_the_lists_name_the_ends_of_every_scale():
    everybody = people(500)
    ids, casts = choose(everybody, 100, "a", "b")
    by_key = {cast.key: cast.customers for cast in casts}
    assert by_key["best"][0] == everybody.ids[everybody.value.argmax()]
    assert by_key["worst"][0] == everybody.ids[everybody.value.argmin()]
    assert by_key["behind"][0] == everybody.ids[(everybody.value - everybody.value_b).argmin()]
    assert by_key["regret"][0] == everybody.ids[everybody.regret.argmax()]
    assert np.isin(by_key["opted_out"], everybody.ids[everybody.opted_out]).all() and len(by_key["opted_out"]) >= 8


def test_policies_part_at_the_first_action_that_differs():
    def own(*actions):
        return SimpleNamespace(at={"action": np.array(actions)}, start=np.array([0, len(actions)]))

    assert first_difference(own(1, 2, 3), own(1, 2, 3), 0) == -1
    assert first_difference(own(1, 2, 3), own(1, 0, 3), 0) == 1
    assert first_difference(own(1, 2), own(1, 2, 3), 0) == 1  # one life ends there


# ------------------------------------------------------------------ packing
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=8,
    )
)
def test_json_in_a_script_element_survives_and_cannot_end_it(value):
    text = json_for_script(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_numbers_that_json_does_not_have_become_null():
    assert (
        json_for_script({"a": [np.float64("nan"), float("inf"), np.int64(3), np.bool_(True)]})
        == '{"a":[null,null,3,true]}'
    )


def test_a_column_keeps_its_values_and_refuses_those_that_do_not_fit():
    columns = Columns()
    columns.add("odd", [1, 2, 3], "uint8")
    columns.add("tenths", [-0.25, 1.5], "int16", 100)
    data = zlib.decompress(base64.b64decode(columns.block()))
    kind, offset, length, scale = columns.directory["tenths"]
    assert offset % 8 == 0 and (np.frombuffer(data, "<" + kind, length, offset) / scale).tolist() == [-0.25, 1.5]
    with pytest.raises(OverflowError, match="column big reaches from 0 to 70000, beyond uint16"):
        columns.add("big", [0, 70000], "uint16")


# ------------------------------------------------------------------ the page
@pytest.fixture(scope="module")
def written(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "replay.html"
    return write_page(made["folder"], settings(customers=40, what_if_customers=10), load_agent, out=out)


def test_the_page_holds_the_numbers_of_the_log(written, frame):
    assert written.notes == () and written.customers == 40 and written.shareable
    facts, columns = facts_and_columns(written.path)
    ids = [c["id"] for c in facts["customers"]]
    for side in "ab":
        name = facts["policies"][side]["name"]
        own = frame[(frame["policy"] == name) & frame["customer"].isin(ids)].sort_values(["customer", "step"])
        for column in ("reward", "action", "day", "step"):
            np.testing.assert_array_equal(columns[f"{side}/{column}"], own[column])
        chances = own[[f"action_probability_{a}" for a in range(5)]].to_numpy()
        np.testing.assert_allclose(columns[f"{side}/probability"].reshape(-1, 5), chances, atol=1.1e-5)
        values = own.groupby("customer")["reward"].sum()
        np.testing.assert_allclose([c[side] for c in facts["customers"]], values, atol=1e-9)
    assert facts["policies"]["a"]["name"] == "ppo" and facts["policies"]["a"]["asked_again"][0] == len(
        columns["a/step"]
    )


def test_the_page_counts_everybody(written, frame):
    facts, _ = facts_and_columns(written.path)
    for name, view in facts["views"].items():
        own, funnel = frame[frame["policy"] == name], view["funnel"]
        assert funnel["customers"] == CUSTOMERS and funnel["opportunities"] == len(own)
        assert funnel["pushes"] == (own["action"] > 0).sum() == np.sum(view["heat"]["count"][1:])
        assert funnel["purchases"] == own["bought"].sum() == np.sum(view["heat"]["bought"])
        assert funnel["opted_out"] == own["opted_out"].sum() and funnel["money"] == pytest.approx(
            own["reward"].sum(), abs=1e-3
        )
        diagonal = np.trace(np.array(view["confusion"]["count"])[:, :7])
        seen = own[[f"perceived_emotion_{e}" for e in facts["emotions"]]].to_numpy().argmax(1)
        right = (np.array(facts["emotions"])[seen] == own["true_emotion"].astype(str)) & own["perceived_face"]
        assert diagonal == right.sum()
    enrolled = next(s for s in facts["segments"] if s["title"] == "Known to the shop")["rows"][0]
    own = frame[(frame["policy"] == "ppo") & frame["true_enrolled"]]
    assert enrolled["value"]["ppo"]["mean"] == pytest.approx(own["reward"].sum() / own["customer"].nunique(), abs=1e-4)


def test_the_page_asks_nobody_for_anything_and_a_hostile_label_stays_text(written):
    html = written.path.read_text(encoding="utf-8")
    assert "default-src 'none'" in html and "connect-src 'none'" in html
    assert re.findall(r"(?:https?:)?//[\w.]+\.\w+", html.replace("http://www.w3.org/2000/svg", "")) == []
    assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie|<link[^>]+stylesheet|innerHTML", html)
    assert html.count("</script>") == 3 and "onerror" not in html.replace("onerror=document", "", 1).split("<script")[0]
    facts, _ = facts_and_columns(written.path)
    assert facts["labels"][1]["name"] == HOSTILE


def test_branches_on_the_page_are_worth_what_the_simulator_says(written, made, frame):
    facts, columns = facts_and_columns(written.path)
    starts, actions = columns["branch/start"].astype(int), columns["branch/then"].astype(int)
    assert sum(c["ahead"] for c in facts["customers"]) == 10 and len(starts) == len(columns["branch/line"]) + 1
    left = (
        pd.Series(columns["a/reward"])
        .groupby(np.repeat(np.arange(40), np.diff(columns["a/start"].astype(int))))
        .transform(lambda r: r[::-1].cumsum()[::-1])
    )
    for m in range(0, len(columns["branch/line"]), 97):
        total = columns["branch/reward"][starts[m] : starts[m + 1]].sum()
        assert columns["branch/difference"][m] == pytest.approx(total - left[int(columns["branch/line"][m])], abs=1e-4)
        assert actions[starts[m]] == columns["branch/action"][m]


def test_the_same_run_gives_the_same_page_to_the_byte(written, made, tmp_path):
    again = write_page(
        made["folder"], settings(customers=40, what_if_customers=10), load_agent, out=tmp_path / "again.html"
    )
    assert again.path.read_bytes() == written.path.read_bytes()


def test_a_page_at_hand_of_its_shop_is_the_same_as_one_that_builds_it(written, made, tmp_path):
    again = write_page(
        made["folder"], settings(customers=40, what_if_customers=10), load_agent, out=tmp_path / "again.html", shop=made["shop"],
        table=made["table"],
    )  # fmt: skip
    assert again.path.read_bytes() == written.path.read_bytes()


def test_a_page_never_grows_beyond_its_limit(made, tmp_path):
    free = write_page(
        made["folder"],
        settings(customers=30, what_if_customers=30, picture_pixels=64),
        load_agent,
        out=tmp_path / "free.html",
    )
    assert free.bytes > 560_000
    tight = write_page(
        made["folder"],
        settings(customers=30, what_if_customers=30, picture_pixels=64, megabytes=0.5),
        load_agent,
        out=tmp_path / "tight.html",
    )
    assert tight.bytes <= 500_000 and tight.what_if_customers < free.what_if_customers


# ------------------------------------------------------------------ what cannot be had is said
def changed(made, tmp_path, **summary):
    import shutil

    folder = tmp_path / "changed"
    shutil.copytree(made["folder"], folder)
    if summary:
        path = folder / "summary.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | summary))
    return folder


def test_without_its_policies_a_run_is_shown_without_explanations_and_says_so(made, tmp_path):
    import shutil

    folder = changed(made, tmp_path)
    shutil.rmtree(folder / "policies" / "ppo")
    written = write_page(folder, settings(customers=10), load_agent)
    assert any("ppo was not saved with the run" in note for note in written.notes) and written.what_if_customers == 0
    facts, columns = facts_and_columns(written.path)
    assert facts["policies"]["a"]["drivers"] is None and "a/expected" in columns and "branch/line" not in columns


def test_a_policy_that_has_changed_since_is_not_used_to_explain(made, tmp_path):
    from tests.sim.replay_material import untrained_ppo

    folder = changed(made, tmp_path)
    untrained_ppo(made["shop"], seed=4).save(folder / "policies" / "ppo")
    written = write_page(folder, settings(customers=10), load_agent)
    assert any("asked again, the saved policy decides as logged at" in note for note in written.notes)


def test_a_shop_that_has_changed_since_is_not_lived_again(made, tmp_path):
    folder = changed(made, tmp_path)
    config = folder / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("taste_weight: 1.4", "taste_weight: 1.5"))
    written = write_page(folder, settings(customers=10), load_agent)
    assert any("the shop has changed since the run" in note for note in written.notes)
    facts, columns = facts_and_columns(written.path)
    assert "a/expected" not in columns and len(facts["customers"]) == 10


def test_of_a_log_in_parts_the_readable_ones_are_shown_and_the_torn_one_is_named(made, tmp_path, frame):
    folder = changed(made, tmp_path)
    whole = (folder / "sessions.parquet").read_bytes()
    (folder / "sessions.parquet").unlink()
    parts = folder / "sessions.parquet"
    parts.mkdir()
    (parts / "part-0.parquet").write_bytes(whole)
    (parts / "part-1.parquet").write_bytes(whole[: len(whole) // 2])
    written = write_page(folder, settings(customers=10), load_agent)
    assert any("1 part(s) of the log cannot be read" in note and "part-1.parquet" in note for note in written.notes)


# ------------------------------------------------------------------ pairs
def test_another_run_on_the_same_customers_stands_beside_and_another_camera_is_said(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair") / "blind"
    other = make_run(folder, ["camera=blind"])
    written = write_page(
        made["folder"],
        settings(customers=10),
        load_agent,
        run_b=read_run(folder),
        policy_b="ppo",
        out=folder / "pair.html",
    )
    facts, columns = facts_and_columns(written.path)
    assert facts["policies"]["b"]["run"] == "blind" and any("different cameras" in note for note in written.notes)
    ids = [c["id"] for c in facts["customers"]]
    events = other["logs"][0].events
    np.testing.assert_array_equal(columns["b/reward"], events["reward"][np.isin(events["customer"], ids)])


@pytest.mark.parametrize(
    ("how", "what"),
    [({"seed": SEED + 1}, "evaluation seed differs (10000 and 10001)"), ({"catalog": "label,price,margin\ntea,3,1\n"}, "catalog differs"),
     ({"overrides": ["env.choice.taste_weight=1.5"]}, "customer model (env) differs")],
)  # fmt: skip
def test_runs_whose_customers_are_not_the_same_people_are_refused(made, tmp_path, how, what):
    make_run(tmp_path / "other", customers=4, **how)
    with pytest.raises(ReplayError, match="cannot be shown beside each other: their " + re.escape(what)):
        write_page(made["folder"], settings(), load_agent, run_b=read_run(tmp_path / "other"), out=tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


# ------------------------------------------------------------------ real customers
@pytest.fixture(scope="module")
def real(tmp_path_factory):
    from PIL import Image

    root = tmp_path_factory.mktemp("real")
    for p in range(12):
        for k in range(4):
            path = root / "gallery" / f"Erika Muster {p}" / f"{k}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64), (20 * p, 60 * k, 90)).save(path)
    loader = "population.loader._target_=tests.sim.replay_material.open_gallery"
    overrides = [f"population.gallery='{root / 'gallery'}'", "population.consent=true", loader]
    return make_run(root / "run", overrides)


def test_photographs_are_not_shown_unless_asked_for_and_then_stay_here(real):
    plain = write_page(real["folder"], settings(customers=12), load_agent, trusted=["tests"])
    assert plain.shareable and plain.path.name == "replay.html"
    facts, _ = facts_and_columns(plain.path)
    assert not any(facts["faces"]) and b"image/webp" not in plain.path.read_bytes().replace(
        b'data:image/webp;base64,"', b""
    )
    asked = write_page(real["folder"], settings(customers=12, show_faces=True), load_agent, trusted=["tests"])
    assert (
        not asked.shareable
        and asked.path.name == "replay-with-faces.html"
        and asked.path.stat().st_mode & 0o777 == 0o600
    )
    facts, _ = facts_and_columns(asked.path)
    assert all(uri.startswith("data:image/webp;base64,") for uri in facts["faces"])
    for path in (plain.path, asked.path):
        assert "Erika" not in path.read_text(encoding="utf-8") and all(
            c["person"].startswith("customer-") for c in facts["customers"]
        )


def test_a_gallery_reader_that_is_not_ours_is_not_called_unless_trusted(real):
    written = write_page(real["folder"], settings(customers=5), load_agent, out=real["folder"] / "untrusted.html")
    assert any("add trusted_targets=[tests]" in note for note in written.notes)


# ------------------------------------------------------------------ finding a run
def test_a_run_is_found_by_latest_by_folder_by_file_and_by_the_id_in_its_spool(made, tmp_path):
    outputs = tmp_path / "outputs"
    (outputs / "today").mkdir(parents=True)
    (outputs / "today" / "run").symlink_to(made["folder"])
    (outputs / "latest").symlink_to("today/run")
    assert find_run("latest", outputs=outputs).folder == made["folder"].resolve()
    assert find_run(str(made["folder"] / "sessions.parquet")).folder == made["folder"]
    copy = changed(made, outputs / "today")
    run_id = "0123456789abcdef0123456789abcdef"
    (copy / "spool.jsonl").write_text(json.dumps({"kind": "delivered", "upto": 9, "run_id": run_id}) + "\n")
    assert find_run(run_id, outputs=outputs).folder == copy


def test_a_run_is_read_from_the_artifacts_of_mlflow(made, tmp_path):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("shop", artifact_location=(tmp_path / "artifacts").as_uri())
    run_id = client.create_run(experiment).info.run_id
    for name in ("summary.json", "sessions.parquet"):
        client.log_artifact(run_id, str(made["folder"] / name))
    client.log_artifacts(run_id, str(made["folder"] / ".hydra"), "config")
    client.log_artifacts(run_id, str(made["folder"] / "policies"), "policies")
    run = find_run(run_id, lambda: uri, tmp_path / "none")
    written = write_page(run, settings(customers=5), load_agent, out=tmp_path / "page.html")
    assert written.notes == () and written.what_if_customers == 5
    with pytest.raises(ReplayError, match="MLflow has no such run that can be read"):
        find_run("f" * 32, lambda: uri, tmp_path / "none")


def test_a_comparison_needs_and_fetches_the_table_of_customers_only(made, tmp_path):
    from mlflow.tracking import MlflowClient

    from sim.replay.runs import CUSTOMERS

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("shop", artifact_location=(tmp_path / "artifacts").as_uri())
    run_id = client.create_run(experiment).info.run_id
    (tmp_path / CUSTOMERS).write_bytes(b"a table")
    client.log_artifact(run_id, str(made["folder"] / "summary.json"))
    client.log_artifacts(run_id, str(made["folder"] / ".hydra"), "config")
    with pytest.raises(ReplayError, match=f"holds no {CUSTOMERS}, so nobody's totals are known"):
        find_run(run_id, lambda: uri, tmp_path / "none", needs=(CUSTOMERS,))
    client.log_artifact(run_id, str(tmp_path / CUSTOMERS))
    run = find_run(run_id, lambda: uri, tmp_path / "none", needs=(CUSTOMERS,))
    assert (run.folder / CUSTOMERS).read_bytes() == b"a table" and not run.sessions.exists()


def test_settings_out_of_range_are_named(made):
    with pytest.raises(ReplayError, match="replay.drivers=0 is out of range; allowed is 1 to 16"):
        write_page(made["folder"], dataclasses.replace(settings(), drivers=0), load_agent)


def test_prepare_leaves_nothing_on_disk(made):
    before = sorted(path.name for path in made["folder"].iterdir())
    prepare(read_run(made["folder"]), settings(customers=5), load_agent)
    assert sorted(path.name for path in made["folder"].iterdir()) == before and page.PAGE == "replay.html"

"""The session player's page as a person meets it: in a browser, by keyboard, on a phone, in MLflow's sandbox, and served."""

import base64
import json
import threading
import urllib.error
import urllib.request

import numpy as np
import pandas as pd
import pytest

from agents import load_agent
from sim.replay import ReplayError, read_run, write_page
from sim.replay.serve import server
from sim.replay.session import prepare
from tests.sim.browser import Browser, find_browser
from tests.sim.replay_material import HOSTILE, make_run, settings

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = make_run(tmp_path_factory.mktemp("browser") / "run", customers=40)
    return made | {"page": write_page(made["folder"], settings(customers=30, what_if_customers=8), load_agent)}


@pytest.fixture(scope="module")
def frame(made):
    return pd.read_parquet(made["folder"] / "sessions.parquet").sort_values(["policy", "customer", "step"])


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture
def address(made, browser):
    browser.errors.clear()
    browser.requests.clear()
    browser.resize(1280, 900)
    yield made["page"].path.as_uri()
    assert browser.errors == []
    outside = [
        url for url in browser.requests if not url.startswith((made["page"].path.as_uri(), "about:blank", "blob:"))
    ]
    assert outside == []  # no test of the file may see it ask for anything


def text(browser, selector):
    return browser.eval(f"document.querySelector({json.dumps(selector)}).textContent")


@needs_browser
def test_every_number_of_every_life_equals_the_log(browser, address, frame, made):
    browser.open(address)
    lives = browser.eval(
        "facts.customers.map((c, row) => ({id: c.id, a: life('a', row).money, b: life('b', row).money}))"
    )
    names = browser.eval("[facts.policies.a.name, facts.policies.b.name]")
    for life in lives:
        for side, name in zip("ab", names, strict=True):
            own = frame[(frame["policy"] == name) & (frame["customer"] == life["id"])]
            np.testing.assert_allclose(life[side], own["reward"].cumsum(), atol=1e-9)


@needs_browser
def test_keys_and_slider_move_through_the_session_and_the_text_follows_the_log(browser, address, frame):
    browser.open(address)
    customer = int(browser.eval("facts.customers[state.row].id"))
    name = browser.eval("facts.policies.a.name")
    own = frame[(frame["policy"] == name) & (frame["customer"] == customer)].reset_index(drop=True)

    def shown():
        return browser.eval("({moment: state.moment, so_far: document.querySelector('#sofar-a').textContent, "
                            "slider: document.querySelector('#slider').value})")  # fmt: skip

    assert shown()["moment"] == 0
    browser.press("ArrowRight")
    browser.press("ArrowRight")
    browser.press("ArrowLeft")
    state = shown()
    assert state["moment"] == 1 and state["slider"] == "1"
    browser.press("End")
    state = shown()
    assert state["moment"] == browser.eval("player.moments.length - 1")
    total = own["reward"].sum()
    assert state["so_far"].replace("−", "-") == f"{total:.2f}" == text(browser, "#value-a").replace("−", "-")
    browser.press("Home")
    assert shown()["moment"] == 0
    browser.eval("(s => { s.value = 2; s.dispatchEvent(new Event('input')); })(document.querySelector('#slider'))")
    assert shown()["moment"] == 2
    before = text(browser, "#stage h2")
    browser.press("n")
    after = text(browser, "#stage h2")
    browser.press("p")
    assert before != after and text(browser, "#stage h2") == before
    browser.press(" ")
    browser.wait("state.moment >= 1")
    browser.press(" ")
    assert browser.eval("player.timer") is None
    browser.press("d")
    assert shown()["moment"] == max(0, browser.eval("facts.customers[state.row].part"))


@needs_browser
def test_a_link_leads_to_the_step_and_shows_what_the_log_says_of_it(browser, address, frame):
    browser.open(address)
    ids = browser.eval("facts.customers.map(c => c.id)")
    emotions = browser.eval("facts.emotions")
    for customer in ids[::9]:
        own = frame[(frame["policy"] == "ppo") & (frame["customer"] == customer)].reset_index(drop=True)
        step = len(own) // 2
        browser.open(f"{address}#customer={customer}&step={step}")
        row, side = own.loc[step], text(browser, "#side-a")
        label = row["label"] if row["action"] else None
        assert (f"Pushed {label}" if label is not None else "Held back") in side
        assert f"day {row['day']} · visit {row['visit'] + 1} · opportunity {step + 1} of {len(own)}" in side
        shares = [int(np.floor(100 * round(row[f"perceived_emotion_{e}"], 4) + 0.5)) for e in emotions]
        bars = browser.eval("[...document.querySelectorAll('#side-a .bars .num')].map(n => parseInt(n.textContent))")
        assert bars == shares
        seen = emotions[int(np.argmax([row[f"perceived_emotion_{e}"] for e in emotions]))]
        if row["perceived_face"]:
            assert (
                f"Seems {seen}, and is." if seen == row["true_emotion"] else f"is {row['true_emotion']}: misread"
            ) in side
        told = {"self": "rightly.", "other": "wrongly", "unknown": "Not recognised"}[row["true_recognition"]]
        assert told in side


@needs_browser
def test_a_hostile_label_is_text_everywhere(browser, address):
    browser.open(address)
    assert HOSTILE in browser.eval("document.querySelector('#side-a .offer').textContent")
    browser.eval("show('all')")
    assert HOSTILE in text(browser, "#heat") and browser.eval(
        "document.images.length === [...document.images].filter(i => i.src.startsWith('data:image/webp')).length"
    )
    assert browser.eval("document.title").startswith("Session replay")


@needs_browser
def test_a_branch_is_drawn_and_adds_up(browser, address):
    browser.open(address)
    row = browser.eval("facts.customers.findIndex(c => c.ahead)")
    browser.eval(f"choose({row})")
    browser.eval("document.querySelector('[data-else]').click()")
    shown = browser.eval(
        "({difference: chosenBranch(state).difference, value: player.a.value, total: document.querySelector('#else-total').textContent, "
        "steps: branchSteps(chosenBranch(state)).reduce((s, x) => s + x.reward, 0), before: player.a.lines.indexOf(state.branchLine)})"
    )
    assert float(shown["total"].replace("−", "-")) == pytest.approx(shown["value"] + shown["difference"], abs=0.006)
    assert shown["before"] == 0 and shown["steps"] == pytest.approx(shown["value"] + shown["difference"], abs=1e-3)
    assert "what if" in text(browser, "#track") and browser.eval("document.querySelectorAll('.line-w').length") >= 3
    link = browser.eval("location.hash")
    browser.open(address + link)
    assert browser.eval("document.querySelector('#else-total').textContent") == shown["total"]


@needs_browser
@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_no_view_is_wider_than_the_screen(browser, address, width):
    browser.resize(width, 800)
    browser.open(address)
    for view in ("one", "all", "help"):
        browser.eval(f"show('{view}')")
        assert browser.eval("document.documentElement.scrollWidth") <= width, view


@needs_browser
def test_filters_and_search_narrow_the_list(browser, address):
    browser.open(address)
    everybody = browser.eval("people.shown.length")
    assert everybody == 30

    def choose(field, value):
        browser.eval(
            f"(f => {{ f.value = '{value}'; f.dispatchEvent(new Event(f.tagName === 'SELECT' ? 'change' : 'input')); }})"
            f"(document.querySelector('#{field}'))"
        )
        return browser.eval("people.shown.map(r => facts.customers[r])")

    assert all(c["masked"] > 0 for c in choose("f-mask", "yes"))
    choose("f-mask", "")
    best = choose("cast", "best")
    assert [c["a"] for c in best] == sorted((c["a"] for c in best), reverse=True)
    choose("cast", "")
    assert all(c["a"] >= 3 for c in choose("f-low", "3"))
    choose("f-low", "")
    assert all(str(c["id"]).startswith("1") for c in choose("find", "1"))
    assert choose("find", "99999") == [] and "Nobody on this page fits" in text(browser, "#list")


@needs_browser
def test_everything_that_can_be_pressed_has_a_name_and_every_field_a_label(browser, address):
    browser.open(address)
    for view in ("one", "all", "help"):
        browser.eval(f"show('{view}')")
        nameless = browser.eval(
            "[...document.querySelectorAll('button, input, select, img, [role=img]')]"
            ".filter(e => e.offsetParent !== null || e.closest('svg'))"
            ".filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length || e.hasAttribute('alt')))"
            ".map(e => e.outerHTML.slice(0, 120))"
        )
        assert nameless == [], view


@needs_browser
def test_light_and_dark_follow_the_system_and_the_switch(browser, address):
    for scheme in ("dark", "light"):
        browser.page.emulate_media(color_scheme=scheme)
        browser.open(address)
        assert browser.eval("document.documentElement.dataset.theme") == scheme
    browser.eval("document.querySelector('#theme').click()")
    assert browser.eval("document.documentElement.dataset.theme") == "dark"


@needs_browser
def test_it_works_in_mlflows_sandbox_where_nothing_is_kept_and_nothing_reached(browser, address, made, tmp_path):
    page = base64.b64encode(made["page"].path.read_bytes()).decode()
    outer = tmp_path / "outer.html"
    outer.write_text(
        "<!doctype html><meta charset=utf-8><iframe sandbox='allow-scripts' style='width:1200px;height:800px'></iframe><script>"
        f"const bytes = Uint8Array.from(atob('{page}'), c => c.charCodeAt(0));"
        "document.querySelector('iframe').src = URL.createObjectURL(new Blob([bytes], {type: 'text/html'}));</script>"
    )
    browser.open(outer.as_uri(), ready="document.querySelector('iframe')")
    (frame,) = browser.frames
    browser.wait("document.documentElement.dataset.ready === 'true'", frame=frame)
    assert [url[:5] for url in browser.requests if url not in ("about:blank", outer.as_uri())] == ["blob:"]
    browser.requests.clear()
    assert (
        browser.eval("(() => { try { return String(localStorage) } catch (e) { return e.name } })()", frame=frame)
        == "SecurityError"
    )
    before = browser.eval("state.moment", frame=frame)
    browser.eval("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))", frame=frame)
    assert browser.eval("state.moment", frame=frame) == before + 1
    assert browser.eval("document.querySelectorAll('#side-a .bars .bar').length", frame=frame) == 7


# ------------------------------------------------------------------ served
@pytest.fixture(scope="module")
def served(made):
    replay = prepare(read_run(made["folder"]), settings(customers=30, what_if_customers=0), load_agent)
    listening = server(replay, settings(), 0)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}/"
    listening.shutdown()
    listening.server_close()


def get(address, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_served_branches_are_those_of_the_page(served, made):
    from tests.sim.test_replay import facts_and_columns

    facts, columns = facts_and_columns(made["page"].path)
    starts = columns["a/start"].astype(int)
    for m in range(0, len(columns["branch/line"]), 211):
        line = int(columns["branch/line"][m])
        row = int(np.searchsorted(starts, line, "right") - 1)
        status, body = get(f"{served}branches?customer={facts['customers'][row]['id']}&step={line - starts[row]}")
        found = {b["action"]: b for b in json.loads(body)}
        mine = found[int(columns["branch/action"][m])]
        assert status == 200 and mine["difference"] == pytest.approx(columns["branch/difference"][m], abs=1e-9)
        steps = slice(int(columns["branch/start"][m]), int(columns["branch/start"][m + 1]))
        assert [s["action"] for s in mine["steps"]] == columns["branch/then"][steps].astype(int).tolist()


def test_the_server_answers_wrong_questions_with_a_sentence_and_strangers_not_at_all(served):
    assert get(f"{served}branches?customer=99999&step=0") == (404, b"customer 99999 is not on this page")
    assert get(f"{served}branches?customer=x")[0] == 400 and get(f"{served}etc/passwd")[0] == 404
    customer = json.loads(get(served)[1].split(b'id="facts">')[1].split(b"</script>")[0])["customers"][0]["id"]
    status, body = get(f"{served}branches?customer={customer}&step=-1")
    assert status == 404 and b"step -1 is out of range" in body
    assert get(served, Host="evil.example:80")[0] == 403


def test_a_port_in_use_is_one_sentence(served, made):
    replay = prepare(read_run(made["folder"]), settings(customers=3, what_if_customers=0), load_agent)
    port = int(served.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(ReplayError, match=f"port={port} cannot be used .*; choose another with port={port + 1}"):
        server(replay, settings(), port)


@needs_browser
def test_the_served_page_lives_branches_when_it_comes_to_them(served, browser):
    browser.errors.clear()
    browser.open(served)
    browser.wait("document.querySelectorAll('#side-a [data-else]').length === facts.labels.length")
    browser.press("ArrowRight")
    browser.wait("document.querySelectorAll('#side-a [data-else]').length === facts.labels.length")
    browser.eval("document.querySelector('[data-else]').click()")
    assert "What if" in text(browser, "#else") and browser.errors == []
    assert all(url.startswith(served) or url == "about:blank" for url in browser.requests[-3:])

"""One self-contained HTML file: templates, readable facts as JSON, and the lives as a block of packed columns.

The file asks no server for anything (its content security policy forbids it to), keeps nothing in the browser, and so works
from a disk, in an e-mail, and in MLflow's sandboxed artifact view.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from perception.features import EMOTIONS
from sim.replay import branches as what_if
from sim.replay import pictures
from sim.replay.log import Lines
from sim.replay.pack import Columns, json_for_script
from sim.replay.policies import LoadAgent
from sim.replay.runs import Run, read_run
from sim.replay.session import Replay, Side, prepare
from sim.replay.settings import PageSettings, check_settings
from sim.shop.world import Shop

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("data.js", "draw.js", "people.js", "player.js", "everybody.js", "main.js")
PAGE, PAGE_WITH_FACES = "replay.html", "replay-with-faces.html"


@dataclasses.dataclass(frozen=True)
class Page:
    """A page that was written: `shareable` is False where it shows photographs, which must stay on this machine."""

    path: Path
    shareable: bool
    customers: int
    what_if_customers: int
    bytes: int
    seconds: float
    notes: tuple[str, ...]


def write_page(
    folder: Path | Run,
    settings: PageSettings,
    load_agent: LoadAgent,
    *,
    out: Path | None = None,
    run_b: Run | None = None,
    policy_a: str | None = None,
    policy_b: str | None = None,
    customer: int | None = None,
    shop: Shop | None = None,
    table: pd.DataFrame | None = None,
    trusted: list[str] | None = None,
) -> Page:
    """Write the session player's page of a run.

    Parameters
    ----------
    folder : the run, or its folder with summary.json, sessions.parquet, .hydra/config.yaml and policies/.
    load_agent : `agents.load_agent`.
    out : the file; `replay.html` in the run's folder unless given.
    run_b, policy_a, policy_b : whose sessions; this run's agent beside its best other policy unless told.
    customer : the one to open the page at.
    shop, table : of the run and its gallery, where they are at hand; built from the run's configuration otherwise.
    trusted : packages whose agents may be loaded.

    Raises
    ------
    ReplayError
        Exit code 2, with one sentence: no such run, policy or customer, or a log that cannot be read.
    """
    started = time.monotonic()
    check_settings(settings)
    run = folder if isinstance(folder, Run) else read_run(Path(folder))
    replay = prepare(
        run, settings, load_agent, run_b=run_b, policy_a=policy_a, policy_b=policy_b, customer=customer, shop=shop,
        table=table, trusted=trusted,
    )  # fmt: skip
    html, ahead = fitted(replay, settings)
    limit = int(settings.megabytes * 1e6)
    if len(html) > limit:  # even without branches: fewer customers
        fewer = max(1, int(0.85 * len(replay.a.lines.customers) * limit / len(html)))
        smaller = dataclasses.replace(settings, customers=fewer)
        return write_page(
            run, smaller, load_agent, out=out, run_b=run_b, policy_a=policy_a, policy_b=policy_b, customer=customer,
            shop=shop, table=table, trusted=trusted,
        )  # fmt: skip
    photographs = run.real_gallery and settings.show_faces
    path = Path(out) if out is not None else run.folder / (PAGE_WITH_FACES if photographs else PAGE)
    publish(path, html, private=photographs)
    return Page(
        path,
        not photographs,
        len(replay.a.lines.customers),
        ahead,
        len(html),
        time.monotonic() - started,
        tuple(replay.notes),
    )


def fitted(replay: Replay, settings: PageSettings, live: bool = False) -> tuple[bytes, int]:
    """The page with as many branches as fit its size, and for how many customers they are."""
    ahead, faces = replay.what_if, faces_of(replay, settings)
    while True:
        html = render(replay, ahead, faces, live).encode()
        if len(html) <= settings.megabytes * 1e6 or not len(ahead):
            return html, len(ahead)
        ahead = ahead[: len(ahead) // 2]


def publish(path: Path, data: bytes, private: bool = False) -> None:
    """Write a file beside its target, fsync and rename; readable by its owner alone where `private`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o600 if private else 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def render(replay: Replay, ahead: np.ndarray, faces: dict[str, str], live: bool = False) -> str:
    """The HTML text.

    Parameters
    ----------
    ahead : the customers whose branches are on the page.
    faces : pictures by the name that the log gives them.
    live : the page may ask the server that it came from.
    """
    columns = Columns()
    images = _images(replay)
    names = sorted({*replay.a.lines.identities[1], *replay.b.lines.identities[1], *replay.a.lines.persons[1]})
    for key, side in (("a", replay.a), ("b", replay.b)):
        _pack_side(columns, key, side, images, names)
    if replay.branches is not None and len(ahead):
        _pack_branches(columns, replay.branches, replay.a.lines, ahead)
    facts = _facts(replay, images, names, ahead, faces, live)
    facts["columns"] = columns.directory
    read = {name: (STATIC / name).read_text(encoding="utf-8") for name in ("page.html", "page.css")}
    script = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
    html = read["page.html"]
    for mark, text in (
        ("{{connect}}", "connect-src 'self'" if live else "connect-src 'none'"),
        ("{{style}}", read["page.css"]),
        ("{{script}}", script),
        ("{{facts}}", json_for_script(facts)),
        ("{{block}}", columns.block()),
    ):
        html = html.replace(mark, text, 1)
    return html


def _pack_side(columns: Columns, key: str, side: Side, images: list[str], names: list[str]) -> None:
    """One policy's lines; whole numbers where that is exact enough to show."""
    lines, at = side.lines, side.lines.at
    image_index = np.array([images.index(name) for name in lines.images[1]])
    name_index = np.array([names.index(name) for name in lines.identities[1]] + [-1])

    def add(name: str, values: Any, kind: str, scale: float = 1.0) -> None:
        columns.add(f"{key}/{name}", values, kind, scale)

    add("start", lines.start, "uint32")
    add("image", image_index[lines.images[0]], "uint16")
    add("identity", name_index[lines.identities[0]], "int32")
    for name, kind in (
        ("step", "uint16"),
        ("day", "int32"),
        ("visit", "uint16"),
        ("action", "uint16"),
        ("requested", "uint16"),
    ):
        add(name, at[name], kind)
    add("flags", lines.flags, "uint8")
    add("recognised", lines.recognised, "uint8")
    add("true_emotion", lines.true_emotion, "int8")
    add("true_mask", at["true_mask"], "uint8")
    add("face", at["perceived_face"], "uint8")
    for name in ("reward", "margin", "click_value", "push_cost", "opt_out_cost", "refund", "price"):
        add(name, at[name], "float64" if name == "reward" else "float32")
    add("similarity", at["perceived_similarity"], "int16", 1e4)
    add("mask", at["perceived_mask"], "uint16", 1e4)
    add("emotion", lines.emotion, "uint16", 1e4)
    add("probability", lines.probability, "uint16", 5e4)
    for name in ("mood", "valence", "arousal", "click_probability", "purchase_probability", "opt_out_probability"):
        add(name, at[f"true_{name}"], "int16", 1e4)
    for name in ("fatigue", "budget"):
        add(name, np.round(at[f"true_{name}"], 3), "float32")
    if side.relived is not None:
        add("allowed", side.relived.allowed, "uint8")
        add("expected", np.round(side.relived.expected, 3), "float32")
    if side.drivers is not None:
        add("driver", side.drivers.group, "uint8")
        add("weight", np.round(side.drivers.weight, 4), "float32")
        add("unusual", np.where(np.isfinite(side.drivers.z), np.clip(side.drivers.z, -12, 12), 12.7), "int8", 10)


def _pack_branches(columns: Columns, made: what_if.Branches, lines: Lines, ahead: np.ndarray) -> None:
    """The branches of the customers in `ahead`, with the difference in money that each makes."""
    mine = np.isin(lines.at["customer"][made.line], ahead)
    length = np.diff(made.start)
    inside = np.repeat(mine, length)
    steps = made.steps[inside]
    difference = made.value - what_if.money_left(lines)[made.line]
    for name, values, kind, scale in (
        ("line", made.line[mine], "uint32", 1.0),
        ("action", made.action[mine], "uint16", 1.0),
        ("difference", difference[mine], "float64", 1.0),
        ("start", np.concatenate([[0], np.cumsum(length[mine])]), "uint32", 1.0),
        ("day", steps["day"], "uint16", 1.0),
        ("then", steps["action"], "uint8", 1.0),
        ("flags", steps["flags"], "uint8", 1.0),
        ("reward", steps["reward"], "float32", 1.0),
        ("mood", np.round(steps["mood"], 2), "int16", 100.0),
        ("fatigue", np.round(steps["fatigue"], 1), "int16", 10.0),
    ):
        columns.add(f"branch/{name}", values, kind, scale)


def _images(replay: Replay) -> list[str]:
    return sorted({*replay.a.lines.images[1], *replay.b.lines.images[1]})


def _facts(
    replay: Replay, images: list[str], names: list[str], ahead: np.ndarray, faces: dict[str, str], live: bool
) -> dict[str, Any]:
    """The readable part of the page."""
    run, catalog = replay.run, replay.a.shop.catalog if replay.a.shop is not None else None
    lines = replay.a.lines
    shown = np.searchsorted(replay.people["a"]["ids"], lines.customers)
    person = [lines.persons[1][c] for c in lines.persons[0][lines.start[:-1]]]
    return {
        "run": {
            "name": run.name, "agent": run.agent, "env": run.summary.get("env", ""), "seed": run.summary.get("seed"),
            "evaluation_seed": run.seed,
            "evaluated": run.summary.get("customers"), "customers": int(len(replay.people["a"]["ids"])),
            "camera": {k: run.config["camera"].get(k) for k in ("emotion", "identity", "mask")} if run.config.get("camera") else None,
            "git": (run.summary.get("git") or {}).get("commit"), "real": run.real_gallery,
        },
        "policies": {"a": _policy(replay.a), "b": _policy(replay.b, run)},
        "emotions": list(EMOTIONS),
        "labels": [
            {"name": name, "price": float(catalog.table["price"][i]) if catalog is not None else None}
            for i, name in enumerate(replay.labels)
        ],
        "faces": [faces.get(name) for name in images],
        "names": names,
        "customers": [
            {
                "id": int(i), "person": person[row], "a": float(replay.people["a"]["value"][j]),
                "b": float(replay.people["b"]["value"][j]),
                **{k: int(replay.people["a"][k][j]) for k in ("visits", "misread", "mistaken", "masked", "recognised")},
                **{k: bool(replay.people["a"][k][j]) for k in ("opted_out", "lapsed", "enrolled")},
                "part": first_difference(lines, replay.b.lines, row),
                "ahead": bool(i in ahead),
            }
            for row, (i, j) in enumerate(zip(lines.customers, shown, strict=True))
        ],
        "casts": [{"key": c.key, "title": c.title, "meaning": c.meaning, "customers": c.customers} for c in replay.casts],
        "views": replay.views,
        "segments": replay.segments,
        "summary": {name: _headline(run, name) for name in run.summary["policies"]},
        "wanted": replay.wanted,
        "live": live,
        "notes": replay.notes,
    }  # fmt: skip


def first_difference(a: Lines, b: Lines, row: int) -> int:
    """The first opportunity (from 0) at which the policies do not do the same to customer `row`; -1 where they never part."""
    mine, theirs = (each.at["action"][each.start[row] : each.start[row + 1]] for each in (a, b))
    shared = min(len(mine), len(theirs))
    differ = np.flatnonzero(mine[:shared] != theirs[:shared])
    return int(differ[0]) if len(differ) else -1 if len(mine) == len(theirs) else shared - 1


def _policy(side: Side, run: Run | None = None) -> dict[str, Any]:
    drivers = side.drivers
    return {
        "name": side.name, "run": side.run.name if run is not None and side.run is not run else None,
        "deterministic": bool(side.run.summary.get("deterministic")) and side.name == side.run.agent,
        "drivers": list(drivers.names) if drivers else None, "method": drivers.method if drivers else None,
        "width": drivers.group.shape[1] if drivers else 0, "asked_again": side.asked_again,
    }  # fmt: skip


def _headline(run: Run, name: str) -> dict[str, Any]:
    metrics = run.summary["policies"][name]
    return {key: metrics.get(key) for key in ("value_per_customer", "push_rate", "opt_out_rate", "days_per_customer")}


def faces_of(replay: Replay, settings: PageSettings) -> dict[str, str]:
    """Pictures by the name that the log gives them; none of real customers unless they are asked for."""
    images = _images(replay)
    if replay.table is None or (replay.run.real_gallery and not settings.show_faces):
        return {}
    if not replay.run.real_gallery:
        return pictures.face_pictures(pictures.PERSONAS, images, replay.table, settings.picture_pixels)
    paths = pictures.opaque_paths(replay.run.config["population"], replay.table)
    found = pictures.face_pictures(
        Path(replay.run.config["population"]["gallery"]),
        [paths[name] for name in images if name in paths], replay.table, settings.picture_pixels,
    )  # fmt: skip
    return {name: found[paths[name]] for name in images if paths.get(name) in found}

"""The page with branches on demand: a small server for this machine alone.

    GET /                                the page
    GET /branches?customer=N&step=T      every other label at that opportunity: the difference in money, and the life lived

It listens on 127.0.0.1, answers only to that name (so that no web page elsewhere can reach it by a name of its own), and
reads nothing but the log and the shop that it holds.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from sim.replay import branches
from sim.replay.errors import ReplayError
from sim.replay.log import open_log, read_lines
from sim.replay.pack import json_for_script
from sim.replay.page import fitted
from sim.replay.relive import relive
from sim.replay.remembering import remembered
from sim.replay.session import Replay
from sim.replay.settings import PageSettings

HOST = "127.0.0.1"


def branches_at(replay: Replay, customer: int, step: int) -> list[dict[str, Any]]:
    """Every allowed other action of policy A at one opportunity, with its difference in money and the life that follows.

    Raises
    ------
    ReplayError
        There is no such customer or opportunity on the page, or the lives of this run cannot be lived again.
    """
    a = replay.a
    if a.shop is None or a.policy is None:
        raise ReplayError(
            f"branches need the run's shop and the saved policy of {a.name}; the page says what is missing"
        )
    if customer not in a.lines.customers:
        raise ReplayError(f"customer {customer} is not on this page")
    lines = read_lines(open_log(a.run.sessions), a.name, np.array([customer]))
    if not 0 <= step < len(lines):
        raise ReplayError(f"step {step} is out of range; customer {customer} has opportunities 0 to {len(lines) - 1}")
    relived = remembered(a.policy, lines, relive(a.shop, lines, a.run.seed, np.array([True])))
    state, action = branches.every_other_action(relived, lines.at["action"])
    here = relived.kept[state] == step
    made = branches.branch(a.shop, a.policy, relived, state[here], action[here], a.run.seed)
    left = branches.money_left(lines)[step]
    return [
        {"action": int(made.action[m]), "difference": float(made.value[m] - left), "steps": list(_steps(made, m))}
        for m in range(len(made.line))
    ]


def _steps(made: branches.Branches, m: int) -> Iterator[dict[str, Any]]:
    for one in made.steps[made.start[m] : made.start[m + 1]]:
        yield {name: one[name].item() for name in ("day", "action", "flags", "reward", "mood", "fatigue")}


def server(replay: Replay, settings: PageSettings, port: int) -> ThreadingHTTPServer:
    """A server that listens; call `serve_forever`.

    Raises
    ------
    ReplayError
        The port is taken, or not ours to take.
    """
    page = fitted(replay, settings, live=True)[0]
    lock = threading.Lock()  # the simulator's buffers are shared by nobody, its compiled caches by all

    class Handler(BaseHTTPRequestHandler):
        server_version = "replay"

        def do_GET(self) -> None:  # the library's name
            names = {f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}"}  # type: ignore[attr-defined]
            if self.headers.get("Host") not in names:
                return self._answer(403, "text/plain", b"this server answers to its own machine only")
            address = urlsplit(self.path)
            if address.path == "/":
                return self._answer(200, "text/html; charset=utf-8", page)
            if address.path != "/branches":
                return self._answer(404, "text/plain", b"there is / and /branches?customer=N&step=T")
            try:
                query = parse_qs(address.query)
                customer, step = (int(query[name][0]) for name in ("customer", "step"))
            except (KeyError, ValueError):
                return self._answer(400, "text/plain", b"give customer and step as whole numbers")
            try:
                with lock:
                    found = branches_at(replay, customer, step)
            except ReplayError as error:
                return self._answer(404, "text/plain", str(error).encode())
            self._answer(200, "application/json", json_for_script(found).encode())

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing of each request."""

    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        reason = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise ReplayError(f"port={port} cannot be used ({reason}); choose another with port={port + 1}") from None

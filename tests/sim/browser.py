"""A browser for tests: headless Chromium, spoken to over its DevTools pipe, so that no driver has to be installed.

Messages are JSON objects ended by a zero byte, written to file descriptor 3 and read from 4 (Chrome DevTools Protocol with
`--remote-debugging-pipe`).  Every console error, exception and network request of the page is kept.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """Path of a Chromium on this machine, None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One headless Chromium with one page."""

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        program = find_browser()
        assert program is not None
        self._folder = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []

        def descriptors() -> None:  # the browser reads from 3 and writes to 4
            a, b = os.dup(to_read), os.dup(to_write)
            os.dup2(a, 3)
            os.dup2(b, 4)

        arguments = [
            program, "--headless", *sandbox, "--disable-gpu", "--no-first-run", "--remote-debugging-pipe", "--disable-dev-shm-usage",
            "--force-prefers-reduced-motion", f"--user-data-dir={self._folder.name}", f"--window-size={width},{height}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            arguments, preexec_fn=descriptors, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self._buffer, self._number, self._answers = b"", 0, {}
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.frames: list[str] = []  # sessions of frames that live in a process of their own, as sandboxed ones do
        self._session = None
        target = next(t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")
        self._call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
        self.resize(width, height)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self._folder.cleanup()

    def resize(self, width: int, height: int) -> None:
        """Set the size of the page [CSS pixels]."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def open(self, address: str, ready: str = "document.documentElement.dataset.ready === 'true'") -> None:
        """Go there and wait until the expression `ready` is true."""
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=address)
        self.wait(ready)

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Until the expression is true; AssertionError after `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.eval(f"Boolean({expression})", quiet=True):
                return
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}; errors: {self.errors}")

    def eval(self, expression: str, quiet: bool = False, frame: str | None = None) -> Any:
        """The value of an expression in the page, or in one of its `frames`."""
        answer = self._call(
            "Runtime.evaluate", quiet, frame, expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer and not quiet:
            raise AssertionError(answer["exceptionDetails"].get("exception", {}).get("description", str(answer)))
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key: ArrowRight, Home, n, " " ..."""
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, " ": 32, "Tab": 9, "Enter": 13}
        code = codes.get(key, ord(key[0].upper()))
        text = {"text": key} if len(key) == 1 else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Save what the page looks like."""
        data = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def _call(self, method: str, forgiving: bool = False, frame: str | None = None, **params: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if frame or self._session:
            message["sessionId"] = frame or self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + 60
        while self._number not in self._answers:
            assert time.monotonic() < until, f"the browser does not answer to {method}"
            self._listen()
        answer = self._answers.pop(self._number)
        assert forgiving or "error" not in answer, answer
        return answer.get("result", {"result": {}})

    def _listen(self) -> None:
        if not select.select([self._read], [], [], 1.0)[0]:
            assert self._process.poll() is None, "the browser ended"
            return
        self._buffer += os.read(self._read, 1 << 20)
        *whole, self._buffer = self._buffer.split(b"\0")
        for part in whole:
            message = json.loads(part)
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._note(message.get("method", ""), message.get("params", {}))

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(str([a.get("value", a.get("description")) for a in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Target.attachedToTarget" and self._session is not None:
            self.frames.append(params["sessionId"])
        elif method == "Network.requestWillBeSent":
            if not params["request"]["url"].startswith(("data:", "chrome:")):  # part of the page, of the browser
                self.requests.append(params["request"]["url"])

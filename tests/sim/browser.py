"""A browser for tests: the machine's own headless Chromium, driven by Playwright.

Every console error or warning, exception and network request of the page is kept.  Playwright's own download of a browser is
not needed (`apt-get install chromium`).
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Error, sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Frame, Request

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """Path of a Chromium on this machine, None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One headless Chromium with one page."""

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=find_browser(), chromium_sandbox=False)
        self.page = self._chromium.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", self._note)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._chromium.close()
        self._playwright.stop()

    @property
    def frames(self) -> list[Frame]:
        """The frames within the page, sandboxed ones too."""
        return self.page.frames[1:]

    def resize(self, width: int, height: int) -> None:
        """Set the size of the page [CSS pixels]."""
        self.page.set_viewport_size({"width": width, "height": height})

    def open(self, address: str, ready: str = "document.documentElement.dataset.ready === 'true'") -> None:
        """Go there and wait until the expression `ready` is true."""
        self.page.goto("about:blank")  # else an address that differs behind # only would not load anew
        self.page.goto(address, wait_until="commit")
        self.wait(ready)

    def wait(self, expression: str, seconds: float = 60, frame: Frame | None = None) -> None:
        """Until the expression is true; AssertionError after `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if self.eval(f"Boolean({expression})", frame):
                    return
            except Error:  # the page is being replaced, or lacks what is asked for yet
                pass
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true: {expression}; errors: {self.errors}")

    def eval(self, expression: str, frame: Frame | None = None) -> Any:
        """The value of an expression in the page, or in one of its `frames`; playwright's Error where it throws."""
        return (frame or self.page.main_frame).evaluate(expression)

    def press(self, key: str) -> None:
        """Press and release a key: ArrowRight, Home, n, " " ..."""
        self.page.keyboard.press("Space" if key == " " else key)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Save what the page looks like."""
        self.page.screenshot(path=path, full_page=whole)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.errors.append(message.text)

    def _note(self, request: Request) -> None:
        if not request.url.startswith(("data:", "chrome:")):  # part of the page, of the browser
            self.requests.append(request.url)

"""A headless Chromium that is driven over its DevTools protocol, by a pair of pipes: no library."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--force-color-profile=srgb",
)  # fmt: skip

Scheme = Literal["light", "dark"]


def browser() -> str | None:
    """The browser that is installed, if one is."""
    return next((name for name in NAMES if shutil.which(name)), None)


class Browser:
    """One page of one browser; a context, at whose end the browser ends."""

    def __enter__(self) -> Browser:
        name = browser()
        assert name is not None
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        read_in, self._write = os.pipe()
        self._read, write_out = os.pipe()
        # Chromium reads commands from its descriptor 3 and answers on 4.
        words = ["bash", "-c", f'exec "$@" 3<&{read_in} 4>&{write_out}', "bash", name, *QUIET]
        words += [f"--user-data-dir={self._profile.name}", "--remote-debugging-pipe", "about:blank"]
        self._process = subprocess.Popen(
            words, pass_fds=(read_in, write_out), stderr=subprocess.DEVNULL
        )
        os.close(read_in)
        os.close(write_out)
        self._number, self._rest, self._session = 0, b"", ""
        self._events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._call("Page.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(30)
        os.close(self._read)
        os.close(self._write)
        self._profile.cleanup()

    def show(
        self, page: Path, width: int = 1000, scheme: Scheme = "light", anchor: str = ""
    ) -> None:
        """Open a page in a window of this width and wait until it is there."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", features=features)
        self._events.clear()
        # From a blank page: an address that differs in its anchor alone is not loaded anew.
        for url in ("about:blank", page.absolute().as_uri() + anchor):
            self._call("Page.navigate", url=url)
            self._await("Page.loadEventFired")

    def wait_for_a_page(self) -> None:
        """Until a page is loaded, which it does by itself."""
        self._await("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; AssertionError for what it throws."""
        done = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def picture(self, path: Path, most: int = 16_000) -> None:
        """The whole page as a PNG, down to ``most`` pixels."""
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        height = min(most, size["height"])
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1}
        given = self._call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(given["data"]))

    def as_printed(self) -> None:
        """Lay the page out as it would be on paper."""
        self._call("Emulation.setEmulatedMedia", media="print")

    def printed(self, path: Path) -> None:
        """The page as a PDF, A4 upright."""
        paper = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": True}
        given = self._call("Page.printToPDF", printBackground=True, **paper)
        path.write_bytes(base64.b64decode(given["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        asked |= {"sessionId": self._session} if self._session else {}
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._events.append(answer)
        assert "error" not in answer, answer["error"]
        given: dict[str, Any] = answer["result"]
        return given

    def _await(self, event: str) -> None:
        while not any(seen.get("method") == event for seen in self._events):
            self._events.append(self._next())
        self._events.clear()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = os.read(self._read, 1 << 16)
            assert read, "the browser has ended"
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

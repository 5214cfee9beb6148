"""A headless Chromium for tests, by its DevTools protocol: no driver and no package beside tornado, which Jupyter needs.

`needed` skips a test, and says so, where there is no Chromium.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
needed = pytest.mark.skipif(not PROGRAM, reason="there is no Chromium on this machine")
TIMEOUT_S = 120


class Page:
    """One page; `asked` are the addresses that it requested, `complaints` what its console and its scripts said."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: WebSocketClientConnection):
        self.loop, self.socket, self.number, self.session = loop, socket, 0, ""
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """The result of a method of the protocol; what happens meanwhile is kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": given}
        message |= {"sessionId": self.session} if self.session else {}

        async def send() -> None:
            await self.socket.write_message(json.dumps(message))

        self.loop.run_until_complete(send())
        while (found := self._next()).get("id") != self.number:
            self.events.append(found)
        if "error" in found:
            raise RuntimeError(f"{method}: {found['error']}")
        return found["result"]

    def _next(self) -> dict[str, Any]:
        async def read() -> Any:
            return await asyncio.wait_for(self.socket.read_message(), TIMEOUT_S)

        found = json.loads(self.loop.run_until_complete(read()))
        method, said = found.get("method", ""), found.get("params", {})
        if method == "Network.requestWillBeSent":
            self.asked.append(said["request"]["url"])
        if method == "Log.entryAdded":
            self.complaints.append(said["entry"]["text"])
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(said["exceptionDetails"]))
        return found

    def go(self, address: str) -> None:
        """Open an address, and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        self.loaded()

    def loaded(self) -> None:
        """Wait until a page is loaded; `events` was cleared before what loads it."""
        while not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self.events.append(self._next())

    def js(self, source: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        found = self.call("Runtime.evaluate", expression=source, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"]))
        return found["result"].get("value")

    def until(self, source: str) -> None:
        """Wait until an expression in the page is true; the page looks at each of its frames."""
        test = f"(async () => {{ while (!({source})) await new Promise((go) => setTimeout(go, 50)); return true }})()"
        self.js(test)

    def press(self, key: str) -> None:
        """Press a key, with its text if it has one."""
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def width(self, pixels: int, height: int = 844) -> None:
        """The size of the window."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=pixels, height=height, deviceScaleFactor=1, mobile=pixels < 600
        )

    def media(self, name: str = "", **features: str) -> None:
        """How the page is shown: `print`, or features such as prefers_color_scheme="dark"."""
        known = [{"name": feature.replace("_", "-"), "value": value} for feature, value in features.items()]
        self.call("Emulation.setEmulatedMedia", media=name, features=known)

    def picture(self, path: Path, height: int, scale: float = 1) -> None:
        """A picture of the top of the page, as wide as the window."""
        wide = self.js("innerWidth")
        clip = {"x": 0, "y": 0, "width": wide, "height": height, "scale": scale}
        found = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def chromium() -> Iterator[Page]:
    """A new page of a new browser."""
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        options += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "--disable-background-networking"]
        process = subprocess.Popen([PROGRAM, *options, "about:blank"], stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr
            line = next(line for line in process.stderr if "DevTools listening on" in line)
            address = re.findall(r"ws://\S+", line)[0]
            page = Page(loop, loop.run_until_complete(_connected(address)))
            target = page.call("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                page.call(f"{domain}.enable")
            yield page
        finally:
            process.kill()
            process.wait()
            loop.close()


async def _connected(address: str) -> WebSocketClientConnection:
    return await websocket_connect(address, max_message_size=1 << 28)

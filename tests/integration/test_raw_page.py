"""
A page of a real browser that has a cookie in its own alphabet, and a wire of its own: no C{crossws.js} in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted

from tests.integration.chromium import Browser, Tab, needsChromium
from tests.integration.process import NodeProcess, startNode

pytestmark = [pytest.mark.integration, needsChromium]

APPLICATION = """
def makeService(node):
    def message(socket, data):
        if isinstance(data, bytes):
            socket.sendBytes(data[::-1])
        else:
            socket.sendText(data + socket.request.headers["cookie"])

    node.lifecycle.on("message", message)
"""

CONFIG = """
[node]
drain_seconds = 0.5
stop_deadline = 2.0

[websocket]
static = "site"
subprotocols = ["raw.v2", "raw.v1"]

[[service]]
use = "raw_app:makeService"
"""

PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script>
document.cookie = "name=Åsa 名";
const got = [];
const socket = new WebSocket(`ws://${location.host}/`, ["raw.v1", "raw.v2"]);
socket.binaryType = "arraybuffer";
socket.onopen = () => { socket.send("I have "); socket.send(new Uint8Array([255, 0, 1])); };
socket.onmessage = ({ data }) => got.push(typeof data === "string" ? data : [...new Uint8Array(data)]);
socket.onclose = ({ code }) => got.push(code);
</script>"""


@pytest_twisted.async_yield_fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeProcess]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "raw_app.py").write_text(APPLICATION)
    (tmp_path / "crossws.toml").write_text(CONFIG)
    node = await startNode(tmp_path / "crossws.toml")
    yield node
    await node.stop()


@pytest_twisted.async_yield_fixture
async def tab(node: NodeProcess) -> AsyncIterator[Tab]:
    """The page, in a browser of its own."""
    browser = await Browser.start()
    tab = await browser.newTab(f"http://127.0.0.1:{node.port}/", 800, 600)
    yield tab
    await browser.stop()


@pytest_twisted.ensureDeferred
async def test_page(tab: Tab) -> None:
    """It is let in, speaks the better subprotocol, and gets texts and bytes as they are; its cookie has arrived."""
    await tab.waitFor("got.length === 2")
    assert await tab.evaluate("got") == ["I have name=Åsa 名", [1, 0, 255]]
    assert await tab.evaluate("socket.protocol") == "raw.v2"

"""
C{crossws.js} in a page of a real browser that is frozen, or put aside: Chromium then answers pings in the page's place,
and takes every message, so that the server would take it for present.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted

from tests.integration.chromium import Browser, Tab, needsChromium
from tests.integration.process import PATIENCE, NodeProcess, startNode
from twisted_crossws import Connector

pytestmark = [pytest.mark.integration, needsChromium]

APPLICATION = '''
from twisted.internet.defer import Deferred


def makeService(node):
    told, waiting = [], []

    def tell(*what):
        told.append(what)
        while told and waiting:
            waiting.pop(0).callback(told.pop(0))

    def following(socket, payload):
        """What happens next to a page."""
        next = Deferred()
        waiting.append(next)
        if told:
            waiting.pop(0).callback(told.pop(0))
        return next

    def isPage(socket):
        return "page" in socket.request.params

    node.lifecycle.on("connection", lambda socket: isPage(socket) and tell("open"))
    node.lifecycle.on("close", lambda socket, code, reason: isPage(socket) and tell("close", code, reason))
    node.clients.on("following", following)
'''

CONFIG = """
[node]
drain_seconds = 0.5
stop_deadline = 2.0

[websocket]
static = "site"

[[service]]
use = "page_app:makeService"
"""

PAGE = """<!doctype html><link rel="icon" href="data:,"><script src="/crossws.js"></script><script>
const client = new CrossWS("/", { params: { page: 1 }, fastReconnectInterval: 60000 });
const log = [];
for (const event of ["open", "close"]) client.lifecycle.on(event, (code) => log.push(code ?? event));
client.connect();
</script>"""


@pytest_twisted.async_yield_fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeProcess]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text(PAGE)
    (tmp_path / "site" / "other.html").write_text('<!doctype html><link rel="icon" href="data:,">Elsewhere')
    (tmp_path / "page_app.py").write_text(APPLICATION)
    (tmp_path / "crossws.toml").write_text(CONFIG)
    node = await startNode(tmp_path / "crossws.toml")
    yield node
    await node.stop()


class Witness:
    """Sees what the server sees of the page."""

    def __init__(self, node: NodeProcess) -> None:
        self._client = Connector(node.url, callTimeout=PATIENCE)

    async def following(self) -> list[object]:
        """What happens next to the page."""
        await self._client.connect()
        told: list[object] = await self._client.call("following")
        return told

    async def leave(self) -> None:
        await self._client.close()


@pytest_twisted.async_yield_fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    browser = await Browser.start()
    yield browser
    await browser.stop()


@pytest_twisted.async_yield_fixture
async def tab(browser: Browser, node: NodeProcess) -> AsyncIterator[Tab]:
    """The page."""
    tab = await browser.newTab(f"http://127.0.0.1:{node.port}/", 800, 600)
    yield tab
    await tab.close()


@pytest_twisted.async_yield_fixture
async def witness(node: NodeProcess) -> AsyncIterator[Witness]:
    witness = Witness(node)
    yield witness
    await witness.leave()


GOODBYE = ["close", 4001, "The page is frozen."]


@pytest_twisted.ensureDeferred
async def test_frozen(tab: Tab, witness: Witness) -> None:
    """The server sees a page go that is frozen, with 4001, and come back when it goes on, long before its retry."""
    assert await witness.following() == ["open"]
    await tab.freeze()
    assert await witness.following() == GOODBYE
    await tab.thaw()
    assert await witness.following() == ["open"]
    await tab.waitFor("client.isConnected")
    assert await tab.evaluate("log") == ["open", 4001, "open"]


@pytest_twisted.ensureDeferred
async def test_putAside(tab: Tab, witness: Witness, node: NodeProcess) -> None:
    """So it does with a page that is left, and kept to be shown again when its reader comes back."""
    assert await witness.following() == ["open"]
    await tab.open(f"http://127.0.0.1:{node.port}/other.html")
    assert await witness.following() == GOODBYE
    await tab.evaluate("history.back()")
    assert await witness.following() == ["open"]
    await tab.waitFor("client.isConnected")
    assert await tab.evaluate("log") == ["open", 4001, "open"], "the same page, not one that was loaded again"

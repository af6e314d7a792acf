"""
The embedding example as a person runs it: a web application that has pages of its own and a node in it, on one port.
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.integration.chromium import Browser, Tab, needsChromium
from tests.integration.process import PATIENCE, ROOT, NodeProcess, freePort
from twisted_crossws import Connector, HandshakeRefused, RemoteError

pytestmark = pytest.mark.integration
reactor: Any = _reactor

EXAMPLE = ROOT / "examples" / "embed" / "app.py"

MARKUP = "<img src=x onerror=boom()> & tea"


class Board(NodeProcess):
    """The example, running."""

    @classmethod
    async def run(cls, port: int | None = None) -> Board:
        number = port or freePort()
        process = cls.start(sys.executable, str(EXAMPLE), str(number), cwd=ROOT)
        assert isinstance(process, Board)
        process.port = number
        await process.says("The board is at")
        return process

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def http(self, method: str, path: str, body: str | None = None) -> Deferred[tuple[int, str, str]]:
        """
        @return: fires with status, type and text of the answer.
        """

        def ask() -> tuple[int, str, str]:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request(method, path, None if body is None else body.encode())
            response = connection.getresponse()
            text = response.read().decode()
            connection.close()
            return response.status, response.getheader("content-type", ""), text

        return deferToThread(ask)

    async def order(self, text: str) -> str:
        """
        @return: what it says to an order that it takes.
        """
        status, _, answer = await self.http("POST", "/orders", text)
        assert status == 201
        return answer

    async def screen(self, **options: Any) -> Connector:
        """Somebody who looks, without a page."""
        client = Connector(f"ws://127.0.0.1:{self.port}/live", **options)
        await client.connect().addTimeout(PATIENCE, reactor)
        return client


@pytest_twisted.async_yield_fixture
async def board() -> AsyncIterator[Board]:
    board = await Board.run()
    yield board
    await board.stop()


def hears(event: str, *clients: Connector) -> Deferred[list[Any]]:
    """
    @return: fires with the payloads, when each of them has got the event.
    """
    waiting: list[Deferred[Any]] = []
    for client in clients:
        heard: Deferred[Any] = Deferred()
        client.once(event, heard.callback)
        waiting.append(heard)
    return gatherResults(waiting).addTimeout(PATIENCE, reactor)


async def leave(*clients: Connector) -> None:
    for client in clients:
        await client.close()


class TestHttp:
    @pytest_twisted.ensureDeferred
    async def test_pages(self, board: Board) -> None:
        """The pages are the application's own, with the client that the package brings; sockets have their place."""
        status, kind, text = await board.http("GET", "/")
        assert (status, kind) == (200, "text/html") and 'src="/crossws.js"' in text
        status, kind, text = await board.http("GET", "/crossws.js")
        assert (status, kind) == (200, "text/javascript") and "class CrossWS" in text
        status, _, text = await board.http("GET", "/live")
        assert (status, text) == (426, "Only WebSocket is spoken here.\n")
        assert (await board.http("GET", "/nothing"))[0] == 404
        assert (await board.http("GET", "/orders"))[0] == 405

    @pytest.mark.parametrize("text", ["", "   ", "x" * 201, "€" * 300, "x" * 100_000])
    @pytest_twisted.ensureDeferred
    async def test_badOrder(self, board: Board, text: str) -> None:
        """An order that is empty or too long is refused, and nobody sees it."""
        screen = await board.screen()
        status, _, answer = await board.http("POST", "/orders", text)
        assert status == 400 and "1 to 200 characters" in answer
        assert await screen.call("orders") == []
        await leave(screen)

    @pytest_twisted.ensureDeferred
    async def test_longestOrder(self, board: Board) -> None:
        """What counts are characters, not bytes."""
        screen = await board.screen()
        await board.order("🍰" * 200)
        assert await screen.call("orders") == [{"number": 1, "text": "🍰" * 200}]
        await leave(screen)


class TestSockets:
    @pytest_twisted.ensureDeferred
    async def test_ordered(self, board: Board) -> None:
        """An order that comes by HTTP is on all screens; who comes later asks for it."""
        one, two = await board.screen(), await board.screen()
        heard = hears("ordered", one, two)
        assert await board.order("Two coffees for table 4") == "Order 1, on screens: 2\n"
        order = {"number": 1, "text": "Two coffees for table 4"}
        assert await heard == [order, order]
        await leave(one)
        assert await board.order(MARKUP) == "Order 2, on screens: 1\n"
        three = await board.screen()
        assert await three.call("orders") == [order, {"number": 2, "text": MARKUP}]
        await leave(two, three)

    @pytest_twisted.ensureDeferred
    async def test_done(self, board: Board) -> None:
        """Who is first to say that an order is done gets a reply, and all hear of it; who is second gets an error."""
        one, two = await board.screen(), await board.screen()
        await board.order("Soup")
        await board.order("Bread")
        heard = hears("done", one, two)
        assert await one.call("done", 1) is None
        assert await heard == [1, 1]
        for wrong in (1, 3, "2", [2], {"number": 2}, None, 1.5):
            with pytest.raises(RemoteError) as caught:
                await two.call("done", wrong)
            assert caught.value.code == "notOpen"
        assert await two.call("orders") == [{"number": 2, "text": "Bread"}]
        await leave(one, two)

    @pytest_twisted.ensureDeferred
    async def test_foreignPage(self, board: Board) -> None:
        """A page of another host may not connect: a node in a web site looks at origins, too."""
        refused = Connector(f"ws://127.0.0.1:{board.port}/live", headers={"Origin": "http://elsewhere.example"})
        with pytest.raises(HandshakeRefused) as caught:
            await refused.connect().addTimeout(PATIENCE, reactor)
        assert caught.value.status == 403
        await refused.close()
        own = await board.screen(headers={"Origin": board.page.rstrip("/")})
        await leave(own)

    @pytest_twisted.ensureDeferred
    async def test_stop(self, board: Board) -> None:
        """A signal closes its clients with 1001, and the program ends well."""
        screen = await board.screen()
        closed: Deferred[int] = Deferred()
        screen.lifecycle.on("close", lambda code, reason: closed.callback(code))
        assert await board.stop(signal.SIGTERM) == 0
        assert await closed.addTimeout(PATIENCE, reactor) == 1001
        assert "Traceback" not in board.output
        await leave(screen)


@needsChromium
class TestPage:
    async def open(self, browser: Browser, board: Board) -> Tab:
        tab = await browser.newTab(board.page, 800, 600)
        await tab.waitFor("document.querySelector('#state').textContent === 'Live'")
        return tab

    async def sees(self, tab: Tab, *texts: str) -> None:
        """Exactly these orders, in this order."""
        shown = "JSON.stringify(Array.from(document.querySelectorAll('#orders .text'), (each) => each.textContent))"
        await tab.waitFor(f"{shown} === JSON.stringify({json.dumps(texts)})")

    @pytest_twisted.ensureDeferred
    async def test_twoTabs(self, board: Board) -> None:
        """
        What is ordered in one page or by HTTP is in both, as text whatever it is, until one of them has done it; a
        server that is started again has its pages back.
        """
        browser = await Browser.start()
        try:
            await board.order("Soup")
            bar, kitchen = await self.open(browser, board), await self.open(browser, board)
            await self.sees(kitchen, "Soup")
            await bar.type("input", MARKUP)
            await bar.press("Enter")
            await self.sees(kitchen, "Soup", MARKUP)
            await self.sees(bar, "Soup", MARKUP)
            await kitchen.click("#order-1 button")
            await self.sees(bar, MARKUP)
            await self.sees(kitchen, MARKUP)
            assert bar.console == kitchen.console == []
            await board.kill()
            await bar.waitFor("document.querySelector('#state').textContent.startsWith('No connection')")
            again = await Board.run(board.port)
            await self.sees(bar)
            await again.order("Tea")
            await self.sees(bar, "Tea")
            await self.sees(kitchen, "Tea")
            await again.stop()
        finally:
            await browser.stop()

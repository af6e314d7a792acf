"""
The guide to asyncio as it is typed: its service, with a library of asyncio, under C{twistd --reactor asyncio}.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from tests.integration.process import PATIENCE, ROOT, NodeProcess, freePort, reactor
from twisted_crossws import Connector, HandshakeRefused, NotConnected

pytestmark = pytest.mark.integration

GUIDE = (ROOT / "docs" / "asyncio.md").read_text("utf-8")


def block(language: str) -> str:
    """The first block of a language in the guide."""
    found = re.search(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


class Weather(ThreadingHTTPServer):
    """
    What the guide's service asks.

    @ivar isStormy: whether there is a storm in Oslo.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.isStormy = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Weather

    def do_GET(self) -> None:
        path, asked = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
        status, text = 200, ""
        if path == "/user":
            status, text = (200, "sam") if asked.get("token") == "right" else (403, "")
        elif path == "/forecast":
            text = f"Rain in {asked['city']}."
        elif self.server.isStormy.is_set():
            text = "Oslo"
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: Any) -> None:
        """Tests print nothing."""


@pytest.fixture
def weather() -> Iterator[Weather]:
    weather = Weather()
    thread = Thread(target=weather.serve_forever, args=(0.05,))
    thread.start()
    yield weather
    weather.shutdown()
    thread.join()
    weather.server_close()


async def start(folder: Path, weather: Weather, *options: str) -> NodeProcess:
    """A node of the guide's files, by C{twistd} with these options."""
    config = block("toml").replace("https://weather.example", weather.url)
    (folder / "weather.py").write_text(block("python"))
    (folder / "crossws.toml").write_text(f"[node]\ndrain_seconds = 0.5\n\n{config}")
    port = freePort()
    run = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", *options, "--pidfile=", "-n")
    listen = ("--config", "crossws.toml", "--listen", f"tcp:{port}:interface=127.0.0.1")
    process = NodeProcess.start(*run, "crossws", *listen, cwd=folder, env={"NO_PROXY": "*", "no_proxy": "*"})
    assert isinstance(process, NodeProcess)
    process.port = port
    await process.says("is ready")
    return process


@pytest_twisted.async_yield_fixture
async def node(tmp_path: Path, weather: Weather) -> AsyncIterator[NodeProcess]:
    assert block("sh") == "twistd --reactor asyncio -n crossws --config crossws.toml\n"
    node = await start(tmp_path, weather, "--reactor", "asyncio")
    yield node
    await node.stop()


@pytest_twisted.ensureDeferred
async def test_guide(node: NodeProcess, weather: Weather) -> None:
    """
    The authenticator, a listener and the service await asyncio's library and Deferreds; and it stops in good order.
    """
    stranger = Connector(node.url, params={"token": "wrong"})
    with pytest.raises(HandshakeRefused, match="Who are you"):
        await stranger.connect()
    await stranger.close()
    client = Connector(node.url, params={"token": "right"})
    await client.connect()
    warned: Deferred[Any] = Deferred()
    client.once("storm", warned.callback)
    assert await client.call("forecast", "Oslo") == "Rain in Oslo."
    weather.isStormy.set()
    assert await warned.addTimeout(PATIENCE, reactor) == {"in": "Oslo"}
    await client.close()
    assert await node.stop() == -signal.SIGTERM
    assert "Traceback" not in node.output and "Unhandled" not in node.output


@pytest_twisted.ensureDeferred
async def test_anotherReactor(tmp_path: Path, weather: Weather) -> None:
    """With another reactor the log says what to do."""
    node = await start(tmp_path, weather)
    client = Connector(node.url, params={"token": "right"}, attempts=1)
    with pytest.raises(NotConnected):
        await client.connect()
    await node.says("Start with twistd --reactor asyncio")
    await node.stop()

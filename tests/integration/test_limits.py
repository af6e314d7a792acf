"""
Limits of a node on real sockets: who is honest meets none of them, and who is not takes nothing from the others.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.integration.process import PATIENCE, NodeProcess, pause, startNode
from twisted_crossws import Connector
from twisted_crossws.wire.rfc6455 import maskedFrame, serverFrames

pytestmark = pytest.mark.integration
reactor: Any = _reactor

APPLICATION = '''
NEWS = "x" * 970

def makeService(node):
    """Sends much at once."""
    def burst(socket, payload=None):
        for number in range(1500):
            socket.send("news", [number, NEWS])
    node.clients.on("burst", burst)
    node.clients.on("book", lambda socket, payload: "x" * 5_000_000)
    node.clients.on("counters", lambda socket, payload: dict(node.counters))
    node.lifecycle.on("connection", lambda socket: burst(socket) if socket.request.path == "burst" else None)
'''

CONFIG = """
static = "pages"
max_connections = 50
max_plain_connections = 30

[[service]]
use = "limits_app:makeService"
"""

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

#: A file that neither fits the buffers of the system nor those of a transport.
FILE = bytes(range(256)) * 40_000


@pytest_twisted.async_yield_fixture
async def node(tmp_path: Path, request: Any) -> AsyncIterator[NodeProcess]:
    (tmp_path / "limits_app.py").write_text(APPLICATION)
    (tmp_path / "crossws.toml").write_text("[websocket]\n" + getattr(request, "param", "") + CONFIG)
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "file.bin").write_bytes(FILE)
    process = await startNode(tmp_path / "crossws.toml")
    yield process
    await process.stop()


class TestBursts:
    @pytest_twisted.ensureDeferred
    async def test_whole(self, node: NodeProcess) -> None:
        """1,500 messages of 1 kB in one go, from an event or on connecting, and two replies of 5 MB arrive whole."""
        client = Connector(node.url + "burst")
        numbers: list[int] = []
        arrived: list[Deferred[None]] = [Deferred(), Deferred()]

        def news(payload: Any) -> None:
            numbers.append(payload[0])
            if payload[0] == 1499:
                arrived[len(numbers) // 1500 - 1].callback(None)

        client.on("news", news)
        await client.connect()
        await arrived[0].addTimeout(PATIENCE, reactor)
        client.emit("burst")
        await arrived[1].addTimeout(PATIENCE, reactor)
        assert numbers == [*range(1500)] * 2
        books = await gatherResults([client.call("book", timeout=PATIENCE) for _ in range(2)])
        assert [len(book) for book in books] == [5_000_000] * 2
        counters = await client.call("counters", timeout=PATIENCE)
        assert (counters["connections_opened"], counters["clients_slow"]) == (1, 0)
        await client.close()

    @pytest.mark.parametrize("node", ["slow_timeout = 1.0\nmax_queued_bytes = 100_000\n"], indirect=True)
    @pytest_twisted.ensureDeferred
    async def test_tooSlow(self, node: NodeProcess) -> None:
        """Who reads nothing for a while is closed; when it reads again it gets all that was in order, and 4008."""
        other = Connector(node.url)
        await other.connect()
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            stuck.connect(("127.0.0.1", node.port))
            stuck.sendall(HANDSHAKE + maskedFrame(1, b'{"event":"book","callbackId":"1"}', b"mask") * 2)
            while not (await other.call("counters", timeout=PATIENCE))["clients_slow"]:
                await pause(0.1)
            data = await deferToThread(readUntil, stuck, b"too slow")
        frames = [(opcode, payload) for opcode, payload, _ in serverFrames(data.partition(b"\r\n\r\n")[2])]
        *books, last = [(opcode, payload) for opcode, payload in frames if opcode != 9]
        assert [len(payload) for _, payload in books] == [5_000_031] * 2
        assert last == (8, b"\x0f\xa8too slow")
        await other.close()


class TestPlain:
    @pytest_twisted.ensureDeferred
    async def test_descriptors(self, node: NodeProcess) -> None:
        """Idle plain connections do not take the descriptors that WebSockets need, nor keep health checks out."""
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (120, 120))
        with ExitStack() as stack:
            for _ in range(200):
                idle = stack.enter_context(socket.create_connection(("127.0.0.1", node.port)))
                idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                await deferToThread(idle.recv, 100)
            clients = [Connector(node.url) for _ in range(10)]
            await gatherResults([client.connect() for client in clients]).addTimeout(PATIENCE, reactor)
            assert (await deferToThread(ask, node.port, "GET", "/healthz"))[0] == 200
            counters = await clients[0].call("counters", timeout=PATIENCE)
            assert (counters["connections_opened"], counters["connections_closed"]) == (10, 0)
            for client in clients:
                await client.close()

    @pytest_twisted.ensureDeferred
    async def test_form(self, node: NodeProcess) -> None:
        """A form of a megabyte is answered, and not read."""
        status, _ = await deferToThread(ask, node.port, "POST", "/healthz", b"a=b&" * 250_000)
        assert status == 405

    @pytest_twisted.ensureDeferred
    async def test_files(self, node: NodeProcess) -> None:
        """Files come whole, several on one connection, and parts of them too."""
        assert await deferToThread(download, node.port) == [(200, FILE), (206, FILE[1000:2001]), (200, FILE)]


def readUntil(connection: socket.socket, end: bytes) -> bytes:
    """All that comes until something ends so."""
    connection.settimeout(PATIENCE)
    data = bytearray()
    while not data.endswith(end):
        found = connection.recv(1 << 20)
        assert found, "The connection ended before."
        data += found
    return bytes(data)


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


def download(port: int) -> list[tuple[int, bytes]]:
    """The file, a part of it, and what asks for two parts."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    found = []
    for value in ("", "bytes=1000-2000", "bytes=0-1,5-6"):
        connection.request("GET", "/file.bin", headers={"Range": value} if value else {})
        response = connection.getresponse()
        found.append((response.status, response.read()))
    connection.close()
    return found

"""
What connections of plain HTTP may cost on a node's own ports.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.ws.memorytcp import MemoryTCP
from tests.ws.nodes import makeNode
from twisted_crossws import Node
from twisted_crossws.state.counters import Counters
from twisted_crossws.testing import FakePeer
from twisted_crossws.ws.plain import MAX_DISCARDED, PlainConnections
from twisted_crossws.ws.site import NodeSite
from twisted_crossws.ws.transport import unsentBytes

PAGE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
SCRIPT = b"GET /crossws.js HTTP/1.1\r\nHost: x\r\n\r\n"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def posted(length: str, method: str = "POST", path: str = "/healthz") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        "Expect: 100-continue\r\n\r\n"
    ).encode()


class TestBodies:
    @pytest.mark.parametrize("before", [b"", PAGE])
    @pytest.mark.parametrize("length", ["Content-Length: 16000000", "Content-Length: 1", "Transfer-Encoding: chunked"])
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [("POST", "/healthz", 405), ("PUT", "/nothing", 405), ("GET", "/healthz", 413), ("GET", "/nothing", 413)],
    )
    def test_refused(
        self, node: Node, clock: Clock, before: bytes, length: str, method: str, path: str, status: int
    ) -> None:
        """A request with a body is refused at its head, whatever it is for; nothing of the body is kept or read."""
        peer = FakePeer(node, clock, request=before)
        peer.transport.clear()
        peer.sendBytes(posted(length, method, path) + b"a=b&" * 1000)
        assert peer.status == status
        assert b"\r\nConnection: close\r\n" in peer.transport.value()
        peer.sendBytes(b"a=b&" * 1000 + PAGE)
        assert peer.transport.value().count(b"HTTP/1.1 ") == 1
        assert node.counters["http_bodies"] == 1
        peer.leave()
        clock.advance(0)
        assert clock.getDelayedCalls() == []

    def test_read(self, node: Node, clock: Clock) -> None:
        """Who is still sending can read the answer: so much is thrown away, for as long as a request may take."""
        short, long, slow = [FakePeer(node, clock, request=posted("Content-Length: 100000000")) for _ in range(3)]
        short.sendBytes(b"x" * MAX_DISCARDED)
        long.sendBytes(b"x" * (MAX_DISCARDED + 1))
        assert short.isConnected and not long.isConnected and not long.transport.isAborted
        clock.pump([4.9, 0.2])
        assert not slow.isConnected and not slow.transport.isAborted
        assert node.counters["http_timed_out"] == 0

    def test_empty(self, node: Node, clock: Clock) -> None:
        """A body of no bytes is none."""
        assert (
            FakePeer(node, clock, request=b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").status
            == 200
        )


class TestTime:
    @pytest.mark.parametrize("timeout", [5.0, 2.0])
    def test_drip(self, clock: Clock, timeout: float) -> None:
        """A request that comes byte by byte has C{handshake_timeout}, as the first of a connection has."""
        node = makeNode(clock, handshake_timeout=timeout)
        peer = FakePeer(node, clock, request=PAGE)
        for _ in range(int(timeout * 4) - 1):
            peer.sendBytes(b"G")
            clock.advance(0.25)
        assert peer.isConnected
        clock.advance(0.25)
        assert peer.transport.isAborted and node.counters["http_timed_out"] == 1

    def test_each(self, node: Node, clock: Clock) -> None:
        """Each request has that time anew, and between two of them there is half a minute."""
        peer = FakePeer(node, clock, request=PAGE)
        for _ in range(5):
            clock.advance(29.0)
            peer.sendBytes(PAGE[:9])
            clock.advance(4.9)
            peer.transport.clear()
            peer.sendBytes(PAGE[9:])
            assert peer.status == 200
        clock.pump([29.9, 0.2])
        assert not peer.isConnected and not peer.transport.isAborted
        assert node.counters["http_timed_out"] == 0

    @pytest.mark.parametrize(("more", "seconds"), [(b"Connection: close\r\n", 10), (b"", 35)])
    def test_unread(self, clock: Clock, more: bytes, seconds: int) -> None:
        """An answer of which nothing is taken for so long is cut; one that is slowly taken is not."""
        node = makeNode(clock)
        stuck, slow = _connected(node), _connected(node)
        for each in (stuck, slow):
            each.transport.protocol.dataReceived(SCRIPT[:-2] + more + b"\r\n")
            each.transport.doWrite()
        for _ in range(seconds // 5):
            assert not stuck.transport.disconnected
            clock.advance(5.0)
            stuck.reactor.advance(0)
            slow.read(100)
        assert stuck.transport.disconnected and not slow.transport.disconnected
        slow.transport.connectionLost(Failure(ConnectionDone()))
        assert [each for each in clock.getDelayedCalls()] == []


class TestPipelining:
    def test_bounded(self, node: Node, clock: Clock) -> None:
        """Who asks and does not read gets no more answered than fills the buffers; who reads gets all, in order."""
        tcp = _connected(node)
        for _ in range(20):
            tcp.transport.protocol.dataReceived(SCRIPT * 50)
        waiting = unsentBytes(tcp.transport)
        assert waiting is not None and waiting < 200_000
        assert tcp.transport not in tcp.reactor.readers
        answers = tcp.read(1 << 30)
        assert answers.count(b"HTTP/1.1 200 ") == 1000 and len(answers) > 1_000_000
        assert tcp.transport in tcp.reactor.readers
        tcp.transport.protocol.dataReceived(PAGE)
        assert tcp.read(10_000).startswith(b"HTTP/1.1 200 ")
        tcp.transport.connectionLost(Failure(ConnectionDone()))

    def test_ahead(self, clock: Clock) -> None:
        """What comes while an answer is being made waits for it."""
        requests: list[Any] = []
        page = Resource()
        page.isLeaf = True
        page.render_GET = lambda request: requests.append(request) or NOT_DONE_YET
        site = NodeSite(page, clock, PlainConnections(clock, Counters(), limit=0, requestTimeout=5.0))
        peer = FakePeer(site, clock, request=PAGE)
        peer.sendBytes(PAGE[:9])
        peer.sendBytes(PAGE[9:])
        clock.advance(60.0)
        assert peer.isConnected and len(requests) == 1
        for number in range(2):
            requests[number].finish()
            assert peer.transport.value().count(b"HTTP/1.1 200 ") == number + 1
        assert len(requests) == 2
        peer.leave()
        clock.advance(0)

    def test_upgrade(self, node: Node, clock: Clock) -> None:
        """A WebSocket is asked for behind many requests: it opens when their answers have been read."""
        tcp = _connected(node)
        tcp.transport.protocol.dataReceived(SCRIPT * 50 + HANDSHAKE)
        assert node.counters["connections_opened"] == 0
        answers = tcp.read(1 << 30)
        assert node.counters["connections_opened"] == 1
        assert (answers + tcp.read(1 << 30)).count(b"HTTP/1.1 101 ") == 1
        clock.advance(3600)
        tcp.transport.connectionLost(Failure(ConnectionDone()))
        assert clock.getDelayedCalls() == []


class TestLimit:
    def test_idle(self, clock: Clock) -> None:
        """Idle connections are closed for others, the longest idle one first; WebSockets do not count."""
        node = makeNode(clock, max_plain_connections=3)
        sockets = [FakePeer(node, clock) for _ in range(5)]
        first, second, third = [FakePeer(node, clock, request=PAGE) for _ in range(3)]
        first.transport.clear()
        first.sendBytes(PAGE)
        fourth = FakePeer(node, clock, request=PAGE)
        assert [each.isConnected for each in (first, second, third, fourth)] == [True, False, True, True]
        assert first.status == fourth.status == 200 and not second.transport.isAborted
        assert all(each.isConnected for each in sockets)

    def test_flood(self, clock: Clock) -> None:
        """So there are never more than that, and each new one is served."""
        node = makeNode(clock, max_plain_connections=20)
        peers = []
        for _ in range(200):
            peers.append(FakePeer(node, clock, request=PAGE))
            assert peers[-1].status == 200
            peers[-1].sendBytes(b"GET /")
        assert sum(peer.isConnected for peer in peers) == 20
        assert FakePeer(node, clock).status == 101

    def test_allAnswered(self, clock: Clock) -> None:
        """While all of them are being answered, one more gets 503, and says when to come back."""
        node = makeNode(clock, max_plain_connections=2)
        busy = [_connected(node) for _ in range(2)]
        for each in busy:
            each.transport.protocol.dataReceived(SCRIPT[:-2] + b"Connection: close\r\n\r\n")
        peer = FakePeer(node, clock, request=PAGE)
        clock.advance(0)
        assert peer.status == 503 and b"\r\nRetry-After: 5\r\n" in peer.transport.value() and not peer.isConnected
        assert node.counters["http_over_limit"] == 1
        assert peer.transport.value().count(b"HTTP/1.1 ") == 1
        busy[0].transport.connectionLost(Failure(ConnectionDone()))
        assert FakePeer(node, clock, request=PAGE).status == 200
        busy[1].transport.connectionLost(Failure(ConnectionDone()))

    def test_upgraded(self, clock: Clock) -> None:
        """One that has become a WebSocket counts as that."""
        node = makeNode(clock, max_plain_connections=1)
        peer = FakePeer(node, clock, request=PAGE)
        peer.sendBytes(HANDSHAKE)
        assert [FakePeer(node, clock, request=PAGE).status for _ in range(2)] == [200, 200]
        assert node.counters["connections_opened"] == 1 and peer.isConnected

    def test_allPorts(self, clock: Clock) -> None:
        """All ports of a node count together."""
        node = makeNode(clock, max_plain_connections=1)
        factories: list[Any] = [node.webSocketFactory() for _ in range(2)]
        first, second = [FakePeer(factory, clock, request=PAGE) for factory in factories]
        assert second.isConnected and not first.isConnected

    def test_noLimit(self, clock: Clock) -> None:
        """0 is no limit."""
        node = makeNode(clock, max_plain_connections=0)
        assert all(peer.isConnected for peer in [FakePeer(node, clock, request=PAGE) for _ in range(300)])

    def test_unread(self, clock: Clock) -> None:
        """One whose answer was never read gives its descriptor back as well."""
        node = makeNode(clock, max_plain_connections=1)
        tcp = _connected(node)
        tcp.transport.protocol.dataReceived(PAGE)
        tcp.transport.doWrite()
        assert FakePeer(node, clock, request=PAGE).status == 200
        tcp.reactor.advance(0)
        assert tcp.transport.disconnected


def _connected(node: Node) -> MemoryTCP:
    return MemoryTCP(node.webSocketFactory().buildProtocol(None))

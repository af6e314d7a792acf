"""
A node on an existing web site: WebSocket clients come in at one path, everything else is the site's.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import Data
from twisted.web.test.requesthelper import DummyRequest

from tests.ws.nodes import makeNode
from twisted_crossws import Node, Refuse, Socket
from twisted_crossws.testing import FakePeer
from twisted_crossws.wire.frames import Reply
from twisted_crossws.wire.rfc6455 import maskedFrame

GET_PAGE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

#: Seconds that the site keeps an idle connection.
IDLE = 60


def siteOf(node: Node, clock: Clock, **pages: Resource) -> Site:
    """A site with a page at its root, and the node at C{/chat}."""
    root = Resource()
    root.putChild(b"", Data(b"a page", "text/plain"))
    root.putChild(b"chat", node.webResource())
    for name, page in pages.items():
        root.putChild(name.encode(), page)
    return Site(root, timeout=IDLE, reactor=clock)


def echo(number: int) -> bytes:
    """A frame that asks for its number."""
    return maskedFrame(1, b'{"event":"echo","payload":%d,"callbackId":"%d"}' % (number, number), b"mask")


def assertServes(peer: FakePeer) -> None:
    """The connection is that of a client now."""
    peer.takeTexts()
    peer.sendBytes(echo(7))
    assert peer.takeFrames() == [Reply("7", 7)]


class TestComingIn:
    def test_upgrade(self, node: Node, clock: Clock) -> None:
        """At the node's path and below it a handshake is answered with 101, and events are served."""
        sockets: list[Socket] = []
        node.lifecycle.on("connection", sockets.append)
        peer = FakePeer(siteOf(node, clock), clock, path="/chat/ro%20om", params={"id": 7, "tag": ["a", "b"]})
        assert peer.status == 101
        assertServes(peer)
        (socket,) = sockets
        assert socket.request.path == "chat/ro om"
        assert socket.request.params == {"id": "7", "tag": ["a", "b"]}
        assert socket.request.peer == "192.0.2.1:54321"
        peer.sendClose(4001)
        assert not peer.isConnected
        assert (node.counters["connections_opened"], node.counters["connections_closed"]) == (1, 1)
        assert clock.getDelayedCalls() == []

    def test_siteDecidesAboutPath(self, clock: Clock) -> None:
        """The C{path} of the configuration is for the node's own port, and means nothing here."""
        node = makeNode(clock, path="elsewhere")
        assert FakePeer(siteOf(node, clock), clock, path="/chat").status == 101
        assert FakePeer(siteOf(node, clock), clock, path="/elsewhere").status == 404
        assert FakePeer(node, clock, path="/chat").status == 404

    def test_sameClients(self, node: Node, clock: Clock) -> None:
        """Who came in here and who came in at the node's own port are clients of one node."""
        here, there = FakePeer(siteOf(node, clock), clock, path="/chat"), FakePeer(node, clock)
        assert node.clients.broadcast("news") == 2
        assert here.takeTexts() == there.takeTexts() == ['{"event":"news","payload":null}']

    @pytest.mark.parametrize("socketId", ["u1", None])
    def test_authenticate(self, node: Node, clock: Clock, socketId: str | None) -> None:
        """The authenticator sees the request, and what it says is bound."""
        asked: list[Any] = []
        node.authenticate = lambda request: asked.append(request) or socketId
        peer = FakePeer(siteOf(node, clock), clock, path="/chat", params={"token": "x"}, headers={"Cookie": "a=b; c=d"})
        assert peer.status == 101
        assert [(each.path, each.params, each.headers["cookie"]) for each in asked] == [
            ("chat", {"token": "x"}, "a=b; c=d")
        ]
        assert node.clients.count() == (socketId is not None)

    def test_idle(self, node: Node, clock: Clock) -> None:
        """The site's time-out for idle connections ends with the handshake."""
        peer = FakePeer(siteOf(node, clock), clock, path="/chat")
        clock.pump([1.0, 0] * (3 * IDLE))
        assert peer.isConnected and peer.pings == 9

    def test_idleWhileDeciding(self, clock: Clock) -> None:
        """It does not count while an authenticator takes its time."""
        node = makeNode(clock, handshake_timeout=3.0 * IDLE)
        answer: Deferred[None] = Deferred()
        node.authenticate = lambda request: answer
        peer = FakePeer(siteOf(node, clock), clock, path="/chat")
        clock.pump([1.0, 0] * (2 * IDLE))
        answer.callback(None)
        assert peer.status == 101
        assertServes(peer)


class TestOneConnection:
    """What else a connection carries, before the handshake and in one piece with it."""

    @pytest.mark.parametrize(
        "before",
        [
            GET_PAGE,
            GET_PAGE * 3,
            b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        ],
    )
    def test_afterOtherRequests(self, node: Node, clock: Clock, before: bytes) -> None:
        """A connection that has carried other requests is taken as well, as proxies reuse theirs."""
        peer = FakePeer(siteOf(node, clock), clock, request=before)
        assert peer.status in (200, 404, 405)
        peer.transport.clear()
        peer.sendBytes(HANDSHAKE)
        assert peer.status == 101
        assertServes(peer)

    def test_pipelined(self, node: Node, clock: Clock) -> None:
        """A request, the handshake and events may come in one piece: each is answered, in their order."""
        peer = FakePeer(siteOf(node, clock), clock, request=GET_PAGE + HANDSHAKE + echo(1) + echo(2))
        page, upgraded, rest = peer.transport.value().partition(b"HTTP/1.1 101 ")
        assert page.endswith(b"\r\n\r\na page") and upgraded
        assert rest.index(b'"callbackId":"1"') < rest.index(b'"callbackId":"2"')

    def test_early(self, node: Node, clock: Clock) -> None:
        """Events that come with the handshake are answered after it, and those that follow after these."""
        peer = FakePeer(siteOf(node, clock), clock, request=HANDSHAKE + echo(1) + echo(2)[:5])
        peer.sendBytes(echo(2)[5:])
        assert peer.takeFrames() == [Reply("1", 1), Reply("2", 2)]

    def test_earlyWhileDeciding(self, node: Node, clock: Clock) -> None:
        """So are those that come while the authenticator takes its time."""
        answer: Deferred[str] = Deferred()
        node.authenticate = lambda request: answer
        peer = FakePeer(siteOf(node, clock), clock, request=HANDSHAKE + echo(1))
        peer.sendBytes(echo(2) + echo(3)[:5])
        assert peer.status is None
        answer.callback("u1")
        peer.sendBytes(echo(3)[5:])
        assert peer.takeFrames() == [Reply(str(n), n) for n in (1, 2, 3)]

    def test_impatient(self, node: Node, clock: Clock) -> None:
        """Who floods before the answer is cut."""
        given: list[object] = []
        node.authenticate = lambda request: Deferred(given.append)
        peer = FakePeer(siteOf(node, clock), clock, path="/chat")
        for _ in range(17):
            assert peer.isConnected
            peer.sendBytes(b"x" * 1000)
        assert not peer.isConnected and peer.transport.isAborted and peer.status is None
        assert node.counters["handshakes_malformed"] == len(given) == 1
        assert clock.getDelayedCalls() == []

    def test_moreAfterACut(self, node: Node, clock: Clock) -> None:
        """What comes in one piece with too much is not looked at."""
        node.authenticate = lambda request: Deferred()
        FakePeer(siteOf(node, clock), clock, request=HANDSHAKE + b"x" * 17000 + HANDSHAKE)
        assert node.counters["handshakes_malformed"] == 1
        assert clock.getDelayedCalls() == []

    def test_pausedBefore(self, node: Node, clock: Clock) -> None:
        """A connection that the site had paused, since an answer was not read yet, is read from again."""
        requests: list[Any] = []

        class Slow(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> int:
                requests.append(request)
                return NOT_DONE_YET

        peer = FakePeer(siteOf(node, clock, slow=Slow()), clock, request=b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        peer.transport.isStalled = True
        peer.sendBytes(b"GET / HTTP/1.1\r\nX: %s\r\n\r\n" % (b"x" * 9000) * 2 + HANDSHAKE)
        assert peer.transport.producerState == "paused"
        requests[0].write(b"x" * 100_000)
        requests[0].finish()
        assert b"HTTP/1.1 101 " in peer.transport.value()
        assert peer.transport.producerState == "producing"

    def test_nothingIsKept(self, node: Node, clock: Clock) -> None:
        """Nothing of the request is kept for as long as the connection is open."""
        requests: list[weakref.ref[Any]] = []
        site = siteOf(node, clock)

        class Noted(Request):
            def process(self) -> None:
                requests.append(weakref.ref(self))
                super().process()

        site.requestFactory = Noted
        peer = FakePeer(site, clock, path="/chat")
        gc.collect()
        assert [request() for request in requests] == [None]
        assertServes(peer)


class TestNotComingIn:
    def test_noWebSocket(self, node: Node, clock: Clock) -> None:
        """A plain request at the node's path gets 426, which names what is spoken, and ends the connection."""
        site = siteOf(node, clock)
        for method in (b"GET", b"HEAD", b"POST", b"DELETE"):
            peer = FakePeer(site, clock, request=method + b" /chat HTTP/1.1\r\nHost: x\r\n\r\n")
            assert peer.status == 426
            head = peer.transport.value().partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
            assert {b"upgrade: websocket", b"connection: close"} <= set(head)
            assert not peer.isConnected
        assert node.counters["handshakes_malformed"] == 4

    @pytest.mark.parametrize(("path", "status"), [("/", 200), ("/nothing", 404), ("/chatter", 404)])
    def test_elsewhere(self, node: Node, clock: Clock, path: str, status: int) -> None:
        """Elsewhere on the site a handshake is a request like any other."""
        node.authenticate = lambda request: pytest.fail("asked")
        peer = FakePeer(siteOf(node, clock), clock, path=path)
        assert peer.status == status and peer.isConnected

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (HANDSHAKE.replace(b"GET", b"POST"), 405),
            (HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
            (HANDSHAKE.replace(b"Version: 13", b"Version: 8"), 426),
            (HANDSHAKE.replace(b"dGhl", b"dGh"), 400),
            (HANDSHAKE.replace(b"Connection: Upgrade", b"Connection: keep-alive"), 400),
            (HANDSHAKE.replace(b"Host: localhost", b"Host: localhost\r\nHost: other"), 400),
            (HANDSHAKE.replace(b"/chat", b"/chat/#fragment"), 400),
            (HANDSHAKE.replace(b"localhost", b"localhost\r\nX: a\x1fb"), 400),
            (HANDSHAKE.replace(b"localhost", b"localhost" + b"\r\nX: y" * 100), 431),
        ],
    )
    def test_malformed(self, node: Node, clock: Clock, request_: bytes, status: int) -> None:
        """A handshake is held to the same rules as at the node's own port. One that is none ends the connection."""
        node.authenticate = lambda request: pytest.fail("asked")
        peer = FakePeer(siteOf(node, clock), clock, request=request_)
        assert peer.status == status and not peer.isConnected
        assert node.counters["handshakes_malformed"] == 1

    def test_versionIsNamed(self, node: Node, clock: Clock) -> None:
        """Who asks for another version is told which one is spoken."""
        peer = FakePeer(siteOf(node, clock), clock, request=HANDSHAKE.replace(b"Version: 13", b"Version: 8"))
        assert b"\r\nsec-websocket-version: 13\r\n" in peer.transport.value().lower()

    def test_http2(self, node: Node) -> None:
        """Over HTTP/2 it is refused, since a WebSocket begins otherwise there."""
        request: Any = DummyRequest([b"chat"])
        request.channel = SimpleNamespace()
        assert node.webResource().render(request) == b"WebSocket is spoken over HTTP/1.1 here.\n"
        assert request.responseCode == 426

    def test_afterTheEnd(self, node: Node, clock: Clock) -> None:
        """What still comes on a connection that was ended, as over TLS it may, is not looked at."""
        node.authenticate = refuse
        protocol: Any = siteOf(node, clock).buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(HANDSHAKE)
        assert transport.disconnecting
        answer = transport.value()
        protocol.dataReceived(b"x" * 20000 + HANDSHAKE)
        assert transport.value() == answer and not transport.disconnected
        assert node.counters["handshakes_malformed"] == 0
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_nothingFollowsARefusal(self, node: Node, clock: Clock) -> None:
        """After a handshake that was refused nothing more of this connection is answered."""
        node.authenticate = refuse
        peer = FakePeer(siteOf(node, clock), clock, request=HANDSHAKE + GET_PAGE + HANDSHAKE)
        assert peer.transport.value().count(b"HTTP/1.1") == 1
        assert node.counters["handshakes_refused"] == 1
        assert clock.getDelayedCalls() == []


def refuse(request: Any) -> None:
    raise Refuse(403, "Not you")


class TestLimits:
    """The node's limits apply, whatever way a client comes in."""

    def test_foreignOrigin(self, node: Node, clock: Clock) -> None:
        """A page of another host is refused with 403."""
        peer = FakePeer(siteOf(node, clock), clock, path="/chat", headers={"Origin": "http://evil.example"})
        assert peer.status == 403 and not peer.isConnected
        assert node.counters["handshakes_foreign_origin"] == 1

    def test_maxConnections(self, clock: Clock) -> None:
        """C{max_connections} counts clients of all ways in, and a place that is left is given again."""
        node = makeNode(clock, max_connections=2)
        site = siteOf(node, clock)
        _, second = FakePeer(node, clock), FakePeer(site, clock, path="/chat")
        peer = FakePeer(site, clock, path="/chat")
        assert peer.status == 503 and b"\r\nRetry-After: 5\r\n" in peer.transport.value()
        second.leave()
        assert FakePeer(site, clock, path="/chat").status == 101

    def test_handshakeRate(self, clock: Clock) -> None:
        """So does C{max_handshakes_per_second}."""
        node = makeNode(clock, max_handshakes_per_second=1.0, handshake_burst=3)
        site = siteOf(node, clock)
        assert FakePeer(node, clock).status == 101
        assert [FakePeer(site, clock, path="/chat").status for _ in range(3)] == [101, 101, 503]

    def test_maxMessageSize(self, clock: Clock) -> None:
        """A message beyond C{max_message_size} is closed with 1009."""
        node = makeNode(clock, max_message_size=1000)
        peer = FakePeer(siteOf(node, clock), clock, path="/chat")
        peer.sendText("x" * 1001)
        assert peer.closeCode == 1009 and not peer.isConnected

    @pytest.mark.parametrize("hard", [200_000, 1_000_000])
    def test_maxQueuedBytes(self, clock: Clock, hard: int) -> None:
        """A client that does not read is closed with 4008, at C{max_queued_hard} or after C{slow_timeout}."""
        node = makeNode(clock, max_queued_bytes=100_000, max_queued_hard=hard)
        peer = FakePeer(siteOf(node, clock), clock, path="/chat")
        peer.transport.isStalled = True
        for _ in range(300):
            node.clients.broadcast("news", "x" * 1000)
        assert (peer.closeCode == 4008) is (hard < 300_000)
        clock.pump([1.0] * 6)
        assert peer.closeCode == 4008
        assert node.counters["clients_slow"] == 1

    def test_silence(self, node: Node, clock: Clock) -> None:
        """A client that answers no ping is cut."""
        peer = FakePeer(siteOf(node, clock), clock, path="/chat")
        peer.answersPings = False
        clock.pump([20.0, 0] * 2)
        assert peer.transport.isAborted
        assert node.counters["clients_silent"] == 1


class TestDeciding:
    """While the authenticator takes its time, a client or the node may have other plans."""

    def test_refuse(self, node: Node, clock: Clock) -> None:
        """C{Refuse} answers with its status and reason, and there is no socket."""
        node.authenticate = refuse
        peer = FakePeer(siteOf(node, clock), clock, path="/chat")
        assert peer.transport.value().startswith(b"HTTP/1.1 403 Not you\r\n")
        assert not peer.isConnected
        assert (node.counters["handshakes_refused"], node.counters["connections_opened"]) == (1, 0)

    def test_refuseLate(self, node: Node, clock: Clock) -> None:
        """So it does when it comes late."""
        answer: Deferred[None] = Deferred()
        node.authenticate = lambda request: answer
        peer = FakePeer(siteOf(node, clock), clock, path="/chat")
        answer.errback(Refuse(403, "Not you"))
        clock.advance(0)
        assert peer.transport.value().startswith(b"HTTP/1.1 403 Not you\r\n")
        assert not peer.isConnected
        assert clock.getDelayedCalls() == []

    def test_never(self, node: Node, clock: Clock) -> None:
        """An authenticator that does not answer is given up after C{handshake_timeout}, and the connection cut."""
        cancelled: list[object] = []
        node.authenticate = lambda request: Deferred(cancelled.append)
        peer = FakePeer(siteOf(node, clock), clock, path="/chat")
        clock.pump([4.9, 0])
        assert peer.isConnected and cancelled == []
        clock.pump([0.1, 0])
        assert peer.transport.isAborted and peer.status is None and len(cancelled) == 1
        assert node.counters["handshakes_timed_out"] == 1
        assert clock.getDelayedCalls() == []

    def test_clientLeaves(self, node: Node, clock: Clock) -> None:
        """A client that leaves leaves no ghost, and the authenticator is told to give up."""
        cancelled: list[object] = []
        node.authenticate = lambda request: Deferred(cancelled.append)
        peer = FakePeer(siteOf(node, clock), clock, path="/chat")
        peer.leave()
        assert len(cancelled) == 1
        assert node.counters["handshakes_timed_out"] == node.counters["connections_opened"] == 0
        assert clock.getDelayedCalls() == []

    def test_nodeStops(self, node: Node, clock: Clock) -> None:
        """When the node stops, who is still being decided about gets 503, and so does whoever comes later."""
        node.startService()
        cancelled: list[object] = []
        node.authenticate = lambda request: Deferred(cancelled.append)
        site = siteOf(node, clock)
        deciding = FakePeer(site, clock, path="/chat")
        stopping = node.stopService()
        clock.advance(0)
        assert stopping.called and len(cancelled) == 1
        late = FakePeer(site, clock, path="/chat")
        assert deciding.status == late.status == 503
        assert not deciding.isConnected and not late.isConnected
        assert FakePeer(site, clock, request=GET_PAGE).status == 200

    def test_connectedAreClosed(self, node: Node, clock: Clock) -> None:
        """Clients that have come in here are closed with 1001."""
        node.startService()
        peer = FakePeer(siteOf(node, clock), clock, path="/chat")
        stopping = node.stopService()
        clock.advance(0)
        assert peer.closeCode == 1001 and not peer.isConnected and stopping.called

    @pytest.mark.parametrize("end", ["leave", "timeout", "stop"])
    @pytest.mark.parametrize("way", ["site", "port"])
    @pytest.mark.parametrize("answer", ["u1", None, Refuse(403, "Not you")])
    def test_authenticatorThatGoesOn(
        self, node: Node, clock: Clock, end: str, way: str, answer: str | Refuse | None
    ) -> None:
        """An authenticator that was told to give up, and decides all the same, decides nothing."""
        ends: dict[str, Callable[[FakePeer], object]] = {
            "leave": FakePeer.leave,
            "timeout": lambda peer: clock.pump([5.0, 0]),
            "stop": lambda peer: node.stopService(),
        }

        async def authenticate(request: Any) -> str | None:
            try:
                await Deferred()
            except Exception:
                pass
            if isinstance(answer, Refuse):
                raise answer
            return answer

        node.startService()
        node.authenticate = authenticate
        factory: Any = siteOf(node, clock) if way == "site" else node.webSocketFactory()
        peer = FakePeer(factory, clock, path="/chat")
        ends[end](peer)
        clock.advance(0)
        assert not peer.isConnected
        assert peer.status == (503 if end == "stop" else None)
        assert peer.transport.value().count(b"HTTP/1.1") == (end == "stop")
        assert node.counters["connections_opened"] == 0

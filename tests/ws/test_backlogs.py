"""
What waits for one client: who takes it gets all of it, and who does not is closed with 4008.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.ws.memorytcp import MemoryTCP
from tests.ws.nodes import makeNode
from twisted_crossws import CloseCode, Node, Socket
from twisted_crossws.testing import FakePeer
from twisted_crossws.wire.rfc6455 import maskedFrame, serverFrames

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

#: Makes a frame of 1000 bytes.
NEWS = "x" * 967

TOO_SLOW = (8, b"\x0f\xa8too slow")

bothPaths = pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])


class Client:
    """
    A client behind Twisted's own transport, which reads when the test says so.

    @ivar socket: the node's handle of it.
    @ivar closed: code and reason, once it has ended.
    """

    def __init__(self, node: Node) -> None:
        self.closed: list[Any] = []
        sockets: list[Socket] = []
        node.lifecycle.on("connection", sockets.append)
        node.lifecycle.on("close", lambda socket, code, reason: self.closed.extend((code, reason)))
        self.tcp = MemoryTCP(node.webSocketFactory().buildProtocol(None))
        self._data = b""
        self.receive(HANDSHAKE)
        (self.socket,) = sockets

    def receive(self, data: bytes) -> None:
        """Something of the client arrives."""
        self.tcp.transport.protocol.dataReceived(data)

    def ask(self, event: str, callbackId: str) -> None:
        self.receive(_event(event, callbackId))

    def read(self, size: int = 1 << 30) -> None:
        """It reads at most so many bytes."""
        self._data += self.tcp.read(size)
        self.tcp.socket.room = 0

    def frames(self) -> list[tuple[int, bytes]]:
        """Opcode and payload of all that it has read."""
        return [(opcode, payload) for opcode, payload, _ in serverFrames(self._data.partition(b"\r\n\r\n")[2])]

    def sayGoodbye(self) -> None:
        """It answers the close frame that it got."""
        self.receive(maskedFrame(8, self.frames()[-1][1], b"mask"))
        self.end()

    def end(self) -> None:
        """The reactor ends what was cut or closed."""
        self.tcp.reactor.advance(0)
        if self.tcp.transport.disconnecting:
            self.tcp.transport.connectionLost(Failure(ConnectionDone()))


def _event(event: str, callbackId: str) -> bytes:
    return maskedFrame(1, b'{"event":"%s","callbackId":"%s"}' % (event.encode(), callbackId.encode()), b"mask")


class TestBursts:
    """Who has had no turn yet is not judged."""

    @bothPaths
    @pytest.mark.parametrize("when", ["connection", "event"])
    def test_listener(self, clock: Clock, fast: bool, when: str) -> None:
        """A listener may send 1,500 messages of 1 kB in one go: they arrive whole, in order."""
        node = makeNode(clock, fast_path=fast)

        def burst(socket: Socket, payload: Any = None) -> None:
            for number in range(1500):
                socket.send("news", [number, NEWS])

        if when == "connection":
            node.lifecycle.on("connection", burst)
        node.clients.on("burst", burst)
        client = Client(node)
        if when == "event":
            client.ask("burst", "1")
        clock.advance(0)
        client.read()
        texts = [payload for opcode, payload in client.frames() if b'"news"' in payload]
        assert texts == [b'{"event":"news","payload":[%d,"%s"]}' % (n, NEWS.encode()) for n in range(1500)]
        assert node.counters["clients_slow"] == 0 and client.socket.isOpen
        _leave(client)

    @bothPaths
    def test_replies(self, clock: Clock, fast: bool) -> None:
        """Two replies of 5 MB to two events that came together arrive whole."""
        node = makeNode(clock, fast_path=fast)
        node.clients.on("book", lambda socket, payload: "x" * 5_000_000)
        client = Client(node)
        client.receive(_event("book", "1") + _event("book", "2"))
        clock.advance(0)
        for _ in range(20):
            clock.advance(1.0)
            client.read(600_000)
        assert [len(payload) for opcode, payload in client.frames() if opcode == 1] == [5_000_031] * 2
        assert node.counters["clients_slow"] == 0 and client.socket.isOpen
        _leave(client)

    def test_fakes(self, clock: Clock) -> None:
        """A transport that cannot be asked is told by when it goes on: a client that catches up is never closed."""
        node = makeNode(clock)
        peer = FakePeer(node, clock)
        peer.transport.isStalled = True
        for _ in range(20):
            for _ in range(1500):
                node.clients.broadcast("news", NEWS)
            clock.pump([4.0, 0])
            peer.transport.read()
        assert peer.isConnected and len(peer.takeTexts()) == 30_000


class TestNoProgress:
    """Above C{max_queued_bytes}, who takes nothing for C{slow_timeout} is closed."""

    @bothPaths
    def test_closed(self, clock: Clock, fast: bool) -> None:
        """With 4008, behind all that waited; what is sent later is not written, and counted so."""
        node = makeNode(clock, fast_path=fast)
        client = Client(node)
        for _ in range(1100):
            node.clients.broadcast("news", NEWS)
        clock.pump([1.0] * 4)
        assert client.socket.isOpen
        clock.advance(1.0)
        assert not client.socket.isOpen
        assert node.counters["clients_slow"] == 1
        assert node.clients.broadcast("late", 1) == 0 and node.counters["messages_skipped"] == 1
        client.read()
        *news, last = client.frames()
        assert last == TOO_SLOW and len(news) == 1100
        client.sayGoodbye()
        assert client.closed == [CloseCode.TOO_SLOW, "too slow"]

    def test_never(self, clock: Clock) -> None:
        """If it does not take that either, it is cut when it has not answered for three seconds."""
        node = makeNode(clock)
        client = Client(node)
        for _ in range(1100):
            node.clients.broadcast("news", NEWS)
        clock.pump([1.0] * 12)
        client.end()
        assert client.tcp.transport.disconnected
        assert client.closed == [1006, "too slow"]
        assert clock.getDelayedCalls() == []

    @pytest.mark.parametrize("options", [{"slow_timeout": 20.0}, {"max_queued_bytes": 2_000_000}])
    def test_options(self, clock: Clock, options: dict[str, Any]) -> None:
        """Both numbers are those of the configuration."""
        node = makeNode(clock, ping_interval=0, **options)
        client = Client(node)
        for _ in range(1100):
            node.clients.broadcast("news", NEWS)
        clock.pump([1.0] * 19)
        assert client.socket.isOpen
        _leave(client)

    def test_below(self, clock: Clock) -> None:
        """What is below may wait for as long as pings are answered."""
        node = makeNode(clock)
        client = Client(node)
        for _ in range(1000):
            node.clients.broadcast("news", NEWS)
        for _ in range(60):
            clock.advance(1.0)
            client.receive(maskedFrame(10, b"", b"mask"))
        assert client.socket.isOpen and node.counters["clients_slow"] == 0
        _leave(client)

    def test_little(self, clock: Clock) -> None:
        """Who takes a little now and then, also of what waits for ever, is not closed."""
        node = makeNode(clock)
        client = Client(node)
        for _ in range(3000):
            node.clients.broadcast("news", NEWS)
        for _ in range(20):
            clock.pump([1.0] * 4)
            client.read(1000)
            node.clients.broadcast("news", NEWS)
        assert client.socket.isOpen and node.counters["clients_slow"] == 0
        _leave(client)

    def test_caughtUp(self, clock: Clock) -> None:
        """Who has come below the bound is not watched any more, and begins anew when it is above it again."""
        node = makeNode(clock, ping_interval=0)
        client = Client(node)
        for _ in range(3):
            for _ in range(1100):
                node.clients.broadcast("news", NEWS)
            clock.pump([1.0] * 4)
            client.read(100_000)
            clock.advance(1.0)
            assert clock.getDelayedCalls() == []
            client.read()
        assert client.socket.isOpen
        for _ in range(1100):
            node.clients.broadcast("news", NEWS)
        clock.pump([1.0] * 7)
        assert not client.socket.isOpen and node.counters["clients_slow"] == 1
        _leave(client)

    def test_pause(self, clock: Clock) -> None:
        """After a pause of the whole process, who can take something then is not closed for it, and others are."""
        node = makeNode(clock, ping_interval=0)
        reading, stuck = Client(node), Client(node)
        for _ in range(1100):
            node.clients.broadcast("news", NEWS)
        reading.tcp.socket.room = 100
        clock.advance(3600.0)
        assert reading.socket.isOpen and not stuck.socket.isOpen
        reading.read()
        assert len(reading.frames()) == 1100
        _leave(reading)
        _leave(stuck)

    def test_oneMessage(self, clock: Clock) -> None:
        """One large message counts, though nothing was sent after it."""
        node = makeNode(clock)
        client = Client(node)
        client.socket.send("book", "x" * 3_000_000)
        clock.pump([1.0] * 7)
        assert node.counters["clients_slow"] == 1
        client.read()
        assert client.frames()[1] == TOO_SLOW
        client.sayGoodbye()

    @pytest.mark.parametrize("closes", [False, True])
    def test_gone(self, clock: Clock, closes: bool) -> None:
        """Who leaves, or is closed for something else, leaves no timer behind."""
        node = makeNode(clock)
        client = Client(node)
        for _ in range(1100):
            node.clients.broadcast("news", NEWS)
        if closes:
            client.socket.close()
            clock.advance(1.0)
        _leave(client)
        assert node.counters["clients_slow"] == 0
        assert clock.getDelayedCalls() == []

    def test_several(self, clock: Clock) -> None:
        """Each client is judged by itself."""
        node = makeNode(clock, ping_interval=0)
        clients = [Client(node) for _ in range(3)]
        for _ in range(1100):
            node.clients.broadcast("news", NEWS)
        for _ in range(7):
            clock.advance(1.0)
            clients[0].read(100)
        clients[1].read()
        assert [client.socket.isOpen for client in clients] == [True, False, False]
        assert node.counters["clients_slow"] == 2
        for client in clients:
            _leave(client)
        assert clock.getDelayedCalls() == []


class TestHard:
    """Above C{max_queued_hard} a client is closed at once."""

    @bothPaths
    def test_closed(self, clock: Clock, fast: bool) -> None:
        """The memory for one client is bounded, and what waited before comes in order, with 4008 behind it."""
        node = makeNode(clock, fast_path=fast, max_queued_hard=2_000_000)
        client = Client(node)
        written = sum(node.clients.broadcast("news", NEWS) for _ in range(5000))
        assert node.counters["clients_slow"] == 1
        assert not client.socket.isOpen
        client.read()
        *news, last = client.frames()
        assert last == TOO_SLOW and len(news) in (1999, 2000) and written - len(news) <= 1
        client.sayGoodbye()
        assert client.closed == [4008, "too slow"]

    def test_offered(self, clock: Clock) -> None:
        """But not before its socket was offered what waits: who can take it gets it, though it had no turn yet."""
        node = makeNode(clock, max_queued_hard=2_000_000)
        client = Client(node)
        client.tcp.socket.room = 3_000_000
        for _ in range(4000):
            node.clients.broadcast("news", NEWS)
        assert client.socket.isOpen and node.counters["clients_slow"] == 0
        client.read()
        assert len(client.tcp.socket.sent) > 4_000_000
        _leave(client)

    @pytest.mark.parametrize("room", [0, 2_500_000])
    def test_oneMessage(self, clock: Clock, room: int) -> None:
        """One message that is too large, and that the socket does not take at once, is the last one."""
        node = makeNode(clock, max_queued_hard=2_000_000)
        client = Client(node)
        client.tcp.socket.room = room
        client.socket.send("book", "x" * 3_000_000)
        assert client.socket.isOpen
        clock.advance(0)
        assert client.socket.isOpen is bool(room)
        assert node.counters["clients_slow"] == (not room)
        _leave(client)

    def test_aborted(self, clock: Clock) -> None:
        """One that was cut in the same turn was cut, and is not slow."""
        node = makeNode(clock, max_queued_hard=2_000_000)
        client = Client(node)
        client.socket.send("book", "x" * 3_000_000)
        client.socket.abort()
        clock.advance(0)
        client.end()
        assert node.counters["clients_slow"] == 0 and client.closed == [1006, "aborted by the application"]

    def test_otherGoodbye(self, clock: Clock) -> None:
        """There is room for a goodbye only if there was room for what waits: here it is 4008 as well."""
        node = makeNode(clock, max_queued_hard=2_000_000)
        client = Client(node)
        client.socket.send("book", "x" * 3_000_000)
        client.socket.close(1000, "done")
        client.read()
        assert [opcode for opcode, _ in client.frames()] == [1, 8]
        assert client.frames()[1] == TOO_SLOW and node.counters["clients_slow"] == 1
        clock.advance(0)
        _leave(client)

    def test_lowerThanSoft(self, clock: Clock) -> None:
        """Below C{max_queued_bytes} nobody is closed, whatever the other number is."""
        node = makeNode(clock, max_queued_hard=1)
        client = Client(node)
        for _ in range(1000):
            node.clients.broadcast("news", NEWS)
        assert client.socket.isOpen
        _leave(client)

    def test_manyQuestions(self, clock: Clock) -> None:
        """Who asks for more than that at once is closed in the middle of its questions: no listener hears the rest."""
        node = makeNode(clock, fast_path=True, max_queued_bytes=100_000, max_queued_hard=200_000)
        node.clients.on("book", lambda socket, payload: "x" * 40_000)
        client = Client(node)
        client.receive(b"".join(_event("book", str(each)) for each in range(100)))
        assert node.counters["clients_slow"] == 1 and node.counters["events_received"] < 10
        client.read()
        assert client.frames()[-1] == TOO_SLOW
        _leave(client)


class TestOtherTimers:
    """Whatever else ends connections waits for who still takes what was sent before."""

    def test_ping(self, clock: Clock) -> None:
        """A ping may wait behind megabytes on a slow line: that is no silence."""
        node = makeNode(clock, ping_interval=20.0)
        client = Client(node)
        for _ in range(8000):
            node.clients.broadcast("news", NEWS)
        for _ in range(100):
            clock.advance(1.0)
            client.read(60_000)
        assert client.socket.isOpen
        assert node.counters["clients_silent"] == node.counters["clients_slow"] == 0
        client.read()
        assert (9, b"") in client.frames()
        while client.socket.isOpen:
            clock.advance(1.0)
        client.end()
        assert node.counters["clients_silent"] == 1

    def test_pingOfTheDead(self, clock: Clock) -> None:
        """Who takes nothing is silent, as ever."""
        node = makeNode(clock, ping_interval=20.0)
        client = Client(node)
        for _ in range(500):
            node.clients.broadcast("news", NEWS)
        clock.pump([1.0] * 41)
        client.end()
        assert node.counters["clients_silent"] == 1 and client.closed == [1006, "no answer to a ping"]

    def test_close(self, clock: Clock) -> None:
        """A goodbye behind 10 MB is waited for while these are taken, and three seconds longer."""
        node = makeNode(clock)
        client = Client(node)
        client.socket.send("book", "x" * 10_000_000)
        client.socket.close(4000, "bye")
        for _ in range(15):
            clock.advance(2.0)
            client.read(700_000)
        assert not client.tcp.transport.disconnected
        client.read()
        assert client.frames()[1] == (8, b"\x0f\xa0bye")
        clock.pump([3.0, 3.0])
        client.end()
        assert client.closed == [1006, "no answer to a close frame"]


def _leave(client: Client) -> None:
    client.tcp.transport.abortConnection()
    client.end()

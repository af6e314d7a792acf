"""
The fakes that come with the package: they are what they stand for, and do what they promise.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_crossws import Node
from twisted_crossws.testing import FakePeer, FakeTransport, MemoryEndpoint, WebSocketPair
from twisted_crossws.wire.frames import Event

case = SynchronousTestCase()


class Told(Protocol):
    """
    @ivar told: what it was told, in order.
    """

    def __init__(self) -> None:
        self.told: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.told.append(reason.type)

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")


class TestFakeTransport:
    @pytest.fixture
    def protocol(self) -> Told:
        return Told()

    @pytest.fixture
    def transport(self, clock: Clock, protocol: Told) -> FakeTransport:
        return FakeTransport(clock, protocol, lambda: None)

    def test_interfaces(self, transport: FakeTransport) -> None:
        """It is a transport, to be written to, and to be paused."""
        assert all(verifyObject(interface, transport) for interface in (ITransport, IConsumer, IPushProducer))

    @pytest.mark.parametrize(
        ("end", "reason"),
        [("loseConnection", ConnectionDone), ("abortConnection", ConnectionAborted), ("leave", ConnectionDone)],
    )
    def test_end(self, transport: FakeTransport, protocol: Told, clock: Clock, end: str, reason: type) -> None:
        """However it ends, the protocol is told once, in a later turn; what is written after that goes nowhere."""
        transport.write(b"before")
        for _ in range(2):
            getattr(transport, end)()
        transport.write(b"after")
        transport.writeSequence([b"after"])
        assert transport.isEnded and protocol.told == []
        assert transport.isAborted is (end == "abortConnection")
        clock.advance(0)
        assert protocol.told == [reason]
        assert transport.value() == b"before"

    def test_stalled(self, transport: FakeTransport, protocol: Told) -> None:
        """As long as the other side does not read, a producer is paused beyond 64 KiB; and resumed when it has read."""
        transport.registerProducer(protocol, True)
        transport.write(b"x" * 100_000)
        assert protocol.told == []
        transport.isStalled = True
        transport.write(b"x" * 32768)
        transport.writeSequence([b"x" * 16384] * 2)
        assert protocol.told == []
        transport.write(b"x")
        assert protocol.told == ["pause"]
        transport.read()
        transport.write(b"x" * 65536)
        assert protocol.told == ["pause", "resume"]

    def test_withoutProducer(self, transport: FakeTransport, protocol: Told) -> None:
        """Without a producer it takes what it gets."""
        transport.isStalled = True
        transport.write(b"x" * 100_000)
        transport.read()
        transport.registerProducer(protocol, True)
        transport.unregisterProducer()
        transport.write(b"x" * 100_000)
        assert protocol.told == [] and len(transport.value()) == 200_000


class TestFakePeer:
    def test_nothingYet(self, clock: Clock) -> None:
        """Before it has sent a handshake there is no answer, and nothing came."""
        peer = FakePeer(Node(clock=clock), clock, request=b"")
        assert (peer.status, peer.isConnected, peer.takeTexts(), peer.closeCode) == (None, True, [], None)

    def test_inPieces(self, clock: Clock) -> None:
        """Frames that come in pieces are read when they are whole."""
        server = Told()
        peer = FakePeer(Factory.forProtocol(lambda: server), clock)  # type: ignore[arg-type]
        assert server.told[0].startswith(b"GET / HTTP/1.1\r\n")
        for piece in (b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81", b'\x0d{"eve', b'nt":"x"}'):
            assert peer.takeTexts() == []
            peer.transport.write(piece)
        assert peer.takeFrames() == [Event("x", None)]


class TestMemoryEndpoint:
    def test_interface(self, clock: Clock) -> None:
        """It is an endpoint to connect to."""
        assert verifyObject(IStreamClientEndpoint, MemoryEndpoint(Node(clock=clock)))

    def test_connect(self, clock: Clock) -> None:
        """What connects through it is in the hands of the test, and reaches the node."""
        endpoint = MemoryEndpoint(Node(clock=clock))
        assert endpoint.pump is None
        client: Any = case.successResultOf(endpoint.connect(Factory.forProtocol(Told)))
        client.transport.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.told == [] and endpoint.pump is not None
        endpoint.pump.flush()
        assert b"".join(client.told).startswith(b"HTTP/1.1 200 OK\r\n")

    def test_failure(self, clock: Clock) -> None:
        """A protocol that cannot be made is a failure of the Deferred."""
        factory: Any = Factory.forProtocol(lambda: 1 // 0)  # type: ignore[arg-type,return-value]
        case.failureResultOf(MemoryEndpoint(Node(clock=clock)).connect(factory), ZeroDivisionError)


def test_pair(clock: Clock) -> None:
    """A pair is connected from the start, and moves bytes when it is told to."""
    node = Node(clock=clock)
    node.clients.on("echo", lambda socket, payload: payload)
    pair = WebSocketPair(node, clock, params={"id": 7})
    case.successResultOf(pair.connected)
    reply = pair.client.call("echo", "hi")
    case.assertNoResult(reply)
    pair.flush()
    assert case.successResultOf(reply) == "hi"
    closed = pair.client.close()
    pair.flush()
    case.successResultOf(closed)
    assert node.counters["connections_closed"] == 1

"""
One client's connection: between Autobahn, a transport, and the node.
"""

from __future__ import annotations

import gc
import weakref
import zlib
from typing import Any

import pytest
from OpenSSL.SSL import Error as TLSError
from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from tests.ws.memorytcp import MemoryTCP
from tests.ws.nodes import makeNode
from twisted_crossws import Node, Socket
from twisted_crossws.testing import FakePeer, FakeTransport
from twisted_crossws.wire.frames import Event, Reply
from twisted_crossws.wire.rfc6455 import maskedFrame, serverFrames
from twisted_crossws.ws.transport import unsentBytes

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


#: Makes a frame of 1000 bytes.
NEWS = "x" * 967


def frame(opcode: int, payload: bytes = b"") -> bytes:
    return maskedFrame(opcode, payload, b"mask")


def closeFrames(peer: FakePeer) -> list[tuple[int, str]]:
    """Code and reason of each close frame that came."""
    data = peer.transport.value().partition(b"\r\n\r\n")[2]
    frames = [payload for opcode, payload, _ in serverFrames(data) if opcode == 8]
    return [(int.from_bytes(payload[:2], "big"), payload[2:].decode()) for payload in frames]


class TestOpening:
    @pytest.mark.parametrize(
        ("client", "name"),
        [(("192.0.2.1", 54321), "192.0.2.1:54321"), (("2001:db8::1", 54321, 0, 0), "[2001:db8::1]:54321")],
    )
    def test_peer(self, node: Node, clock: Clock, client: tuple[Any, ...], name: str) -> None:
        """A socket knows the other side by address and port, in the usual forms of IPv4 and IPv6."""
        sockets: list[Socket] = []
        node.lifecycle.on("connection", sockets.append)
        protocol: Any = node.webSocketFactory().buildProtocol(None)
        tcp = MemoryTCP(protocol, client)
        tcp.transport.protocol.dataReceived(HANDSHAKE)
        assert [socket.request.peer for socket in sockets] == [name]
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_unixPeer(self, node: Node, clock: Clock) -> None:
        """On a Unix socket there is no address, and it is said to be one."""
        peers: list[str] = []
        node.lifecycle.on("connection", lambda socket: peers.append(socket.request.peer))
        protocol: Any = node.webSocketFactory().buildProtocol(None)
        transport = FakeTransport(clock, protocol, lambda: None)
        transport.peerAddr = UNIXAddress(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(HANDSHAKE)
        assert peers == ["unix"]
        transport.leave()
        clock.advance(0)

    def test_failure(self, node: Node, clock: Clock, logged: list[Any]) -> None:
        """A connection that cannot be opened is logged and cut; nothing of it stays, and nobody is told of its end."""
        told: list[Any] = []
        node.lifecycle.on("connection", told.append)
        node.lifecycle.on("close", lambda *args: told.append(args))
        protocol: Any = node.webSocketFactory().buildProtocol(None)
        transport = FakeTransport(clock, protocol, lambda: None)
        transport.registerProducer(object(), True)
        protocol.makeConnection(transport)
        protocol.dataReceived(HANDSHAKE + frame(9) + frame(10) + frame(1, b'{"event":"echo"}'))
        clock.advance(0)
        assert transport.isAborted and told == []
        assert logged.pop().check(RuntimeError)
        assert node.counters["connections_opened"] == node.counters["connections_closed"] == 0
        assert clock.getDelayedCalls() == []

    @pytest.mark.parametrize("way", ["close", "abort"])
    def test_endedByAListener(self, node: Node, clock: Clock, way: str) -> None:
        """A listener of C{connection} may end it at once; then it closes like any other."""
        closes: list[int] = []
        node.lifecycle.on("connection", lambda socket: getattr(socket, way)())
        node.lifecycle.on("close", lambda socket, code, reason: closes.append(code))
        peer = FakePeer(node, clock)
        assert not peer.isConnected and closes == [1000 if way == "close" else 1006]
        assert clock.getDelayedCalls() == []


class TestClosing:
    def test_twice(self, node: Node, clock: Clock) -> None:
        """Only the first goodbye is sent."""
        sockets: list[Socket] = []
        node.lifecycle.on("connection", sockets.append)
        peer = FakePeer(node, clock)
        sockets[0].close(4010, "first")
        sockets[0].close(4011, "second")
        clock.advance(0)
        sockets[0].close(4012, "third")
        assert closeFrames(peer) == [(4010, "first")]
        assert sockets[0].send("late") is False

    @pytest.mark.parametrize(("way", "frames"), [("close", [(4010, "mine")]), ("abort", [])])
    def test_errorListenerEndsIt(self, node: Node, clock: Clock, way: str, frames: list[Any]) -> None:
        """A listener of C{error} may end the connection in its own way."""
        arguments = (4010, "mine") if way == "close" else ()
        node.lifecycle.on("error", lambda socket, failure: getattr(socket, way)(*arguments))
        peer = FakePeer(node, clock)
        peer.sendBytes(frame(3))
        assert closeFrames(peer) == frames
        clock.advance(0)
        assert not peer.isConnected
        assert clock.getDelayedCalls() == []

    def test_noFaultsAfterGoodbye(self, node: Node, clock: Clock) -> None:
        """A client that is being closed already is not closed again for a limit."""
        sockets: list[Socket] = []
        node.lifecycle.on("connection", sockets.append)
        peer = FakePeer(node, clock)
        peer.answersClose = False
        sockets[0].close(4010)
        peer.sendBytes(frame(9) * 5000)
        assert closeFrames(peer) == [(4010, "")]
        assert node.counters["clients_flooding"] == 0

    def test_lateAnswerToAFault(self, clock: Clock) -> None:
        """After a fault as much more is read as a message may have, to find the answer to the close frame in."""
        node = makeNode(clock, max_message_size=10_000)
        peer = FakePeer(node, clock)
        peer.answersClose = False
        tooMuch = frame(1, b"x" * 15_000)
        peer.sendBytes(tooMuch[:8_000])
        assert peer.closeCode == 1009
        peer.sendBytes(tooMuch[8_000:])
        assert peer.isConnected
        peer.sendClose(1009)
        assert not peer.isConnected and not peer.transport.isAborted
        assert node.counters["clients_oversized"] == 1

    def test_noAnswerToAFault(self, clock: Clock) -> None:
        """What comes after that is not looked at, and the connection cut after three seconds."""
        node = makeNode(clock, max_message_size=10_000)
        peer = FakePeer(node, clock)
        peer.answersClose = False
        tooMuch = frame(1, b"x" * 20_000)
        peer.sendBytes(tooMuch[:8_000])
        peer.sendBytes(tooMuch[8_000:])
        peer.sendClose(1009)
        clock.pump([2.9, 0])
        assert peer.isConnected
        clock.pump([0.1, 0])
        assert peer.transport.isAborted
        assert node.counters["clients_oversized"] == 1

    def test_noPingsWhileClosing(self, node: Node, clock: Clock) -> None:
        """A client that is being closed is not pinged any more."""
        sockets: list[Socket] = []
        node.lifecycle.on("connection", sockets.append)
        peer = FakePeer(node, clock)
        peer.answersClose = False
        clock.pump([18.0, 0])
        sockets[0].close()
        clock.pump([2.0, 0])
        assert peer.pings == 0 and peer.isConnected

    def test_noPingsAtAll(self, clock: Clock) -> None:
        """Without C{ping_interval} a client comes and goes without a timer."""
        node = makeNode(clock, ping_interval=0.0)
        peer = FakePeer(node, clock)
        peer.leave()
        assert (node.counters["connections_closed"], clock.getDelayedCalls()) == (1, [])

    def test_tlsFault(self, node: Node, clock: Clock) -> None:
        """A TLS connection that breaks is an end like any other, and no line in the log: anybody could write those."""
        lines: list[Any] = []
        codes: list[int] = []
        node.lifecycle.on("close", lambda socket, code, reason: codes.append(code))
        protocol: Any = node.webSocketFactory().buildProtocol(None)
        protocol.makeConnection(FakeTransport(clock, protocol, lambda: None))
        protocol.dataReceived(HANDSHAKE)
        globalLogPublisher.addObserver(lines.append)
        try:
            protocol.connectionLost(Failure(TLSError([("SSL routines", "", "unexpected {eof} while reading")])))
        finally:
            globalLogPublisher.removeObserver(lines.append)
        assert codes == [1006]
        assert [line for line in lines if line["log_level"] >= LogLevel.info] == []


class TestSlowReader:
    """On Twisted's own TCP transport, what really waits is what counts."""

    def connect(self, node: Node) -> MemoryTCP:
        protocol: Any = node.webSocketFactory().buildProtocol(None)
        tcp = MemoryTCP(protocol)
        tcp.transport.protocol.dataReceived(HANDSHAKE)
        assert tcp.read(1000).startswith(b"HTTP/1.1 101 ")
        return tcp

    def test_cut(self, clock: Clock) -> None:
        """A client that reads nothing is closed when C{max_queued_hard} wait, whatever the transport holds of it."""
        node = makeNode(clock, max_queued_bytes=200_000, max_queued_hard=500_000)
        tcp = self.connect(node)
        waiting = 0
        while not node.counters["clients_slow"]:
            assert unsentBytes(tcp.transport) == waiting
            node.clients.broadcast("news", NEWS)
            waiting += 1000
        assert waiting == 501_000
        clock.pump([1.0] * 3)
        tcp.reactor.advance(0)
        assert tcp.transport.disconnected and node.counters["connections_closed"] == 1

    def test_slow(self, clock: Clock) -> None:
        """
        One that is always behind, but never by so much, is not: what counts is what waits, not what was written since
        it began to wait.
        """
        node = makeNode(clock, max_queued_bytes=200_000, max_queued_hard=500_000)
        tcp = self.connect(node)
        for _ in range(300):
            node.clients.broadcast("news", NEWS)
        for _ in range(1000):
            node.clients.broadcast("news", NEWS)
            assert len(tcp.read(1000)) == 1000
        assert unsentBytes(tcp.transport) == 300_000
        assert node.counters["clients_slow"] == 0
        for _ in range(300):
            node.clients.broadcast("news", NEWS)
        assert node.counters["clients_slow"] == 1
        tcp.transport.connectionLost(Failure(ConnectionDone()))


class TestCompression:
    """permessage-deflate (RFC 7692), where C{compression} is on."""

    @pytest.fixture
    def node(self, clock: Clock) -> Node:
        return makeNode(clock, compression=True)

    def connect(self, node: Node, clock: Clock, offer: str) -> FakePeer:
        return FakePeer(node, clock, headers={"Sec-WebSocket-Extensions": offer})

    def agreed(self, peer: FakePeer) -> str:
        lines = peer.transport.value().partition(b"\r\n\r\n")[0].decode().split("\r\n")
        return "".join(line.partition(": ")[2] for line in lines if line.startswith("Sec-WebSocket-Extensions"))

    @pytest.mark.parametrize(
        "offer",
        [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-bzip2, permessage-deflate",
            "unheard-of, permessage-deflate, permessage-deflate; server_no_context_takeover",
        ],
    )
    def test_agreed(self, node: Node, clock: Clock, offer: str) -> None:
        """It is agreed to where a client offers it, among whatever else."""
        assert self.agreed(self.connect(node, clock, offer)) == "permessage-deflate"

    @pytest.mark.parametrize("offer", ["permessage-bzip2", "unheard-of", "unheard-of; a=b"])
    def test_other(self, node: Node, clock: Clock, offer: str) -> None:
        """Nothing else is, and the connection goes without."""
        peer = self.connect(node, clock, offer)
        assert peer.status == 101 and self.agreed(peer) == ""
        peer.sendEvent("echo", 1, "1")
        assert peer.takeFrames() == [Reply("1", 1)]

    @pytest.mark.parametrize("parameter", ["server_max_window_bits=99", "s3cr3t=1", "server_no_context_takeover=1"])
    def test_malformed(self, node: Node, clock: Clock, parameter: str) -> None:
        """An offer that is none is refused with 400, which repeats nothing of it, and counted."""
        peer = self.connect(node, clock, f"permessage-deflate; {parameter}")
        assert peer.status == 400 and not peer.isConnected
        assert parameter.encode() not in peer.transport.value()
        assert b"\r\nConnection: close\r\n" in peer.transport.value()
        assert node.counters["handshakes_malformed"] == 1
        assert clock.getDelayedCalls() == []

    def test_texts(self, node: Node, clock: Clock) -> None:
        """What goes to one client is compressed; what goes to many is encoded once, and goes as it is."""
        sockets: list[Socket] = []
        node.lifecycle.on("connection", sockets.append)
        protocol: Any = node.webSocketFactory().buildProtocol(None)
        tcp = MemoryTCP(protocol)
        offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        tcp.transport.protocol.dataReceived(HANDSHAKE[:-2] + offer)
        tcp.read(1000)
        sockets[0].send("news", "x" * 1000)
        data = tcp.read(1000)
        # A final text frame with the bit of RFC 7692 section 6, of less than 126 bytes.
        assert data[0] == 0xC1 and data[1] == len(data) - 2 < 126
        text = zlib.decompressobj(-15).decompress(data[2:] + b"\x00\x00\xff\xff")
        assert text == b'{"event":"news","payload":"%s"}' % (b"x" * 1000)
        node.clients.broadcast("news", 7)
        assert tcp.read(1000) == b"\x81\x1c" + b'{"event":"news","payload":7}'
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_largeTexts(self, clock: Clock) -> None:
        """A text larger than what clients may send goes as it is."""
        node = makeNode(clock, compression=True, max_message_size=1000)
        sockets: list[Socket] = []
        node.lifecycle.on("connection", sockets.append)
        peer = self.connect(node, clock, "permessage-deflate")
        assert sockets[0].send("news", "x" * 1000)
        assert peer.takeFrames() == [Event("news", "x" * 1000)]


class TestMemory:
    @pytest.mark.parametrize("end", ["client closes", "client is gone", "server closes", "server aborts", "is faulty"])
    @pytest.mark.parametrize("raises", [False, True])
    def test_withoutTheCollector(self, clock: Clock, logged: list[Any], end: str, raises: bool) -> None:
        """Nothing of a connection that has ended waits for the collector, not even after a listener that raised."""
        node = makeNode(clock)
        sockets: list[Any] = []
        node.lifecycle.on("connection", lambda socket: sockets.append(socket))
        node.clients.on("divide", lambda socket, payload: 1 / payload)
        gc.collect()
        gc.disable()
        try:
            tcp = MemoryTCP(node.webSocketFactory().buildProtocol(None))
            receive = tcp.transport.protocol.dataReceived
            receive(HANDSHAKE)
            receive(frame(1, b'{"event":"divide","payload":%d,"callbackId":"1"}' % (not raises)))
            gone = weakref.ref(sockets[0]._channel)
            if end == "client closes":
                receive(frame(8, b"\x03\xe8"))
            elif end == "server closes":
                sockets[0].close()
            elif end == "server aborts":
                sockets[0].abort()
            elif end == "is faulty":
                receive(b"\xff" * 10)
            tcp.transport.connectionLost(Failure(ConnectionDone()))
            del tcp, receive
            sockets.clear()
            logged.clear()
            assert node.counters["connections_closed"] == 1
            assert gone() is None
        finally:
            gc.enable()

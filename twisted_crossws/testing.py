"""
Fakes for tests, of this project and of its users: synchronous, without sockets, on a clock that the test turns.

A client that speaks the wire by itself::

    clock = Clock()
    node = Node("serverA", clock=clock)
    peer = FakePeer(node, clock, params={"name": "Sam"})
    peer.sendEvent("say", {"text": "hi"}, callbackId="1")
    assert peer.takeFrames() == [Reply("1", {"heard": True})]

A L{Connector} and a node, connected in memory::

    pair = WebSocketPair(node, clock)
    reply = pair.client.call("say", {"text": "hi"})
    pair.flush()

And several nodes in one process::

    cluster = MemoryCluster(["serverA", "serverB"])
    cluster["serverA"].servers.call("match", to="serverB")
    cluster.advance()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport as PumpTransport
from twisted.test.iosim import IOPump, connect
from zope.interface import implementer

from twisted_crossws.bus.memory import memoryBus
from twisted_crossws.client import Connector
from twisted_crossws.config import Config
from twisted_crossws.node import Node
from twisted_crossws.wire import frames, rfc6455

_MASK = b"\x12\x34\x56\x78"
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class FakeTransport(StringTransport):
    """
    A transport whose other side is the test. What is written is in L{value}; the connection ends in a later turn of
    the clock, as real ones do.

    @ivar isStalled: the other side does not read: what is written waits, and a push producer is paused beyond
        64 KiB.
    @ivar isAborted: it was cut.
    @ivar isEnded: either side has ended it.
    """

    bufferSize = 65536

    def __init__(self, clock: Clock, protocol: IProtocol, written: Callable[[], None]) -> None:
        """
        @param written: called after each write.
        """
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.1", 54321))
        self.isStalled = False
        self.isAborted = False
        self.isEnded = False
        self._clock = clock
        self._protocol: Any = protocol
        self._written = written
        self._waiting = 0

    def write(self, data: bytes) -> None:
        if self.isEnded:
            return
        super().write(data)
        self._written()
        if self.isStalled:
            self._waiting += len(data)
            if self._waiting > self.bufferSize and self.producer is not None:
                self.producer.pauseProducing()

    def read(self) -> None:
        """The other side reads everything that waited."""
        self._waiting = 0
        if self.producer is not None:
            self.producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None
        self.streaming = None

    def loseConnection(self) -> None:
        super().loseConnection()
        self._end(ConnectionDone())

    def abortConnection(self) -> None:
        super().abortConnection()
        self.isAborted = True
        self._end(ConnectionAborted())

    def leave(self) -> None:
        """The other side closes the connection."""
        self._end(ConnectionDone())

    def _end(self, reason: Exception) -> None:
        if not self.isEnded:
            self.isEnded = True
            self._clock.callLater(0, self._protocol.connectionLost, Failure(reason))


class FakePeer:
    """
    A client that speaks the wire by itself, byte for byte as the test says.

    @ivar transport: the server's side of the connection.
    @ivar answersPings: C{True} unless the test says otherwise.
    @ivar answersClose: the same for close frames.
    @ivar pings: how many came.
    @ivar closeCode: of the close frame that came, or C{None}.
    @ivar closeReason: what it said.
    """

    def __init__(
        self,
        node: Node | IProtocolFactory,
        clock: Clock,
        *,
        path: str = "/",
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        request: bytes | None = None,
    ) -> None:
        """
        Connect and send the handshake.

        @param node: the node, or the factory that it listens with.
        @param clock: the one of the node.
        @param headers: beside those of the handshake, or instead of them.
        @param request: what to send instead of a handshake; may be empty.
        """
        factory: Any = node.webSocketFactory() if isinstance(node, Node) else node
        self.answersPings = True
        self.answersClose = True
        self.pings = 0
        self.closeCode: int | None = None
        self.closeReason = ""
        self._clock = clock
        self._texts: list[str] = []
        self._read = 0
        self._protocol: Any = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 54321))
        self.transport = FakeTransport(clock, self._protocol, self._look)
        self._protocol.makeConnection(self.transport)
        self.sendBytes(_handshake(path, params, headers) if request is None else request)

    @property
    def status(self) -> int | None:
        """The HTTP status of the answer to the handshake; 101 is success; C{None} while there is none."""
        words = self.transport.value().split(b" ", 2)
        return int(words[1]) if len(words) > 1 else None

    @property
    def isConnected(self) -> bool:
        """Whether the server has not ended the connection."""
        return not self.transport.isEnded

    def sendBytes(self, data: bytes) -> None:
        """These bytes, as one read of the server."""
        if data and self.isConnected:
            self._protocol.dataReceived(data)
        self._clock.advance(0)

    def sendText(self, text: str) -> None:
        """One text frame."""
        self.sendBytes(rfc6455.maskedFrame(rfc6455.OPCODE_TEXT, text.encode(), _MASK))

    def sendEvent(self, event: str, payload: object = None, callbackId: str | None = None) -> None:
        """One event, which wants a reply if it has a C{callbackId}."""
        self.sendText(frames.encode(frames.Event(event, payload, callbackId)).decode())

    def sendClose(self, code: int = 1000, reason: str = "") -> None:
        """A close frame."""
        self.sendBytes(rfc6455.maskedFrame(rfc6455.OPCODE_CLOSE, code.to_bytes(2, "big") + reason.encode(), _MASK))

    def leave(self) -> None:
        """End the connection without a close frame."""
        self.transport.leave()
        self._clock.advance(0)

    def takeTexts(self) -> list[str]:
        """The texts that came since the last call."""
        taken, self._texts = self._texts, []
        return taken

    def takeFrames(self) -> list[frames.Frame]:
        """As L{takeTexts}, read as frames."""
        return [frames.decodeFromServer(text.encode()) for text in self.takeTexts()]

    def _look(self) -> None:
        """Read what has come since; answer pings and a close frame, as RFC 6455 asks for."""
        data = self.transport.value()
        if self._read == 0:
            if not data.startswith(b"HTTP/1.1 101 "):
                return
            self._read = data.index(b"\r\n\r\n") + 4
        start = self._read
        for opcode, payload, end in rfc6455.serverFrames(data[start:]):
            self._read = start + end
            self._frameReceived(opcode, payload)

    def _frameReceived(self, opcode: int, payload: bytes) -> None:
        if opcode == rfc6455.OPCODE_TEXT:
            self._texts.append(payload.decode())
        elif opcode == rfc6455.OPCODE_PING:
            self.pings += 1
            if self.answersPings:
                self._clock.callLater(0, self.sendBytes, rfc6455.maskedFrame(rfc6455.OPCODE_PONG, payload, _MASK))
        elif opcode == rfc6455.OPCODE_CLOSE:
            self.closeCode = int.from_bytes(payload[:2], "big") if payload else 1005
            self.closeReason = payload[2:].decode()
            if self.answersClose:
                self._clock.callLater(0, self.sendBytes, rfc6455.maskedFrame(opcode, payload[:2], _MASK))


def _handshake(path: str, params: Mapping[str, object] | None, headers: Mapping[str, str] | None) -> bytes:
    query = "?" + urlencode(params, doseq=True) if params else ""
    lines = {
        "Host": "localhost:9000",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": _KEY,
        "Sec-WebSocket-Version": "13",
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {path}{query} HTTP/1.1\r\n{head}\r\n".encode("iso-8859-1")


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """
    Connects a client's factory to a node in memory.

    @ivar pump: moves the bytes of the newest connection; C{None} before there is one.
    """

    def __init__(self, node: Node | IProtocolFactory) -> None:
        self._factory = node.webSocketFactory() if isinstance(node, Node) else node
        self.pump: IOPump | None = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return execute(self._connect, protocolFactory)

    def _connect(self, protocolFactory: IProtocolFactory) -> Any:
        address = IPv4Address("TCP", "192.0.2.1", 54321)
        client: Any = protocolFactory.buildProtocol(address)
        server: Any = self._factory.buildProtocol(address)
        self.pump = connect(
            server,
            PumpTransport(server, isServer=True, peerAddress=address),
            client,
            PumpTransport(client, isServer=False, peerAddress=address),
            greet=False,
        )
        return client


class WebSocketPair:
    """
    A L{Connector} and a node, connected in memory on one clock.

    @ivar client: the connector, connecting already.
    @ivar connected: the Deferred of its C{connect()}.
    """

    def __init__(self, node: Node, clock: Clock, url: str = "ws://localhost/", **options: Any) -> None:
        """
        @param options: those of L{Connector}.
        """
        self._clock = clock
        self._endpoint = MemoryEndpoint(node)
        self.client = Connector(url, endpoint=self._endpoint, clock=clock, **options)
        self.connected = self.client.connect()
        self.flush()

    def flush(self) -> None:
        """Move all bytes that wait, in both directions, and run what is due."""
        self._clock.advance(0)
        if self._endpoint.pump is not None:
            self._endpoint.pump.flush()
        self._clock.advance(0)


class MemoryCluster:
    """
    Nodes of one process, on one memory bus and one clock, started.

    @ivar clock: turn it by L{advance}.
    """

    def __init__(self, names: Iterable[str], *, config: Config | None = None) -> None:
        self.clock = Clock()
        self._bus = memoryBus()
        self._nodes = {name: Node(name, self._bus, config=config, clock=self.clock) for name in names}
        for node in self._nodes.values():
            node.startService()

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def peer(self, name: str, **options: Any) -> FakePeer:
        """A client of that node. The options are those of L{FakePeer}."""
        return FakePeer(self[name], self.clock, **options)

    def advance(self, seconds: float = 0.0) -> None:
        """
        Let everything arrive that is on its way, then let time pass, until everything that is due by then has been
        done, answers to answers too.
        """
        self._settle()
        self.clock.advance(seconds)
        self._settle()

    def _settle(self) -> None:
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def stop(self) -> list[Deferred[None]]:
        """Stop all nodes."""
        stopping = [node.stopService() for node in self._nodes.values()]
        self.advance(2.0)
        return stopping

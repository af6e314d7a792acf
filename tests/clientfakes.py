"""A network for the client, without sockets: an endpoint, a transport, and a server that does what a test says."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.client import Connector
from twisted_crossws.wire.frames import encodeErrorReply, encodeEvent, encodeReply
from twisted_crossws.wire.rfc6455 import OPCODE_CLOSE, OPCODE_TEXT, textFrame, unmask

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: What L{Rig} records, each with its arguments.
LIFECYCLE = ("open", "close", "error", "reconnect", "repeatLimit", "ping", "pong", "pongTimeout", "message")


class FakeTransport(StringTransport):
    """
    A TCP connection. As with the reactor, closing and cutting it takes effect in the next turn of the clock.

    @ivar isCut: C{abortConnection} was called.
    @ivar noDelay: what C{setTcpNoDelay} was called with.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.isCut = False
        self.isGone = False
        self.noDelay: bool | None = None
        self.protocol: IProtocol
        self._clock = clock

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.noDelay = enabled

    def unregisterProducer(self) -> None:
        """Autobahn always calls it; StringTransport would raise without a producer."""

    def loseConnection(self) -> None:
        self._clock.callLater(0, self.lose, ConnectionDone())

    def abortConnection(self) -> None:
        self.isCut = True
        self._clock.callLater(0, self.lose, ConnectionAborted())

    def lose(self, reason: Exception) -> None:
        if not self.isGone:
            self.isGone = True
            self.protocol.connectionLost(Failure(reason))


class FakeServer:
    """The far end of one connection."""

    def __init__(self, transport: FakeTransport) -> None:
        self.transport = transport

    @property
    def requestLine(self) -> str:
        return self._head().split("\r\n")[0]

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case names to values."""
        lines = self._head().split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def answer(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.protocol.dataReceived(data)

    def handshake(self) -> bytes:
        """The answer that accepts the handshake."""
        key = self.headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def accept(self) -> None:
        self.answer(self.handshake())

    def refuse(self, status: int, phrase: str) -> None:
        self.answer(f"HTTP/1.1 {status} {phrase}\r\nConnection: close\r\n\r\n".encode())

    def frames(self) -> list[tuple[int, bytes]]:
        """Opcode and payload of each frame that the client has sent."""
        return list(_clientFrames(self.transport.value().partition(b"\r\n\r\n")[2]))

    def texts(self) -> list[bytes]:
        return [payload for opcode, payload in self.frames() if opcode == OPCODE_TEXT]

    def events(self) -> list[dict[str, Any]]:
        """The texts that are no heartbeat, decoded."""
        return [json.loads(text) for text in self.texts() if text]

    def closeCodes(self) -> list[int]:
        return [int.from_bytes(payload[:2], "big") for opcode, payload in self.frames() if opcode == OPCODE_CLOSE]

    def sendText(self, text: bytes) -> None:
        self.answer(textFrame(text))

    def sendBinary(self, data: bytes) -> None:
        """Up to 125 bytes."""
        self.answer(bytes((0x82, len(data))) + data)

    def emit(self, event: str, payload: object = None) -> None:
        self.sendText(encodeEvent(event, payload))

    def reply(self, payload: object) -> None:
        """Answer the latest call."""
        self.sendText(encodeReply(self.events()[-1]["callbackId"], payload))

    def replyError(self, code: str, message: str) -> None:
        self.sendText(encodeErrorReply(self.events()[-1]["callbackId"], code, message))

    def sendClose(self, code: int | None, reason: str = "") -> None:
        """Send a close frame, and leave TCP open."""
        payload = b"" if code is None else code.to_bytes(2, "big") + reason.encode()
        self.answer(bytes((0x80 | OPCODE_CLOSE, len(payload))) + payload)

    def hangUp(self) -> None:
        """End TCP in order."""
        self.transport.lose(ConnectionDone())

    def crash(self) -> None:
        """TCP is reset."""
        self.transport.lose(ConnectionLost())

    def _head(self) -> str:
        return self.transport.value().partition(b"\r\n\r\n")[0].decode()


def _clientFrames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Masked frames of up to 64 KiB."""
    while data:
        size, at = data[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        yield data[0] & 0x0F, unmask(data[at + 4 : at + 4 + size], data[at : at + 4])
        data = data[at + 4 + size :]


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """
    Every attempt waits until the test says how it ends.

    @ivar attempts: how many there were.
    @ivar cancelled: how many of them were given up.
    """

    def __init__(self, clock: Clock) -> None:
        self.attempts = 0
        self.cancelled = 0
        self._clock = clock
        self._dialled: list[tuple[IProtocolFactory, Deferred[IProtocol]]] = []

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        self.attempts += 1
        connected: Deferred[IProtocol] = Deferred(self._cancelled)
        self._dialled.append((protocolFactory, connected))
        return connected

    def reach(self) -> FakeServer:
        """TCP is connected; the server says nothing yet."""
        factory, connected = self._dialled.pop()
        transport = FakeTransport(self._clock)
        transport.protocol = factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        connected.callback(transport.protocol)
        return FakeServer(transport)

    def fail(self) -> None:
        """TCP is refused."""
        self._dialled.pop()[1].errback(Failure(ConnectionRefusedError()))

    def lateFactory(self) -> IProtocolFactory:
        """The factory of the latest attempt, as an endpoint still has it that cannot cancel."""
        return self._dialled[-1][0]

    def _cancelled(self, connected: Deferred[IProtocol]) -> None:
        self.cancelled += 1


class Rig:
    """
    A client on a fake network.

    @ivar events: what L{LIFECYCLE} told, in order: tuples of event and arguments; of a failure its value.
    """

    def __init__(self, url: str = "ws://server.example/chat", **options: Any) -> None:
        self.clock = Clock()
        self.endpoint = FakeEndpoint(self.clock)
        # Without jitter: each wait is as long as it can be.
        options = {"random": lambda: 0.0, **options}
        self.client = Connector(url, endpoint=self.endpoint, clock=self.clock, **options)
        self.events: list[tuple[Any, ...]] = []
        for event in LIFECYCLE:
            self.client.lifecycle.on(event, self._recorder(event))

    def accept(self) -> FakeServer:
        """The attempt that is under way succeeds."""
        server = self.endpoint.reach()
        server.accept()
        return server

    def connected(self) -> FakeServer:
        """Connect."""
        self.client.connect()
        return self.accept()

    def told(self, *events: str) -> list[tuple[Any, ...]]:
        """What was recorded of these lifecycle events."""
        return [entry for entry in self.events if entry[0] in events]

    def turn(self) -> None:
        """What is due now happens."""
        self.clock.advance(0)

    def _recorder(self, event: str) -> Callable[..., None]:
        def record(*args: Any) -> None:
            self.events.append((event, *(arg.value if isinstance(arg, Failure) else arg for arg in args)))

        return record


def resultOf(deferred: Deferred[Any]) -> Any:
    """The result that a Deferred has by now."""
    results: list[Any] = []
    deferred.addCallback(results.append)
    assert results, "The Deferred has no result."
    return results[0]


def faultOf(deferred: Deferred[Any]) -> Any:
    """The exception that a Deferred has failed with by now."""
    faults: list[Any] = []
    deferred.addErrback(lambda failure: faults.append(failure.value))
    assert faults, "The Deferred has not failed."
    return faults[0]


def isWaiting(deferred: Deferred[Any]) -> bool:
    """Whether a Deferred has not fired."""
    return not deferred.called

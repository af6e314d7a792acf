"""
A client that speaks the wire by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock

from twisted_crossws.node import Node
from twisted_crossws.testing.transport import FakeTransport
from twisted_crossws.wire import frames, rfc6455

_MASK = b"\x12\x34\x56\x78"
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


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
        socketId: str | None = None,
    ) -> None:
        """
        Connect and send the handshake.

        @param node: the node, or the factory that it listens with.
        @param clock: the one of the node.
        @param headers: beside those of the handshake, or instead of them.
        @param request: what to send instead of a handshake; may be empty.
        @param socketId: the client comes in as this one, bound already, whatever an authenticator would say; for this
            the node itself is needed, not a factory.
        """
        factory: Any = node.webSocketFactory() if isinstance(node, Node) else node
        self.answersPings = True
        self.answersClose = True
        self.pings = 0
        self.closeCode: int | None = None
        self.closeReason = ""
        self._clock = clock
        self._texts: list[str] = []
        self._binary: list[bytes] = []
        self._read = 0
        self._protocol: Any = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 54321))
        self.transport = FakeTransport(clock, self._protocol, self._look)
        self._protocol.makeConnection(self.transport)
        handshake = _handshake(path, params, headers) if request is None else request
        if socketId is None:
            self.sendBytes(handshake)
        elif isinstance(node, Node):
            self._comeInAs(node, socketId, handshake)
        else:
            raise TypeError(f"To come in as {socketId!r}, a FakePeer needs the node, not {node!r}.")

    def _comeInAs(self, node: Node, socketId: str, handshake: bytes) -> None:
        authenticate = node.authenticate
        node.authenticate = lambda request: socketId
        try:
            self.sendBytes(handshake)
        finally:
            node.authenticate = authenticate

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

    def sendBinary(self, data: bytes) -> None:
        """One binary frame."""
        self.sendBytes(rfc6455.maskedFrame(rfc6455.OPCODE_BYTES, data, _MASK))

    def sendEvent(self, event: str, payload: object = None, callbackId: str | None = None) -> None:
        """One event, which wants a reply if it has a C{callbackId}."""
        self.sendText(frames.encode(frames.Event(event, payload, callbackId)).decode())

    def sendAnswer(self, ackId: str, payload: object = None) -> None:
        """The answer to a request of the server. A request comes only if C{params} have C{crossws} 2."""
        self.sendText(frames.encodeAnswer(ackId, payload).decode())

    def sendErrorAnswer(self, ackId: str, code: str, message: str = "") -> None:
        """An error as the answer."""
        self.sendText(frames.encodeErrorAnswer(ackId, code, message).decode())

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

    def takeBinary(self) -> list[bytes]:
        """What came in binary frames since the last call."""
        taken, self._binary = self._binary, []
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
        elif opcode == rfc6455.OPCODE_BYTES:
            self._binary.append(payload)
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

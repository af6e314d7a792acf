"""
How a L{Connector<twisted_crossws.client.connector.Connector>} reaches its server: Autobahn's client protocol, as a
translator between bytes and a L{Connection}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.types import ConnectingRequest
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IAddress, IReactorTCP, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure

from twisted_crossws._version import __version__
from twisted_crossws.errors import CloseCode, NotConnected
from twisted_crossws.state.connection import Connection
from twisted_crossws.state.conversation import MAX_MESSAGE_BYTES
from twisted_crossws.wire.request import Target, checkHeaders, refusal

#: Seconds for TCP, the look-up of the name included. Linux alone would try for two minutes.
CONNECT_TIMEOUT = 10.0

# Other bytes become question marks.
_ASCII = bytes(range(0x80)) + b"?" * 0x80


class AutobahnLine(Factory):
    """A L{Line<twisted_crossws.state.connection.Line>}: one attempt through an endpoint, and its L{_Link}."""

    noisy = False

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        request: ConnectingRequest,
        options: WebSocketClientFactory,
        connection: Connection,
    ) -> None:
        self._endpoint = endpoint
        self._request = request
        self._options = options
        self._connection = connection
        self._link: Any = None
        self._dialling: Deferred[Any] = succeed(None)

    def dial(self) -> None:
        self._dialling = maybeDeferred(self._endpoint.connect, self)
        self._dialling.addErrback(self._unreachable)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        if not self._connection.isTrying:
            return None
        self._link = _Link(self._connection, self._request)
        self._link.factory = self._options
        return self._link  # type: ignore[no-any-return]

    def sendText(self, text: bytes) -> None:
        self._link.sendMessage(text)

    def close(self, code: int, reason: str) -> None:
        self._link.sendClose(int(code), reason)

    def abort(self) -> None:
        if self._link is not None:
            transport = self._link.transport
            getattr(transport, "abortConnection", transport.loseConnection)()
        else:
            self._dialling.cancel()

    def _unreachable(self, failure: Failure) -> None:
        self._connection.failed(failure)
        self._connection.gone(failure.getErrorMessage())


class _Quiet:
    """Autobahn's log lines hold URLs, headers and payloads. What matters is told to a L{Connection} anyway."""

    def debug(self, *args: object, **kwargs: object) -> None:
        """Not logged."""

    info = warn = error = debug


class _Link(WebSocketClientProtocol):
    """Tells a L{Connection} what Autobahn hears."""

    log = _Quiet()
    # Autobahn reads this one before it copies its options, so the option of this name is never applied.
    tcpNoDelay = True

    data: bytes

    def __init__(self, connection: Connection, request: ConnectingRequest) -> None:
        super().__init__()
        self._told = connection
        self._wanted = request

    def connectionMade(self) -> None:
        self._told.handshaking()
        super().connectionMade()

    def connectionLost(self, reason: Failure) -> None:
        if not reason.check(ConnectionClosed):  # What TLS has found. Autobahn does not pass it on.
            self._told.failed(reason)
        super().connectionLost(reason)

    def onConnecting(self, details: object) -> ConnectingRequest:
        return self._wanted

    def processHandshake(self) -> None:
        # Autobahn takes a byte from 0x80 on for the end of a line, and raises at what is no UTF-8. Both may stand in a
        # value (RFC 9110 section 5.5), such as a cookie, and none of those that matter here has any.
        head, end, rest = self.data.partition(b"\r\n\r\n")
        if end and not head.isascii():
            self.data = head.translate(_ASCII) + end + rest
        super().processHandshake()

    def failHandshake(self, reason: str) -> None:
        fault = refusal(self.http_status_line) or NotConnected(f"The server's answer is no handshake: {reason}.")
        self._told.failed(Failure(fault))
        super().failHandshake(reason)

    def onOpen(self) -> None:
        self._told.opened()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._told.textReceived(payload)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        # Every goodbye goes through here: the application's, the reply to the server's, and Autobahn's own.
        super().sendCloseFrame(code, reasonUtf8, isReply)
        if isReply:
            self._told.closing(self.remoteCloseCode or CloseCode.NO_CODE, self.remoteCloseReason or "")
        else:
            self._told.closing(code or CloseCode.NO_CODE, (reasonUtf8 or b"").decode("utf-8", "replace"))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._told.gone(f"The connection was lost: {self.wasNotCleanReason or reason}.")


def webSocketFactory(clock: IReactorTime) -> WebSocketClientFactory:
    """Autobahn's options. Its timers are off: those that matter run on our clock, in L{Connection}."""
    factory = WebSocketClientFactory(reactor=clock)
    factory.setProtocolOptions(
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
        serverConnectionDropTimeout=0,
        autoPingInterval=0,
        maxFramePayloadSize=MAX_MESSAGE_BYTES,
        maxMessagePayloadSize=MAX_MESSAGE_BYTES,
        failByDrop=False,
    )
    return factory


def requestFor(target: Target, headers: Mapping[str, str]) -> ConnectingRequest:
    """
    The opening handshake.

    @param headers: more than those that it has anyway.
    @raise TypeError: one is of a type that cannot be sent.
    @raise ValueError: one is none that can be used.
    """
    checkHeaders(headers)
    isNamed = any(name.lower() == "user-agent" for name in headers)
    return ConnectingRequest(
        host=target.hostHeader,
        port=target.port,
        resource=target.resource,
        headers=dict(headers),
        useragent=None if isNamed else f"twisted_crossws/{__version__}",
    )


def endpointTo(target: Target, clock: IReactorTime) -> IStreamClientEndpoint:
    """The way to a host and port, through TLS where the URL says so."""
    reactor = clock if IReactorTCP.providedBy(clock) else globalReactor()
    endpoint = HostnameEndpoint(reactor, target.host, target.port, timeout=CONNECT_TIMEOUT)
    return wrapClientTLS(optionsForClientTLS(target.host), endpoint) if target.isSecure else endpoint


def globalReactor() -> Any:
    """The one that the application has chosen, or Twisted's default."""
    # Not at the top: importing the reactor installs one, and that is for the application to choose.
    from twisted.internet import reactor

    return reactor

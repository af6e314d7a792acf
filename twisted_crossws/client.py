"""
The client: a connection that comes back by itself, with events both ways and calls with replies.

::

    from twisted_crossws import Connector

    client = Connector("ws://localhost:9000/chat", params={"id": 16, "name": "Sam"})
    client.on("said", print)
    await client.connect()
    reply = await client.call("say", {"text": "hi"}, timeout=5.0)

What is decided is in L{reconnector<twisted_crossws.state.reconnector>} and
L{conversation<twisted_crossws.state.conversation>}; here is what an application calls, and the translation
from Autobahn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import random as _systemRandom
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
from twisted_crossws.state.backoff import ReconnectSchedule
from twisted_crossws.state.connection import Connection
from twisted_crossws.state.conversation import MAX_MESSAGE_BYTES, ClientListeners, Conversation, OnPending
from twisted_crossws.state.reconnector import ReconnectOn, Reconnector
from twisted_crossws.wire.request import Params, Target, checkHeaders, refusal, targetOf

#: Seconds for TCP, the look-up of the name included. Linux alone would try for two minutes.
CONNECT_TIMEOUT = 10.0


class Connector:
    """
    A client of one server.

    It connects when it is told to, and after a loss connects again: the first few attempts come quickly, later ones
    after waits that double. A close from the server with code 4001, 4010, 4011 or 4012 is final.

    What happens to the connection is told to the listeners of L{lifecycle}::

        open()           close(code, reason)       error(failure)     an attempt to connect failed
        ping()           pong(latency)             pongTimeout()      the heartbeat
        message(text)    every text but the heartbeat's answer
        reconnect(attempt, delay)                  the next attempt comes after so many seconds
        repeatLimit(limit)                         so many attempts to reconnect failed, there will be no other

    C{close} comes once for each C{open}: with 1006 if there was no close frame, with 4002 if the heartbeat was not
    answered.
    """

    def __init__(
        self,
        url: str,
        *,
        params: Params | None = None,
        pingInterval: float = 10.0,
        pongTimeout: float = 2.0,
        fastReconnectThreshold: int = 3,
        fastReconnectInterval: float = 3.0,
        reconnectMaxInterval: float = 120.0,
        pingMessage: str = "",
        callTimeout: float = 5.0,
        repeatLimit: int | None = None,
        pendingAfter: float = 0.1,
        reconnectOn: ReconnectOn | None = None,
        headers: Mapping[str, str] | None = None,
        endpoint: IStreamClientEndpoint | None = None,
        clock: IReactorTime | None = None,
        random: Callable[[], float] | None = None,
    ) -> None:
        """
        All times are seconds. Nothing is connected yet.

        @param url: C{ws://} or C{wss://}, with a path and a query if wanted.
        @param params: go into the query: a list repeats its key, C{None} is left out.
        @param pingInterval: from one heartbeat to the next; 0 turns it off.
        @param pongTimeout: a heartbeat without an answer for so long ends the connection.
        @param fastReconnectThreshold: how many attempts to reconnect come quickly.
        @param fastReconnectInterval: before each of these; later waits double from it.
        @param reconnectMaxInterval: no wait is longer.
        @param pingMessage: the heartbeat's text, the same as the server has.
        @param callTimeout: how long a call waits for its reply.
        @param repeatLimit: after so many failed attempts to reconnect in a row it is given up; C{None} is never.
        @param pendingAfter: a call without a reply for so long is pending, see L{call}.
        @param reconnectOn: called with code and reason when a connection that was open has ended, says whether to
            reconnect, in place of the rule of the final codes. It must not call methods of the client.
        @param headers: more headers for the handshake.
        @param endpoint: to connect through, in place of the host and port of the URL.
        @param clock: for every timer; the global reactor by default.
        @param random: gives a number from 0 to 1, for the jitter.
        @raise ValueError: the URL, a header or a number is none that can be used.
        @raise TypeError: a parameter or a header is of a type that cannot be sent.
        """
        target = targetOf(url, params or {})
        clock = _globalReactor() if clock is None else clock
        random = _systemRandom if random is None else random
        self._name = target.name
        self._conversation = Conversation(
            clock,
            target.name,
            pingMessage=pingMessage,
            pingInterval=pingInterval,
            pongTimeout=pongTimeout,
            callTimeout=callTimeout,
            pendingAfter=pendingAfter,
            callPrefix=f"{int(random() * 2**32):x}",
        )
        makeLine = partial(
            _Line,
            _endpointTo(target, clock) if endpoint is None else endpoint,
            _requestFor(target, headers or {}),
            _webSocketFactory(clock),
        )
        self._reconnector = Reconnector(
            clock,
            makeLine,
            self._conversation,
            self.lifecycle.fire,
            schedule=ReconnectSchedule(fastReconnectThreshold, fastReconnectInterval, reconnectMaxInterval),
            random=random,
            repeatLimit=repeatLimit,
            reconnectOn=reconnectOn,
        )

    def __repr__(self) -> str:
        return f"<Connector to {self._name}, {'connected' if self.isConnected else 'not connected'}>"

    @property
    def lifecycle(self) -> ClientListeners:
        """Listeners of what happens to the connection: C{on}, C{once} and C{off}."""
        return self._conversation.lifecycle

    @property
    def isConnected(self) -> bool:
        """Whether events and calls can be sent now."""
        return self._reconnector.isConnected

    @property
    def isReconnecting(self) -> bool:
        """From a loss or a failed attempt until the next connection is open, or it is given up."""
        return self._reconnector.isReconnecting

    @property
    def latency(self) -> float | None:
        """Seconds that the last heartbeat of this connection took; C{None} before the first answer."""
        return self._conversation.pulse.latency

    @property
    def pingInterval(self) -> float:
        """Seconds from one heartbeat to the next; 0 is never. Setting it counts from now."""
        return self._conversation.pulse.interval

    @pingInterval.setter
    def pingInterval(self, seconds: float) -> None:
        self.setPingInterval(seconds)

    def setPingInterval(self, seconds: float, immediate: bool = False) -> None:
        """
        Set L{pingInterval}.

        @param seconds: 0 turns the heartbeat off.
        @param immediate: send one now, too.
        @raise ValueError: it is negative.
        """
        self._conversation.pulse.setInterval(seconds, immediate)

    def connect(self) -> Deferred[None]:
        """
        Connect, unless that is done or under way.

        @return: fires when the connection is open, however many attempts that takes. Fails with L{NotConnected} when it
            is given up: by L{close}, or at C{repeatLimit}; and with L{HandshakeRefused} when the server answers with an
            HTTP status from 400 to 499, although the client goes on trying then. Cancelling it ends the waiting only.
        """
        return self._reconnector.connect()

    def reconnect(self, reset: bool = False) -> Deferred[None]:
        """
        Drop the present connection, if there is one, and connect now.

        @param reset: count the attempts from 0 again.
        @return: as L{connect}.
        """
        return self._reconnector.reconnect(reset)

    def close(self) -> Deferred[None]:
        """
        Close with code 4001, and stay closed until L{connect} or L{reconnect}.

        @return: fires when the connection is gone; a server that does not answer is cut after 3 seconds.
        """
        return self._reconnector.close()

    def on(self, event: str, listener: Callable[..., Any] | None = None, *, tag: object = None) -> Any:
        """
        Call a listener with the payload every time the event comes from the server.

        Arguments and result are those of L{Listeners.on<twisted_crossws.state.listeners.Listeners.on>}.
        """
        return self._conversation.listeners.on(event, listener, tag=tag)

    def once(self, event: str, listener: Callable[..., Any] | None = None, *, tag: object = None) -> Any:
        """As L{on}, but the first time only."""
        return self._conversation.listeners.once(event, listener, tag=tag)

    def off(self, event: str, listenerOrTag: object = None) -> None:
        """Remove that listener, or all with that tag, or without either all listeners of the event."""
        self._conversation.listeners.off(event, listenerOrTag)

    def emit(self, event: str, payload: object = None) -> None:
        """
        Send an event.

        @raise NotConnected: there is no connection now.
        @raise TypeError: the event is not a non-empty string, or the payload holds something that JSON has no form for.
        @raise ValueError: the payload is bigger than 16 MiB.
        """
        self._conversation.emit(event, payload)

    def call(
        self,
        event: str,
        payload: object = None,
        *,
        timeout: float | None = None,
        onPending: OnPending | None = None,
        pendingAfter: float | None = None,
    ) -> Deferred[Any]:
        """
        Send an event that wants a reply.

        @param timeout: seconds for the reply; C{callTimeout} by default.
        @param onPending: called with C{True} if there is no reply after C{pendingAfter}, and then with C{False} when
            the call ends, however it ends. Not called for a quick reply.
        @param pendingAfter: seconds; that of the client by default.
        @return: fires with the payload of the reply. Fails with L{NotConnected} if there is no connection, or it ends
            before the reply; with L{CallTimeout}; and with L{RemoteError} if the reply is an error.
        @raise TypeError: as L{emit}.
        @raise ValueError: as L{emit}, or a number is negative.
        """
        return self._conversation.call(event, payload, timeout, onPending, pendingAfter)


class _Line(Factory):
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


def _webSocketFactory(clock: IReactorTime) -> WebSocketClientFactory:
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


def _requestFor(target: Target, headers: Mapping[str, str]) -> ConnectingRequest:
    checkHeaders(headers)
    isNamed = any(name.lower() == "user-agent" for name in headers)
    return ConnectingRequest(
        host=target.hostHeader,
        port=target.port,
        resource=target.resource,
        headers=dict(headers),
        useragent=None if isNamed else f"twisted_crossws/{__version__}",
    )


def _endpointTo(target: Target, clock: IReactorTime) -> IStreamClientEndpoint:
    reactor = clock if IReactorTCP.providedBy(clock) else _globalReactor()
    endpoint = HostnameEndpoint(reactor, target.host, target.port, timeout=CONNECT_TIMEOUT)
    return wrapClientTLS(optionsForClientTLS(target.host), endpoint) if target.isSecure else endpoint


def _globalReactor() -> Any:
    # Not at the top: importing the reactor installs one, and that is for the application to choose.
    from twisted.internet import reactor

    return reactor

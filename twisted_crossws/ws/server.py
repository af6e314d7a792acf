"""
Autobahn's server protocol, with every limit set, as a translator between bytes and the node's gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from twisted_crossws.config import WebSocketConfig
from twisted_crossws.errors import CloseCode
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.seams import Gateway
from twisted_crossws.wire.http import response
from twisted_crossws.wire.rfc6455 import Prepared, bytesFrame, textFrame
from twisted_crossws.wire.text import closeReason
from twisted_crossws.ws.agreed import AgreedHandshake
from twisted_crossws.ws.ascii import AsciiFirst
from twisted_crossws.ws.backlogs import Backlogs
from twisted_crossws.ws.handshake import Admitted
from twisted_crossws.ws.pings import Pings
from twisted_crossws.ws.proxyclose import ProxyCloses
from twisted_crossws.ws.refusals import Refusals
from twisted_crossws.ws.transport import NOTHING_WAITS, isBehind, peerName, progress, unsentBytes
from twisted_crossws.ws.whole import OPEN, WholeFrames

_log = Logger()

#: Seconds that a client has to answer a close frame, after it has taken what was sent before. A browser on a slow line
#: needs one.
CLOSE_TIMEOUT = 3.0

_PING = b"\x89\x00"


class _Quiet:
    """In the place of Autobahn's logger: its lines hold what clients choose, and each would be a line per client."""

    @staticmethod
    def debug(*args: Any, **kwargs: Any) -> None:
        pass

    trace = info = warn = error = debug


@implementer(IPushProducer)
class ServerProtocol(ProxyCloses, WebSocketServerProtocol):
    """
    One client. It is the L{Channel<twisted_crossws.state.seams.Channel>} of its socket, watches as a push producer
    how much waits to be sent, and is what L{Pings} and L{Backlogs} watch.
    """

    factory: ServerFactory
    log = _Quiet

    #: The gateway's.
    messageReceived: Callable[[Any, bytes], bytes | None]
    #: L{Backlogs}.
    bound: float

    admitted: Admitted | None = None
    socket: Any = None
    heard = True
    pingSlot = 0
    _isReading = False
    _early = b""
    _isPaused = False
    queued = 0
    _progress: object = None
    _fragments = 0
    _afterFault: int | None = None
    _why: str | None = None
    isBinary = False
    message_data: Any
    message_is_binary: bool
    utf8validator: Any
    state: int
    _closing: IDelayedCall | None = None

    # From Autobahn

    def connectionMade(self) -> None:
        # Autobahn's own also looks up addresses and words log lines, and nobody here asks for either.
        try:
            self.transport.setTcpNoDelay(True)
        except (AttributeError, OSError):
            pass  # It is no TCP connection.
        self._connectionMade()

    def onConnect(self, request: Any) -> str | None:
        assert self.admitted is not None
        return self.admitted.subprotocol

    def onOpen(self) -> None:
        # What Autobahn calls this from swallows exceptions, and would leave a connection without a socket.
        admitted, self.admitted = self.admitted, None
        assert admitted is not None
        # On the instance these are found ten times faster than on its class.
        self._isPaused, self._early = self._isPaused, self._early
        try:
            self.transport.registerProducer(self, True)
            self.socket = self.factory.gateway.opened(self, admitted.request, admitted.socketId)
            self.factory.pings.add(self)
        except Exception:
            _log.failure("a connection from {peer} could not be opened", peer=admitted.request.peer)
            self.abort("it could not be opened")

    def onMessageBegin(self, isBinary: bool) -> None:
        self._fragments = 0
        super().onMessageBegin(isBinary)

    def onMessageFrameBegin(self, length: int) -> None:
        self._fragments += 1
        if self._fragments > self.factory.options.max_fragments:
            self.fault(CloseCode.POLICY, "a message of too many fragments")
        super().onMessageFrameBegin(length)

    def onMessageEnd(self) -> None:
        data, self.message_data = self.message_data, None
        if not self.failedByMe and self.state == OPEN:
            self.isBinary = self.message_is_binary
            answer = self.messageReceived(self.socket, b"".join(data))
            self.isBinary = False
            if answer is not None:
                self.sendText(answer)

    def onPing(self, payload: bytes) -> None:
        super().onPing(payload)
        self.factory.gateway.pingReceived(self.socket)

    def onPong(self, payload: bytes) -> None:
        self.factory.gateway.pongReceived(self.socket)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        # Nobody waits for it, and Autobahn has fired it with this protocol, which then only the collector could end.
        self.is_closed = None
        socket, self.socket = self.socket, None
        if socket is not None:
            self.factory.pings.remove(self)
            self.factory.backlogs.forget(self)
            code = int(code) if code is not None else CloseCode.NO_CODE
            self.factory.gateway.closed(socket, code, self._why or (reason or "" if wasClean else "connection lost"))

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: object = None) -> None:
        # All else was checked before; and what Autobahn says of it repeats what the client has sent.
        why = "The header Sec-WebSocket-Extensions is malformed."
        self.factory.refusals.tell("malformed", peerName(self.transport.getPeer()), why)
        self.transport.write(response(400, why))
        self.dropConnection()

    # Between Autobahn and the transport

    def dataReceived(self, data: bytes) -> None:
        self.heard = True
        if self._isReading:
            # A listener made this arrive while it is being called: it comes after what is being read.
            self._early += data
            return
        self._isReading = True
        try:
            self.read(data)
            while self._early:
                data, self._early = self._early, b""
                self.read(data)
        finally:
            self._isReading = False

    def read(self, data: bytes) -> None:
        """Take what was received; never called while it is at work."""
        if self._afterFault is not None:
            # One message more is read, to find the answer to our close frame; then its timer ends it.
            self._afterFault -= len(data)
            if self._afterFault < 0:
                return
        self._dataReceived(data)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        if self._isPaused:
            self.queued += len(data)
            if self.queued > self.bound and not self.factory.backlogs.mayQueue(self, len(data)):
                return
        self.transport.write(data)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        if self.state != OPEN:
            return
        if self.failedByMe and self._afterFault is None:
            reason = (reasonUtf8 or b"").decode("utf-8", "replace")
            self._faultBegins(code or CloseCode.PROTOCOL_ERROR, reason)
        super().sendCloseFrame(code, reasonUtf8, isReply)
        if self._closing is None:
            self._progress = progress(self.transport) if self._isPaused else None
            self._closing = self.factory.clock.callLater(CLOSE_TIMEOUT, self._closeTimedOut)

    def dropConnection(self, abort: bool = False) -> None:
        # After a complete closing handshake a reset would only make the client see an error.
        super().dropConnection(abort and not self.wasClean)

    # Channel

    def isOpen(self) -> bool:
        return self.state == OPEN

    def sendText(self, text: bytes) -> bool:
        if self.state != OPEN:
            return False
        if not self.websocket_extensions_in_use or len(text) > self.maxMessagePayloadSize:
            self.sendData(textFrame(text))
        else:
            self.sendMessage(text)
        return True

    def sendBytes(self, data: bytes) -> bool:
        if self.state != OPEN:
            return False
        if not self.websocket_extensions_in_use or len(data) > self.maxMessagePayloadSize:
            self.sendData(bytesFrame(data))
        else:
            self.sendMessage(data, isBinary=True)
        return True

    def sendPrepared(self, message: Prepared) -> bool:
        if self.state != OPEN:
            return False
        self.sendData(message.frame)
        return True

    def isBehind(self) -> bool:
        return self._isPaused or isBehind(self.transport)

    def close(self, code: int, reason: str) -> None:
        self.sendCloseFrame(code, closeReason(reason))

    def abort(self, reason: str) -> None:
        self._why = self._why or reason
        self.wasClean = False
        self.dropConnection(abort=True)
        self.transport.abortConnection()

    # Pingable

    def ping(self) -> None:
        if self.state == OPEN:
            if self._isPaused:
                self._progress = progress(self.transport)
            self.sendData(_PING)

    def silent(self) -> None:
        if self._isPaused and self._hasProgressed():
            return  # The ping waits behind what it is still taking.
        self.factory.counters["clients_silent"] += 1
        self.abort("no answer to a ping")

    # IPushProducer

    def pauseProducing(self) -> None:
        # Twisted says it again at each write.
        if not self._isPaused:
            self._isPaused = True
            self.queued = unsentBytes(self.transport) or 0
            if self.queued > self.bound:
                self.factory.backlogs.filled(self)

    def resumeProducing(self) -> None:
        self._isPaused = False
        self.queued = 0
        self.factory.backlogs.forget(self)

    # Backlogged

    def closeSlow(self) -> None:
        self._why = self._why or "too slow"
        self.close(CloseCode.TOO_SLOW, "too slow")

    def stopProducing(self) -> None:
        """The transport is gone; L{onClose} says so."""

    # What is not to be

    def fault(self, code: int, reason: str) -> None:
        """The client broke a limit of ours: close, and take nothing more from it."""
        self.failedByMe = True
        self.close(code, reason)

    def _faultBegins(self, code: int, reason: str) -> None:
        self._why = reason
        self._afterFault = self.factory.options.max_message_size
        self.factory.gateway.faultDetected(self.socket, code, reason)

    def _closeTimedOut(self) -> None:
        self._closing = None
        if self._hasProgressed():
            self._closing = self.factory.clock.callLater(CLOSE_TIMEOUT, self._closeTimedOut)
        else:
            self.abort("no answer to a close frame")

    def _hasProgressed(self) -> bool:
        """Whether the client took something of what waits for it, since this was asked last, or noted as it waited."""
        before, self._progress = self._progress, progress(self.transport)
        return self._progress != before and not (before is None and self._progress == NOTHING_WAITS)


class FastServerProtocol(AgreedHandshake, WholeFrames, ServerProtocol):
    """The same, with the common cases read faster."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.utf8validator = AsciiFirst(self.utf8validator)


class ServerFactory(WebSocketServerFactory):
    """
    Makes the protocols of admitted clients, and holds what they share.
    """

    noisy = False

    def __init__(
        self,
        *,
        gateway: Gateway,
        options: WebSocketConfig,
        clock: IReactorTime,
        counters: Counters,
        refusals: Refusals,
    ) -> None:
        super().__init__(server="", reactor=clock)
        self.gateway = gateway
        self.options = options
        self.clock = clock
        self.counters = counters
        self.refusals = refusals
        self.pings = Pings(clock, options.ping_interval)
        self.backlogs = Backlogs(clock, options, counters)
        # All timers are ours, on the given clock: Autobahn's run on a clock of its own, and up to a second early.
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            failByDrop=False,
            # A browser tells its page the code that comes back, and clients decide by it whether to reconnect.
            echoCloseCodeReason=True,
            utf8validateIncoming=True,
            requireMaskedClientFrames=True,
            maxFramePayloadSize=options.max_message_size,
            maxMessagePayloadSize=options.max_message_size,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            autoPingInterval=0,
            autoPingTimeout=0,
            allowedOrigins=["*"],
            allowNullOrigin=True,
            # Without compression no client's offer gets as far as this: see Admission.
            perMessageCompressionAccept=_acceptDeflate,
        )
        self.protocol = _withOptions(self)

    def admit(self, admitted: Admitted) -> ServerProtocol:
        """A protocol for a client that may come in; C{admitted.head} is to be its first data."""
        protocol = self.protocol()
        protocol.factory = self
        protocol.admitted = admitted
        return protocol


def _withOptions(factory: ServerFactory) -> type[ServerProtocol]:
    """
    A class with the factory's options as class attributes: Autobahn would copy and log some forty of them for each
    connection, at several kilobytes and a third of a handshake's time.
    """
    options = {
        name: staticmethod(value) if callable(value) else value
        for name in ServerProtocol.CONFIG_ATTRS
        for value in [getattr(factory, name)]
    }
    ours = {
        "CONFIG_ATTRS": (),
        "messageReceived": staticmethod(factory.gateway.messageReceived),
        "bound": factory.options.max_queued_bytes,
    }
    base = FastServerProtocol if factory.options.fast_path else ServerProtocol
    return type("BoundServerProtocol", (base,), {**options, **ours})


def _acceptDeflate(offers: list[Any]) -> PerMessageDeflateOfferAccept | None:
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)
    return None

"""
Between connections and the rest of the node: it has never seen a transport, and decides all the same.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.config import EVENT_BURST, NOISE_BURST, WebSocketConfig
from twisted_crossws.errors import ClientFault, CloseCode, FrameError
from twisted_crossws.state.asking import Asking
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.dispatch import ClientDispatch
from twisted_crossws.state.lifecycle import Lifecycle
from twisted_crossws.state.limits import TokenBucket
from twisted_crossws.state.seams import Channel, Request
from twisted_crossws.state.sockets import Socket, Sockets
from twisted_crossws.wire.frames import decodeAnswer, decodeFromClient, encodeErrorReply, encodeEvent

_log = Logger()

#: The version of the wire's extensions that a client may ask for by C{?crossws=2} (wire section 3).
VERSION = 2

_HELLO = encodeEvent("_hello_", {"version": VERSION})


_CAUSES: dict[int, str] = {
    CloseCode.TOO_BIG: "clients_oversized",
    CloseCode.POLICY: "clients_flooding",
}


class ClientGateway:
    """
    Implements L{Gateway<twisted_crossws.state.seams.Gateway>}, and is the
    L{SocketHost<twisted_crossws.state.sockets.SocketHost>} of its sockets.

    @ivar all: every socket that is connected, bound or not.
    """

    def __init__(
        self,
        everyone: set[Socket],
        *,
        clock: IReactorTime,
        counters: Counters,
        lifecycle: Lifecycle,
        sockets: Sockets,
        dispatch: ClientDispatch,
        asking: Asking,
        options: WebSocketConfig,
    ) -> None:
        """
        @param everyone: where the connected sockets are kept, for others to look at.
        """
        self.clock = clock
        self.counters = counters
        self.backgroundCloseAfter = options.background_close_after
        self.all = everyone
        self._whenEmpty: list[Deferred[None]] = []
        self._lifecycle = lifecycle
        self._sockets = sockets
        self._dispatch = dispatch
        self._asking = asking
        self._heartbeat = options.heartbeat.encode()
        self._maxNoise = options.max_noise_per_second
        self._maxEvents = options.max_events_per_second

    def opened(self, channel: Channel, request: Request, socketId: str | None) -> Socket:
        speaksErrors = request.version >= VERSION
        socket = Socket(channel, request, self, speaksErrors=speaksErrors)
        self.counters["connections_opened"] += 1
        self.all.add(socket)
        if speaksErrors:
            channel.sendText(_HELLO)
        if socketId is not None and socket.isOpen:
            self._sockets.bind(socketId, socket)
        self._lifecycle.fire("connection", socket)
        return socket

    def messageReceived(self, socket: Socket, text: bytes) -> bytes | None:
        if text == self._heartbeat:
            if not self._isNoiseAllowed(socket):
                return None
            self._lifecycle.fire("clientPing", socket)
            return text
        if "message" in self._lifecycle.heard:
            self._lifecycle.fire("message", socket, text if socket.gotBytes else text.decode("utf-8", "replace"))
        try:
            frame = decodeFromClient(text)
        except FrameError as fault:
            return self._noEvent(socket, text, fault)
        if self._maxEvents > 0 and not self._isEventAllowed(socket):
            return None
        return self._dispatch.eventReceived(socket, frame)

    def pingReceived(self, socket: Socket) -> None:
        if self._isNoiseAllowed(socket):
            self._lifecycle.fire("clientPing", socket)

    def pongReceived(self, socket: Socket) -> None:
        if self._isNoiseAllowed(socket):
            self._lifecycle.fire("pong", socket)

    def faultDetected(self, socket: Socket, code: int, reason: str) -> None:
        self.counters[_CAUSES.get(code, "clients_faulty")] += 1
        self._lifecycle.fire("error", socket, Failure(ClientFault(code, reason)))

    def closed(self, socket: Socket, code: int, reason: str) -> None:
        self.counters["connections_closed"] += 1
        socket.leaveBackground()
        self.all.discard(socket)
        self._lifecycle.fire("close", socket, code, reason)
        self._sockets.release(socket)
        self._asking.left(socket)
        if not self.all:
            waiting, self._whenEmpty = self._whenEmpty, []
            for each in waiting:
                each.callback(None)

    def call(self, socket: Socket, event: str, payload: object, timeout: float) -> Deferred[Any]:
        return self._asking.call(socket, event, payload, timeout)

    def whenEmpty(self) -> Deferred[None]:
        """
        @return: fires when no client is connected.
        """
        if not self.all:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._whenEmpty.append(waiting)
        return waiting

    def closeAll(self, code: int, reason: str) -> None:
        """Begin the closing handshake with every client."""
        for socket in list(self.all):
            socket.close(code, reason)

    def abortAll(self) -> None:
        """Cut whoever is still there."""
        for socket in list(self.all):
            socket.abort()

    def _noEvent(self, socket: Socket, text: bytes, fault: FrameError) -> bytes | None:
        """
        What is no event may be an answer. One that is waited for is no noise.

        @return: what is answered to an event that is beyond a limit.
        """
        if fault.askedBy is not None:
            self._malformed(socket, fault)
            if socket.speaksErrors:
                return self._dispatch.sendable(socket, encodeErrorReply(fault.askedBy, fault.code, str(fault)))
            return None
        if socket.speaksErrors:
            try:
                answer = decodeAnswer(text)
            except FrameError:
                pass
            else:
                if not self._asking.answerReceived(socket, answer):
                    self._isNoiseAllowed(socket)
                return None
        if self._lifecycle.has("message"):
            # It is the application's, which has had it.
            self.counters["messages_raw"] += 1
            if self._maxEvents > 0:
                self._isEventAllowed(socket)
        else:
            self._malformed(socket, fault)
        return None

    def _malformed(self, socket: Socket, fault: FrameError) -> None:
        self.counters["frames_malformed"] += 1
        if self._isNoiseAllowed(socket):
            _log.debug("dropped a text from {peer}: {fault}", peer=socket.request.peer, fault=fault)

    def _isNoiseAllowed(self, socket: Socket) -> bool:
        now = self.clock.seconds()
        if socket.noise is None:
            socket.noise = TokenBucket(self._maxNoise, self._maxNoise * NOISE_BURST, now)
        if socket.noise.take(now):
            return True
        socket.fault(CloseCode.POLICY, "too many frames that are no events")
        return False

    def _isEventAllowed(self, socket: Socket) -> bool:
        now = self.clock.seconds()
        if socket.events is None:
            socket.events = TokenBucket(self._maxEvents, self._maxEvents * EVENT_BURST, now)
        if socket.events.take(now):
            return True
        socket.fault(CloseCode.POLICY, "too many events each second")
        return False

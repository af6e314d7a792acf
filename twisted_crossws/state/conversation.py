"""
What a client and its server say to each other while they are connected: events, calls with replies, requests of the
server with answers, the heartbeat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.errors import CloseCode, FrameError, NotConnected, RemoteError
from twisted_crossws.state.acks import PendingAcks
from twisted_crossws.state.answer import RequestAnswer
from twisted_crossws.state.arguments import described
from twisted_crossws.state.connection import Connection
from twisted_crossws.state.deliver import notify
from twisted_crossws.state.lifecycle import CLIENT_EVENTS
from twisted_crossws.state.listeners import Listeners, checkEvent, isReserved
from twisted_crossws.state.pulse import Pulse, checkNotNegative
from twisted_crossws.wire.frames import (
    ErrorReply,
    Event,
    Reply,
    Request,
    decodeFromServer,
    encodeCall,
    encodeErrorAnswer,
    encodeEvent,
)
from twisted_crossws.wire.text import sentence, shown

_log = Logger()

#: Bytes of a message in either direction. Servers allow 1 MiB of what comes from clients, so this is
#: only to stop a peer that has gone wrong before it fills the memory.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

#: Called with C{True} when a call has become slow, and with C{False} when it has ended.
OnPending = Callable[[bool], Any]


class ClientListeners(Listeners):
    """Listeners of a client: one that fails is logged, and harms no other."""

    def __init__(self, name: str, arguments: str | None = None, known: Mapping[str, str] | None = None) -> None:
        """
        @param name: of the client, for the log.
        @param arguments: as those of L{Listeners}.
        @param known: as those of L{Listeners}.
        """
        super().__init__(arguments, known)
        self._name = name

    def fire(self, event: str, *args: Any) -> None:
        """Call the listeners of an event in order."""
        notify(self.take(event), args, self.failed)

    def failed(self, listener: Callable[..., Any], failure: Failure) -> None:
        """Log that a listener failed."""
        _log.failure("{client}: a listener failed: {listener!r}", failure=failure, client=self._name, listener=listener)

    def unsendable(self, listener: Callable[..., Any], failure: Failure) -> None:
        """Log that what a listener returned is no answer."""
        _log.failure(
            "{client}: the result of a listener cannot be sent: {fault} It was returned by {listener}",
            failure=failure,
            client=self._name,
            fault=sentence(failure.value),
            listener=described(listener),
        )


class Conversation:
    """
    Implements L{Talk<twisted_crossws.state.reconnector.Talk>}.

    @ivar listeners: of the events that the server sends.
    @ivar lifecycle: of what happens to the connection.
    @ivar pulse: the heartbeat.
    """

    def __init__(
        self,
        clock: IReactorTime,
        name: str,
        *,
        pingMessage: str,
        pingInterval: float,
        pongTimeout: float,
        callTimeout: float,
        pendingAfter: float,
        callPrefix: str,
    ) -> None:
        """
        @param name: for the log.
        @param callTimeout: seconds, where a call does not say its own.
        @param pendingAfter: seconds, where a call does not say its own.
        @param callPrefix: what the ids of all calls start with. It is to be different in each client: relayed replies
            go by C{socketId}, and another client may have the same one after this.
        """
        checkNotNegative(callTimeout=callTimeout, pendingAfter=pendingAfter)
        self.listeners = ClientListeners(name, "payload")
        self.lifecycle = ClientListeners(name, known=CLIENT_EVENTS)
        self.pulse = Pulse(
            clock, pingInterval, pongTimeout, ask=self._ping, answered=self._answered, silent=self._silent
        )
        self._clock = clock
        self._heartbeat = pingMessage.encode()
        self._acks = PendingAcks(clock)
        self._callTimeout = callTimeout
        self._pendingAfter = pendingAfter
        self._callPrefix = callPrefix
        self._callCount = 0
        self._connection: Connection | None = None

    def emit(self, event: str, payload: object) -> None:
        """
        Send an event.

        @raise NotConnected: there is no connection now.
        @raise TypeError: the event is not a non-empty string, or the payload holds something that JSON has no form for.
        @raise ValueError: the payload is too big.
        """
        checkEvent(event)
        text = _limited(encodeEvent(event, payload))
        self._open(event).line.sendText(text)

    def call(
        self,
        event: str,
        payload: object,
        timeout: float | None = None,
        onPending: OnPending | None = None,
        pendingAfter: float | None = None,
    ) -> Deferred[Any]:
        """
        Send an event that wants a reply.

        @param timeout: seconds for the reply.
        @param pendingAfter: seconds after which C{onPending(True)} is called if there is no reply yet; then
            C{onPending(False)} is called when the call has ended.
        @return: fires with the payload of the reply; fails with L{NotConnected}, L{CallTimeout} or L{RemoteError}.
        @raise TypeError: as L{emit}.
        @raise ValueError: as L{emit}, or a number is negative.
        """
        checkEvent(event)
        timeout = self._callTimeout if timeout is None else timeout
        pendingAfter = self._pendingAfter if pendingAfter is None else pendingAfter
        checkNotNegative(timeout=timeout, pendingAfter=pendingAfter)
        self._callCount += 1
        callbackId = f"{self._callPrefix}-{self._callCount}"
        text = _limited(encodeCall(event, payload, callbackId))
        try:
            line = self._open(event).line
        except NotConnected as fault:
            return fail(fault)
        reply = self._acks.wait(callbackId, timeout, f"the call {shown(event)}")
        if onPending is not None:
            reply.addBoth(_Pending(self._clock, pendingAfter, onPending, self.lifecycle.failed).ended)
        line.sendText(text)
        return reply

    def opened(self, connection: Connection) -> None:
        self._connection = connection
        self.pulse.start()
        self.lifecycle.fire("open")

    def ended(self, code: int, reason: str) -> None:
        self._connection = None
        self.pulse.stop()
        self._acks.failAll(NotConnected(f"The connection ended with code {code} before the reply came. {reason}"))
        self.lifecycle.fire("close", code, reason)

    def textReceived(self, text: bytes) -> None:
        if text == self._heartbeat:
            self.pulse.answerReceived()
            return
        if self.lifecycle.has("message"):
            self.lifecycle.fire("message", text.decode("utf-8", "replace"))
        try:
            frame = decodeFromServer(text)
        except FrameError as fault:
            _log.debug("dropped a text from the server: {fault}", fault=fault)
            if fault.askedBy is not None and self._connection is not None and self._connection.isOpen:
                self._connection.line.sendText(encodeErrorAnswer(fault.askedBy, fault.code, str(fault)))
            return
        if isinstance(frame, Reply):
            self._acks.resolve(frame.callbackId, frame.payload)
        elif isinstance(frame, ErrorReply):
            self._acks.fail(frame.callbackId, RemoteError(frame.code, frame.message))
        elif not isReserved(frame.event):
            self._eventReceived(frame)

    def _eventReceived(self, frame: Event | Request) -> None:
        connection = self._connection
        if isinstance(frame, Request) and connection is not None:
            answer = RequestAnswer(frame, connection, self.listeners.failed, self.listeners.unsendable)
            answer.gather(self.listeners.take(frame.event) or (_nobody,), (frame.payload,))
        else:
            self.listeners.fire(frame.event, frame.payload)

    def _open(self, event: str) -> Connection:
        if self._connection is None or not self._connection.isOpen:
            raise NotConnected(f"{shown(event)} was not sent: there is no connection now.")
        return self._connection

    def _ping(self) -> None:
        assert self._connection is not None  # The pulse runs only while there is one.
        self._connection.line.sendText(self._heartbeat)
        self.lifecycle.fire("ping")

    def _answered(self, latency: float) -> None:
        self.lifecycle.fire("pong", latency)

    def _silent(self) -> None:
        connection = self._connection
        assert connection is not None
        self.lifecycle.fire("pongTimeout")
        connection.drop(CloseCode.HEARTBEAT_LOST, "No heartbeat answer came in time.")


class _Pending:
    """Tells when a call has become slow, and then when it has ended."""

    def __init__(
        self,
        clock: IReactorTime,
        after: float,
        onPending: OnPending,
        onFailure: Callable[[Callable[..., Any], Failure], None],
    ) -> None:
        self._onPending = onPending
        self._onFailure = onFailure
        self._timer = clock.callLater(after, self._tell, True)

    def _tell(self, isPending: bool) -> None:
        notify((self._onPending,), (isPending,), self._onFailure)

    def ended(self, result: Any) -> Any:
        if self._timer.active():
            self._timer.cancel()
        else:
            self._tell(False)
        return result


def _nobody(payload: object) -> None:
    """Answers where nobody listens."""


def _limited(text: bytes) -> bytes:
    if len(text) > MAX_MESSAGE_BYTES:
        raise ValueError(f"The message has {len(text)} bytes, and {MAX_MESSAGE_BYTES} is the most that can be sent.")
    return text

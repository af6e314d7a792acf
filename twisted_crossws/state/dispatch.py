"""
From a client's event to its listeners, and from their results to the reply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.errors import NotConnected, OverLimit, ReplyError
from twisted_crossws.state.arguments import described
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.deliver import DECLINED, Gathering
from twisted_crossws.state.listeners import Listeners
from twisted_crossws.state.sockets import Socket
from twisted_crossws.state.unheard import Unheard
from twisted_crossws.wire.frames import Event, encodeErrorReply, encodeReply
from twisted_crossws.wire.text import sentence, shown

_log = Logger()

#: The code of the error that nobody listens to an event.
NO_LISTENER = "no_listener"

#: What needs no second look: neither a Deferred, nor a coroutine, nor a L{Relay}.
_PLAIN = frozenset({dict, list, tuple, str, int, float, bool, type(None)})


@dataclass(frozen=True)
class Relay:
    """
    As a listener's result: that server is to answer in my place.

    @ivar to: the name of the server.
    @ivar event: what it is asked.
    @ivar payload: any value that the bus can carry.
    """

    to: str
    event: str
    payload: Any = None


#: Told whose event has been answered.
OnAnswered = Callable[[Socket], None]

#: Hands a question on: the asking socket, what the listener said, and the C{callbackId} if a reply is wanted.
Relaying = Callable[[Socket, Relay, "str | None"], None]


class ClientDispatch:
    """
    Answers what clients send. A client that asked gets exactly one reply: the first result that is not C{None};
    C{null} if there is none; an error if a listener failed and none gave a result, if each returned
    L{NoReply<twisted_crossws.state.deliver.NoReply>}, or if nobody listens. But only clients that speak version 2 can
    be told of an error; others get no reply.

    @ivar onAnswered: told of each answer that took its time, while somebody wants to know.
    """

    def __init__(
        self,
        serverName: str,
        listeners: Listeners,
        counters: Counters,
        relaying: Relaying,
        maxUnanswered: int,
    ) -> None:
        """
        @param maxUnanswered: how many events of one client may be worked on at the same time.
        """
        self.serverName = serverName
        self.counters = counters
        self.relaying = relaying
        self.onAnswered: OnAnswered | None = None
        self._listeners = listeners
        self._unheard = Unheard(serverName, "clients", listeners)
        self._maxUnanswered = maxUnanswered

    def eventReceived(self, socket: Socket, frame: Event) -> bytes | None:
        """
        @return: the reply, if there is one at once.
        """
        self.counters["events_received"] += 1
        if socket.unanswered >= self._maxUnanswered:
            return self._overloaded(socket, frame)
        listeners = self._listeners.take(frame.event)
        if len(listeners) == 1:
            return self._ask(socket, frame, listeners[0])
        if not listeners:
            return self._noListener(socket, frame)
        answer = _Answer(self, socket, frame)
        answer.gather(listeners, (socket, frame.payload))
        return answer.atOnce()

    def _ask(self, socket: Socket, frame: Event, listener: Callable[..., Any]) -> bytes | None:
        """
        Fast path: there is one listener, and it returns a plain value at once. Then nothing has to be remembered of the
        event. If it returns anything else, or raises, all goes on as with many listeners.
        """
        socket.unanswered += 1
        try:
            result = listener(socket, frame.payload)
        except Exception:
            socket.unanswered -= 1
            answer = _Answer(self, socket, frame)
            answer.raised(listener)
        else:
            socket.unanswered -= 1
            if result.__class__ in _PLAIN:
                if frame.callbackId is None:
                    return None
                try:
                    return self.sendable(socket, encodeReply(frame.callbackId, result))
                except Exception:
                    pass  # It holds something that has no form on the wire, which is told below.
            answer = _Answer(self, socket, frame)
            answer.returned(listener, result)
        answer.calledAll()
        return answer.atOnce()

    def sendable(self, socket: Socket, reply: bytes) -> bytes | None:
        """
        Count a reply that is there at once.

        @return: the reply, if the socket can still be sent to.
        """
        if socket.isOpen:
            self.counters["replies_sent"] += 1
            return reply
        self.counters["replies_undeliverable"] += 1
        return None

    def _noListener(self, socket: Socket, frame: Event) -> bytes | None:
        self.counters["events_without_listener"] += 1
        self._unheard.tell(frame.event, socket.request.peer)
        if frame.callbackId is None or not socket.speaksErrors:
            return None
        return self.sendable(socket, encodeErrorReply(frame.callbackId, *noListener(frame.event)))

    def _overloaded(self, socket: Socket, frame: Event) -> bytes | None:
        self.counters["events_overloaded"] += 1
        if frame.callbackId is None or not socket.speaksErrors:
            return None
        return encodeErrorReply(frame.callbackId, "overloaded", "Too many events of this client are unanswered.")


class _Answer(Gathering):
    """
    The answer to one event. What is ready while its listeners are being called is returned; what comes later is sent.
    """

    __slots__ = ("_dispatch", "_frame", "_inTurn", "_socket", "_text")

    def __init__(self, dispatch: ClientDispatch, socket: Socket, frame: Event) -> None:
        super().__init__()
        self._dispatch = dispatch
        self._socket = socket
        self._frame = frame
        self._inTurn = True
        self._text: bytes | None = None
        socket.unanswered += 1

    def atOnce(self) -> bytes | None:
        """
        All listeners were called.

        @return: the reply, if there is one already; if not, it is sent when there is.
        """
        self._inTurn = False
        return None if self._text is None else self._dispatch.sendable(self._socket, self._text)

    def answered(self, value: Any) -> None:
        callbackId = self._frame.callbackId
        try:
            if isinstance(value, Relay):
                self._dispatch.relaying(self._socket, value, callbackId)
                return
            if callbackId is None:
                return
            text = encodeReply(callbackId, value)
        except Exception:
            # What the listener returned has no form on the wire or on the bus.
            failure = Failure()
            self._resultFailed(failure)
            self.failed(failure)
        else:
            self._reply(text)

    def failed(self, failure: Failure) -> None:
        if self._frame.callbackId is not None and self._socket.speaksErrors:
            self._reply(encodeErrorReply(self._frame.callbackId, *errorOf(failure)))

    def declined(self) -> None:
        if self._frame.callbackId is not None:
            self._dispatch.counters["events_declined"] += 1
            if self._socket.speaksErrors:
                self._reply(encodeErrorReply(self._frame.callbackId, *DECLINED))

    def listenerFailed(self, listener: Callable[..., Any], failure: Failure) -> None:
        if failure.check(ReplyError) or (failure.check(NotConnected) and not self._socket.isOpen):
            # The listener says so; or its client went while it was at work, which is nobody's fault.
            return
        self._dispatch.counters["listener_failures"] += 1
        _log.failure(
            "{server}: a listener of the event {event} failed for {socket!r}: {listener!r}",
            failure=failure,
            server=self._dispatch.serverName,
            event=shown(self._frame.event),
            socket=self._socket,
            listener=listener,
        )

    def _resultFailed(self, failure: Failure) -> None:
        self._dispatch.counters["listener_failures"] += 1
        _log.failure(
            "{server}: the result of a listener of the event {event} cannot be sent to {socket!r}: {fault} It was "
            "returned by {listener}",
            failure=failure,
            server=self._dispatch.serverName,
            event=shown(self._frame.event),
            socket=self._socket,
            fault=sentence(failure.value),
            listener=described(self.giver),
        )

    def finished(self) -> None:
        self._socket.unanswered -= 1
        if (onAnswered := self._dispatch.onAnswered) is not None:
            onAnswered(self._socket)

    def _reply(self, text: bytes) -> None:
        if self._inTurn:
            self._text = text
            return
        sent = self._socket.sendReply(text)
        self._dispatch.counters["replies_sent" if sent else "replies_undeliverable"] += 1


def noListener(event: str) -> tuple[str, str]:
    """What a caller is told whose event nobody listens to: code and message."""
    return NO_LISTENER, f"No listener for the event {shown(event)}."


def errorOf(failure: Failure) -> tuple[str, str]:
    """
    What a caller may know of a failure: code and message. What a listener did not raise as L{ReplyError} may hold
    anything, so its text stays here. A result that could not be sent is no secret.
    """
    if isinstance(failure.value, ReplyError):
        return failure.value.code, failure.value.message
    if isinstance(failure.value, OverLimit):
        return failure.value.code, str(failure.value)
    return "internal_error", "The server failed to handle this event."

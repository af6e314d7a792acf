"""
Requests to clients of this node: who was asked, who has answered, and when it is too late.

One request may go to many clients at once, in one frame with one C{ackId}. An answer counts once, and only from a
client that was asked: what another one sends with the same id, or what comes late, is counted and dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from secrets import token_hex
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from twisted_crossws.errors import CallTimeout, CannotAnswer, CrossWSError, NotConnected, RemoteError
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.dispatch import OnAnswered
from twisted_crossws.state.listeners import checkEvent
from twisted_crossws.state.pulse import checkNotNegative
from twisted_crossws.state.sockets import Socket
from twisted_crossws.wire.frames import Answer, ErrorAnswer, encodeRequest
from twisted_crossws.wire.rfc6455 import Prepared
from twisted_crossws.wire.text import shown

#: How many requests one client may leave unanswered at a time. An application that is beyond this asks in a loop, and
#: whoever asks politely never sees it: at the default time-out it is 200 requests a second.
MAX_UNANSWERED = 1000


class Curious(Protocol):
    """Who made a request. Of each client that was asked it is told one thing, once."""

    def answered(self, socket: Socket, payload: Any) -> None:
        """This is its answer."""

    def failed(self, socket: Socket, error: CrossWSError) -> None:
        """
        No answer will come from it.

        @param error: L{RemoteError}: it answered so; L{NotConnected}: it is gone; L{CallTimeout}: it is too late;
            L{CannotAnswer}: it was not asked.
        """


class _Request:
    """
    One request.

    @ivar open: those who have not answered.
    """

    __slots__ = ("curious", "open", "seconds", "timer")

    timer: IDelayedCall

    def __init__(self, curious: Curious, seconds: float) -> None:
        self.curious = curious
        self.seconds = seconds
        self.open: set[Socket] = set()


class _One:
    """A request to one client, as a Deferred."""

    def __init__(self, done: Deferred[Any]) -> None:
        self._done = done

    def answered(self, socket: Socket, payload: Any) -> None:
        self._done.callback(payload)

    def failed(self, socket: Socket, error: CrossWSError) -> None:
        self._done.errback(Failure(error))


class Asking:
    """
    All requests of a node to its own clients. Whatever ends one leaves nothing of it behind.

    @ivar onAnswered: told which client has one request less to answer, while somebody wants to know.
    """

    def __init__(self, clock: IReactorTime, counters: Counters) -> None:
        self._clock = clock
        self._counters = counters
        self.onAnswered: OnAnswered | None = None
        self._requests: dict[str, _Request] = {}
        self._prefix = token_hex(6)
        self._count = 0

    def __len__(self) -> int:
        return len(self._requests)

    def newId(self) -> str:
        """An C{ackId} that is used nowhere else in the cluster."""
        self._count += 1
        return f"{self._prefix}-{self._count}"

    def call(self, socket: Socket, event: str, payload: object, timeout: float) -> Deferred[Any]:
        """
        Ask one client of this node.

        @param timeout: seconds.
        @return: fires with its answer; fails as L{Curious.failed} says. Cancelling it forgets the request.
        @raise TypeError: the event is not a non-empty string, or the payload holds something that JSON has no form for.
        @raise ValueError: the time-out is negative.
        """
        checkEvent(event)
        checkNotNegative(timeout=timeout)
        ackId = self.newId()
        message = Prepared(encodeRequest(event, payload, ackId))
        done: Deferred[Any] = Deferred(lambda _: self.forget(ackId))
        self.ask((socket,), ackId, message, timeout, _One(done))
        return done

    def ask(self, sockets: Iterable[Socket], ackId: str, message: Prepared, timeout: float, curious: Curious) -> None:
        """
        Ask some clients of this node.

        @param ackId: the one that the message carries.
        @param timeout: seconds.
        @param curious: is told of those that cannot be asked before this returns.
        @raise ValueError: a request of this id is open already.
        """
        if ackId in self._requests:
            raise ValueError(f"A request of the id {shown(ackId)} is open already.")
        request = _Request(curious, timeout)
        for socket in sockets:
            fault: CrossWSError | None = _faultOf(socket)
            if fault is None and not socket.sendPrepared(message):
                fault = _gone(socket)
            if fault is not None:
                curious.failed(socket, fault)
                continue
            if socket.asked is None:
                socket.asked = set()
            socket.asked.add(ackId)
            request.open.add(socket)
        self._counters["messages_sent"] += len(request.open)
        self._counters["requests_sent"] += len(request.open)
        if request.open:
            request.timer = self._clock.callLater(timeout, self._timedOut, ackId)
            self._requests[ackId] = request

    def answerReceived(self, socket: Socket, answer: Answer | ErrorAnswer) -> bool:
        """
        A client has answered.

        @return: whether somebody waited for it.
        """
        request = self._requests.get(answer.ackId)
        if request is None or socket not in request.open:
            self._counters["answers_late"] += 1
            return False
        self._done(request, answer.ackId, socket)
        if isinstance(answer, Answer):
            request.curious.answered(socket, answer.payload)
        else:
            request.curious.failed(socket, RemoteError(answer.code, answer.message))
        return True

    def left(self, socket: Socket) -> None:
        """A client is gone, and will answer nothing."""
        for ackId in list(socket.asked or ()):
            request = self._requests.get(ackId)
            # Who was told of another one may have forgotten this one.
            if request is not None and socket in request.open:
                self._done(request, ackId, socket)
                request.curious.failed(socket, _gone(socket))

    def forget(self, ackId: str) -> None:
        """Nobody wants these answers any more."""
        request = self._requests.get(ackId)
        if request is not None:
            for socket in list(request.open):
                self._done(request, ackId, socket)

    def _timedOut(self, ackId: str) -> None:
        request = self._requests[ackId]
        late = list(request.open)
        self._counters["requests_timed_out"] += len(late)
        for socket in late:
            self._done(request, ackId, socket)
        for socket in late:
            says = f"No answer of {_name(socket)} came within {request.seconds:g} seconds."
            request.curious.failed(socket, CallTimeout(says))

    def _done(self, request: _Request, ackId: str, socket: Socket) -> None:
        """It is not waited for any more."""
        request.open.discard(socket)
        assert socket.asked is not None  # It was asked this.
        socket.asked.discard(ackId)
        if self.onAnswered is not None:
            self.onAnswered(socket)
        if not request.open:
            del self._requests[ackId]
            if request.timer.active():
                request.timer.cancel()


def _faultOf(socket: Socket) -> CannotAnswer | None:
    """Why a client cannot be asked."""
    if not socket.speaksErrors:
        return CannotAnswer(f"{_name(socket)} does not speak version 2 of the wire, so it cannot answer requests.")
    if socket.asked is not None and len(socket.asked) >= MAX_UNANSWERED:
        return CannotAnswer(f"{_name(socket)} has {MAX_UNANSWERED} requests to answer already.")
    return None


def _gone(socket: Socket) -> NotConnected:
    return NotConnected(f"{_name(socket)} is not connected any more.")


def _name(socket: Socket) -> str:
    return "The client" if socket.socketId is None else f"The client {shown(socket.socketId)}"

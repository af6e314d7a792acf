"""
Questions to clients, wherever they are connected.

The frame that a client gets is made here, once. The servers whose clients are asked pass it on, and tell what these
answer as it comes (L{twisted_crossws.cluster.here}).
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.servers import Servers
from twisted_crossws.cluster.survey import Faults, Survey
from twisted_crossws.errors import (
    BusUnavailable,
    CallTimeout,
    CannotAnswer,
    CrossWSError,
    NotConnected,
    RemoteError,
    ServerLost,
)
from twisted_crossws.state.asking import Asking
from twisted_crossws.state.listeners import checkEvent
from twisted_crossws.state.pulse import checkNotNegative
from twisted_crossws.state.sockets import Sockets, checkSocketId
from twisted_crossws.wire.frames import encodeRequest
from twisted_crossws.wire.remote import REQUEST, AnswerFault, AnswerItem, Ask, Of, Room
from twisted_crossws.wire.text import shown


class ClientReplies(msgspec.Struct):
    """
    What came of a question to everyone in a room. Each client that was asked is in one of the first four.

    @ivar answers: what they answered, by C{socketId}.
    @ivar errors: by C{socketId}, L{RemoteError} of those that answered with an error, and L{CannotAnswer} of those that
        could not be asked.
    @ivar unanswered: the C{socketId}s of those that have not answered in time.
    @ivar left: the C{socketId}s of those that went away before they had answered, with their server if that is gone.
    @ivar missing: names of servers that have not said whom they asked, or are gone.
    """

    answers: dict[str, Any] = {}
    errors: dict[str, CrossWSError] = {}
    unanswered: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        """Whether everyone has answered, with or without an error, and no server is missing."""
        return not (self.unanswered or self.left or self.missing)


class Questions:
    """Asks clients of this node and of others."""

    def __init__(self, servers: Servers, outbox: Outbox, sockets: Sockets, asking: Asking, clock: IReactorTime) -> None:
        self._servers = servers
        self._outbox = outbox
        self._sockets = sockets
        self._asking = asking
        self._clock = clock

    def one(self, socketId: str, event: str, payload: object, timeout: float) -> Deferred[Any]:
        """Ask every open socket of the cluster that bears this id; the first answer is the one."""
        checkSocketId(socketId)
        if self._outbox.isAlone:
            return self._oneHere(socketId, event, payload, timeout)
        question = self._question(Of(socketId=socketId), event, payload, timeout)
        answer: Deferred[Any] = Deferred(lambda _: survey.stop())
        # Of those that cannot answer; another socket of the same id may.
        without: list[CrossWSError] = []

        def heard(server: str, item: Any) -> None:
            found = msgspec.convert(item, AnswerItem)
            if answer.called:
                return
            if found.error is None:
                answer.callback(found.payload)
            elif found.error.kind == "remote":
                answer.errback(Failure(_errorOf(found.error)))
            else:
                without.append(_errorOf(found.error))

        def ended(faults: Faults) -> None:
            if not answer.called:
                answer.errback(Failure(_noAnswer(socketId, timeout, faults, without)))

        survey = Survey(self._servers, self._clock, REQUEST, question, timeout, heard)
        survey.done.addCallback(ended)
        # The other servers have nothing to say any more.
        return answer.addBoth(_after, survey)

    def _oneHere(self, socketId: str, event: str, payload: object, timeout: float) -> Deferred[Any]:
        socket = self._sockets.get(socketId)
        if socket is not None and socket.isOpen:
            return self._asking.call(socket, event, payload, timeout)
        self._question(Of(socketId=socketId), event, payload, timeout)
        return fail(NotConnected(f"There is no client {shown(socketId)}."))

    def room(self, room: Room, event: str, payload: object, timeout: float) -> Deferred[ClientReplies]:
        """Ask everyone in a room."""
        question = self._question(Of(room=room), event, payload, timeout)
        told = _RoomReplies()
        survey = Survey(self._servers, self._clock, REQUEST, question, timeout, told.heard)
        return survey.done.addCallback(told.result)

    def _question(self, of: Of, event: str, payload: object, timeout: float) -> Ask:
        checkEvent(event)
        checkNotNegative(timeout=timeout)
        ackId = self._asking.newId()
        return Ask(of, encodeRequest(event, payload, ackId).decode(), ackId, timeout)


class _RoomReplies:
    """What is known of a question to a room so far."""

    def __init__(self) -> None:
        self._answers: dict[str, Any] = {}
        self._errors: dict[str, CrossWSError] = {}
        self._left: set[str] = set()
        # Who was asked by which server. Somebody may be on two of them, who has come to one and not left the other.
        self._asked: dict[str, set[str]] = {}

    def heard(self, server: str, item: Any) -> None:
        found = msgspec.convert(item, AnswerItem)
        asked = self._asked.setdefault(server, set())
        if found.error is not None:
            asked.discard(found.id)
            self._failed(found.id, found.error)
        elif found.payload is not msgspec.UNSET:
            asked.discard(found.id)
            self._answers[found.id] = found.payload
        else:
            asked.add(found.id)

    def _failed(self, socketId: str, fault: AnswerFault) -> None:
        if fault.kind == "gone":
            self._left.add(socketId)
        else:
            self._errors[socketId] = _errorOf(fault)

    def result(self, faults: Faults) -> ClientReplies:
        late: set[str] = set()
        for server, asked in self._asked.items():
            (self._left if isinstance(faults.get(server), ServerLost) else late).update(asked)
        # Who has answered on one connection has answered.
        errors = {socketId: error for socketId, error in self._errors.items() if socketId not in self._answers}
        late -= self._answers.keys() | errors.keys()
        left = self._left - late - self._answers.keys() - errors.keys()
        # That clients of a server have not answered in time is not its fault, once it has said whom it asked.
        missing = {
            name for name, fault in faults.items() if name not in self._asked or not isinstance(fault, CallTimeout)
        }
        return ClientReplies(self._answers, errors, frozenset(late), frozenset(left), frozenset(missing))


def _after(result: Any, survey: Survey) -> Any:
    survey.ignore()
    return result


def _errorOf(fault: AnswerFault) -> CrossWSError:
    if fault.kind == "remote":
        return RemoteError(fault.code, fault.message)
    return NotConnected(fault.message) if fault.kind == "gone" else CannotAnswer(fault.message)


def _noAnswer(socketId: str, timeout: float, faults: Faults, without: list[CrossWSError]) -> CrossWSError:
    """
    Why nothing came of a question to one client: what the servers have said that were asked, or have not said.

    @param without: why sockets of this id have not answered that were found.
    """
    client = f"the client {shown(socketId)}"
    if any(isinstance(fault, CallTimeout) for fault in faults.values()):
        return CallTimeout(f"No answer of {client} came within {timeout:g} seconds.")
    if without:
        return without[0]
    for fault in faults.values():
        if isinstance(fault, BusUnavailable):
            return fault
    lost = sorted(name for name, fault in faults.items() if isinstance(fault, ServerLost))
    if lost:
        return NotConnected(f"No server has {client} any more: {', '.join(lost)} went away meanwhile.")
    return NotConnected(f"No server has {client}.")

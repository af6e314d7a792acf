"""
Requests to clients of this node: who has answered, who has not, and what is left of it.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from twisted_crossws.errors import CallTimeout, CannotAnswer, CrossWSError, NotConnected, RemoteError
from twisted_crossws.state.asking import Asking
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.sockets import Socket
from twisted_crossws.wire.frames import Answer, ErrorAnswer, encodeRequest
from twisted_crossws.wire.rfc6455 import Prepared


class Told:
    """Who made a request: what it was told, by the number of the client."""

    def __init__(self, clients: list[Any]) -> None:
        self.of: dict[int, Any] = {}
        self._clients = clients

    def answered(self, socket: Any, payload: Any) -> None:
        self._told(socket, payload)

    def failed(self, socket: Any, error: CrossWSError) -> None:
        self._told(socket, type(error))

    def _told(self, socket: Any, what: Any) -> None:
        number = self._clients.index(socket)
        assert number not in self.of, "It is told of each one once."
        self.of[number] = what


class Channel:
    """The way to a client."""

    def __init__(self) -> None:
        self.isClosed = False
        self.sent: list[Prepared] = []

    def isOpen(self) -> bool:
        return not self.isClosed

    def sendPrepared(self, message: Prepared) -> bool:
        if not self.isClosed:
            self.sent.append(message)
        return not self.isClosed


class Rig:
    """A node with some clients, all of which speak version 2."""

    def __init__(self, count: int) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.asking = Asking(self.clock, self.counters)
        self.channels = [Channel() for _ in range(count)]
        self.clients: list[Any] = [Socket(channel, None, None, speaksErrors=True) for channel in self.channels]  # type: ignore[arg-type]

    def ask(self, timeout: float = 5.0) -> tuple[str, Told]:
        ackId, told = self.asking.newId(), Told(self.clients)
        self.asking.ask(self.clients, ackId, Prepared(encodeRequest("e", None, ackId)), timeout, told)
        return ackId, told

    def checkNothingIsLeft(self) -> None:
        assert len(self.asking) == 0 and not self.clock.getDelayedCalls()
        assert not any(client.asked for client in self.clients)


def test_each() -> None:
    """Of each client one thing is told, and when all have been told of nothing is left."""
    rig = Rig(6)
    rig.channels[4].isClosed = True
    rig.clients[5].speaksErrors = False
    ackId, told = rig.ask()
    assert told.of == {4: NotConnected, 5: CannotAnswer}
    assert rig.asking.answerReceived(rig.clients[0], Answer(ackId, None))
    assert rig.asking.answerReceived(rig.clients[1], ErrorAnswer(ackId, "no"))
    rig.asking.left(rig.clients[2])
    rig.clock.advance(5.0)
    assert told.of == {0: None, 1: RemoteError, 2: NotConnected, 3: CallTimeout, 4: NotConnected, 5: CannotAnswer}
    assert (rig.counters["requests_sent"], rig.counters["requests_timed_out"], rig.counters["messages_sent"]) == (
        4,
        1,
        4,
    )
    rig.checkNothingIsLeft()


def test_oneFrame() -> None:
    """All get the very same frame, and none is sent to a client that cannot answer."""
    rig = Rig(3)
    rig.clients[2].speaksErrors = False
    rig.ask()
    (first,), (second,), none = (channel.sent for channel in rig.channels)
    assert first is second and not none


def test_onlyWhoWasAsked() -> None:
    """Answers of others, second ones, late ones and those to other ids are counted, and change nothing."""
    rig = Rig(1)
    ackId, told = rig.ask()
    other: Any = Socket(Channel(), None, None, speaksErrors=True)  # type: ignore[arg-type]
    assert not rig.asking.answerReceived(other, Answer(ackId, 1))
    assert not rig.asking.answerReceived(rig.clients[0], Answer("other", 1))
    assert rig.asking.answerReceived(rig.clients[0], Answer(ackId, 2))
    assert not rig.asking.answerReceived(rig.clients[0], Answer(ackId, 3))
    assert told.of == {0: 2} and rig.counters["answers_late"] == 3


def test_severalRequests() -> None:
    """Several requests to the same clients do not touch each other; who leaves leaves all of them."""
    rig = Rig(2)
    (first, toldFirst), (second, toldSecond) = rig.ask(), rig.ask(9.0)
    assert first != second
    rig.asking.answerReceived(rig.clients[0], Answer(second, "b"))
    rig.asking.left(rig.clients[1])
    rig.asking.answerReceived(rig.clients[0], Answer(first, "a"))
    assert (toldFirst.of, toldSecond.of) == ({0: "a", 1: NotConnected}, {0: "b", 1: NotConnected})
    rig.checkNothingIsLeft()


def test_forget() -> None:
    """A request that is forgotten is told nothing any more; also while those are told that leave."""
    rig = Rig(1)
    first, told = rig.ask()
    second, other = rig.ask()
    told.failed = lambda socket, error: rig.asking.forget(second)  # type: ignore[method-assign]
    other.failed = lambda socket, error: rig.asking.forget(first)  # type: ignore[method-assign]
    rig.asking.left(rig.clients[0])
    rig.checkNothingIsLeft()
    rig.asking.forget("unknown")


def test_sameId() -> None:
    """An id that is in use is not used again."""
    rig = Rig(1)
    ackId, told = rig.ask()
    with pytest.raises(ValueError, match="open already"):
        rig.asking.ask(rig.clients, ackId, Prepared(b"{}"), 5.0, told)


def test_nobody() -> None:
    """A request to nobody is over at once."""
    rig = Rig(0)
    _, told = rig.ask()
    assert told.of == {}
    rig.checkNothingIsLeft()

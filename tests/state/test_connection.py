"""One connection, from what its line tells to what its owner is told."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twisted_crossws.errors import NotConnected
from twisted_crossws.state.connection import HANDSHAKE_TIMEOUT, LEAVE_TIMEOUT, Connection


class World:
    """A line and an owner, which write down what they are told, and a connection between them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.told: list[Any] = []
        self.connection = Connection(self.clock, self)
        self.connection.line = self

    def dial(self) -> None:
        self.told.append("dial")

    def sendText(self, text: bytes) -> None:
        self.told.append(("sendText", text))

    def close(self, code: int, reason: str) -> None:
        self.told.append(("close", code, reason))

    def abort(self) -> None:
        self.told.append("abort")

    def opened(self, connection: Connection) -> None:
        self.told.append("opened")

    def textReceived(self, connection: Connection, text: bytes) -> None:
        self.told.append(("text", text))

    def failed(self, connection: Connection, failure: Failure) -> None:
        self.told.append(("failed", type(failure.value)))

    def over(self, connection: Connection, code: int, reason: str) -> None:
        self.told.append(("over", code, reason))

    def gone(self, connection: Connection) -> None:
        self.told.append("gone")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def opened(world: World) -> World:
    world.connection.handshaking()
    world.connection.opened()
    world.told.clear()
    return world


def test_life(world: World) -> None:
    """Opened, texts, over, gone: each is told once, and no timer is left."""
    connection = world.connection
    assert connection.isTrying and not connection.isOpen
    connection.handshaking()
    connection.opened()
    assert connection.isOpen and not connection.isTrying
    assert not world.clock.getDelayedCalls()
    connection.textReceived(b"a")
    connection.closing(1001, "so")
    assert not connection.isOpen
    connection.gone("lost")
    assert world.told == ["opened", ("text", b"a"), ("over", 1001, "so"), "gone"]
    assert not world.clock.getDelayedCalls()


def test_handshakeTimeout(world: World) -> None:
    """A handshake that takes too long is aborted, and has failed."""
    world.connection.handshaking()
    world.clock.advance(HANDSHAKE_TIMEOUT)
    assert world.told == ["abort", ("failed", NotConnected)]


def test_noTimeLimitBefore(world: World) -> None:
    """Before there is a transport the endpoint alone limits the time."""
    world.clock.advance(1000)
    assert world.told == []


def test_firstGoodbyeCounts(opened: World) -> None:
    """The reply to a close frame, or a second one, changes nothing."""
    opened.connection.drop(4001, "mine")
    opened.connection.closing(4001, "mine")
    opened.connection.closing(1000, "theirs")
    opened.connection.gone("lost")
    assert opened.told == [("close", 4001, "mine"), ("over", 4001, "mine"), "gone"]


def test_leaveTimeout(opened: World) -> None:
    """A line that does not follow a goodbye is aborted, once."""
    opened.connection.closing(1000, "")
    opened.clock.advance(LEAVE_TIMEOUT)
    opened.clock.advance(100)
    assert opened.told == [("over", 1000, ""), "abort"]


def test_lossWhileOpen(opened: World) -> None:
    """A loss is 1006; gone is told first, so that the owner can count on it."""
    opened.connection.gone("lost")
    assert opened.told == ["gone", ("over", 1006, "lost")]


def test_lossWhileTrying(world: World) -> None:
    """A loss before it was open is a failed attempt."""
    world.connection.gone("lost")
    assert world.told == ["gone", ("failed", NotConnected)]


def test_goneTwice(opened: World) -> None:
    """That nothing is left is told once."""
    opened.connection.gone("lost")
    opened.connection.gone("lost")
    assert opened.told.count("gone") == 1


def test_dropWhileTrying(world: World) -> None:
    """An attempt that is dropped is aborted, and nothing but its end is told, whatever comes late."""
    connection = world.connection
    connection.drop(4001, "")
    connection.handshaking()
    connection.opened()
    connection.textReceived(b"a")
    connection.failed(Failure(NotConnected()))
    connection.closing(1000, "")
    connection.gone("")
    assert world.told == ["abort", "gone"]
    assert not world.clock.getDelayedCalls()


def test_dropTwice(opened: World) -> None:
    """What is leaving cannot be dropped again."""
    opened.connection.drop(4002, "")
    opened.connection.drop(4001, "")
    assert opened.told == [("close", 4002, ""), ("over", 4002, "")]

"""
What a node does when its control socket says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.machine.fakes import fired
from twisted_crossws import Node
from twisted_crossws.machine.control import Refused
from twisted_crossws.machine.nodeorders import NodeOrders
from twisted_crossws.testing import FakePeer, MemoryCluster


class Home:
    """A node with one client, C{u1}."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.stops = 0
        self.node = Node("a", clock=clock, authenticate=lambda request: request.params.get("id"))
        self.node.startService()
        self.orders = NodeOrders(self.node, "web", lambda: ["0.0.0.0:9000", "[::]:9000"], self.stop)
        self.peer = FakePeer(self.node, clock, params={"id": "u1"})

    def stop(self) -> None:
        self.stops += 1

    def order(self, verb: str, **words: Any) -> Any:
        answers = fired(self.orders.order(verb, words, lambda sentence: None))
        self.clock.advance(0)
        (answer,) = answers
        return answer


@pytest.fixture
def home(clock: Clock) -> Iterator[Home]:
    home = Home(clock)
    yield home
    home.node.stopService()
    clock.advance(5)


def test_row(home: Home) -> None:
    """Who it is, and what it serves."""
    home.node.rooms.join("chat", "lobby", "u1")
    (rows,) = fired(home.orders.rows())
    (row,) = rows
    assert (row.name, row.kind, row.state, row.pid) == ("a", "web", "running", os.getpid())
    assert (row.address, row.clients, row.rooms) == ("0.0.0.0:9000 [::]:9000", 1, 1)
    assert row.memory > 10**6 and row.uptime >= 0
    home.node.drain()
    assert home.orders.row().state == "draining"


def test_stop(home: Home) -> None:
    """The process ends as by a signal; a name that is another's is refused."""
    assert home.order("stop", name="a") == ["a stops."]
    assert str(home.order("stop", name="b")) == "this is a, and not b"
    assert str(home.order("drain", name="b")) == "this is a, and not b"
    assert home.stops == 1


def test_drain(home: Home) -> None:
    """It is done when the last client is gone."""
    said = fired(home.orders.order("drain", {}, lambda sentence: None))
    home.clock.advance(0)
    assert home.peer.closeCode == 1012
    home.clock.pump([0.05] * 100)
    assert said == [["a has no clients any more."]]


def test_kick(home: Home) -> None:
    """A client is logged out; one that there is not is said."""
    assert home.order("kick", socketId="u1") == ["u1 was disconnected."]
    assert home.peer.closeCode == 4010
    assert str(home.order("kick", socketId="u2")) == "no client is bound to 'u2'"
    assert "socketId must be a string" in str(home.order("kick"))


def test_kickEverywhere() -> None:
    """Whoever bears the id is, on every node; where some do not answer, nobody is said not to be there."""
    cluster = MemoryCluster(["a", "b"])
    peers = [cluster.peer(name, socketId="u1") for name in ("a", "b")]
    orders = NodeOrders(cluster["a"], "web", lambda: [], lambda: None)

    def order() -> Any:
        answers = fired(orders.order("kick", {"socketId": "u1"}, lambda sentence: None))
        cluster.advance()
        return answers[0]

    assert order() == ["u1 was disconnected."]
    assert [peer.closeCode for peer in peers] == [4010, 4010]
    cluster.partition("a")
    assert str(order()) == "no client is bound to 'u1', as far as is known: b did not answer"


def test_send(home: Home) -> None:
    """An event for one, for a room, or for all."""
    home.node.rooms.join("chat", "lobby", "u1")
    home.order("send", event="one", payload=1, to="u1")
    home.order("send", event="room", payload=2, room=["chat", "lobby"])
    home.order("send", event="all")
    events = [getattr(frame, "event", None) for frame in home.peer.takeFrames()]
    assert events == ["one", "room", "all"]


def test_forTheMaster(home: Home) -> None:
    """What a node alone cannot do says so."""
    answer = home.order("restart")
    assert isinstance(answer, Refused)
    assert str(answer) == "'restart' is for the master; a node by itself knows drain, kick, send, stop"

"""
Rooms of a node: what is told of them, and whose membership it is.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_crossws import Config, Node, NotConnected, RoomsConfig, Socket, memoryBus
from twisted_crossws.testing import FakePeer, MemoryCluster

case = SynchronousTestCase()


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(["serverA", "serverB"])


def isHeard(cluster: MemoryCluster, name: str, other: str) -> bool:
    """Whether that node hears what the other one says to the namespace."""
    before = cluster[name].counters["bus_packets_received"]
    cluster[other].clients.toRoom("chat", "1", "say")
    cluster.advance()
    return cluster[name].counters["bus_packets_received"] > before


class TestMembership:
    """A membership belongs to a socket, and not to a name."""

    def test_nobody(self, cluster: MemoryCluster) -> None:
        """Who is not bound on this node cannot join here: not there at all, there unbound, or on another node."""
        node = cluster["serverA"]
        cluster.peer("serverA")
        cluster.peer("serverB", socketId="kim")
        for socketId in ("sam", "kim"):
            failure = case.failureResultOf(node.rooms.join("chat", "1", socketId), NotConnected)
            assert f"'{socketId}' cannot join a room" in failure.getErrorMessage()
        assert node.rooms.members("chat") == frozenset()
        assert not isHeard(cluster, "serverA", "serverB")

    def test_closing(self, cluster: MemoryCluster) -> None:
        """Nor can a client that is being closed, neither before it has gone nor in the listeners of C{close}."""
        node, results = cluster["serverA"], []
        peer = cluster.peer("serverA", socketId="sam")
        peer.answersClose = False
        node.lifecycle.on("close", lambda *args: results.append(node.rooms.join("chat", "1", "sam")))
        socket = node.sockets.get("sam")
        assert socket is not None
        socket.close()
        results.append(node.rooms.join("chat", "1", "sam"))
        cluster.advance(30.0)
        assert not peer.isConnected
        assert [case.failureResultOf(each).check(NotConnected) for each in results] == [NotConnected] * 2
        assert node.rooms.members("chat") == frozenset()

    def test_lateJoin(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """
        A listener that joins its client after that has gone leaves no ghost: the namespace is not subscribed, the next
        bearer of the name is in no room, and it is nothing to log.
        """
        node, going = cluster["serverA"], Deferred[None]()

        @node.clients.on("enter")
        async def enter(socket: Socket, payload: Any) -> None:
            await going
            await node.rooms.join("chat", "1", str(socket.socketId))

        peer = cluster.peer("serverA", socketId="sam")
        peer.sendEvent("enter", callbackId="1")
        peer.leave()
        cluster.advance()
        going.callback(None)
        assert node.rooms.members("chat") == frozenset()
        assert not isHeard(cluster, "serverA", "serverB")
        again = cluster.peer("serverA", socketId="sam")
        cluster["serverB"].clients.toRoom("chat", "1", "said", "secret")
        cluster.advance()
        assert again.takeFrames() == []
        assert (node.rooms.joined("sam"), node.counters["listener_failures"], logged) == ({}, 0, [])

    def test_lateJoinOfConnection(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """The same in a listener of C{connection}; what it does wrong otherwise is told."""
        node, going = cluster["serverA"], Deferred[None]()

        @node.lifecycle.on("connection")
        async def come(socket: Socket) -> None:
            await going
            await node.rooms.join("chat", "1", str(socket.socketId))

        cluster.peer("serverA", socketId="sam").leave()
        cluster.peer("serverA")
        cluster.advance()
        going.callback(None)
        assert node.rooms.members("chat") == frozenset()
        assert node.counters["listener_failures"] == 1
        assert logged.pop().check(NotConnected)

    def test_notConnectedOtherwise(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """A listener whose client is there, and that joins somebody else who is not, has failed."""
        node = cluster["serverA"]
        node.clients.on("enter", lambda socket, payload: node.rooms.join("chat", "1", "kim"))
        cluster.peer("serverA", socketId="sam").sendEvent("enter")
        assert node.counters["listener_failures"] == 1
        assert logged.pop().check(NotConnected)

    def test_replaced(self, cluster: MemoryCluster) -> None:
        """Who takes a name over inherits no room, also while the former bearer has not gone yet."""
        node = cluster["serverA"]
        older = cluster.peer("serverA", socketId="sam")
        older.answersClose = False
        node.rooms.join("chat", "1", "sam")
        newer = cluster.peer("serverA", socketId="sam")
        assert (node.rooms.joined("sam"), node.rooms.count("chat")) == ({}, 0)
        for name in ("serverA", "serverB"):
            cluster[name].clients.toRoom("chat", "1", "said", "secret")
        cluster.advance()
        assert newer.takeFrames() == []
        node.rooms.join("chat", "2", "sam")
        older.leave()
        cluster.advance()
        assert node.rooms.joined("sam") == {"chat": {"2"}}

    def test_boundAgain(self, cluster: MemoryCluster) -> None:
        """A socket that is bound to its own name again stays in its rooms."""
        node = cluster["serverA"]
        cluster.peer("serverA", socketId="sam")
        node.rooms.join("chat", "1", "sam")
        socket = node.sockets.get("sam")
        assert socket is not None
        node.sockets.bind("sam", socket)
        assert node.rooms.joined("sam") == {"chat": {"1"}}

    def test_joinAll(self, cluster: MemoryCluster) -> None:
        """An order from another server joins those who are there when it arrives, and keeps no place for others."""
        cluster.delay(0.2)
        peer = cluster.peer("serverB", socketId="sam")
        joining = cluster["serverA"].clients.joinAll([("chat", "1")], of="sam")
        peer.leave()
        cluster.advance(1.0)
        assert case.successResultOf(joining) == 0
        cluster.peer("serverB", socketId="sam")
        assert cluster["serverB"].rooms.joined("sam") == {}


class TestLeaving:
    """A namespace that has lost its last member is left after a while."""

    def changes(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What the bus is asked from now on."""
        asked: list[str] = []
        link = node._link
        for sign, name in (("+", "subscribe"), ("-", "unsubscribe")):
            change = getattr(link, name)
            monkeypatch.setattr(
                link, name, lambda channel, sign=sign, change=change: asked.append(sign + channel) or change(channel)
            )
        return asked

    def test_comingAndGoing(self, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """50 joins and leaves are one subscription, and one unsubscription a second after the last of them."""
        rooms, asked = cluster["serverA"].rooms, self.changes(cluster["serverA"], monkeypatch)
        cluster.peer("serverA", socketId="sam")
        for number in range(50):
            joined = rooms.join("chat", f"{number}", "sam")
            assert case.successResultOf(joined).heard
            rooms.leave("chat", f"{number}", "sam")
            cluster.advance(0.9)
        assert asked == ["+ws:chat"]
        cluster.advance(0.2)
        assert asked == ["+ws:chat", "-ws:chat"]
        assert not isHeard(cluster, "serverA", "serverB")

    def test_reload(self, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who goes and comes back within that time needs no subscription, and is heard all the while."""
        node, asked = cluster["serverA"], self.changes(cluster["serverA"], monkeypatch)
        peer = cluster.peer("serverA", socketId="sam")
        node.rooms.join("chat", "1", "sam")
        peer.leave()
        cluster.advance(0.9)
        peer = cluster.peer("serverA", socketId="sam")
        node.rooms.join("chat", "1", "sam")
        cluster.advance(5.0)
        assert asked == ["+ws:chat"]
        cluster["serverB"].clients.toRoom("chat", "1", "said", 1)
        cluster.advance()
        assert len(peer.takeFrames()) == 1

    @pytest.mark.parametrize("seconds", [0.0, 3.0])
    def test_option(self, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        """C{unsubscribe_after} says how long; 0 is at once."""
        config = Config(rooms=RoomsConfig(unsubscribe_after=seconds))
        cluster = MemoryCluster(["serverA", "serverB"], config=config)
        asked = self.changes(cluster["serverA"], monkeypatch)
        peer = cluster.peer("serverA", socketId="sam")
        cluster["serverA"].rooms.join("chat", "1", "sam")
        peer.leave()
        cluster.advance(seconds * 0.99)
        assert len(asked) == (1 if seconds else 2)
        cluster.advance(seconds * 0.02)
        assert asked == ["+ws:chat", "-ws:chat"]

    def test_stop(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """At the stop what is still to be left is left at once, and no timer remains; nor does one begin later."""
        node, other = (Node(name, bus, clock=clock) for bus in [memoryBus()] for name in ("serverA", "serverB"))
        for each in (node, other):
            each.startService()
        asked = self.changes(node, monkeypatch)
        peer = FakePeer(node, clock, socketId="sam")
        node.rooms.join("chat", "1", "sam")
        peer.leave()
        clock.advance(0)
        for each in (node, other):
            each.stopService()
        clock.advance(0)
        assert (asked, clock.getDelayedCalls()) == (["+ws:chat", "-ws:chat"], [])


class TestCounting:
    def test_notExact(self, cluster: MemoryCluster) -> None:
        """
        C{exact=False} is about the beginnings of room ids: without one, all rooms of the namespace are meant, and not
        those of other namespaces whose names begin alike.
        """
        rooms = cluster["serverA"].rooms
        for socketId in ("sam", "kim"):
            cluster.peer("serverA", socketId=socketId)
            rooms.join("chat", "red", socketId)
        rooms.join("chat", "green", "sam")
        rooms.join("chat2", "red", "kim")
        assert rooms.count("chat", exact=False) == rooms.count("chat") == 3
        assert (rooms.count("chat", "r", exact=False), rooms.count("cha", exact=False)) == (2, 0)
        assert rooms.members("chat", exact=False) == rooms.members("chat") == {"sam", "kim"}
        assert (rooms.members("chat", "g", exact=False), rooms.members("cha", exact=False)) == ({"sam"}, frozenset())
        assert rooms.ids("cha", exact=False) == {"red", "green"}
        assert rooms.roomCount("cha", exact=False) == 3

"""
What is said to servers that are about to join, and by them: whoever is in a list serves what it is sent.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from twisted_crossws import Config, Node, NodeConfig
from twisted_crossws.cluster.early import MAX_WAITING
from twisted_crossws.testing import MemoryCluster
from twisted_crossws.wire.frames import Event

#: Seconds that a packet takes, or the confirmation of a subscription.
DELAY = 0.02


@pytest.fixture
def cluster() -> MemoryCluster:
    """Two servers whose clocks, as those of processes, did not begin when the servers did."""
    cluster = MemoryCluster(["serverA", "serverB"], delay=DELAY)
    cluster.advance(60.0)
    return cluster


def noting(node: Node) -> list[Any]:
    """The payloads of the events C{note} that a server has served so far."""
    got: list[Any] = []
    node.servers.on("note", lambda message: got.append(message.payload))
    return got


def results(deferred: Deferred[Any]) -> list[Any]:
    """What a Deferred has fired with so far; a failure as its exception."""
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got


class TestListed:
    """Whoever is in the list of a server serves what that one sends."""

    def test_newcomer(self, cluster: MemoryCluster) -> None:
        """A newcomer that is counted serves what is sent in the same moment."""
        sender = cluster["serverA"].servers
        served = noting(newcomer := cluster.start("serverC"))
        sender.whenServers(3).addCallback(lambda _: sender.emit("note", "good morning", exceptSelf=True))
        cluster.advance(DELAY)
        assert sender.names() == {"serverA", "serverB"}
        cluster.advance(2.0)
        assert (served, newcomer.counters["events_early"]) == (["good morning"], 0)

    @pytest.mark.parametrize("apart", [0.0, 0.1, 0.3, 0.45, 0.6])
    def test_senderThatComes(self, cluster: MemoryCluster, apart: float) -> None:
        """A server that comes with others and tells them something, once they are there, tells all of them."""
        nodes = [cluster.start("serverC")]
        cluster.advance(apart)
        sender = cluster.start("sender").servers
        sender.whenServers(5).addCallback(lambda _: sender.emit("note", "good morning", exceptSelf=True))
        cluster.advance(apart)
        nodes.append(cluster.start("serverD"))
        served = [noting(node) for node in [cluster["serverA"], cluster["serverB"], *nodes]]
        cluster.advance(2.0)
        assert served == [["good morning"]] * 4

    def test_notBeforeItHasItsName(self) -> None:
        """Also one that is started again, and hears somebody it had taken for lost, is in no list before it serves."""
        names = ["serverA", "serverB", "serverC"]
        cluster = MemoryCluster(names, config=Config(node=NodeConfig(announce_interval=0.2)), delay=DELAY)
        node, other = cluster["serverB"], cluster["serverC"].servers
        node._membership.isLost("serverA")
        node.stopService()
        node.startService()
        cluster.advance(2 * DELAY)
        for _ in range(30):
            cluster.advance(0.05)
            assert node._membership.isJoined or not other.alive("serverB")
        assert other.names() == node.servers.names() == set(names)

    def test_heardAgain(self, cluster: MemoryCluster) -> None:
        """A server that is started again waits for those that are there now, and not for who was there before."""
        node = cluster["serverA"]
        node.stopService()
        cluster.advance(1.0)
        cluster.kill("serverB")
        node.startService()
        waiting = results(node.servers.whenServers(2))
        cluster.advance(3.0)
        assert waiting == []
        served = noting(cluster.start("serverC"))
        node.servers.whenServers(2).addCallback(lambda _: node.servers.emit("note", 1))
        cluster.advance(1.0)
        assert (waiting, served) == ([{"serverA", "serverC"}], [1])


class TestSaidEarly:
    """What a server says before it has joined."""

    def test_reachesAll(self, cluster: MemoryCluster) -> None:
        """It reaches all who have, whatever it is."""
        other = cluster["serverB"]
        other.authenticate = lambda request: "kim"
        kim = cluster.peer("serverB")
        cluster.advance(0.1)
        other.rooms.join("chat", "1", "kim")
        other.channels.subscribe("news")
        news: list[Any] = []
        other.channels.onMessage(lambda channel, mapping: news.append(mapping["text"]))
        cluster.advance(0.1)
        served = noting(other)
        kim.takeFrames()
        node = cluster.start("serverC")
        node.servers.emit("note", "to all")
        node.servers.emit("note", "to one", to="serverB")
        node.clients.broadcast("said", "to all")
        node.clients.send("kim", "said", "to one")
        node.clients.toRoom("chat", "1", "said", "to a room")
        node.channels.publish("news", {"text": "hi"})
        cluster.advance(0.1)
        assert (node.state, served, news) == ("starting", ["to all", "to one"], ["hi"])
        said = [frame.payload for frame in kim.takeFrames() if isinstance(frame, Event)]
        assert said == ["to all", "to one", "to a room"]


class TestHeardEarly:
    """What a server hears before its name is its own."""

    @pytest.fixture
    def node(self, cluster: MemoryCluster) -> Node:
        """One that claims its name, and hears everything."""
        node = cluster.start("serverC")
        cluster.advance(2 * DELAY)
        return node

    def test_served(self, cluster: MemoryCluster, node: Node) -> None:
        """It is served when the name is, in order, and before what comes later."""
        served, sender = noting(node), cluster["serverA"].servers
        for number in range(3):
            sender.emit("note", number)
        sender.emit("note", "for another", to="serverB")
        sender.emit("note", 3, to="serverC")
        cluster.advance(0.2)
        assert served == []
        sender.whenServers(3).addCallback(lambda _: sender.emit("note", 4))
        cluster.advance(1.0)
        assert (served, node.counters["events_early"]) == ([0, 1, 2, 3, 4], 0)

    def test_nextLife(self, cluster: MemoryCluster) -> None:
        """A server that is back at once after a crash serves what it is sent by those who have not missed it."""
        cluster.kill("serverB")
        served = noting(cluster.start("serverB"))
        cluster.advance(2 * DELAY)
        sender = cluster["serverA"].servers
        assert sender.alive("serverB")
        sender.emit("note", "hi", to="serverB")
        cluster.advance(1.0)
        assert served == ["hi"]

    def test_question(self, cluster: MemoryCluster, node: Node) -> None:
        """A question is answered, if somebody still waits for the answer."""
        asked: list[str] = []
        node.servers.on("who", lambda message: asked.append(message.payload) or "serverC")
        sender = cluster["serverA"].servers
        answers = results(sender.callOne("who", "patient", to="serverC"))
        results(sender.callOne("who", "impatient", to="serverC", timeout=0.1))
        cluster.advance(1.0)
        assert (answers, asked, node.counters["calls_expired"]) == (["serverC"], ["patient"], 1)

    def test_tooMany(self, cluster: MemoryCluster, node: Node) -> None:
        """So many wait, and no more; the rest is counted."""
        served, sender = noting(node), cluster["serverA"].servers
        for number in range(MAX_WAITING + 2):
            sender.emit("note", number)
        cluster.advance(1.0)
        assert (served, node.counters["events_early"]) == (list(range(MAX_WAITING)), 2)

    def test_stopped(self, cluster: MemoryCluster, node: Node) -> None:
        """If the first of them stops the server, the others are counted."""
        served: list[Any] = []
        node.servers.on("note", lambda message: served.append(message.payload) or node.stopService())
        for number in range(3):
            cluster["serverA"].servers.emit("note", number)
        cluster.advance(2.0)
        assert (served, node.counters["events_early"]) == ([0], 2)
        assert cluster.clock("serverC").getDelayedCalls() == []

    def test_fault(self, cluster: MemoryCluster, node: Node, logged: list[Any], monkeypatch: Any) -> None:
        """One that cannot be handled keeps the server from nothing."""
        serve, served = node.servers._serve, noting(node)

        def failing(message: Any, *rest: Any) -> None:
            if message.payload == 0:
                raise RuntimeError("a fault")
            serve(message, *rest)

        monkeypatch.setattr(node.servers, "_serve", failing)
        for number in range(2):
            cluster["serverA"].servers.emit("note", number)
        cluster.advance(1.0)
        assert (served, node.state, len(logged)) == ([1], "running", 1)
        logged.clear()

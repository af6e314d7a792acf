"""
What servers hear of each other's lives: when one is to stop, and when one was away and comes back.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twisted_crossws import Config, NameTaken, Node, NodeConfig, memoryBus
from twisted_crossws.testing import MemoryCluster
from twisted_crossws.wire.packets import Presence

NAMES = ("serverA", "serverB", "serverC")


def results(deferred: Deferred[Any]) -> list[Any]:
    """What a Deferred has fired with so far; a failure as its exception."""
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got


def heard(node: Node) -> list[tuple[Any, ...]]:
    """What the node's application is told of others, and of itself, from now on."""
    events: list[tuple[Any, ...]] = []
    node.lifecycle.on("serverUp", lambda name: events.append(("up", name)))
    node.lifecycle.on("serverDown", lambda name, reason: events.append(("down", name, reason)))
    node.lifecycle.on("serverDraining", lambda name: events.append(("draining", name)))
    node.lifecycle.on("wasAway", lambda seconds: events.append(("away", round(seconds, 1))))
    return events


def lives(node: Node, name: str) -> list[str]:
    """The lives of that server that have begun for the node, from now on."""
    begun: list[str] = []

    def isUp(other: str) -> None:
        info = node.servers.info(other)
        if other == name and info is not None:
            begun.append(info.incarnation)

    node.lifecycle.on("serverUp", isUp)
    return begun


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(NAMES)


class TestDraining:
    def test_atOnce(self, cluster: MemoryCluster) -> None:
        """Others know at once that a server drains: it is not alive for them, and they hear when it is gone."""
        node, events = cluster["serverA"], heard(cluster["serverA"])
        for _ in range(20):
            cluster.peer("serverC")
        cluster["serverC"].drain()
        cluster.advance()
        assert not node.servers.alive("serverC") and "serverC" not in node.servers.names()
        info = node.servers.info("serverC")
        assert info is not None and (info.state, events) == ("draining", [("draining", "serverC")])
        cluster.advance(10.0)
        assert events == [("draining", "serverC")]
        cluster["serverC"].stopService()
        cluster.advance(2.0)
        info = node.servers.info("serverC")
        assert info is not None and info.state == "gone"
        assert events == [("draining", "serverC"), ("down", "serverC", "left")]

    def test_itself(self, cluster: MemoryCluster) -> None:
        """It says the same of itself."""
        node = cluster["serverC"]
        assert node.servers.info("serverC").state == "running" and node.servers.alive("serverC")  # type: ignore[union-attr]
        node.drain()
        assert node.servers.info("serverC").state == "draining"  # type: ignore[union-attr]
        assert not node.servers.alive("serverC") and node.servers.names() == {"serverA", "serverB"}

    def test_served(self, cluster: MemoryCluster) -> None:
        """Calls to it, and to all, are answered as before; its clients are found."""
        for name in NAMES:
            cluster[name].servers.on("who", lambda message, name=name: name)
        hangs: Deferred[None] = Deferred()
        cluster["serverC"].clients.on("wait", lambda socket, payload: hangs)
        cluster.peer("serverC").sendEvent("wait", callbackId="1")
        cluster["serverC"].drain()
        cluster.advance()
        servers = cluster["serverA"].servers
        one, every = results(servers.callOne("who", to="serverC")), results(servers.call("who"))
        found = results(cluster["serverA"].clients.fetch())
        cluster.advance(0.1)
        assert one == ["serverC"] and set(every[0].byServer) == set(NAMES)
        assert len(found[0]) == 1 and found[0].missing == set()

    def test_byRole(self) -> None:
        """It is none of those that C{whenServers} waits for."""
        cluster = MemoryCluster(NAMES, config=Config(node=NodeConfig(role="game")))
        cluster["serverC"].drain()
        cluster.advance()
        waiting = results(cluster["serverA"].servers.whenServers(3, role="game"))
        assert waiting == []
        cluster.start("serverD")
        cluster.advance(1.0)
        assert waiting == [{"serverA", "serverB", "serverD"}]

    def test_metDraining(self, cluster: MemoryCluster) -> None:
        """Who comes while it drains hears that, too."""
        cluster.peer("serverC").answersClose = False
        cluster["serverC"].drain()
        events = heard(cluster.start("serverD"))
        cluster.advance(1.0)
        assert events.index(("draining", "serverC")) == events.index(("up", "serverC")) + 1
        assert not cluster["serverD"].servers.alive("serverC")

    def test_stopping(self, cluster: MemoryCluster) -> None:
        """One that is stopped without that says so at once, too, and not when its clients are gone."""
        events = heard(cluster["serverA"])
        cluster.peer("serverC").answersClose = False
        cluster["serverC"].stopService()
        cluster.advance()
        assert not cluster["serverA"].servers.alive("serverC") and events == [("draining", "serverC")]
        cluster.advance(2.0)
        assert events == [("draining", "serverC"), ("down", "serverC", "left")]

    def test_startedAgain(self, cluster: MemoryCluster) -> None:
        """Started again in the same process it is alive, in another life."""
        begun = lives(cluster["serverA"], "serverC")
        for _ in range(2):
            cluster["serverC"].stopService()
            cluster.advance(2.0)
            cluster["serverC"].startService()
            cluster.advance(1.0)
        assert cluster["serverA"].servers.alive("serverC") and cluster["serverC"].servers.alive("serverC")
        assert len(set(begun)) == len(begun) == 2

    def test_whileItJoins(self, cluster: MemoryCluster) -> None:
        """One that is drained before it has joined is never alive; whoever comes is sent away at once."""
        node = cluster.start("serverD")
        node.drain()
        late = cluster.peer("serverD")
        cluster.advance(1.0)
        assert late.status == 503
        assert not cluster["serverA"].servers.alive("serverD")

    def test_stoppedBeforeItHasJoined(self, cluster: MemoryCluster) -> None:
        """Nor does anybody wait at the door of a node that was stopped before it had joined."""
        node = cluster.start("serverD")
        node.stopService()
        cluster.advance(2.0)
        assert cluster.peer("serverD").status == 503

    def test_memoryBus(self, clock: Any) -> None:
        """Nodes of one process know it as well."""
        bus = memoryBus()
        one, other = Node("one", bus, clock=clock), Node("other", bus, clock=clock)
        for node in (one, other):
            node.startService()
        clock.advance(0)
        assert one.servers.names() == {"one", "other"}
        other.drain()
        clock.advance(0)
        clock.advance(0)
        assert (one.servers.names(), other.servers.names()) == ({"one"}, {"one"})
        for node in (one, other):
            node.stopService()


class TestAway:
    @pytest.mark.parametrize("seconds", [5.5, 60.0])
    def test_frozen(self, cluster: MemoryCluster, seconds: float) -> None:
        """One that was frozen is told so, and begins another life for those who have missed it."""
        events, own, begun = heard(cluster["serverA"]), heard(cluster["serverC"]), lives(cluster["serverA"], "serverC")
        before = cluster["serverA"].servers.info("serverC")
        cluster.freeze("serverC")
        cluster.advance(seconds)
        cluster.thaw("serverC")
        cluster.advance(2.0)
        assert events == [("down", "serverC", "lost"), ("up", "serverC")]
        assert before is not None and before.incarnation not in begun
        ((kind, away),) = own
        assert kind == "away" and seconds <= away <= seconds + 0.5
        after = cluster["serverA"].servers.info("serverC")
        assert after is not None and (after.since, after.incarnation) == (before.since, begun[0])

    def test_notMissed(self, cluster: MemoryCluster) -> None:
        """Who has not missed it, as it was frozen itself, sees no change, and its calls go on."""
        answer: Deferred[str] = Deferred()
        cluster["serverC"].servers.on("ask", lambda message: answer)
        events = heard(cluster["serverA"])
        asked = results(cluster["serverA"].servers.callOne("ask", to="serverC", timeout=60.0))
        cluster.advance()
        for name in NAMES:
            cluster.freeze(name)
        cluster.advance(20.0)
        for name in NAMES:
            cluster.thaw(name)
        cluster.advance(2.0)
        assert events == [("away", 20.0)] or events == [("away", 20.5)]
        answer.callback("done")
        cluster.advance()
        assert asked == ["done"]

    @pytest.mark.parametrize("noticed", [True, False])
    def test_cutOff(self, cluster: MemoryCluster, noticed: bool) -> None:
        """One that was cut off is told so when it is back, whether it has noticed that or not."""
        events, own, begun = heard(cluster["serverA"]), heard(cluster["serverC"]), lives(cluster["serverA"], "serverC")
        cluster.partition("serverC", noticed=noticed)
        cluster.advance(10.0)
        assert own == []
        cluster.heal()
        cluster.advance(2.0)
        assert events == [("down", "serverC", "lost"), ("up", "serverC")]
        ((kind, away),) = own
        assert kind == "away" and 10.0 <= away <= 11.5
        assert len(begun) == 1

    def test_missedBySome(self, cluster: MemoryCluster) -> None:
        """One that was taken for lost and has not noticed anything is told by those who hear it again."""
        events, others, own = (heard(cluster[name]) for name in NAMES)
        begun = lives(cluster["serverA"], "serverC")
        cluster["serverA"]._membership.isLost("serverC")
        cluster.advance(2.0)
        assert events == [("down", "serverC", "lost"), ("up", "serverC")] and len(set(begun)) == 1
        assert others == []
        ((kind, away),) = own
        assert kind == "away" and 0 < away <= 2.0

    def test_comes(self, cluster: MemoryCluster) -> None:
        """One that comes was not away, whatever its clock says; and the claim of a name is one life's."""
        cluster.advance(1000.0)
        node = cluster.start("serverD")
        before, own = node.servers.info("serverD"), heard(node)
        cluster.advance(1.0)
        assert ("away", 1000.0) not in own and {kind for kind, _ in own} == {"up"}
        after = node.servers.info("serverD")
        assert before is not None and after is not None and before.incarnation == after.incarnation

    def test_nameTakenLate(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """One that comes late under a name that is taken is refused as any other."""
        cluster.advance(1000.0)
        second = Node("serverC", cluster._bus, clock=cluster.clock("serverC"))
        second.startService()
        joined = results(second.whenJoined())
        cluster.advance(2.0)
        assert isinstance(joined[0], NameTaken)

    def test_briefly(self, cluster: MemoryCluster) -> None:
        """A moment is nothing that anybody has to know."""
        events = heard(cluster["serverC"])
        for _ in range(5):
            cluster.freeze("serverC")
            cluster.advance(2.0)
            cluster.thaw("serverC")
            cluster.advance(1.6)
        assert events == []

    def test_alone(self, clock: Any) -> None:
        """A node that is alone is told so, too; that nobody hears it is nothing to tell."""
        node = Node(clock=clock)
        node.startService()
        events = heard(node)
        for _ in range(100):
            clock.advance(0.5)
        assert events == []
        clock.advance(30.0)
        assert events == [("away", 30.0)]
        node.stopService()

    def test_alonesCompany(self, clock: Any) -> None:
        """And when another one comes, it was not away."""
        bus = memoryBus()
        node = Node("one", bus, clock=clock)
        node.startService()
        events = heard(node)
        for _ in range(100):
            clock.advance(0.5)
        other = Node("other", bus, clock=clock)
        other.startService()
        for _ in range(10):
            clock.advance(0.5)
        assert events == [("up", "other")]
        for each in (node, other):
            each.stopService()

    def test_ownFormerLife(self, cluster: MemoryCluster) -> None:
        """What it said in a life before is not taken for another server's of its name."""
        node = cluster["serverC"]
        before = node.servers.info("serverC")
        assert before is not None
        node._membership._me.renew()
        node._membership.received(Presence("here", "serverC", before.incarnation, before.since))
        assert node.counters["names_contested"] == 0

    def test_lateGoodbye(self, cluster: MemoryCluster) -> None:
        """What a server has said before its goodbye, and comes after it, does not bring it back."""
        node, events = cluster["serverA"], heard(cluster["serverA"])
        info = node.servers.info("serverC")
        assert info is not None
        cluster.kill("serverC")
        for kind in ("bye", "here"):
            node._membership.received(Presence(kind, "serverC", info.incarnation, info.since))  # type: ignore[arg-type]
        assert events == [("down", "serverC", "left")] and not node.servers.alive("serverC")


class TestBeginning:
    """Clocks of processes do not begin at 0."""

    def test_notAway(self, clock: Clock) -> None:
        """A server that claims its name was not away before, and says nothing before the name is its own."""
        clock.advance(1e9)
        bus = MemoryCluster()._bus
        first, second = (Node("serverA", bus, clock=clock) for _ in range(2))
        first.startService()
        events = heard(first)
        joined = results(first.whenJoined())
        clock.pump([0.1] * 10)
        assert (joined, events) == ([None], [])
        second.startService()
        events = heard(second)
        joined = results(second.whenJoined())
        clock.pump([0.1] * 10)
        assert [type(each) for each in joined] == [NameTaken]
        assert events == []
        for node in (first, second):
            node.stopService()
        clock.pump([0.1] * 10)
        assert clock.getDelayedCalls() == []

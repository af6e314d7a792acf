"""
Servers that know each other by what they say, and what happens when one falls silent.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from twisted_crossws import BusUnavailable, CallTimeout, Config, NameTaken, Node, NodeConfig, ServerLost
from twisted_crossws.testing import MemoryCluster
from twisted_crossws.wire.packets import Presence

ALL = {"serverA", "serverB", "serverC"}


def results(deferred: Deferred[Any]) -> list[Any]:
    """What a Deferred has fired with so far; a failure as its exception."""
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got


def heard(node: Node) -> list[tuple[Any, ...]]:
    """What the node's application is told of others, from now on."""
    events: list[tuple[Any, ...]] = []
    node.lifecycle.on("serverUp", lambda name: events.append(("up", name)))
    node.lifecycle.on("serverDown", lambda name, reason: events.append(("down", name, reason)))
    return events


def views(cluster: MemoryCluster, *names: str) -> list[set[str]]:
    return [set(cluster[name].servers.names()) for name in names]


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(sorted(ALL))


class TestComing:
    def test_everyoneKnowsEveryone(self, cluster: MemoryCluster) -> None:
        """Whoever starts knows the others, and they know it."""
        assert views(cluster, *ALL) == [ALL, ALL, ALL]
        events = heard(cluster["serverA"])
        cluster.start("serverD")
        cluster.advance(1.0)
        assert views(cluster, "serverA", "serverD") == [ALL | {"serverD"}] * 2
        assert events == [("up", "serverD")]

    def test_info(self) -> None:
        """A server says what it is, and how many clients it has."""
        config = Config(node=NodeConfig(role="game", tags=("eu", "big")))
        cluster = MemoryCluster(["serverA", "serverB"], config=config)
        cluster.peer("serverA")
        cluster.advance(2.0)
        info = cluster["serverB"].servers.info("serverA")
        assert info is not None
        assert (info.name, info.role, info.tags, info.clients) == ("serverA", "game", ("eu", "big"), 1)
        assert info.address and info.version and info.incarnation
        own = cluster["serverA"].servers.info("serverA")
        assert own is not None and (own.incarnation, own.clients) == (info.incarnation, 1)
        assert cluster["serverB"].servers.info("nobody") is None

    def test_whenServers(self) -> None:
        """C{whenServers} fires as soon as there are enough."""
        cluster = MemoryCluster(["serverA"])
        servers = cluster["serverA"].servers
        assert results(servers.whenServers(1)) == [{"serverA"}]
        two, three = results(servers.whenServers(2)), results(servers.whenServers(3))
        cluster.start("serverB")
        cluster.advance(1.0)
        assert (two, three) == ([{"serverA", "serverB"}], [])

    def test_whenServersBeforeItIsIn(self) -> None:
        """A server that is not in yet, and could not hear a reply, is not told that others are there."""
        cluster = MemoryCluster(["serverA"])
        cluster.advance(0.9)
        node = cluster.start("serverB")
        waiting = results(node.servers.whenServers(2))
        cluster.advance(0.3)
        assert node.servers.alive("serverA") and waiting == []
        cluster.advance(0.5)
        assert waiting == [{"serverA", "serverB"}]

    def test_whenServersOfARole(self) -> None:
        """With a role, only those of it count."""
        cluster = MemoryCluster(["serverA"], config=Config(node=NodeConfig(role="game")))
        waiting = results(cluster["serverA"].servers.whenServers(1, role="chat"))
        assert results(cluster["serverA"].servers.whenServers(1, role="game")) == [{"serverA"}]
        assert waiting == []

    def test_whenServersInTime(self, cluster: MemoryCluster) -> None:
        """With a time-out it fires as without one, if they come before that, and nothing follows."""
        waiting = results(cluster["serverA"].servers.whenServers(4, timeout=2.0))
        cluster.start("serverD")
        cluster.advance(1.0)
        assert waiting == [ALL | {"serverD"}]
        cluster.advance(2.0)
        assert len(waiting) == 1

    def test_whenServersInVain(self, cluster: MemoryCluster) -> None:
        """With a time-out it fails when that is over; without one it ends with the node."""
        servers = cluster["serverA"].servers
        limited, unlimited = results(servers.whenServers(4, timeout=2.0)), results(servers.whenServers(4))
        cluster.advance(2.0)
        assert isinstance(limited[0], CallTimeout) and "2 seconds" in str(limited[0])
        assert unlimited == []
        cluster.stop()
        assert len(unlimited) == 1


class TestGoing:
    def test_stopped(self, cluster: MemoryCluster) -> None:
        """A server that stops is gone everywhere at once."""
        events = heard(cluster["serverA"])
        cluster["serverC"].stopService()
        cluster.advance()
        assert views(cluster, "serverA", "serverB") == [{"serverA", "serverB"}] * 2
        assert events == [("down", "serverC", "left")]
        assert cluster["serverA"].counters["servers_lost"] == 0

    def test_killed(self, cluster: MemoryCluster) -> None:
        """One that is killed is gone everywhere within six seconds, and not before its silence is long enough."""
        events = heard(cluster["serverA"])
        cluster.kill("serverC")
        cluster.advance(3.4)
        assert cluster["serverA"].servers.alive("serverC")
        cluster.advance(2.6)
        assert views(cluster, "serverA", "serverB") == [{"serverA", "serverB"}] * 2
        assert events == [("down", "serverC", "lost")]
        assert cluster["serverA"].counters["servers_lost"] == 1

    @pytest.mark.parametrize("seconds", [5.5, 60.0])
    def test_frozen(self, cluster: MemoryCluster, seconds: float) -> None:
        """One that was frozen comes back by itself, and takes nobody else for lost."""
        events, own = heard(cluster["serverA"]), heard(cluster["serverC"])
        cluster.freeze("serverC")
        cluster.advance(seconds)
        assert not cluster["serverA"].servers.alive("serverC")
        cluster.thaw("serverC")
        cluster.advance(1.0)
        assert views(cluster, *ALL) == [ALL, ALL, ALL]
        assert events == [("down", "serverC", "lost"), ("up", "serverC")]
        assert own == []

    @pytest.mark.parametrize("seconds", [0.6, 1.5, 4.0, 4.7, 4.9])
    @pytest.mark.parametrize("latency", [0.0, 0.3, 1.0])
    def test_frozenBriefly(self, cluster: MemoryCluster, seconds: float, latency: float) -> None:
        """
        One that was frozen for less than that takes nobody for lost either: what others have said meanwhile is still to
        be read when it wakes up. But who is dead it still finds out.
        """
        cluster.delay(latency)
        for begin in range(15):
            cluster.advance(1.0 + begin / 10)
            own = heard(cluster["serverC"])
            cluster.freeze("serverC")
            cluster.advance(seconds)
            cluster.thaw("serverC")
            cluster.advance(2.0)
            assert own == []
        cluster.kill("serverB")
        cluster.freeze("serverC")
        cluster.advance(seconds)
        cluster.thaw("serverC")
        cluster.advance(6.1 + latency)
        assert own == [("down", "serverB", "lost")]

    def test_restarted(self, cluster: MemoryCluster) -> None:
        """A new life under the same name ends the old one, without waiting for its silence."""
        events = heard(cluster["serverA"])
        cluster.kill("serverC")
        cluster.start("serverC")
        cluster.advance(0.9)
        assert events == [("down", "serverC", "restarted"), ("up", "serverC")]
        assert views(cluster, *ALL) == [ALL, ALL, ALL]

    @pytest.mark.parametrize("noticed", [True, False])
    def test_partitioned(self, cluster: MemoryCluster, noticed: bool) -> None:
        """
        One that has lost the bus is gone for the others, and back when it is. It takes nobody for lost, whether the bus
        tells it that it is deaf, or it finds out as it does not hear itself.
        """
        events, own = heard(cluster["serverA"]), heard(cluster["serverC"])
        cluster.partition("serverC", noticed=noticed)
        cluster.advance(10.0)
        assert views(cluster, "serverA") == [{"serverA", "serverB"}]
        assert views(cluster, "serverC") == [ALL]
        cluster.heal()
        cluster.advance(2.0)
        assert views(cluster, *ALL) == [ALL, ALL, ALL]
        assert events == [("down", "serverC", "lost"), ("up", "serverC")]
        assert own == []

    def test_oldNews(self, cluster: MemoryCluster) -> None:
        """What an earlier life said, and comes late, changes nothing."""
        old = Presence("here", "serverC", "earlier", since=0.0)
        cluster["serverA"]._membership.received(old)
        cluster["serverA"]._membership.received(Presence("bye", "serverC", "earlier", since=0.0))
        info = cluster["serverA"].servers.info("serverC")
        assert info is not None and info.incarnation != "earlier"


class TestCalls:
    """Calls that wait for a server that is gone."""

    def listen(self, cluster: MemoryCluster) -> None:
        for name in ALL:
            cluster[name].servers.on("who", lambda message, name=name: name)

    def test_lost(self, cluster: MemoryCluster) -> None:
        """They end when that is known, and name it; what came counts."""
        self.listen(cluster)
        cluster["serverC"].servers.off("who")
        cluster["serverC"].servers.on("who", lambda message: Deferred())
        got = results(cluster["serverA"].servers.call("who", timeout=30.0))
        one = results(cluster["serverA"].servers.callOne("who", to="serverC", timeout=30.0))
        cluster.advance(1.0)
        cluster.kill("serverC")
        cluster.advance(6.0)
        (replies,) = got
        assert replies.byServer == {"serverA": "serverA", "serverB": "serverB"}
        assert (replies.complete, replies.missing, replies.unanswered) == (False, {"serverC"}, 1)
        assert isinstance(replies.errors["serverC"], ServerLost)
        assert isinstance(one[0], ServerLost) and "'serverC'" in str(one[0])

    def test_othersAreWaitedFor(self, cluster: MemoryCluster) -> None:
        """A call that asked others only does not end by it."""
        cluster["serverB"].servers.on("who", lambda message: Deferred())
        got = results(cluster["serverA"].servers.callOne("who", to="serverB", timeout=30.0))
        cluster.advance(1.0)
        cluster.kill("serverC")
        cluster.advance(6.0)
        assert got == []
        cluster.kill("serverB")
        cluster.advance(6.0)
        assert isinstance(got[0], ServerLost) and "'serverB'" in str(got[0])

    def test_goneBefore(self, cluster: MemoryCluster) -> None:
        """A call to one that is known to be gone fails at once; after a while its name is as good as any other."""
        cluster["serverC"].stopService()
        cluster.advance()
        servers = cluster["serverA"].servers
        assert isinstance(results(servers.callOne("who", to="serverC"))[0], ServerLost)
        cluster.advance(60.0)
        assert results(servers.callOne("who", to="serverC")) == []

    def test_unknownIsWaitedFor(self, cluster: MemoryCluster) -> None:
        """A name that never announced itself may be a peer that does not: it is waited for."""
        got = results(cluster["serverA"].servers.callOne("who", to="nodeServer", timeout=3.0))
        cluster.advance(2.9)
        assert got == []
        cluster.advance(0.1)
        assert isinstance(got[0], CallTimeout)

    def test_unannouncedPeersMayAnswer(self, cluster: MemoryCluster) -> None:
        """A call to all waits for those that are known, and C{expected} for as many as it says."""
        self.listen(cluster)
        cluster.kill("serverC")
        cluster.advance(6.0)
        got = results(cluster["serverA"].servers.call("who"))
        cluster.advance()
        assert got[0].complete and set(got[0].byServer) == {"serverA", "serverB"}
        more = results(cluster["serverA"].servers.call("who", expected=3, timeout=1.0))
        cluster.advance(1.0)
        assert (more[0].complete, more[0].unanswered) == (False, 1)

    def test_noBus(self, cluster: MemoryCluster) -> None:
        """While the bus is away a call fails at once; the own part of it is served all the same."""
        self.listen(cluster)
        cluster.partition("serverA")
        servers = cluster["serverA"].servers
        assert isinstance(results(servers.callOne("who", to="serverB"))[0], BusUnavailable)
        (replies,) = results(servers.call("who"))
        assert replies.byServer == {"serverA": "serverA"}
        assert {type(error) for error in replies.errors.values()} == {BusUnavailable}
        assert (replies.complete, replies.missing) == (False, {"serverB", "serverC"})
        assert cluster["serverA"].counters["calls_undeliverable"] == 2


class TestWatch:
    def test_goesOn(self, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch, logged: list[Any]) -> None:
        """A sign of life that fails is logged, and the next one comes: nobody takes the server for lost."""
        events = heard(cluster["serverA"])

        def fails() -> str:
            raise OSError("no name")

        with monkeypatch.context() as patch:
            patch.setattr("twisted_crossws.cluster.identity.gethostname", fails)
            cluster.advance(1.5)
        assert {failure.type for failure in logged} == {OSError}
        logged.clear()
        cluster.advance(20.0)
        assert events == [] and views(cluster, *ALL) == [ALL] * 3


class TestNames:
    """Two living servers of one name."""

    def test_refused(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """The second one is refused, with a sentence that says who has the name; the first one notices nothing."""
        events = heard(cluster["serverA"])
        clock = cluster.clock("serverC")
        second = Node("serverC", cluster._bus, clock=clock)
        second.startService()
        joined = results(second.whenJoined())
        faults: list[Any] = []
        second.lifecycle.on("serverError", faults.append)
        cluster.advance(2.0)
        (fault,) = joined
        assert isinstance(fault, NameTaken)
        info = cluster["serverA"].servers.info("serverC")
        assert info is not None and info.address in str(fault) and "'serverC'" in str(fault)
        assert [each.value for each in faults] == [fault]
        assert not second.running
        assert events == []
        assert cluster["serverC"].counters["names_contested"] == 1
        assert results(second.whenJoined()) == [fault]

    def test_freeAfterACrash(self, cluster: MemoryCluster) -> None:
        """After a crash the name is free again within a second of the new start."""
        cluster.kill("serverC")
        joined = results(cluster.start("serverC").whenJoined())
        cluster.advance(0.9)
        assert joined == [None]

    def test_atOnce(self, logged: list[Any]) -> None:
        """Of two that start at the same time one comes in."""
        cluster = MemoryCluster()
        nodes = [cluster._start("serverA"), Node("serverA", cluster._bus, clock=cluster.clock("serverA"))]
        nodes[1].startService()
        joined = [results(node.whenJoined()) for node in nodes]
        cluster.advance(1.0)
        assert {type(each[0]) for each in joined} == {NameTaken, type(None)}

    def test_metLate(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """Two that could not hear each other when they came: the younger one's application is told."""
        faults: list[Any] = []
        for name in ALL:
            cluster[name].lifecycle.on("serverError", faults.append)
        elder = Presence("here", "serverC", "other", since=0.0, address="elsewhere, process 1")
        cluster["serverC"]._membership.received(elder)
        assert len(faults) == 1 and faults[0].check(NameTaken) and "elsewhere" in str(faults[0].value)
        cluster["serverC"]._membership.received(Presence("here", "serverC", "younger", since=1e12))
        assert len(faults) == 1
        assert cluster["serverC"].counters["names_contested"] == 2

    def test_stoppedWhileComing(self, cluster: MemoryCluster) -> None:
        """A node that stops before it has come in leaves nothing behind."""
        node = cluster._start("serverD")
        joined = results(node.whenJoined())
        stopped = results(node.stopService())
        cluster.advance(2.0)
        assert len(joined) == len(stopped) == 1
        assert cluster.clock("serverD").getDelayedCalls() == []


class TestGap:
    def test_unheard(self, cluster: MemoryCluster) -> None:
        """A message that some server was not subscribed for is counted, as often as servers missed it."""
        cluster.partition("serverB", "serverC", noticed=False)
        cluster["serverA"].clients.broadcast("say", "x")
        assert cluster["serverA"].counters["bus_unheard"] == 2

    def test_degraded(self, cluster: MemoryCluster) -> None:
        """A node without its bus says so, and says when it is well again."""
        node = cluster["serverB"]
        changes: list[Any] = []
        node.bus.onHealthChange(changes.append)
        cluster.partition("serverB")
        assert node._health()[1]["status"] == "degraded"
        cluster.advance(3.0)
        cluster.heal()
        assert node._health()[1]["status"] == "ok"
        assert [(change.role, change.healthy, change.gap) for change in changes] == [
            ("publisher", False, None),
            ("subscriber", False, None),
            ("publisher", True, 3.0),
            ("subscriber", True, 3.0),
        ]

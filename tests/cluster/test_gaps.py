"""
What a node has missed, it knows: by whom, on which channel, and how much.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from tests.bus.test_redis import Site
from twisted_crossws import BusConfig, Config, Gap, Node, RoomsConfig
from twisted_crossws.cluster.gaps import FORGET_INTERVAL, GRACE
from twisted_crossws.cluster.tails import TOGETHER
from twisted_crossws.testing import MemoryCluster

#: Seconds in which what is missing at the end of a channel is known: until the channel is quiet, that was told, and the
#: time of grace is over.
TAIL = 2 * 1.5 + GRACE

SAY = {
    "broadcast": ("ws:broadcast", lambda node: node.clients.broadcast("tick", 1)),
    "send": ("ws:private_socket", lambda node: node.clients.send("kim", "tick", 1)),
    "sendMany": ("ws:private_socket", lambda node: node.clients.sendMany(["kim", "sam"], "tick", 1)),
    "toRoom": ("ws:chat", lambda node: node.clients.toRoom("chat", "1", "tick", 1)),
    "volatile": ("ws:broadcast", lambda node: node.clients.volatile.broadcast("tick", 1)),
    "emit": ("csbp:server_bridge", lambda node: node.servers.emit("tick", 1)),
    "ask": ("csbp:server_bridge", lambda node: node.servers.call("tick", 1, timeout=0.1)),
    "askOne": ("csbp:members:b", lambda node: node.servers.call("tick", 1, to="b", timeout=0.1)),
}


def gaps(node: Node) -> list[Gap]:
    """Those that are told from now on."""
    told: list[Gap] = []
    node.bus.onGap(told.append)
    return told


def found(told: list[Gap]) -> list[tuple[str, str, int | None]]:
    """All but the times."""
    return [(gap.channel, gap.sender, gap.count) for gap in told]


@pytest.fixture(params=[True, False], ids=["msgpack", "json"])
def cluster(request: pytest.FixtureRequest) -> MemoryCluster:
    config = Config(bus=BusConfig(compression=request.param), rooms=RoomsConfig(preset=("chat",)))
    return MemoryCluster(["a", "b", "c"], config=config)


@pytest.mark.parametrize("how", SAY)
class TestEveryChannel:
    def test_between(self, cluster: MemoryCluster, how: str) -> None:
        """Of whatever a node publishes, others notice what does not come between two that do, and count it."""
        channel, say = SAY[how]
        told = gaps(cluster["b"])
        for lost in (0, 3, 0):
            for _ in range(lost or 1):
                cluster.lose(bool(lost))
                say(cluster["a"])
                cluster.advance()
        cluster.advance(GRACE)
        assert found(told) == [(channel, "a", 3)]
        assert cluster["b"].counters["bus_missed"] == 3
        assert 0.0 < told[0].seconds <= GRACE + 2.0

    def test_atTheEnd(self, cluster: MemoryCluster, how: str) -> None:
        """They notice it also where nothing comes afterwards."""
        channel, say = SAY[how]
        told = gaps(cluster["b"])
        say(cluster["a"])
        cluster.lose(1)
        say(cluster["a"])
        cluster.advance(TAIL)
        assert found(told) == [(channel, "a", 1)]


class TestPeace:
    def test_nothingMissed(self, cluster: MemoryCluster) -> None:
        """Nothing is missing where everything comes, however long it lasts, whoever comes and goes."""
        told = [gaps(cluster[name]) for name in "abc"]
        for number in range(30):
            for _, say in SAY.values():
                say(cluster["ab"[number % 2]])
            cluster.advance(1.7)
        told.append(gaps(cluster.start("d")))
        cluster["c"].stopService()
        for number in range(10):
            for _, say in SAY.values():
                say(cluster["abd"[number % 3]])
            cluster.advance(1.7)
        cluster.kill("b")
        cluster.start("b")
        cluster.advance(2 * FORGET_INTERVAL)
        assert told == [[], [], [], []]

    def test_stoppedAndStarted(self, cluster: MemoryCluster) -> None:
        """A node that was stopped has not missed what was published meanwhile, and leaves no timer behind."""
        node, told = cluster["b"], gaps(cluster["b"])
        cluster["a"].clients.broadcast("tick")
        cluster.lose(1)
        cluster["a"].clients.broadcast("tick")
        cluster["a"].clients.broadcast("tick")
        cluster.advance()
        node.stopService()
        cluster.advance(1.0)
        assert [call for call in cluster.clock("b").getDelayedCalls() if call.active()] == []
        cluster["a"].clients.broadcast("tick")
        cluster.advance(1.0)
        node.startService()
        cluster.advance(5.0)
        cluster["a"].clients.broadcast("tick")
        cluster.advance(5.0)
        assert told == []

    def test_whatCannotBeEncoded(self, cluster: MemoryCluster) -> None:
        """What has no form for the bus takes no number."""
        told = gaps(cluster["b"])
        cluster["a"].servers.emit("tick", 1)
        with pytest.raises(TypeError):
            cluster["a"].servers.emit("tick", object())
        cluster["a"].servers.emit("tick", 1)
        cluster.advance(10.0)
        assert told == []


class TestRooms:
    def test_lateJoiner(self, cluster: MemoryCluster) -> None:
        """Who joins late has not missed what came before; nor has who left and comes back."""
        sender, node = cluster["a"], cluster["b"]
        cluster.peer("b", socketId="kim")
        told = gaps(node)
        for _ in range(3):
            for _ in range(5):
                sender.clients.toRoom("late", "1", "tick")
            cluster.advance(5.0)
            node.rooms.join("late", "1", "kim")
            cluster.advance()
            sender.clients.toRoom("late", "1", "tick")
            cluster.advance(5.0)
            node.rooms.leave("late", "1", "kim")
            cluster.advance(5.0)
        assert told == []

    def test_joined(self, cluster: MemoryCluster) -> None:
        """Of what comes from then on nothing is missed in silence."""
        sender, node = cluster["a"], cluster["b"]
        cluster.peer("b", socketId="kim")
        told = gaps(node)
        node.rooms.join("late", "1", "kim")
        cluster.advance()
        sender.clients.toRoom("late", "1", "tick")
        cluster.lose(2)
        for _ in range(3):
            sender.clients.toRoom("late", "1", "tick")
        cluster.advance(GRACE)
        assert found(told) == [("ws:late", "a", 2)]


class TestFaults:
    @pytest.mark.parametrize("noticed", [True, False])
    def test_cutOff(self, cluster: MemoryCluster, noticed: bool) -> None:
        """
        A node that had lost the bus learns of every other one what it has missed, and these learn it of it; and one gap
        is told for whatever has no numbers.
        """
        for name in "abc":
            cluster[name].clients.broadcast("tick")
        cluster.advance()
        told = {name: gaps(cluster[name]) for name in "abc"}
        cluster.partition("b", noticed=noticed)
        cluster.advance(1.0)
        for number, name in enumerate("abc"):
            for _ in range(10 + number):
                cluster[name].clients.broadcast("tick")
        cluster.advance(30.0)
        cluster.heal()
        cluster.advance(TOGETHER + GRACE)
        broadcasts = {name: [gap for gap in told[name] if gap.channel == "ws:broadcast"] for name in "abc"}
        assert found(sorted(broadcasts["b"], key=lambda gap: gap.sender)) == [
            ("ws:broadcast", "a", 10),
            ("ws:broadcast", "c", 12),
        ]
        for name in "ac":
            assert found(broadcasts[name]) == [("ws:broadcast", "b", 11)]
        assert all(gap.seconds >= 30.0 for each in broadcasts.values() for gap in each)
        unnumbered = [gap for gap in told["b"] if not gap.sender]
        assert found(unnumbered) == [("", "", None)] and unnumbered[0].seconds >= 30.0

    def test_manyComeBack(self, cluster: MemoryCluster) -> None:
        """Where all have missed something, each tells all others at once what they need to know."""
        cluster.partition("a", "b", "c")
        cluster.advance(20.0)
        published = {name: cluster[name].counters["bus_packets_published"] for name in "abc"}
        cluster.heal()
        cluster.advance(1.0)
        # One hello, an answer to each of the others, and one more.
        assert all(cluster[name].counters["bus_packets_published"] - published[name] <= 5 for name in "abc")

    def test_newcomer(self, cluster: MemoryCluster) -> None:
        """Of a node that comes nothing is missed in silence either, be it the first that it publishes."""
        cluster.advance(10.0)
        told = gaps(cluster["b"])
        newcomer = cluster.start("d")
        cluster.advance(2.0)
        assert newcomer.state == "running"
        cluster.lose(2)
        newcomer.clients.broadcast("tick")
        newcomer.clients.broadcast("tick")
        cluster.advance(TAIL)
        assert found(told) == [("ws:broadcast", "d", 2)]

    def test_stoppedMeanwhile(self, cluster: MemoryCluster) -> None:
        """A node that stops when it was about to tell its last numbers once more leaves no timer behind."""
        cluster.partition("b")
        cluster.advance(1.0)
        cluster.heal()
        cluster["b"].stopService()
        cluster.advance(0.1)
        assert [call for call in cluster.clock("b").getDelayedCalls() if call.active()] == []

    def test_goodbye(self, cluster: MemoryCluster) -> None:
        """A node that stops tells what it has published last."""
        told = gaps(cluster["b"])
        cluster["a"].clients.broadcast("tick")
        cluster.lose(1)
        cluster["a"].clients.broadcast("tick")
        cluster["a"].stopService()
        cluster.advance(GRACE)
        assert found(told) == [("ws:broadcast", "a", 1)]

    def test_log(self, cluster: MemoryCluster) -> None:
        """The log has one line for what is missed at once."""
        lines: list[str] = []

        def see(event: Any) -> None:
            if event["log_namespace"].endswith("gaps"):
                lines.append(formatEvent(event) or "")

        globalLogPublisher.addObserver(see)
        for lost in (0, 1, 0):
            cluster.lose(3 * lost)
            for _, say in (SAY["broadcast"], SAY["toRoom"], SAY["toRoom"]):
                say(cluster["a"])
        cluster.advance(GRACE)
        globalLogPublisher.removeObserver(see)
        assert [line.partition(" within ")[0] for line in lines] == [
            "b: missed 3 packets of other servers",
            "c: missed 3 packets of other servers",
        ]
        assert lines[0].endswith("(servers: 1, channels: 2); 2 of 'a' on 'ws:chat'")

    def test_raisingListener(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """A listener that fails is logged, and the others are told."""

        def fails(gap: Gap) -> None:
            raise RuntimeError("on purpose")

        cluster["b"].bus.onGap(fails)
        told = gaps(cluster["b"])
        for lost in (0, 1, 0):
            cluster.lose(lost)
            cluster["a"].clients.broadcast("tick")
        cluster.advance(GRACE)
        assert len(told) == 1
        assert logged.pop().check(RuntimeError)


class TestPeers:
    @pytest.mark.parametrize(
        "about",
        [{"number": 5}, {"incarnation": "x"}, {"number": "7", "incarnation": []}, {"number": 2.0, "incarnation": "x"}],
    )
    def test_otherValues(self, cluster: MemoryCluster, about: dict[str, Any]) -> None:
        """What a peer means by other values of these keys is its own affair: its packets are ordinary ones."""
        told, node = gaps(cluster["b"]), cluster["b"]
        encode = msgspec.msgpack.encode if node.config.bus.compression else msgspec.json.encode
        peer = cluster.peer("b")
        frame = '{"event":"e","payload":1}'
        packets: list[tuple[str, dict[str, Any]]] = [
            ("ws:broadcast", {"data": frame, "senderServer": "n"}),
            ("csbp:server_bridge", {"data": {"event": "e", "senderServer": "n"}}),
        ]
        for _ in range(2):
            for channel, packet in packets:
                node._inbox.packetReceived(channel, encode({**packet, **about}))
        cluster.advance(10.0)
        assert len(peer.takeTexts()) == 2
        assert told == [] and node.counters["bus_packets_malformed"] == 0

    def test_signsOfLifeWithoutNumbers(self, cluster: MemoryCluster) -> None:
        """A server of ours that is older, and numbers nothing, is a member all the same."""
        told, node = gaps(cluster["b"]), cluster["b"]
        about = {"kind": "here", "senderServer": "old", "incarnation": "x", "since": 0.0}
        encode = msgspec.msgpack.encode if node.config.bus.compression else msgspec.json.encode
        node._inbox.packetReceived("csbp:members", encode(about))
        assert node.servers.alive("old") and told == []

    def test_customChannels(self, cluster: MemoryCluster) -> None:
        """What an application publishes on channels of its own comes as it is."""
        came: list[Any] = []
        cluster["b"].channels.onMessage(lambda channel, mapping: came.append(mapping))
        cluster["b"].channels.subscribe("news")
        cluster.advance()
        cluster["a"].channels.publish("news", {"x": 1})
        cluster.advance()
        assert came == [{"x": 1}]


class TestRedis:
    def test_droppedBySender(self, clock: Clock) -> None:
        """What a node drops itself, as its Redis is away, is missed where the others' connections are sound."""
        site = Site(clock, maxWaitingSeconds=1.0)
        nodes = [Node(name, site.bus(), clock=clock) for name in ("a", "b")]
        for node in nodes:
            node.startService()
        site.advance(5.0)
        told = gaps(nodes[1])
        nodes[0].clients.broadcast("tick")
        site.flush()
        publisher = nodes[0]._link._pairs[0].publisher
        mine = [client for client in site.only.publishers if client.protocol is publisher._line.connection]
        site.only.isDown = True
        site.only.drop(*mine)
        for _ in range(5):
            nodes[0].clients.broadcast("tick")
        site.advance(3.0)
        assert nodes[0].counters["bus_dropped_old"] >= 5
        assert told == []
        site.only.isDown = False
        site.advance(3.0 + TOGETHER + GRACE)
        assert ("ws:broadcast", "a", 5) in found(told)
        assert nodes[1].counters["bus_gaps"] == 0
        assert nodes[1].counters["bus_missed"] == nodes[0].counters["bus_dropped_old"]
        for node in nodes:
            node.stopService()
        site.advance(2.0)
        assert clock.getDelayedCalls() == []

    @pytest.mark.parametrize("strategy", ["random", "round-robin"])
    def test_overtaking(self, clock: Clock, strategy: str) -> None:
        """Over several Redis servers packets overtake each other, and nothing is missed."""
        site = Site(clock, "ab", strategy=strategy)
        nodes = [Node(name, site.bus(), clock=clock) for name in ("a", "b")]
        for node in nodes:
            node.startService()
        site.advance(5.0)
        told = [gaps(node) for node in nodes]
        site.redis["a"].latency = 0.3
        for number in range(100):
            nodes[number % 2].clients.broadcast("tick", number)
            site.advance(0.1)
        site.advance(10.0)
        assert told == [[], []]
        assert nodes[0]._gaps.numbers.due() is None

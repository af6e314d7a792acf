"""
Joining and subscribing while the bus is away: never a hang, and never a lie.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from twisted_crossws import BusConfig, Config, HealthChange, Joined, Node, RoomsConfig, Socket
from twisted_crossws.cluster.subscriptions import Subscriptions
from twisted_crossws.testing import FakePeer, MemoryCluster
from twisted_crossws.wire.frames import Event, Reply

from .test_subscriptions import SlowLink

case = SynchronousTestCase()


def lines(events: list[Any]) -> list[str]:
    return [
        eventAsText(event, includeTimestamp=False, includeSystem=False)
        for event in events
        if event["log_level"] >= LogLevel.info
    ]


class TestAsking:
    @pytest.fixture
    def link(self) -> SlowLink:
        return SlowLink()

    @pytest.fixture
    def subscriptions(self, link: SlowLink, clock: Clock) -> Subscriptions:
        return Subscriptions(link, clock, 1.0, isConnected=lambda: link.isConnected)

    def test_inTime(self, link: SlowLink, subscriptions: Subscriptions, clock: Clock) -> None:
        """Who asks is told that it is heard when that is so, and no timer is left."""
        asked = subscriptions.ask("a")
        clock.advance(0.9)
        case.assertNoResult(asked)
        link.answer()
        assert case.successResultOf(asked) == Joined(True)
        assert case.successResultOf(subscriptions.ask("a")) == Joined(True)
        assert clock.getDelayedCalls() == []

    def test_tooLate(self, link: SlowLink, subscriptions: Subscriptions, clock: Clock) -> None:
        """After the time-out all are told that it is not; who asks later is told at once; all is made up for."""
        first = subscriptions.ask("a")
        clock.advance(0.5)
        second = subscriptions.ask("a")
        with capturedLogs() as events:
            clock.advance(0.5)
            assert [case.successResultOf(each) for each in (first, second)] == [Joined(False)] * 2
            assert case.successResultOf(subscriptions.ask("a")) == Joined(False)
            assert case.successResultOf(subscriptions.ask("a")) == Joined(False)
            link.answer()
        assert case.successResultOf(subscriptions.ask("a")) == Joined(True)
        assert (link.heard, link.asked, clock.getDelayedCalls()) == ({"a"}, [], [])
        assert lines(events) == [
            "the channel 'a' is not subscribed after 1 seconds: what other servers send on it is missed until the bus "
            "is back",
            "all channels are subscribed for which the bus was late",
        ]

    def test_many(self, link: SlowLink, subscriptions: Subscriptions, clock: Clock) -> None:
        """Of many channels the log says it once, and once when all are there."""
        for channel in "abc":
            subscriptions.ask(channel)
        with capturedLogs() as events:
            clock.advance(1.0)
            link.answer()
            link.answer()
            assert len(lines(events)) == 1
            link.answer()
        assert len(lines(events)) == 2

    def test_patient(self, link: SlowLink, subscriptions: Subscriptions, clock: Clock) -> None:
        """The node itself, which cannot do without, waits on."""
        wanted, asked = subscriptions.want("a"), subscriptions.ask("a")
        clock.advance(60.0)
        assert case.successResultOf(asked) == Joined(False)
        case.assertNoResult(wanted)
        link.answer()
        assert case.successResultOf(wanted) is None

    def test_leaving(self, link: SlowLink, subscriptions: Subscriptions, clock: Clock) -> None:
        """Who leaves a channel that could not be subscribed yet is not kept waiting either."""
        asked = subscriptions.ask("a")
        left = subscriptions.drop("a")
        clock.advance(1.0)
        assert case.successResultOf(asked) == Joined(False)
        assert case.successResultOf(left) is None
        link.answer()
        link.answer()
        assert link.heard == set()

    def test_leftMeanwhile(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """Who has asked for what was left meanwhile is not told that it is heard."""
        asked = subscriptions.ask("a")
        subscriptions.drop("a")
        link.answer()
        link.answer()
        assert case.successResultOf(asked) == Joined(False)

    def test_away(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """A channel that is subscribed is not heard while the bus is away."""
        subscriptions.ask("a")
        link.answer()
        link.isConnected = False
        assert case.successResultOf(subscriptions.ask("a")) == Joined(False)
        link.isConnected = True
        assert case.successResultOf(subscriptions.ask("a")) == Joined(True)

    def test_hurry(self, link: SlowLink, subscriptions: Subscriptions, clock: Clock) -> None:
        """When the node is about to stop, nobody waits: neither who does already, nor who asks then."""
        asked = subscriptions.ask("a")
        with capturedLogs() as events:
            subscriptions.hurry()
        assert case.successResultOf(asked) == Joined(False)
        assert case.successResultOf(subscriptions.ask("b")) == Joined(False)
        assert (lines(events), clock.getDelayedCalls()) == ([], [])
        link.answer()
        assert case.successResultOf(subscriptions.ask("a")) == Joined(True)

    def test_startedAgain(self, link: SlowLink, subscriptions: Subscriptions, clock: Clock) -> None:
        """A node that goes on has time again."""
        subscriptions.hurry()
        subscriptions.restart()
        asked = subscriptions.ask("a")
        case.assertNoResult(asked)
        link.answer()
        assert case.successResultOf(asked) == Joined(True)

    def test_impatient(self, link: SlowLink, clock: Clock) -> None:
        """With a time-out of 0 nobody waits ever."""
        subscriptions = Subscriptions(link, clock, 0.0, isConnected=lambda: link.isConnected)
        assert case.successResultOf(subscriptions.ask("a")) == Joined(False)
        link.answer()
        assert case.successResultOf(subscriptions.ask("a")) == Joined(True)

    def test_cannotChange(self) -> None:
        """What is told is the same for all who hear it."""
        with pytest.raises(AttributeError):
            Joined(True).heard = False  # type: ignore[misc]


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(["serverA", "serverB"])


class TestRooms:
    @pytest.mark.parametrize("noticed", [True, False])
    def test_away(self, cluster: MemoryCluster, noticed: bool) -> None:
        """
        Who joins while the bus is away is a member here at once, is told within a second what is missing, and hears
        everything when the bus is back, which is told, too.
        """
        node, told = cluster["serverA"], list[Any]()
        peer = cluster.peer("serverA", socketId="sam")
        cluster.partition("serverA", noticed=noticed)
        joining = node.rooms.join("chat", "1", "sam")
        assert node.rooms.isMember("sam", "chat", "1")
        assert node.clients.toRoom("chat", "1", "said", 1) == 1
        cluster.advance(1.0)
        assert case.successResultOf(joining) == Joined(False)
        case.successResultOf(node.rooms.join("chat", "2", "sam"))

        def changed(change: HealthChange) -> None:
            told.append((change.role, change.healthy))
            told.append(case.successResultOf(node.rooms.join("chat", "3", "sam")))

        node.bus.onHealthChange(changed)
        cluster.heal()
        assert told[-2:] == [("subscriber", True), Joined(True)]
        cluster["serverB"].clients.toRoom("chat", "1", "said", 2)
        cluster.advance()
        assert peer.takeFrames() == [Event("said", 1), Event("said", 2)]

    def test_answer(self, cluster: MemoryCluster) -> None:
        """A client whose listener waits for it has its answer."""
        node = cluster["serverA"]

        @node.clients.on("enter")
        async def enter(socket: Socket, room: str) -> bool:
            return (await node.rooms.join("chat", room, str(socket.socketId))).heard

        peer = cluster.peer("serverA", socketId="sam")
        cluster.partition("serverA")
        peer.sendEvent("enter", "1", callbackId="1")
        cluster.advance(1.0)
        assert peer.takeFrames() == [Reply("1", False)]

    def test_preset(self) -> None:
        """The same of a preset namespace: before the node hears it, nobody is told that it does."""
        cluster = MemoryCluster(["serverA", "serverB"], config=Config(rooms=RoomsConfig(preset=("chat",))))
        cluster.peer("serverA", socketId="sam")
        cluster.partition("serverA")
        assert case.successResultOf(cluster["serverA"].rooms.join("chat", "1", "sam")) == Joined(False)
        cluster.heal()
        assert case.successResultOf(cluster["serverA"].rooms.join("chat", "1", "sam")) == Joined(True)

    def test_option(self) -> None:
        """C{subscribe_timeout} says how long."""
        cluster = MemoryCluster(["serverA"], config=Config(bus=BusConfig(subscribe_timeout=3.0)))
        cluster.peer("serverA", socketId="sam")
        cluster.partition("serverA")
        joining = cluster["serverA"].rooms.join("chat", "1", "sam")
        cluster.advance(2.9)
        case.assertNoResult(joining)
        cluster.advance(0.1)
        assert case.successResultOf(joining) == Joined(False)

    def test_joinAll(self, cluster: MemoryCluster) -> None:
        """Servers that have joined their clients and do not hear the room are named."""
        cluster.peer("serverA", socketId="sam")
        cluster.partition("serverA")
        joining = cluster["serverA"].clients.joinAll([("chat", "1")])
        cluster.advance(1.0)
        moved = case.successResultOf(joining)
        assert (moved, moved.missing, moved.unheard) == (1, {"serverB"}, {"serverA"})
        cluster.heal()
        joining = cluster["serverB"].clients.joinAll([("chat", "1")])
        cluster.advance()
        moved = case.successResultOf(joining)
        assert (moved, moved.missing, moved.unheard) == (1, frozenset(), frozenset())


class TestChannels:
    def test_away(self, cluster: MemoryCluster) -> None:
        """A channel that is subscribed while the bus is away keeps nobody waiting, and is heard afterwards."""
        node, heard = cluster["serverA"], list[Any]()
        node.channels.onMessage(lambda channel, mapping: heard.append(mapping["n"]))
        cluster.partition("serverA")
        subscribing = node.channels.subscribe("news")
        cluster.advance(1.0)
        assert case.successResultOf(subscribing) == Joined(False)
        cluster.heal()
        cluster["serverB"].channels.publish("news", {"n": 1})
        cluster.advance()
        assert heard == [1]
        assert case.successResultOf(node.channels.subscribe("news")) == Joined(True)

    def test_leftAgain(self, cluster: MemoryCluster) -> None:
        """Nor does one that is left again."""
        node, heard = cluster["serverA"], list[Any]()
        node.channels.onMessage(lambda channel, mapping: heard.append(mapping["n"]))
        cluster.partition("serverA")
        node.channels.subscribe("news")
        leaving = node.channels.unsubscribe("news")
        cluster.advance(1.0)
        assert case.successResultOf(leaving) is None
        cluster.heal()
        cluster["serverB"].channels.publish("news", {"n": 1})
        cluster.advance()
        assert heard == []


class TestStopping:
    def busy(self, cluster: MemoryCluster) -> tuple[Node, FakePeer]:
        """A node without its bus, and a client that waits until it is in a room."""
        node = cluster["serverA"]
        node.clients.on("enter", lambda socket, room: node.rooms.join("chat", room, socket.socketId).addCallback(repr))
        peer = cluster.peer("serverA", socketId="sam")
        cluster.partition("serverA")
        peer.sendEvent("enter", "1", callbackId="1")
        assert peer.takeFrames() == []
        return node, peer

    def test_drain(self, cluster: MemoryCluster) -> None:
        """A node that is drained waits for no subscription: its client has its answer, and goes."""
        node, peer = self.busy(cluster)
        drained = node.drain()
        cluster.advance()
        assert peer.takeFrames() == [Reply("1", "Joined(heard=False)")]
        assert peer.closeCode == 1012
        cluster.advance(0.1)
        assert case.successResultOf(drained) is None

    def test_stop(self, cluster: MemoryCluster) -> None:
        """Nor does one that is stopped, and no timer is left."""
        node, peer = self.busy(cluster)
        stopped = node.stopService()
        cluster.advance()
        assert peer.takeFrames() == [Reply("1", "Joined(heard=False)")]
        assert peer.closeCode == 1001
        cluster.advance(1.0)
        assert case.successResultOf(stopped) is None
        assert cluster.clock("serverA").getDelayedCalls() == []

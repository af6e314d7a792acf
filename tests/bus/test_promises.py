"""
What every bus promises. A bus of another kind runs the same suite: its subclass says how to connect.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_crossws import IBus, IBusLink, IBusReceiver, memoryBus
from twisted_crossws.interfaces import HealthChange
from twisted_crossws.state.counters import Counters


@implementer(IBusReceiver)
class Receiver:
    """Remembers what came."""

    def __init__(self, serverName: str) -> None:
        self.serverName = serverName
        self.came: list[tuple[str, bytes]] = []
        self.changes: list[HealthChange] = []
        self.refused: list[tuple[str, Exception]] = []
        self.gone: list[str] = []

    def packetReceived(self, channel: str, packet: bytes) -> None:
        self.came.append((channel, packet))

    def healthChanged(self, change: HealthChange) -> None:
        self.changes.append(change)

    def subscriptionFailed(self, channel: str, reason: Exception) -> None:
        self.refused.append((channel, reason))

    def serverGone(self, serverName: str) -> None:
        self.gone.append(serverName)


class Told:
    """Remembers what became of packets."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.faults: list[Exception] = []

    def callback(self, count: int) -> None:
        self.counts.append(count)

    def errback(self, fault: Exception) -> None:
        self.faults.append(fault)


class BusPromises:
    """The suite. C{flush} lets everything arrive that is on its way."""

    bus: Any
    clock: Clock
    counters: Counters

    def flush(self) -> None:
        raise NotImplementedError

    def link(self, name: str, *channels: str) -> tuple[Any, Receiver]:
        """A started link, subscribed to some channels."""
        receiver = Receiver(name)
        link = self.bus.attach(receiver, self.clock, self.counters)
        link.start()
        for channel in channels:
            self.confirmed(link.subscribe(channel))
        return link, receiver

    def confirmed(self, deferred: Deferred[Any]) -> Any:
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.flush()
        assert len(results) == 1
        return results[0]

    def test_interfaces(self) -> None:
        """Bus and links are what they say they are."""
        link, receiver = self.link("a")
        assert verifyObject(IBus, self.bus)
        assert verifyObject(IBusLink, link)
        assert verifyObject(IBusReceiver, receiver)

    def test_order(self) -> None:
        """Packets of one sender on one channel come in the order in which they were published."""
        sender, _ = self.link("a")
        _, receiver = self.link("b", "x")
        for number in range(100):
            sender.publish("x", b"%d" % number)
        self.flush()
        assert receiver.came == [("x", b"%d" % number) for number in range(100)]

    def test_neverInside(self) -> None:
        """Nothing is delivered inside C{publish}."""
        sender, own = self.link("a", "x")
        _, other = self.link("b", "x")
        sender.publish("x", b"1")
        assert own.came == other.came == []
        self.flush()
        assert own.came == other.came == [("x", b"1")]

    def test_onlySubscribers(self) -> None:
        """Who is not subscribed hears nothing."""
        sender, _ = self.link("a")
        _, x = self.link("b", "x")
        _, y = self.link("c", "y")
        sender.publish("x", b"1")
        self.flush()
        assert (x.came, y.came) == ([("x", b"1")], [])

    def test_nothingAfterUnsubscribe(self) -> None:
        """Nothing comes for a channel after C{unsubscribe} was called, not even what was on its way."""
        sender, _ = self.link("a")
        link, receiver = self.link("b", "x")
        sender.publish("x", b"1")
        link.unsubscribe("x")
        self.flush()
        sender.publish("x", b"2")
        self.flush()
        assert receiver.came == []

    def test_subscribedAgain(self) -> None:
        """A channel that was left can be subscribed again."""
        sender, _ = self.link("a")
        link, receiver = self.link("b", "x")
        self.confirmed(link.unsubscribe("x"))
        self.confirmed(link.subscribe("x"))
        sender.publish("x", b"1")
        self.flush()
        assert receiver.came == [("x", b"1")]

    def test_counted(self) -> None:
        """C{publishCounted} says how many subscribers got it, the sender included."""
        sender, _ = self.link("a", "x")
        self.link("b", "x")
        self.link("c")
        assert self.confirmed(sender.publishCounted("x", b"1")) == 2
        assert self.confirmed(sender.publishCounted("nobody", b"1")) == 0

    def test_told(self) -> None:
        """C{publishTold} tells the same to an object that is no Deferred."""
        sender, _ = self.link("a", "x")
        self.link("b", "x")
        told = Told()
        sender.publishTold("x", b"1", told)
        sender.publishTold("nobody", b"1", told)
        self.flush()
        assert told.counts == [2, 0]

    def test_anyBytes(self) -> None:
        """A packet comes as the bytes that it was."""
        sender, _ = self.link("a")
        _, receiver = self.link("b", "x")
        for packet in (b"", b"007", b"\xff\x00\r\n", b"x" * 100_000):
            sender.publish("x", packet)
        self.flush()
        assert [packet for _, packet in receiver.came] == [b"", b"007", b"\xff\x00\r\n", b"x" * 100_000]

    def test_stopped(self) -> None:
        """A stopped link hears nothing, not even what was on its way."""
        sender, _ = self.link("a")
        link, receiver = self.link("b", "x")
        sender.publish("x", b"1")
        self.confirmed(link.stop())
        sender.publish("x", b"2")
        self.flush()
        assert receiver.came == []

    def test_raisingReceiver(self, logged: list[Any]) -> None:
        """A receiver that raises, which it must not, loses that packet and no other."""
        sender, _ = self.link("a")
        _, receiver = self.link("b", "x")
        received = receiver.packetReceived

        def raises(channel: str, packet: bytes) -> None:
            received(channel, packet)
            if packet == b"1":
                raise RuntimeError("on purpose")

        receiver.packetReceived = raises  # type: ignore[method-assign]
        sender.publish("x", b"1")
        sender.publish("x", b"2")
        self.flush()
        assert [packet for _, packet in receiver.came] == [b"1", b"2"]
        assert logged.pop().check(RuntimeError)


class TestMemoryBus(BusPromises):
    @pytest.fixture(autouse=True)
    def connect(self, clock: Clock) -> None:
        self.clock = clock
        self.counters = Counters()
        self.bus = memoryBus()

    def flush(self) -> None:
        while self.clock.getDelayedCalls():
            self.clock.advance(0)

    def test_aloneness(self) -> None:
        """A link knows whether anybody else is there, and who."""
        first, _ = self.link("a")
        assert first.isAlone and first.serverNames() == {"a"}
        second, _ = self.link("b")
        assert not first.isAlone and first.serverNames() == {"a", "b"}
        second.stop()
        assert first.isAlone

    def test_sameName(self) -> None:
        """Two nodes of one name are refused."""
        self.link("a")
        with pytest.raises(ValueError, match="'a'"):
            self.link("a")

    def test_answersDoNotStarve(self) -> None:
        """What a receiver publishes comes in a later turn, after everything else that was due."""
        link, receiver = self.link("a", "x")
        received = receiver.packetReceived

        def answer(channel: str, packet: bytes) -> None:
            received(channel, packet)
            if packet == b"question":
                link.publish("x", b"answer")

        receiver.packetReceived = answer  # type: ignore[method-assign]
        link.publish("x", b"question")
        self.clock.callLater(0, receiver.came.append, ("something else", b""))
        self.flush()
        assert receiver.came == [("x", b"question"), ("something else", b""), ("x", b"answer")]

    def test_stoppedTwice(self) -> None:
        """Stopping again, or before starting, does nothing; a stopped link leaves nothing on the clock."""
        link, _ = self.link("a", "x")
        link.publish("x", b"1")
        link.stop()
        link.stop()
        assert self.clock.getDelayedCalls() == []

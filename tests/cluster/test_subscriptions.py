"""
Which channels a node hears: kept in step with the bus, however slow that is and however fast minds change.
"""

from __future__ import annotations

import gc
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import eventAsText, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from twisted_crossws import BusUnavailable, Node, memoryBus
from twisted_crossws.bus.memory import MemoryLink
from twisted_crossws.cluster.subscriptions import Subscriptions
from twisted_crossws.testing import FakePeer

case = SynchronousTestCase()


class SlowLink:
    """
    A link whose bus answers when the test says.

    @ivar asked: what the bus was asked and has not answered: C{+} or C{-}, and the channel.
    @ivar heard: what is subscribed, as far as the bus knows.
    @ivar isConnected: whether it is there.
    """

    def __init__(self) -> None:
        self.isConnected = True
        self.asked: list[str] = []
        self.heard: set[str] = set()
        self._answers: list[Deferred[None]] = []

    def subscribe(self, channel: str) -> Deferred[None]:
        return self._ask("+" + channel)

    def unsubscribe(self, channel: str) -> Deferred[None]:
        return self._ask("-" + channel)

    def answer(self, at: int = 0) -> None:
        """The bus has done it."""
        change = self.asked.pop(at)
        (self.heard.add if change[0] == "+" else self.heard.discard)(change[1:])
        self._answers.pop(at).callback(None)

    def refuse(self, fault: Exception) -> None:
        """The bus has not."""
        del self.asked[0]
        self._answers.pop(0).errback(fault)

    def _ask(self, change: str) -> Deferred[None]:
        self.asked.append(change)
        self._answers.append(Deferred())
        return self._answers[-1]


@pytest.fixture
def link() -> SlowLink:
    return SlowLink()


@pytest.fixture
def subscriptions(link: SlowLink, clock: Clock) -> Subscriptions:
    return Subscriptions(link, clock, 1.0, isConnected=lambda: link.isConnected)


class TestWanting:
    def test_first(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """The first one who wants a channel subscribes, and is told when that is confirmed, not before."""
        wanted = subscriptions.want("a")
        assert link.asked == ["+a"]
        case.assertNoResult(wanted)
        link.answer()
        case.successResultOf(wanted)

    def test_meanwhile(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """Who wants it meanwhile waits for the same confirmation."""
        wanted = [subscriptions.want("a") for _ in range(3)]
        assert link.asked == ["+a"]
        for each in wanted:
            case.assertNoResult(each)
        link.answer()
        for each in wanted:
            case.successResultOf(each)

    def test_already(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """Who wants it later has it at once."""
        subscriptions.want("a")
        link.answer()
        case.successResultOf(subscriptions.want("a"))
        assert link.asked == []

    def test_apart(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """Channels do not wait for each other."""
        first, second = subscriptions.want("a"), subscriptions.want("b")
        assert link.asked == ["+a", "+b"]
        link.answer(1)
        case.successResultOf(second)
        case.assertNoResult(first)
        link.answer()
        case.successResultOf(first)


class TestDropping:
    def test_dropped(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """A channel that is dropped is unsubscribed, and who dropped it is told when the bus has been."""
        subscriptions.want("a")
        link.answer()
        dropped = subscriptions.drop("a")
        assert link.asked == ["-a"]
        case.assertNoResult(dropped)
        link.answer()
        case.successResultOf(dropped)

    def test_neverWanted(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """One that was never wanted needs nothing."""
        case.successResultOf(subscriptions.drop("a"))
        assert link.asked == []


class TestFlapping:
    """Minds that change before the bus has answered."""

    def test_oneAtATime(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """The bus is asked one thing of a channel at a time, and what has become void is never asked."""
        subscriptions.want("a")
        for _ in range(5):
            subscriptions.drop("a")
            subscriptions.want("a")
        assert link.asked == ["+a"]
        link.answer()
        assert (link.asked, link.heard) == ([], {"a"})

    def test_droppedMeanwhile(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """A channel that is dropped before it is subscribed is unsubscribed afterwards; then all are told."""
        wanted, dropped = subscriptions.want("a"), subscriptions.drop("a")
        link.answer()
        assert link.asked == ["-a"]
        case.assertNoResult(dropped)
        link.answer()
        case.successResultOf(wanted)
        case.successResultOf(dropped)
        assert link.heard == set()

    def test_wantedAgainMeanwhile(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """One that is wanted again while it is being left is subscribed afresh: until then messages may be missed."""
        subscriptions.want("a")
        link.answer()
        dropped, wanted = subscriptions.drop("a"), subscriptions.want("a")
        link.answer()
        assert link.asked == ["+a"]
        case.assertNoResult(wanted)
        link.answer()
        case.successResultOf(wanted)
        case.successResultOf(dropped)
        assert link.heard == {"a"}

    def test_inACallback(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """Who is told may change its mind there and then."""
        wanted = subscriptions.want("a").addCallback(lambda _: subscriptions.drop("a"))
        link.answer()
        assert link.asked == ["-a"]
        case.assertNoResult(wanted)
        link.answer()
        case.successResultOf(wanted)

    def test_cancelled(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """Who does not wait any longer does not disturb the others, nor the subscription."""
        impatient, patient = subscriptions.want("a"), subscriptions.want("a")
        impatient.cancel()
        case.failureResultOf(impatient, CancelledError)
        link.answer()
        case.successResultOf(patient)
        assert link.heard == {"a"}

    @given(st.lists(st.sampled_from(["want", "ask", "drop", "dropLater", "answer", "time", "hurry"])))
    def test_inTheEnd(self, steps: list[str]) -> None:
        """
        Whatever the order of wishes and answers: in the end it is as was wished last, all have been told, an
        application before its time is up, and no timer is left.
        """
        link, clock = SlowLink(), Clock()
        subscriptions = Subscriptions(link, clock, 1.0, isConnected=lambda: link.isConnected)
        told: list[tuple[Deferred[Any], float]] = []
        for step in steps:
            if step == "dropLater":
                subscriptions.dropLater("a", 0.7)
            elif step == "hurry":
                subscriptions.hurry()
            elif step == "time":
                clock.advance(0.6)
            elif step != "answer":
                limit = inf if step == "want" else clock.seconds() + 1.0
                told.append((getattr(subscriptions, step)("a"), limit))
            elif link.asked:
                link.answer()
            assert len(link.asked) <= 1
            assert all(each.called for each, limit in told if limit < clock.seconds())
        subscriptions.stop()
        while link.asked:
            link.answer()
        wishes = [step for step in steps if step in ("want", "ask", "drop", "dropLater")]
        assert ("a" in link.heard) == (wishes[-1:] in (["want"], ["ask"]))
        for each, _ in told:
            case.successResultOf(each)
        assert clock.getDelayedCalls() == []


class TestRefused:
    """A bus that does not do what it is asked."""

    def test_subscribe(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """All who wait for a subscription that cannot be had hear why, and the log does, in a sentence."""
        lines: list[str] = []
        wanted = [subscriptions.want("a") for _ in range(2)]

        def see(event: Any) -> None:
            lines.append(eventAsText(event, includeTimestamp=False, includeSystem=False))

        globalLogPublisher.addObserver(see)
        try:
            link.refuse(BusUnavailable("The bus was stopped."))
        finally:
            globalLogPublisher.removeObserver(see)
        for each in wanted:
            case.failureResultOf(each, BusUnavailable)
        assert lines == ["the channel 'a' could not be subscribed: The bus was stopped."]

    def test_asked(self, link: SlowLink, subscriptions: Subscriptions, logged: list[Any]) -> None:
        """An application that asks hears it if it listens; if not, that is no failure that nobody has handled."""
        heard: list[Any] = []
        subscriptions.ask("a").addErrback(lambda failure: heard.append(failure.type))
        subscriptions.ask("a")
        link.refuse(BusUnavailable("not now"))
        gc.collect()
        assert heard == [BusUnavailable]
        assert logged == []

    def test_askedInVain(self, link: SlowLink, subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that is refused at once hears it, too; and what it does wrong itself is not hidden."""
        monkeypatch.setattr(link, "subscribe", lambda channel: fail(BusUnavailable("not now")))
        case.failureResultOf(subscriptions.ask("a"), BusUnavailable)
        monkeypatch.undo()
        asked = subscriptions.ask("b").addErrback(lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
        link.refuse(BusUnavailable("not now"))
        case.failureResultOf(asked, ZeroDivisionError)

    def test_again(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """Who wants it again tries again."""
        subscriptions.want("a").addErrback(lambda _: None)
        link.refuse(BusUnavailable("not now"))
        wanted = subscriptions.want("a")
        assert link.asked == ["+a"]
        link.answer()
        case.successResultOf(wanted)

    def test_droppedMeanwhile(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """Who has dropped the channel meanwhile has got what it asked for."""
        wanted, dropped = subscriptions.want("a"), subscriptions.drop("a")
        link.refuse(BusUnavailable("not now"))
        case.failureResultOf(wanted, BusUnavailable)
        case.successResultOf(dropped)
        assert link.asked == []

    def test_unsubscribe(self, link: SlowLink, subscriptions: Subscriptions) -> None:
        """If a channel cannot be left, all who wait hear it, who want it again too; the next one tries again."""
        subscriptions.want("a")
        link.answer()
        dropped, wanted = subscriptions.drop("a"), subscriptions.want("a")
        link.refuse(BusUnavailable("not now"))
        case.failureResultOf(dropped, BusUnavailable)
        case.failureResultOf(wanted, BusUnavailable)
        again = subscriptions.want("a")
        assert link.asked == ["+a"]
        link.answer()
        case.successResultOf(again)

    def test_raised(self, link: SlowLink, subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch) -> None:
        """A link that raises has failed, and stands in nobody's way afterwards."""
        with monkeypatch.context() as patch:
            patch.setattr(link, "subscribe", lambda channel: channel.encode())
            case.failureResultOf(subscriptions.want("\ud800"), UnicodeEncodeError)
        wanted = subscriptions.want("\ud800")
        link.answer()
        case.successResultOf(wanted)


class TestRooms:
    """The same through a node's rooms and channels, on a bus that another node is on."""

    @pytest.fixture
    def nodes(self, clock: Clock) -> tuple[Node, Node]:
        bus = memoryBus()
        nodes = Node("serverA", bus, clock=clock), Node("serverB", bus, clock=clock)
        for node in nodes:
            node.startService()
        # They greet each other.
        clock.pump([0] * 3)
        return nodes

    def test_comingAndGoing(self, nodes: tuple[Node, Node], clock: Clock) -> None:
        """A namespace is subscribed while it has members, whoever they are, and no longer."""
        node, other = nodes

        def isHeard() -> bool:
            before = node.counters["bus_packets_received"]
            other.clients.toRoom("chat", "1", "news")
            clock.advance(0)
            return node.counters["bus_packets_received"] > before

        assert not isHeard()
        for socketId in ("u1", "u2", "u3"):
            FakePeer(node, clock, socketId=socketId)
        for socketId in ("u1", "u2"):
            case.successResultOf(node.rooms.join("chat", "1", socketId))
        node.rooms.leave("chat", "1", "u1")
        assert isHeard()
        node.rooms.leave("chat", "1", "u2")
        clock.advance(1.0)
        assert not isHeard()
        case.successResultOf(node.rooms.join("chat", "2", "u3"))
        assert isHeard()
        node.rooms.leaveAll("u3")
        clock.advance(1.0)
        assert not isHeard()

    def test_leavingWhereOneIsNot(self, nodes: tuple[Node, Node], clock: Clock) -> None:
        """To leave a room that one is not in is no error, and those who are in it notice nothing."""
        node, other = nodes
        FakePeer(node, clock, socketId="u1")
        node.rooms.join("chat", "1", "u1")
        for room in (("chat", "1", "u2"), ("chat", "2", "u1"), ("news", "1", "u1")):
            node.rooms.leave(*room)
        node.rooms.remove("chat", "2")
        before = node.counters["bus_packets_received"]
        other.clients.toRoom("chat", "1", "news")
        clock.advance(0)
        assert node.counters["bus_packets_received"] == before + 1

    def test_leavingFails(self, nodes: tuple[Node, Node], clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """A room that the bus does not let go is left all the same; nobody who did not ask hears of it."""
        node, _ = nodes
        FakePeer(node, clock, socketId="u1")
        node.rooms.join("chat", "1", "u1")
        refused: Deferred[None] = Deferred()
        monkeypatch.setattr(MemoryLink, "unsubscribe", lambda self, channel: refused)
        node.rooms.leave("chat", "1", "u1")
        assert node.rooms.members("chat") == frozenset()
        clock.advance(1.0)
        refused.errback(BusUnavailable("not now"))

    def test_channels(self, nodes: tuple[Node, Node], clock: Clock) -> None:
        """A channel of the application is heard from when its subscription is told until it is left."""
        node, other = nodes
        heard: list[Any] = []
        node.channels.onMessage(lambda channel, mapping: heard.append(mapping["n"]))
        other.channels.publish("news", {"n": 1})
        case.successResultOf(node.channels.subscribe("news"))
        other.channels.publish("news", {"n": 2})
        clock.advance(0)
        case.successResultOf(node.channels.unsubscribe("news"))
        other.channels.publish("news", {"n": 3})
        clock.advance(0)
        assert heard == [2]

"""Replies that are still waited for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_crossws.errors import CallTimeout, NotConnected, RemoteError
from twisted_crossws.state.acks import PendingAcks

case = SynchronousTestCase()


class TestPendingAcks:
    def setup_method(self) -> None:
        self.clock = Clock()
        self.acks = PendingAcks(self.clock)

    def assertNothingLeft(self) -> None:
        """Neither an entry nor a timer."""
        assert len(self.acks) == 0
        assert self.clock.getDelayedCalls() == []

    def test_reply(self) -> None:
        """Who waits gets the reply, and nothing of the wait is left."""
        waiting = self.acks.wait("7", 5.0)
        assert len(self.acks) == 1
        case.assertNoResult(waiting)
        assert self.acks.resolve("7", {"heard": True}) is True
        assert case.successResultOf(waiting) == {"heard": True}
        self.assertNothingLeft()

    def test_nullReply(self) -> None:
        """A reply of null is a reply."""
        waiting = self.acks.wait("7", 5.0)
        assert self.acks.resolve("7", None) is True
        assert case.successResultOf(waiting) is None

    def test_strangeReply(self) -> None:
        """A reply that nobody waits for is told apart, and harms nobody's wait."""
        waiting = self.acks.wait("7", 5.0)
        assert self.acks.resolve("8", 1) is False
        assert self.acks.fail("8", RemoteError("x")) is False
        case.assertNoResult(waiting)
        self.acks.resolve("7", None)

    def test_secondReply(self) -> None:
        """Only the first reply counts."""
        waiting = self.acks.wait("7", 5.0)
        self.acks.resolve("7", 1)
        assert self.acks.resolve("7", 2) is False
        assert self.acks.fail("7", RemoteError("x")) is False
        assert case.successResultOf(waiting) == 1

    def test_error(self) -> None:
        """An error reply fails the wait with it."""
        waiting = self.acks.wait("7", 5.0)
        assert self.acks.fail("7", RemoteError("full", "No seat.")) is True
        assert case.failureResultOf(waiting, RemoteError).value.code == "full"
        self.assertNothingLeft()

    def test_timeout(self) -> None:
        """Without a reply the wait fails at its time, not before, and a late reply finds nobody."""
        waiting = self.acks.wait("7", 5.0, "the event 'say'")
        self.clock.advance(4.9)
        case.assertNoResult(waiting)
        self.clock.advance(0.2)
        fault = case.failureResultOf(waiting, CallTimeout).value
        assert str(fault) == "No reply to the event 'say' came within 5 seconds."
        assert self.acks.resolve("7", 1) is False
        self.assertNothingLeft()

    def test_timeoutsOfTheirOwn(self) -> None:
        """Each wait has its own deadline."""
        long, short = self.acks.wait("long", 2.0), self.acks.wait("short", 0.5)
        self.clock.advance(1.0)
        case.failureResultOf(short, CallTimeout)
        case.assertNoResult(long)
        self.acks.resolve("long", 1)
        assert case.successResultOf(long) == 1

    def test_cancel(self) -> None:
        """Who cancels is not waiting any more."""
        waiting = self.acks.wait("7", 5.0)
        waiting.cancel()
        case.failureResultOf(waiting, CancelledError)
        assert self.acks.resolve("7", 1) is False
        self.assertNothingLeft()

    def test_sameId(self) -> None:
        """An id that is waited for cannot be waited for again, and the first wait is not harmed."""
        waiting = self.acks.wait("7", 5.0)
        with pytest.raises(ValueError, match="'7'"):
            self.acks.wait("7", 1.0)
        self.clock.advance(2.0)
        assert self.acks.resolve("7", 1) is True
        assert case.successResultOf(waiting) == 1
        self.assertNothingLeft()

    def test_idAgain(self) -> None:
        """An id whose wait has ended can be used again, and the old wait's timer does not end the new one."""
        self.acks.wait("7", 5.0)
        self.acks.resolve("7", 1)
        again = self.acks.wait("7", 10.0)
        self.clock.advance(6.0)
        case.assertNoResult(again)
        self.acks.resolve("7", 2)
        assert case.successResultOf(again) == 2

    def test_failAll(self) -> None:
        """When no reply can come any more, all waits fail."""
        waits = [self.acks.wait(str(number), 5.0) for number in range(3)]
        self.acks.failAll(NotConnected("The connection ended."))
        for waiting in waits:
            case.failureResultOf(waiting, NotConnected)
        self.assertNothingLeft()

    def test_failAllOfNone(self) -> None:
        """Without waits nothing happens."""
        self.acks.failAll(NotConnected())
        self.assertNothingLeft()

    def test_waitWhileFailing(self) -> None:
        """A wait that begins while the others are told that they failed is not one of them."""
        again: list[Deferred[Any]] = []
        self.acks.wait("1", 5.0).addErrback(lambda failure: again.append(self.acks.wait("3", 5.0)))
        second = self.acks.wait("2", 5.0)
        self.acks.failAll(NotConnected())
        case.failureResultOf(second, NotConnected)
        case.assertNoResult(again[0])
        assert len(self.acks) == 1
        self.acks.resolve("3", 1)

    def test_endedWhileFailing(self) -> None:
        """A wait that ends otherwise while the others are told ends only once."""
        self.acks.wait("1", 5.0).addErrback(lambda failure: self.acks.resolve("2", "in time"))
        second = self.acks.wait("2", 5.0)
        self.acks.failAll(NotConnected())
        assert case.successResultOf(second) == "in time"
        self.assertNothingLeft()


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(["wait", "resolve", "fail", "cancel", "time", "failAll"]), st.sampled_from("abc")),
        max_size=20,
    )
)
def test_everyWaitEndsOnce(steps: list[tuple[str, str]]) -> None:
    """Whatever happens, each wait ends once at most, and there is one timer for each that has not."""
    clock = Clock()
    acks = PendingAcks(clock)
    open: dict[str, Deferred[Any]] = {}
    ended: list[object] = []
    begun = 0
    for kind, callbackId in steps:
        if kind == "wait" and callbackId not in open:
            begun += 1
            open[callbackId] = acks.wait(callbackId, 3.0)
            open[callbackId].addBoth(lambda result, key=callbackId: (ended.append(result), open.pop(key)))
        elif kind == "resolve":
            awaited = callbackId in open
            assert acks.resolve(callbackId, 1) is awaited
        elif kind == "fail":
            awaited = callbackId in open
            assert acks.fail(callbackId, RemoteError("x")) is awaited
        elif kind == "cancel" and callbackId in open:
            open[callbackId].cancel()
        elif kind == "time":
            clock.advance(1.0)
        elif kind == "failAll":
            acks.failAll(NotConnected())
            assert open == {}
        assert len(acks) == len(open) == len(clock.getDelayedCalls()) == begun - len(ended)

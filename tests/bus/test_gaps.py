"""
How long a gap is that a subscriber reports: never shorter than what it has missed.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from tests.bus.fakehub import Machine
from tests.bus.fakeredis import NOPERM
from tests.bus.test_promises import Receiver
from tests.bus.test_redis import Site

STALE = b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n"


def gap(receiver: Receiver) -> float:
    """The only one that was told."""
    (seconds,) = [change.gap for change in receiver.changes if change.gap is not None]
    return seconds


def probed(clock: Clock) -> tuple[Site, Receiver]:
    """A node that has just had its probe back, after five seconds, with pings each five."""
    site = Site(clock)
    _, receiver = site.link("node", "x")
    site.advance(5.0)
    return site, receiver


class TestRedis:
    def test_frozenNode(self, clock: Clock) -> None:
        """
        A node that stood still, and reads what had lain in its socket before it sees that it was cut off, has missed
        everything since its last probe.
        """
        site, receiver = probed(clock)
        (subscriber,) = site.only.subscribers
        clock.rightNow += 3.9
        subscriber._arrive(STALE)
        site.only.drop(subscriber)
        site.advance(0.5)
        assert len(receiver.came) == 1
        assert 3.9 <= gap(receiver) <= 4.5

    def test_fromWhenTheProbeWasSent(self, clock: Clock) -> None:
        """What counts is when the probe that came back was sent, and not when it came."""
        site, receiver = probed(clock)
        site.only.latency = 1.0
        site.advance(6.5)
        site.only.latency = 0.0
        site.only.drop(*site.only.subscribers)
        site.advance(0.5)
        # Sent at 10, back at 11, cut at 11.5.
        assert 1.5 <= gap(receiver) <= 2.1

    def test_probeOfTheFormerConnection(self, clock: Clock) -> None:
        """A probe that was sent before the connection was made anew proves nothing of what came between."""
        site, receiver = probed(clock)
        site.only.latency = 1.0
        site.advance(5.2)
        site.only.latency = 0.0
        site.only.drop(*site.only.subscribers)
        site.advance(2.0)
        assert gap(receiver) >= 5.2

    def test_frozenWhileRestoring(self, clock: Clock) -> None:
        """Who is subscribed again, and finds that late, has heard everything only since it asked for that."""
        site, receiver = probed(clock)
        site.only.latency = 0.01
        site.only.drop(*site.only.subscribers)
        while not site.only.subscribers:
            clock.advance(0.001)
        receiver.changes.clear()
        # The confirmations are in the socket.
        clock.rightNow += 3.0
        site.advance(0.1)
        receiver.changes.clear()
        site.only.drop(*site.only.subscribers)
        site.only.latency = 0.0
        site.advance(0.5)
        assert gap(receiver) >= 3.0

    @pytest.mark.parametrize("forcePing", [True, False])
    def test_noProbesAllowed(self, clock: Clock, forcePing: bool) -> None:
        """Where the Redis does not let a node publish its probes, the answers to pings have to do."""
        site = Site(clock, forcePing=forcePing)
        site.only.errors["PUBLISH"] = NOPERM
        _, receiver = site.link("node", "x")
        site.advance(120.5)
        site.only.drop(*site.only.subscribers)
        site.advance(0.5)
        assert 0.5 <= gap(receiver) <= 5.5 + 0.5


class TestHub:
    def test_frozenNode(self) -> None:
        """As on Redis: what was still in the socket is no sign of life."""
        machine = Machine()
        hub, process = machine.start("hub"), machine.start("a", "x")
        machine.advance(5.0)
        machine.freeze(process)
        hub.link.publish("x", b"1")
        machine.advance(3.9)
        wire = machine.place.wireOf(process.seat)
        stale = wire.transports[1].value()
        wire.transports[1].clear()
        process.seat.isFrozen = False
        process.clock.advance(3.9)
        wire.protocols[0].dataReceived(stale)
        machine.kill(hub)
        machine.advance(0.5)
        assert process.came("x") == [1]
        assert 3.9 <= gap(process.receiver) <= 4.9 + 0.5

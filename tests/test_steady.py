"""
Time that never jumps, on reactors of Twisted's own.
"""

from __future__ import annotations

import subprocess
import sys
from time import monotonic, time

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock

from twisted_crossws import Connector, Node
from twisted_crossws.steady import steady

#: Run by a Python of its own: a wall clock that can be moved, and a node on a real reactor.
MOVED = """
import os, threading, time
wall, moved = time.time, [0.0]
time.time = lambda: wall() + moved[0]

from twisted.internet import {reactor}
{reactor}.install()
from twisted.internet import reactor
from twisted_crossws import Node

node = Node("serverA")
fired = []
reactor.callLater(0.0, lambda: moved.__setitem__(0, {by}))
reactor.callLater(0.3, reactor.stop)
reactor.callLater(30.0, fired.append, "too early")
# Nothing but a thread can end it, if no timer fires for a minute.
watchdog = threading.Timer(20.0, os._exit, (9,))
watchdog.start()
reactor.run()
watchdog.cancel()
print(fired)
"""


class WallReactor(ReactorBase):
    """A reactor without sockets."""

    def installWaker(self) -> None:
        """It is woken by nobody."""


@pytest.mark.parametrize("by", [-60.0, 3600.0], ids=["back", "forward"])
@pytest.mark.parametrize("reactor", ["epollreactor", "selectreactor", "asyncioreactor"])
def test_wallClockMoved(reactor: str, by: float) -> None:
    """When the wall clock is set back or forward, timers of a node's reactor fire when they should."""
    program = MOVED.format(reactor=reactor, by=by)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[]\n", "")


class TestSteady:
    def test_monotonic(self) -> None:
        """Its seconds go on from the wall clock's, at the monotonic clock's pace."""
        reactor = WallReactor()
        assert steady(reactor) is reactor
        assert abs(reactor.seconds() - time()) < 1.0
        first, second = reactor.seconds() - monotonic(), reactor.seconds() - monotonic()
        assert abs(first - second) < 0.1

    def test_onceOnly(self) -> None:
        """Nothing more happens to one that is steady already."""
        reactor = steady(WallReactor())
        seconds = reactor.seconds
        steady(reactor)
        assert reactor.seconds is seconds

    def test_runningTimers(self) -> None:
        """A timer that runs already can be reset, and is still due when it was."""
        reactor = WallReactor()
        call = reactor.callLater(10.0, lambda: None)
        due = call.getTime()
        steady(reactor)
        assert call.getTime() == due
        call.reset(20.0)
        assert abs(call.getTime() - reactor.seconds() - 20.0) < 1.0
        assert call.seconds is reactor.seconds

    def test_clockOfATest(self) -> None:
        """A clock that does not count by the wall clock is left alone."""
        clock = Clock()
        assert steady(clock).seconds() == 0.0
        clock.advance(1.0)
        assert clock.seconds() == 1.0


def test_nodeAndConnector() -> None:
    """What a node or a connector is given as its clock is made steady."""
    for make in (lambda clock: Node("serverA", clock=clock), lambda clock: Connector("ws://localhost/", clock=clock)):
        reactor = WallReactor()
        make(reactor)
        before = reactor.seconds
        assert steady(reactor).seconds is before


def test_clockOfANode() -> None:
    """C{node.clock} is what the node was given, so that an application's own timers can be driven by a test."""
    clock = Clock()
    assert Node("serverA", clock=clock).clock is clock

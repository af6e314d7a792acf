"""The end of a command: drained, stopped, and over in time."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from twisted_crossws import BusUnavailable, Config, Node, NodeConfig
from twisted_crossws.services.command import GRACE, CommandService
from twisted_crossws.services.stopping import drainAndStop
from twisted_crossws.testing import FakePeer


class Command(MultiService):
    """
    A node and its applications.

    @ivar ended: what its end came to, once it has come.
    """

    def __init__(self, clock: Clock, *children: Service, **options: Any) -> None:
        super().__init__()
        self.clock = clock
        self.node = Node("serverA", clock=clock, config=Config(node=NodeConfig(**options)))
        for child in children:
            child.setServiceParent(self.node)
        self.node.setServiceParent(self)
        self.startService()
        self.peer = FakePeer(self.node, clock)
        self.ended: list[Any] = []

    def end(self) -> None:
        drainAndStop(self.node, self.stopService, self.clock).addBoth(self.ended.append)


class Stuck(Service):
    """It never lets go."""

    def stopService(self) -> Deferred[None]:
        return Deferred()


def test_drainedFirst(clock: Clock) -> None:
    """Clients are drained (1012); then the node stops; then it is over, and no timer is left."""
    command = Command(clock)
    command.node.lifecycle.on("serverClose", lambda: states.append(command.peer.isConnected))
    states: list[bool] = []
    command.end()
    assert command.peer.closeCode == 1012 and states == [] and command.node.state == "draining"
    clock.advance(0)
    assert command.ended == [None] and states == [False] and command.node.state == "stopped"
    assert clock.getDelayedCalls() == []


def test_withoutDraining(clock: Clock) -> None:
    """With C{drain_seconds} of 0 clients are closed with 1001 at once, as if there were no draining."""
    command = Command(clock, drain_seconds=0.0)
    told: list[Any] = []
    command.node.lifecycle.on("draining", lambda: told.append("draining"))
    command.end()
    assert command.peer.closeCode == 1001 and command.node.state == "stopping"
    clock.advance(0)
    assert command.ended == [None] and told == []


def test_busyClient(clock: Clock) -> None:
    """A listener that never answers holds it up no longer than the deadline says."""
    command = Command(clock, stop_deadline=6.0)
    command.node.clients.on("never", lambda socket, payload: Deferred())
    command.peer.sendEvent("never", None, "1")
    command.peer.answersClose = False
    command.end()
    clock.pump([0.1] * 39)
    assert command.node.state == "draining" and command.peer.closeCode is None
    clock.pump([0.1] * 9)
    assert command.node.state == "stopping" and command.peer.closeCode == 1012
    clock.pump([0.1] * 4)
    assert command.ended == [None] and not command.peer.isConnected
    assert clock.getDelayedCalls() == []


def test_stuckService(clock: Clock) -> None:
    """Nor does a service that never lets go."""
    command = Command(clock, Stuck(), stop_deadline=6.0)
    command.end()
    clock.pump([0.1] * 59)
    assert command.ended == [] and command.node.state == "stopping"
    clock.pump([0.11])
    assert command.ended == [None]


def test_failure(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong at the end is told."""
    command = Command(clock)
    monkeypatch.setattr(command, "stopService", lambda: fail(BusUnavailable("It hangs.")))
    command.end()
    clock.advance(0)
    assert [failure.type for failure in command.ended] == [BusUnavailable]


def test_lateFailure(clock: Clock, monkeypatch: pytest.MonkeyPatch, logged: list[Any]) -> None:
    """After the deadline it is logged."""
    stopping: Deferred[None] = Deferred()
    command = Command(clock, stop_deadline=6.0)
    monkeypatch.setattr(command, "stopService", lambda: stopping)
    command.end()
    clock.advance(6.0)
    assert command.ended == [None]
    stopping.errback(BusUnavailable("It hangs."))
    assert [failure.type for failure in logged] == [BusUnavailable]
    logged.clear()


def test_stoppedAlready(clock: Clock) -> None:
    """A node that has stopped by itself, as one whose name is taken, holds nothing up."""
    command = Command(clock)
    command.node.stopService()
    clock.advance(0)
    command.end()
    assert command.ended == [None]


class TestSecondSignal:
    """What a signal does to a process that stops already."""

    @pytest.fixture(autouse=True)
    def signals(self) -> Iterator[None]:
        """What stops this process stays as it was."""
        before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
        yield
        for number, handler in before:
            signal.signal(number, handler)

    def stopping(self, *, isChild: bool) -> Iterator[tuple[Any, Any]]:
        """SIGTERM and SIGINT: what they do when the process has been told to stop, and when that was a while ago."""
        reactor: Any = MemoryReactorClock()
        command = CommandService(Node("serverA", clock=reactor), None, reactor, isChild=isChild)
        command.startService()
        ((told, _, _),) = reactor.triggers["before"]["shutdown"]
        told()
        yield signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        reactor.advance(GRACE)
        yield signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        command.stopService()

    def test_alone(self) -> None:
        """A second signal ends it at once."""
        assert list(self.stopping(isChild=False)) == [(signal.SIG_DFL, signal.SIG_DFL)] * 2

    def test_underMaster(self) -> None:
        """
        A process that a master has started is told by whoever tells the master, and by the master, in whatever order;
        only a Ctrl-C some time later can be meant as a second one.
        """
        first, later = self.stopping(isChild=True)
        assert first == (signal.SIG_IGN, signal.SIG_IGN)
        assert later == (signal.SIG_IGN, signal.SIG_DFL)

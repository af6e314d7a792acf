"""
A machine in memory: the place of a hub, and processes that come to it, die and freeze on command.
"""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.task import Clock

from tests.bus.test_promises import Receiver
from twisted_crossws import hubBus
from twisted_crossws.bus.hubseat import SeatFault, Unanswered, Vacant
from twisted_crossws.state.counters import Counters
from twisted_crossws.testing import FakeTransport

#: What became of a packet, one way or another.
OUTCOMES = ("confirmed", "rejected", "unconfirmed", "dropped_full", "dropped_old", "dropped_stopped")


class Place:
    """
    What a path is to the processes of a machine.

    @ivar lock: the file that is locked; a new object for each that ever was.
    @ivar owner: whose it is.
    @ivar factory: what listens there.
    @ivar listener: the process that does.
    @ivar fault: why nobody can use it.
    @ivar isOverrun: nobody accepts.
    @ivar seats: of all processes.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock: object = None
        self.owner: FakeSeat | None = None
        self.factory: IProtocolFactory | None = None
        self.listener: FakeSeat | None = None
        self.fault = ""
        self.isOverrun = False
        self.seats: list[FakeSeat] = []
        self._wires: list[Wire] = []

    def seat(self) -> FakeSeat:
        """For one more process."""
        self.seats.append(FakeSeat(self))
        return self.seats[-1]

    def check(self) -> None:
        if self.fault:
            raise SeatFault(self.fault)

    def join(self, client: FakeSeat, protocol: Any) -> None:
        """Connect a process to the one that listens."""
        assert self.listener is not None and self.factory is not None
        self._wires.append(Wire(self.clock, (client, self.listener), protocol, self.factory))

    @property
    def wires(self) -> list[Wire]:
        """The connections that there are."""
        return [wire for wire in self._wires if not wire.isEnded]

    def wireOf(self, seat: FakeSeat) -> Wire:
        """The connection of a process to the hub."""
        (wire,) = [wire for wire in self.wires if wire.sides[0] is seat]
        return wire


class FakeSeat:
    """
    One process's part of a L{Place}.

    @ivar isFrozen: nothing of it moves, as after SIGSTOP, or SIGKILL.
    """

    shown = "hub:place"

    def __init__(self, place: Place) -> None:
        self.isFrozen = False
        self._place = place
        self._lock: object = None

    def take(self) -> bool:
        place = self._place
        place.check()
        if place.owner is None:
            place.owner = self
            self._lock = place.lock = object()
        return place.owner is self

    def holder(self) -> object:
        return self._place.lock

    def depose(self, holder: object) -> bool:
        self._place.check()
        if self._place.lock is not holder:
            return False
        self._place.owner = self._place.factory = None
        return self.take()

    def isMine(self) -> bool:
        return self._lock is not None and self._lock is self._place.lock

    def restore(self) -> bool:
        if self._lock is None or self._place.lock is not None:
            return False
        self._lock = self._place.lock = object()
        return True

    def listen(self, factory: IProtocolFactory) -> None:
        self._place.check()
        assert self.isMine()
        self._place.factory, self._place.listener = factory, self

    def close(self) -> Deferred[Any]:
        if self.isMine():
            self._place.factory = None
        return succeed(None)

    def leave(self) -> None:
        if self._place.owner is self:
            self._place.owner = None
        self._lock = None

    def connect(self, protocol: IProtocol) -> None:
        self._place.check()
        if self._place.factory is None:
            raise Vacant
        if self._place.isOverrun:
            raise Unanswered
        self._place.join(self, protocol)

    def die(self) -> None:
        """Everything of it is gone at once."""
        self.isFrozen = True
        if self._place.owner is self:
            self._place.owner = self._place.factory = None
        for wire in self._place.wires:
            if self in wire.sides:
                wire.end(self)

    def thaw(self) -> None:
        """It goes on, with what has come meanwhile."""
        self.isFrozen = False
        for wire in self._place.wires:
            wire.move()


class Wire:
    """
    A connection between two processes.

    @ivar sides: the client's process, and the hub's.
    @ivar protocols: theirs.
    @ivar transports: theirs; what is written waits in the writer's.
    @ivar isEnded: both have closed it.
    """

    def __init__(
        self, clock: Clock, sides: tuple[FakeSeat, FakeSeat], protocol: Any, factory: IProtocolFactory
    ) -> None:
        self.sides = sides
        server: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        self.protocols = (protocol, server)
        self.transports = tuple(End(clock, each, self) for each in self.protocols)
        self._clock = clock
        self._isDue = False
        for each, transport in zip(self.protocols, self.transports, strict=True):
            each.makeConnection(transport)

    @property
    def isEnded(self) -> bool:
        return all(transport.isEnded for transport in self.transports)

    def wake(self) -> None:
        """Something was written, or one end was closed."""
        if not self._isDue:
            self._isDue = True
            self._clock.callLater(0, self.move)

    def move(self) -> None:
        """What was written arrives, and then that the other end was closed; but nothing at a frozen process."""
        self._isDue = False
        for number, transport in enumerate(self.transports):
            other = 1 - number
            if self.sides[other].isFrozen or transport.isStalled:
                continue
            data = transport.value()
            transport.clear()
            if data and not self.transports[other].isEnded:
                self.protocols[other].dataReceived(data)
            if transport.isEnded:
                self.transports[other].leave()

    def end(self, dead: FakeSeat) -> None:
        """One of the processes is dead, and is told nothing."""
        for side, transport in zip(self.sides, self.transports, strict=True):
            if side is dead:
                transport.isEnded = True
            else:
                transport.leave()


class End(FakeTransport):
    """One end of a L{Wire}."""

    def __init__(self, clock: Clock, protocol: Any, wire: Wire) -> None:
        super().__init__(clock, protocol, wire.wake)
        self._wire = wire

    def loseConnection(self) -> None:
        super().loseConnection()
        self._wire.wake()

    def abortConnection(self) -> None:
        self.clear()
        self.isStalled = False
        super().abortConnection()
        self._wire.wake()


class Process:
    """
    A process with one node.

    @ivar seat: its part of the place.
    @ivar clock: its own; it stands still while the process is frozen.
    @ivar counters: its own.
    @ivar receiver: the node.
    @ivar link: of the node.
    """

    def __init__(self, machine: Machine, name: str, options: dict[str, Any]) -> None:
        self.clock = Clock()
        self.clock.rightNow = machine.clock.seconds()
        self.counters = Counters()
        self.receiver = Receiver(name)
        bus = hubBus("/hub", seats=machine.place.seat, random=Random(len(machine.processes)), **options)
        self.link: Any = bus.attach(self.receiver, self.clock, self.counters)
        self.seat = machine.place.seats[-1]

    @property
    def isHub(self) -> bool:
        """Whether it takes itself for the hub."""
        return bool(self.link._holder.isServing)

    @property
    def states(self) -> list[tuple[str, bool, str]]:
        """What it was told about health since the last time."""
        told: list[tuple[str, bool, str]] = [
            (change.role, change.healthy, change.reason) for change in self.receiver.changes
        ]
        self.receiver.changes.clear()
        return told

    def came(self, channel: str) -> list[int]:
        """The numbers that have come on a channel."""
        return [int(packet) for name, packet in self.receiver.came if name == channel]

    def outcomes(self) -> dict[str, int]:
        """How many packets had each outcome, those left out that none had."""
        return {name: self.counters[f"bus_{name}"] for name in OUTCOMES if self.counters[f"bus_{name}"]}


class Machine:
    """
    Processes with one node each; the first one becomes the hub. Whatever happens, there are never two hubs that would
    serve.

    @ivar clock: the time.
    @ivar place: where the hub is.
    @ivar processes: all that were ever started.
    """

    def __init__(self, **options: Any) -> None:
        """
        @param options: of C{hubBus}.
        """
        self.clock = Clock()
        self.place = Place(self.clock)
        self.processes: list[Process] = []
        self._options = options

    def start(self, name: str, *channels: str, **options: Any) -> Process:
        """A process, as soon as it is connected and subscribed to some channels."""
        process = self.prepare(name, **options)
        process.link.start()
        self.flush()
        for channel in channels:
            process.link.subscribe(channel)
            self.flush()
        return process

    def prepare(self, name: str, **options: Any) -> Process:
        """A process whose node is not started."""
        self.processes.append(Process(self, name, {**self._options, **options}))
        return self.processes[-1]

    @property
    def hub(self) -> Process:
        """The one that is it."""
        (hub,) = [process for process in self.processes if process.isHub and not process.seat.isFrozen]
        return hub

    def kill(self, process: Process) -> None:
        """SIGKILL."""
        process.seat.die()

    def freeze(self, process: Process) -> None:
        """SIGSTOP."""
        process.seat.isFrozen = True

    def thaw(self, process: Process) -> None:
        """SIGCONT: its timers are done first, and then it reads."""
        process.seat.isFrozen = False
        process.clock.advance(self.clock.seconds() - process.clock.seconds())
        process.seat.thaw()
        self.flush()

    def flush(self) -> None:
        """Let everything arrive that is on its way, without time passing."""
        while self._due() <= self.clock.seconds():
            self._step(0.0)

    def advance(self, seconds: float) -> None:
        """Let time pass, in such steps that each timer finds the others done whose time came before."""
        until = self.clock.seconds() + seconds
        self.flush()
        while (due := self._due()) <= until:
            self._step(max(0.0, due - self.clock.seconds()))
        self._step(until - self.clock.seconds())

    def stop(self) -> None:
        """Stop all that live; nothing may be left of them."""
        living = [process for process in self.processes if not process.seat.isFrozen]
        stopped: list[Any] = []
        for process in living:
            process.link.stop().addBoth(stopped.append)
            self.advance(1.5)
        assert stopped == [None] * len(living)
        assert self.place.wires == []
        assert [process for process in living if process.clock.getDelayedCalls()] == []

    def _clocks(self) -> list[Clock]:
        return [self.clock, *(process.clock for process in self.processes if not process.seat.isFrozen)]

    def _due(self) -> float:
        return min((call.getTime() for clock in self._clocks() for call in clock.getDelayedCalls()), default=inf)

    def _step(self, seconds: float) -> None:
        now = self.clock.seconds() + seconds
        for clock in self._clocks():
            clock.advance(max(0.0, now - clock.seconds()))
        assert sum(process.isHub for process in self.processes if not process.seat.isFrozen) <= 1


def result(deferred: Deferred[Any]) -> list[Any]:
    """Gets what it fires with."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results

"""
Nodes of one process that behave as if each were a machine of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from twisted_crossws.bus.memory import MemoryBus, MemoryLink
from twisted_crossws.config import Config
from twisted_crossws.errors import BusUnavailable
from twisted_crossws.interfaces import HealthChange, IBusReceiver
from twisted_crossws.node import Node
from twisted_crossws.testing.peer import FakePeer


class MemoryCluster:
    """
    Nodes on one bus, started. As on a bus between machines, they know each other by what they say of themselves, claim
    their names, and hear a channel only once that is confirmed: see L{delay} and L{partition}.

    Each has a clock of its own; L{advance} turns all of them together. A node that is frozen does nothing, and finds,
    when it goes on, that time has jumped.
    """

    def __init__(self, names: Iterable[str] = (), *, config: Config | None = None, delay: float = 0.0) -> None:
        """
        @param names: of the nodes to begin with. When this returns, they are members.
        @param config: of every node.
        @param delay: as of L{delay}.
        """
        self._config = config
        self._now = 0.0
        self._bus = _FaultyBus()
        self._bus.latency = delay
        self._nodes: dict[str, Node] = {}
        self._clocks: dict[str, Clock] = {}
        self._ahead: dict[str, float] = {}
        self._frozen: set[str] = set()
        self._peers: dict[str, list[FakePeer]] = {}
        for name in names:
            self._start(name)
        # So long they wait whether somebody has their names already.
        self.advance(1.0 + 4 * delay)

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def start(self, name: str, *, clockAhead: float = 0.0) -> Node:
        """
        One more node, or another life of one that was killed or stopped. It is a member when its channels are
        confirmed, it has claimed its name for half a second, and the others have answered it.

        @param clockAhead: seconds by which its clock is ahead of the others'.
        """
        node = self._start(name, clockAhead)
        self.advance()
        return node

    def peer(self, name: str, **options: Any) -> FakePeer:
        """A client of that node. The options are those of L{FakePeer}. What it sends reaches a frozen node, too."""
        peer = FakePeer(self[name], self._clocks[name], **options)
        self._peers[name].append(peer)
        return peer

    def clock(self, name: str) -> Clock:
        """The clock of a node, to be looked at; it is turned by L{advance}."""
        return self._clocks[name]

    def advance(self, seconds: float = 0.0) -> None:
        """
        Let everything arrive that is on its way, then let time pass, in such steps that each timer finds the others
        done whose time came before.
        """
        until = self._now + seconds
        self._turn()
        while (due := min(self._dueTimes(), default=until)) <= until and due > self._now:
            self._now = due
            self._turn()
        self._now = until
        self._turn()

    def kill(self, name: str) -> None:
        """The process of a node ends as in a crash: without a word to anybody. Its clients lose their connections."""
        self._bus.cut(name)
        for peer in self._peers.pop(name):
            peer.transport.loseConnection()
        del self._nodes[name], self._clocks[name], self._ahead[name]
        self._frozen.discard(name)

    def freeze(self, name: str) -> None:
        """A node does nothing any more, until it is thawed; what is sent to it waits."""
        self._frozen.add(name)

    def thaw(self, name: str) -> None:
        """A frozen node goes on."""
        self._frozen.discard(name)
        self.advance()

    def partition(self, *names: str, noticed: bool = True) -> None:
        """
        These nodes lose the bus: they hear nobody, and nobody hears them.

        A node that is started later under one of these names is without the bus from the beginning, and knows it.

        @param noticed: whether they know.
        """
        for name in names:
            self._bus.part(name, noticed)

    def heal(self) -> None:
        """All nodes have the bus again."""
        self._bus.heal()
        self.advance()

    def delay(self, seconds: float) -> None:
        """What is published from now on takes so long, and so do subscriptions."""
        self._bus.latency = seconds

    def lose(self, packets: int) -> None:
        """So many packets, the next ones that any node publishes, reach nobody, and nobody notices."""
        self._bus.losing = packets

    def stop(self) -> list[Deferred[None]]:
        """Stop all nodes."""
        stopping = [node.stopService() for node in self._nodes.values()]
        self.advance(2.0)
        return stopping

    def _start(self, name: str, clockAhead: float = 0.0) -> Node:
        self._clocks[name] = clock = Clock()
        self._ahead[name] = clockAhead
        clock.rightNow = self._now + clockAhead
        self._peers[name] = []
        self._nodes[name] = node = Node(name, self._bus, config=self._config, clock=clock)
        node.startService()
        return node

    def _awake(self) -> list[tuple[Clock, float]]:
        """The clocks that go, each with what it is ahead."""
        return [(clock, self._ahead[name]) for name, clock in self._clocks.items() if name not in self._frozen]

    def _dueTimes(self) -> list[float]:
        return [call.getTime() - ahead for clock, ahead in self._awake() for call in clock.getDelayedCalls()]

    def _turn(self) -> None:
        """Do what is due now, answers to answers too."""
        for clock, ahead in self._awake():
            clock.advance(max(0.0, self._now + ahead - clock.seconds()))
        while any(call.getTime() <= clock.seconds() for clock, _ in self._awake() for call in clock.getDelayedCalls()):
            for clock, _ in self._awake():
                clock.advance(0)


class _FaultyBus(MemoryBus):
    """
    A bus that leaves the process, as far as its nodes can tell.

    @ivar latency: seconds that a packet takes.
    @ivar losing: how many of the next packets get lost.
    """

    leavesProcess = True

    def __init__(self) -> None:
        super().__init__()
        self.latency = 0.0
        self.losing = 0
        self._all: dict[str, _FaultyLink] = {}
        self._absent: set[str] = set()

    def attach(self, receiver: IBusReceiver, clock: IReactorTime, counters: dict[str, int]) -> MemoryLink:
        link = _FaultyLink(self, receiver, clock, counters)
        self._all[link.serverName] = link
        link.isParted = link.serverName in self._absent
        link.isHealthy = not link.isParted
        return link

    def add(self, link: MemoryLink) -> None:
        """A bus between machines knows no names."""
        self._links.append(link)

    def carry(self, channel: str, packet: bytes) -> int:
        if self.losing:
            self.losing -= 1
            return 0
        return super().carry(channel, packet)

    def cut(self, name: str) -> None:
        self.remove(self._all.pop(name))

    def part(self, name: str, noticed: bool) -> None:
        if name in self._all:
            self._all[name].part(noticed)
        else:
            self._absent.add(name)

    def heal(self) -> None:
        self._absent.clear()
        for link in self._all.values():
            link.heal()


class _FaultyLink(MemoryLink):
    """
    @ivar isParted: it hears nobody, and nobody hears it.
    """

    refusesNames = False

    @property
    def isConnected(self) -> bool:  # type: ignore[override]
        return self.isHealthy

    def __init__(self, bus: _FaultyBus, receiver: IBusReceiver, clock: IReactorTime, counters: dict[str, int]) -> None:
        super().__init__(bus, receiver, clock)
        self.isParted = False
        self._faulty = bus
        self._node: Any = receiver
        self._counters = counters
        self._partedAt = 0.0
        self._lastArrival = clock.seconds()
        self._underway: deque[tuple[str, bytes]] = deque()
        self._isRunning = False
        self._wasHealthy = False
        self._wanted: dict[str, None] = {}
        self._subscribing: dict[str, list[Deferred[None]]] = {}

    @property
    def heardUntil(self) -> float:
        return self._partedAt if self.isParted else self._clock.seconds() - self._faulty.latency

    def serverNames(self) -> None:  # type: ignore[override]
        return None

    def publish(self, channel: str, packet: bytes, expected: int = 0) -> bool:
        if not self._isRunning:
            self._counters["bus_dropped_stopped"] += 1
            return False
        if self.isParted and not self.isHealthy:
            self._counters["bus_dropped_full"] += 1
            return False
        if not self.isParted:
            count = self._faulty.carry(channel, packet)
            self._counters["bus_confirmed"] += 1
            self._counters["bus_unheard"] += max(0, expected - count)
        return True

    def publishCounted(self, channel: str, packet: bytes) -> Deferred[int]:
        if not self._isRunning:
            self._counters["bus_dropped_stopped"] += 1
            return fail(BusUnavailable("The bus is stopped, so the packet was dropped."))
        if self.isParted:
            self._counters["bus_dropped_full"] += 1
            return fail(BusUnavailable("The bus is away, so the packet was dropped."))
        self._counters["bus_confirmed"] += 1
        count = self._faulty.carry(channel, packet)
        counted: Deferred[int] = Deferred()
        self._later(counted.callback, count)
        return counted

    def start(self) -> Deferred[None]:
        self._isRunning = True
        self._wasHealthy = self.isHealthy
        for channel in self._wanted:
            self._later(self._confirm, channel)
        return super().start()

    def stop(self) -> Deferred[None]:
        self._isRunning = False
        self._subscribed.clear()
        for channel in list(self._subscribing):
            self._notSubscribed(channel, "The bus was stopped before the subscription was confirmed.")
        return super().stop()

    def subscribe(self, channel: str) -> Deferred[None]:
        self._wanted[channel] = None
        subscribed: Deferred[None] = Deferred()
        self._subscribing.setdefault(channel, []).append(subscribed)
        self._later(self._confirm, channel)
        return subscribed

    def unsubscribe(self, channel: str) -> Deferred[None]:
        self._wanted.pop(channel, None)
        self._notSubscribed(channel, "The channel was left before the subscription was confirmed.")
        return super().unsubscribe(channel)

    def _later(self, function: Callable[[Any], Any], argument: Any) -> None:
        if self._faulty.latency:
            self._clock.callLater(self._faulty.latency, function, argument)
        else:
            function(argument)

    def _confirm(self, channel: str) -> None:
        if self._isRunning and not self.isParted and channel in self._wanted:
            self._subscribed.add(channel)
            for subscribed in self._subscribing.pop(channel, ()):
                subscribed.callback(None)

    def _notSubscribed(self, channel: str, why: str) -> None:
        for subscribed in self._subscribing.pop(channel, ()):
            subscribed.errback(BusUnavailable(why))

    def isSubscribed(self, channel: str) -> bool:
        return not self.isParted and super().isSubscribed(channel)

    def deliver(self, channel: str, packet: bytes) -> None:
        now = self._clock.seconds()
        # None overtakes another, also when what comes later takes less time.
        self._lastArrival = max(self._lastArrival, now + self._faulty.latency)
        if self._lastArrival > now:
            self._underway.append((channel, packet))
            self._clock.callLater(self._lastArrival - now, self._arrive)
        else:
            super().deliver(channel, packet)

    def _arrive(self) -> None:
        super().deliver(*self._underway.popleft())

    def part(self, noticed: bool) -> None:
        self.isParted = True
        self._partedAt = self._clock.seconds()
        if noticed:
            self._change(False, None)

    def heal(self) -> None:
        if self.isParted:
            self.isParted = False
            self._counters["bus_gaps"] += self._wasHealthy
            gap = self._clock.seconds() - self._partedAt if self._wasHealthy else None
            self._wasHealthy = True
            for channel in list(self._wanted):
                self._confirm(channel)
            self._change(True, gap)

    def _change(self, healthy: bool, gap: float | None) -> None:
        self.isHealthy = healthy
        reason = "connected" if healthy else "connection lost"
        for role in ("publisher", "subscriber"):
            counts = {"publisher": int(healthy), "subscriber": int(healthy)}
            self._node.healthChanged(HealthChange("memory", role, healthy, reason, counts, gap))

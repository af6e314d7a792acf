"""
The bus within one process: the default, and the reference for all others.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from twisted_crossws.errors import BusUnavailable
from twisted_crossws.interfaces import IBus, IBusLink, IBusReceiver, Role, Told

_log = Logger()


def memoryBus() -> IBus:
    """A bus for nodes of this process. Give the same one to each of them."""
    return MemoryBus()


@implementer(IBus)
class MemoryBus:
    """Connects the links of the nodes that share it."""

    leavesProcess = False

    def __init__(self) -> None:
        self._links: list[MemoryLink] = []

    def attach(self, receiver: IBusReceiver, clock: IReactorTime, counters: dict[str, int]) -> MemoryLink:
        return MemoryLink(self, receiver, clock)

    def add(self, link: MemoryLink) -> None:
        """
        A link was started.

        @raise ValueError: another node on this bus has this name.
        """
        if link.serverName in self.names():
            raise ValueError(f"Another node on this bus is named {link.serverName!r}; names must be unique.")
        self._links.append(link)

    def remove(self, link: MemoryLink) -> None:
        """A link was stopped."""
        if link in self._links:
            self._links.remove(link)

    def names(self) -> frozenset[str]:
        """The names of the nodes that are on this bus now."""
        return frozenset(link.serverName for link in self._links)

    def others(self, link: MemoryLink) -> bool:
        """Whether a node other than this one is on this bus now."""
        return any(other is not link for other in self._links)

    def carry(self, channel: str, packet: bytes) -> int:
        """
        Hand a packet to all who are subscribed now.

        @return: how many.
        """
        reached = [link for link in self._links if link.isSubscribed(channel)]
        for link in reached:
            link.deliver(channel, packet)
        return len(reached)


@implementer(IBusLink)
class MemoryLink:
    """
    One node on the bus.

    It looks as asynchronous as any: packets arrive in a later turn of the clock, in the order in which they were
    published.
    """

    isHealthy = True
    isConnected = True
    refusesNames = True

    def __init__(self, bus: MemoryBus, receiver: IBusReceiver, clock: IReactorTime) -> None:
        self.serverName: str = receiver.serverName
        self._bus = bus
        self._receiver = receiver
        self._clock = clock
        self._subscribed: set[str] = set()
        self._arrived: deque[tuple[str, bytes]] = deque()
        self._turn: IDelayedCall | None = None

    @property
    def isAlone(self) -> bool:
        return not self._bus.others(self)

    @property
    def heardUntil(self) -> float:
        return self._clock.seconds()

    def serverNames(self) -> frozenset[str]:
        return self._bus.names() | {self.serverName}

    def start(self) -> Deferred[None]:
        self._bus.add(self)
        return succeed(None)

    def stop(self) -> Deferred[None]:
        self._bus.remove(self)
        self._arrived.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        return succeed(None)

    def subscribe(self, channel: str) -> Deferred[None]:
        self._subscribed.add(channel)
        return succeed(None)

    def unsubscribe(self, channel: str) -> Deferred[None]:
        self._subscribed.discard(channel)
        return succeed(None)

    def isSubscribed(self, channel: str) -> bool:
        return channel in self._subscribed

    def publish(self, channel: str, packet: bytes, expected: int = 0) -> bool:
        self._bus.carry(channel, packet)
        return True

    def publishCounted(self, channel: str, packet: bytes) -> Deferred[int]:
        return succeed(self._bus.carry(channel, packet))

    def publishTold(self, channel: str, packet: bytes, told: Told) -> None:
        self.publishCounted(channel, packet).addCallbacks(told.callback, lambda failure: told.errback(failure.value))

    def hasOtherSubscribers(self, channel: str, known: list[str]) -> Deferred[bool]:
        return fail(BusUnavailable("A memory bus knows the names of its servers, and does not count subscribers."))

    def addRedis(self, url: str) -> Deferred[None]:
        raise ValueError("This node is on a memory bus; a Redis can be added to a redisBus only.")

    def redisCount(self) -> int:
        return 0

    def healthyCount(self, role: Role) -> int:
        return 0

    def deliver(self, channel: str, packet: bytes) -> None:
        """A packet is on its way to this node."""
        self._arrived.append((channel, packet))
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._deliverAll)

    def _deliverAll(self) -> None:
        self._turn = None
        # What is published meanwhile comes in the next turn, so that two nodes that answer each other do not keep
        # everything else waiting.
        for _ in range(len(self._arrived)):
            if not self._arrived:
                return  # What came before has stopped this node.
            channel, packet = self._arrived.popleft()
            if channel in self._subscribed:
                self._receive(channel, packet)

    def _receive(self, channel: str, packet: bytes) -> None:
        try:
            self._receiver.packetReceived(channel, packet)
        except Exception:
            _log.failure(
                "{server}: a packet on {channel} could not be handled", server=self.serverName, channel=channel
            )

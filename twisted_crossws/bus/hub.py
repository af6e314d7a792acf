"""
The bus between the processes of one machine: over a Unix socket, through a hub that lives in one of them.

Nothing else need run, and nothing need be set up. The first process that finds no hub becomes it; when it ends or dies,
another one takes its place within a tenth of a second, and all come back to it with what they were subscribed to.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random, SystemRandom

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from twisted_crossws.bus.hubholder import MAX_QUEUED, HubHolder
from twisted_crossws.bus.hublink import HubLink
from twisted_crossws.bus.hubseat import Seat
from twisted_crossws.bus.waiting import WaitingQueue
from twisted_crossws.interfaces import IBus, IBusReceiver

#: Makes what a node has of the place of the hub.
Seats = Callable[[], Seat]


def hubBus(
    path: str,
    *,
    makesFolder: bool = False,
    maxQueuedBytes: int = MAX_QUEUED,
    pingInterval: float = 1.0,
    pingTimeout: float = 2.0,
    maxWaitingPackets: int = 1000,
    maxWaitingBytes: int = 1_048_576,
    maxWaitingSeconds: float = 2.0,
    seats: Seats | None = None,
    random: Random | None = None,
) -> IBus:
    """
    A bus for nodes of any number of processes of one machine and one user.

    @param path: of the hub's Unix socket, the same for all. Its folder should belong to this user alone. C{PATH.lock}
        is made beside it. Files, or the folder, that somebody removes meanwhile are made again.
    @param makesFolder: the folder need not be there, and is made for this user alone.
    @param maxQueuedBytes: that wait for a process that does not read, while the hub is in this process; beyond that it
        is cut off, and comes back with a gap.
    @param pingInterval: seconds between two pings.
    @param pingTimeout: seconds that the hub may be silent, before another connection is made.
    @param maxWaitingPackets: how many packets may wait while there is no hub; 0: none.
    @param maxWaitingBytes: of all of them together.
    @param maxWaitingSeconds: how long one may wait.
    @param seats: makes the place of the hub, instead of what the path says.
    @param random: for the jitter of the attempts to connect.
    @raise ValueError: the path cannot be that of a Unix socket, or a number is none that works.
    """
    # What has no Unix sockets has no flock either, and can be a client all the same.
    from twisted_crossws.bus.hubunix import UnixSeat, checkPath

    absolute = checkPath(path)
    if maxQueuedBytes < 1:
        raise ValueError(f"maxQueuedBytes must be 1 or above, and is {maxQueuedBytes}.")

    def onPath() -> Seat:
        from twisted.internet import reactor

        return UnixSeat(absolute, reactor, makesFolder=makesFolder)

    return HubBus(
        onPath if seats is None else seats,
        maxQueuedBytes=maxQueuedBytes,
        pingInterval=pingInterval,
        pingTimeout=pingTimeout,
        waiting=lambda: WaitingQueue(maxWaitingPackets, maxWaitingBytes, maxWaitingSeconds),
        random=SystemRandom() if random is None else random,
    )


@implementer(IBus)
class HubBus:
    """Made by L{hubBus}."""

    leavesProcess = True

    def __init__(
        self,
        seats: Seats,
        *,
        maxQueuedBytes: int,
        pingInterval: float,
        pingTimeout: float,
        waiting: Callable[[], WaitingQueue],
        random: Random,
    ) -> None:
        self._seats = seats
        self._maxQueuedBytes = maxQueuedBytes
        self._pingInterval = pingInterval
        self._pingTimeout = pingTimeout
        self._waiting = waiting
        self._random = random

    def attach(self, receiver: IBusReceiver, clock: IReactorTime, counters: dict[str, int]) -> HubLink:
        seat = self._seats()
        return HubLink(
            receiver,
            seat,
            HubHolder(seat, clock, counters, self._maxQueuedBytes),
            waiting=self._waiting(),
            clock=clock,
            counters=counters,
            random=self._random,
            pingInterval=self._pingInterval,
            pingTimeout=self._pingTimeout,
        )

"""
Who is the hub: one process that has the seat, until it dies, ends, or is deposed.

::

    idle      →  serving    the seat was free
    idle      →  settling   its holder did not answer, and was deposed
    settling  →  serving    after SETTLING: the deposed one knows by now that it is, if it is able to know anything
    serving   →  idle       deposed: everybody is cut off, and comes to the new hub
    any       →  idle       ended: everybody is told before, so that nothing is lost on the way to the next hub

So there are never two hubs that serve.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from twisted.logger import Logger

from twisted_crossws.bus.hubseat import Seat, SeatFault
from twisted_crossws.bus.hubserver import TRUSTED_FOR, Hub
from twisted_crossws.state.counters import Counters
from twisted_crossws.steady import steady

_log = Logger()

#: Seconds between two looks whether the seat still is this process's own.
LOOK_INTERVAL = 0.5

#: Seconds for which a hub that has deposed another one does not serve: longer than one goes on without a look.
SETTLING = TRUSTED_FOR + 0.25

#: Seconds between two attempts of a process that wants to be the hub whenever there is none.
EAGER = 0.02

#: Bytes that wait for a process that does not read. See C{[bus.hub]}.
MAX_QUEUED = 67_108_864


class HubHolder:
    """
    This process as a candidate.

    @ivar isHolding: it has the seat.
    """

    def __init__(
        self, seat: Seat, clock: IReactorTime, counters: dict[str, int], maxQueuedBytes: int = MAX_QUEUED
    ) -> None:
        """
        @param counters: those that start with C{bus_hub_} are counted up.
        """
        self.isHolding = False
        self._seat = seat
        self._clock = clock
        self._counters = counters
        self._maxQueuedBytes = maxQueuedBytes
        self._hub: Hub | None = None
        self._next: IDelayedCall | None = None
        self._closing: list[Deferred[Any]] = []
        self._ending: list[Deferred[None]] | None = None

    @property
    def isServing(self) -> bool:
        """Whether there is a hub in this process."""
        return self._hub is not None

    def compete(self) -> bool:
        """
        Be the hub if nobody is.

        @return: whether a hub serves here now.
        @raise SeatFault: nobody can be.
        """
        if not self.isHolding and self._seat.take():
            self.isHolding = True
            self._serve()
        return self.isServing

    def depose(self, holder: object) -> None:
        """
        Be the hub in the place of one that does not answer.

        @param holder: what L{Seat.holder} said of it.
        @raise SeatFault: nobody can be.
        """
        if not self.isHolding and self._seat.depose(holder):
            self.isHolding = True
            _log.warn("{hub}: the hub does not answer; this process takes its place", hub=self._seat.shown)
            self._next = self._clock.callLater(SETTLING, self._settled)

    def stop(self) -> Deferred[None]:
        """
        End the hub, if it is here.

        @return: fires when nothing is left of it.
        """
        if self._ending is not None:
            self._ending.append(Deferred())
            return self._ending[-1]
        if self._next is not None:
            self._next.cancel()
            self._next = None
        hub, self._hub = self._hub, None
        if hub is None:
            self._leave()
            return self._closed()
        self._ending = []
        self._closing.append(self._seat.close())
        return hub.leave().addCallback(lambda _: self._end(hub)).addCallback(lambda _: self._ended())

    def _settled(self) -> None:
        self._next = None
        if not self._seat.isMine():
            self._leave()
            return
        try:
            self._serve()
        except SeatFault as fault:
            _log.error("{hub}: no hub can be here: {fault}", hub=self._seat.shown, fault=fault)

    def _serve(self) -> None:
        hub = Hub(self._clock, self._counters, self._maxQueuedBytes, self._isMine)
        try:
            self._seat.listen(hub)
        except SeatFault:
            self._leave()
            raise
        self._hub = hub
        self._counters["bus_hub_taken"] += 1
        _log.info("{hub}: the hub is in this process", hub=self._seat.shown)
        self._next = self._clock.callLater(LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        self._next = self._clock.callLater(LOOK_INTERVAL, self._look)
        if self._hub is not None:
            self._hub.look()

    def _isMine(self) -> bool:
        if self._seat.isMine():
            return True
        if self._seat.restore():
            _log.warn("{hub}: somebody has removed the files of this hub, which are made again", hub=self._seat.shown)
            return True
        hub, self._hub = self._hub, None
        if hub is not None:
            if self._next is not None:
                self._next.cancel()
                self._next = None
            _log.warn("{hub}: another process has taken the place of this hub, which ends", hub=self._seat.shown)
            self._closing += [self._seat.close(), hub.abort()]
            self._leave()
        return False

    def _end(self, hub: Hub) -> Deferred[None]:
        # Whoever is cut off finds the seat free.
        self._leave()
        return hub.close()

    def _ended(self) -> Deferred[None]:
        ending, self._ending = self._ending or [], None

        def tell(_: object) -> None:
            for each in ending:
                each.callback(None)

        return self._closed().addCallback(tell)

    def _leave(self) -> None:
        self._seat.leave()
        self.isHolding = False

    def _closed(self) -> Deferred[None]:
        closing, self._closing = self._closing, []
        return gatherResults(closing).addCallback(lambda _: None)


class HubKeeper:
    """
    For a process that is no node and wants to be the hub whenever there is none, such as the one that starts the
    others: it then is the hub before any of them looks for one, and stays it while they come and go.

    @ivar counters: what its hub has counted.
    """

    def __init__(
        self,
        path: str,
        *,
        maxQueuedBytes: int = MAX_QUEUED,
        makesFolder: bool = False,
        clock: IReactorTime | Clock | None = None,
        seat: Seat | None = None,
    ) -> None:
        """
        @param path: of the hub's Unix socket.
        @param maxQueuedBytes: that wait for a process that does not read.
        @param makesFolder: the folder of the socket is made if it is missing.
        @param clock: by default the reactor.
        @param seat: by default the one that the path names.
        @raise ValueError: the path cannot be that of a Unix socket.
        """
        from twisted.internet import reactor

        from twisted_crossws.bus.hubunix import UnixSeat

        self.counters = Counters()
        self._clock = steady(IReactorTime(reactor if clock is None else clock))
        self._seat = UnixSeat(path, reactor, makesFolder=makesFolder) if seat is None else seat
        self._holder = HubHolder(self._seat, self._clock, self.counters, maxQueuedBytes)
        self._next: IDelayedCall | None = None
        self._fault = ""

    @property
    def isServing(self) -> bool:
        """Whether the hub is in this process."""
        return self._holder.isServing

    def start(self) -> None:
        """Be the hub, now or as soon as there is none."""
        self._next = self._clock.callLater(EAGER, self.start)
        try:
            self._holder.compete()
        except SeatFault as fault:
            if str(fault) != self._fault:
                self._fault = str(fault)
                _log.error("{hub}: no hub can be here: {fault}", hub=self._seat.shown, fault=fault)
        else:
            self._fault = ""

    def stop(self) -> Deferred[None]:
        """
        Another process may be the hub.

        @return: fires when nothing is left of it here.
        """
        if self._next is not None:
            self._next.cancel()
            self._next = None
        return self._holder.stop()

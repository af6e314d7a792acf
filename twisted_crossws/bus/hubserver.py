"""
The hub itself: what one process says goes to all who are subscribed, and nobody waits for anybody.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory

from twisted_crossws.bus.hubconnection import HubConnection
from twisted_crossws.wire import hubframes
from twisted_crossws.wire.hubframes import frame

#: Seconds that a hub which ends waits for those that it serves: until they have said that nothing more comes, and once
#: more until they have read what is for them.
LEAVE_TIMEOUT = 0.5

#: Seconds after which a hub makes sure that it still is the hub, before it goes on. It may have been frozen.
TRUSTED_FOR = 1.0


class Hub(Factory):
    """
    Who is connected, and what they are subscribed to.
    """

    noisy = False

    def __init__(
        self, clock: IReactorTime, counters: dict[str, int], maxQueuedBytes: int, isMine: Callable[[], bool]
    ) -> None:
        """
        @param counters: those that start with C{bus_hub_} are counted up.
        @param maxQueuedBytes: that wait for one process.
        @param isMine: whether this still is the hub; if not, it is to be ended by whoever has said so.
        """
        self.clock = clock
        self.counters = counters
        self.maxQueuedBytes = maxQueuedBytes
        self.subscribers: dict[bytes, dict[HubConnection, None]] = {}
        self._isMine = isMine
        self._sureAt = clock.seconds()
        self._all: set[HubConnection] = set()
        self._names: dict[str, int] = {}
        self._due: list[HubConnection] = []
        self._turn: IDelayedCall | None = None
        self._leaving: Deferred[None] | None = None
        self._closing: list[Deferred[None]] = []
        self._timer: IDelayedCall | None = None

    def buildProtocol(self, addr: IAddress | None) -> HubConnection:
        return HubConnection(self)

    def maySpeak(self) -> bool:
        """Whether this still is the hub."""
        now = self.clock.seconds()
        return now - self._sureAt <= TRUSTED_FOR or self.look()

    def look(self) -> bool:
        """
        Make sure.

        @return: as L{maySpeak}.
        """
        self._sureAt = self.clock.seconds()
        return self._isMine()

    def leave(self) -> Deferred[None]:
        """
        Tell all that this hub ends.

        @return: fires when all that they have published was passed on, or after L{LEAVE_TIMEOUT}.
        """
        for each in list(self._all):
            each.sayLeaving()
        if not self._all:
            return succeed(None)
        self._leaving = Deferred()
        self._timer = self.clock.callLater(LEAVE_TIMEOUT, self._allHaveLeft)
        return self._leaving

    def close(self) -> Deferred[None]:
        """
        End every connection as soon as everything was written to it, and after L{LEAVE_TIMEOUT} in any case.

        @return: fires when there is none any more.
        """
        self._flush()
        for each in list(self._all):
            each.finish()
        if self._all:
            self._timer = self.clock.callLater(LEAVE_TIMEOUT, self.abort)
        return self._whenEmpty()

    def abort(self) -> Deferred[None]:
        """
        End every connection at once.

        @return: fires when there is none any more.
        """
        self._stopTimer()
        self._allHaveLeft()
        for each in list(self._all):
            each.abort()
        return self._whenEmpty()

    def added(self, connection: HubConnection) -> None:
        self._all.add(connection)

    def greeted(self, connection: HubConnection) -> None:
        connection.send(hubframes.welcome(self._names))

    def isReady(self, connection: HubConnection) -> None:
        """Somebody hears what it wants to hear."""
        name = connection.name
        self._names[name] = self._names.get(name, 0) + 1
        self._tell(frame(hubframes.JOINED, hubframes.encoded(name)), connection)

    def removed(self, connection: HubConnection) -> None:
        self._all.discard(connection)
        name = connection.name
        if connection.isReady:
            self._names[name] -= 1
            if not self._names[name]:
                del self._names[name]
                self._tell(frame(hubframes.LEFT, hubframes.encoded(name)), connection)
        self.saidBye()
        if not self._all:
            self._isEmpty()

    def saidBye(self) -> None:
        """Somebody has nothing more to say."""
        if self._leaving is not None and all(each.isDone for each in self._all):
            self._allHaveLeft()

    def isDue(self, connection: HubConnection) -> None:
        """At the end of this turn something is to be written to it."""
        self._due.append(connection)
        if self._turn is None:
            self._turn = self.clock.callLater(0, self._flush)

    def _allHaveLeft(self) -> None:
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            self._stopTimer()
            leaving.callback(None)

    def _whenEmpty(self) -> Deferred[None]:
        if not self._all:
            return succeed(None)
        self._closing.append(Deferred())
        return self._closing[-1]

    def _isEmpty(self) -> None:
        closing, self._closing = self._closing, []
        if closing:
            self._stopTimer()
        for each in closing:
            each.callback(None)

    def _stopTimer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _tell(self, data: bytes, besides: HubConnection) -> None:
        for each in self._all:
            if each.name and each is not besides:
                each.send(data)

    def _flush(self) -> None:
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        self._turn = None
        due, self._due = self._due, []
        for each in due:
            each.flush()

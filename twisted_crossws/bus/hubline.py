"""
A node's connection to the hub, whoever that is, which comes back for ever. Who finds no hub tries to become it.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

from twisted_crossws.bus.hubclient import HubClient
from twisted_crossws.bus.hubholder import SETTLING, HubHolder
from twisted_crossws.bus.hubseat import Seat, SeatFault, Unanswered, Vacant
from twisted_crossws.bus.watch import Watch
from twisted_crossws.wire import hubframes
from twisted_crossws.wire.hubframes import KIND, BadFrame, frame

#: Seconds until the next attempt to connect, with jitter from half of it up. A process takes some milliseconds to
#: become the hub, so that everybody is back within a tenth of a second.
RETRY = 0.1

#: Seconds in which a hub says welcome. One that is alive does in milliseconds.
WELCOME_TIMEOUT = 1.0

#: Seconds in which whoever has locked the seat is to be found there. One that has deposed another waits half of it.
VACANT_TIMEOUT = 2 * SETTLING

#: Seconds after which a connection counts as a lasting one: if it ends, another one is tried at once.
STEADY = 0.1


class User(Protocol):
    """Whoever a line belongs to."""

    def ready(self, names: frozenset[str]) -> None:
        """A hub has said welcome; these are there."""

    def received(self, frames: list[bytes]) -> None:
        """What came since. Those that it does not know go to L{HubLine.control}."""

    def leaving(self) -> None:
        """The hub ends: from now on nothing can be sent to it, and what must be is sent now."""

    def answered(self, asked: float) -> None:
        """
        The hub has answered a ping, after everything that it had for this node before.

        @param asked: when it was asked, by the clock.
        """

    def writable(self) -> None:
        """What was written has left, after there had been too much of it."""

    def lost(self, reason: str) -> None:
        """There is no connection, after there was one or none; another one is tried."""


class HubLine:
    """
    Connects, says who it is, and waits to do so again. Who has lost a hub and finds none looks twice before it becomes
    one itself: a process that is there for that (L{HubKeeper<twisted_crossws.bus.hubholder.HubKeeper>}) is quicker.

    A hub that is connected and silent is cut off. If the next connection is not answered either, and nobody else has
    become the hub meanwhile, this process does. So it does if somebody has the seat, and is not found there.

    @ivar isReady: a hub has said welcome.
    """

    def __init__(
        self,
        name: str,
        seat: Seat,
        holder: HubHolder,
        *,
        user: User,
        clock: IReactorTime,
        random: Random,
        pingInterval: float,
        pingTimeout: float,
    ) -> None:
        """
        @param name: of the node.
        @param pingInterval: seconds between two pings.
        @param pingTimeout: seconds that the hub may be silent then.
        """
        self.isReady = False
        self._name = name
        self._seat = seat
        self._holder = holder
        self._user = user
        self._clock = clock
        self._random = random
        self._pingInterval = pingInterval
        self._pingTimeout = pingTimeout
        self._isStopped = True
        self._pingsSent: deque[float] = deque()
        self._isPatient = False
        self._readySince = 0.0
        self._connection: HubClient | None = None
        self._retry: IDelayedCall | None = None
        self._welcoming: IDelayedCall | None = None
        self._watch = Watch(clock, pingTimeout, lambda: bool(self._pingsSent), self._silent)
        self._pings = LoopingCall(self._ping)
        self._pings.clock = clock
        self._met: object = None
        self._silentHolder: object = None
        self._vacantHolder: object = None
        self._vacantSince = 0.0
        self._open: set[HubClient] = set()
        self._whenClosed: list[Deferred[None]] = []

    @property
    def isFull(self) -> bool:
        """Whether more was written than the transport likes; L{User.writable} says when that is over."""
        return self._connection is not None and self._connection.isFull

    def start(self) -> None:
        """Begin to connect."""
        self._isStopped = self._isPatient = False
        self._pings.start(self._pingInterval, now=False)
        self._connect()

    def stop(self) -> Deferred[None]:
        """
        @return: fires when nothing is left of it.
        """
        self._isStopped = True
        if self._pings.running:
            self._pings.stop()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._stopWelcoming()
        self.cut("this node stops")
        if not self._open:
            return succeed(None)
        self._whenClosed.append(Deferred())
        return self._whenClosed[-1]

    def send(self, data: bytes) -> None:
        """Whole frames. Only while L{isReady}."""
        if self._connection is not None:
            self._connection.send(data)

    def cut(self, reason: str) -> None:
        """End the connection, if there is one, and make another."""
        connection = self._connection
        if connection is not None:
            self._over(connection, reason)
            connection.abort()

    def control(self, data: bytes) -> None:
        """A frame that is about the connection itself."""
        kind = data[KIND]
        if kind == hubframes.PONG:
            if not self._pingsSent:
                raise BadFrame("A ping is answered that nobody sent.")
            self._user.answered(self._pingsSent.popleft())
        elif kind == hubframes.LEAVING:
            self._user.leaving()
            self.send(frame(hubframes.BYE))
        else:
            raise BadFrame(f"There is no frame of kind {kind} to a node.")

    def made(self, connection: HubClient) -> None:
        self._open.add(connection)

    def received(self, connection: HubClient, frames: list[bytes]) -> None:
        if connection is not self._connection or not frames:
            return
        self._watch.heard = True
        try:
            if self.isReady:
                self._user.received(frames)
            else:
                self._welcome(frames)
        except BadFrame as fault:
            self.faulty(connection, fault)

    def faulty(self, connection: HubClient, fault: BadFrame) -> None:
        if connection is self._connection:
            self.cut(f"it breaks the protocol of a hub: {str(fault).rstrip('.')}")

    def writable(self, connection: HubClient) -> None:
        if self.isReady and connection is self._connection:
            self._user.writable()

    def gone(self, connection: HubClient) -> None:
        self._open.discard(connection)
        if connection is self._connection:
            self._over(connection, "the connection to the hub has ended")
        if not self._open:
            waiting, self._whenClosed = self._whenClosed, []
            for each in waiting:
                each.callback(None)

    def _connect(self) -> None:
        self._retry = None
        self._met = self._seat.holder()
        connection = HubClient(self)
        self._connection = connection
        try:
            self._seat.connect(connection)
        except Vacant:
            self._connection = None
            self._becomeHub()
        except Unanswered:
            self._connection = None
            self._welcoming = self._clock.callLater(WELCOME_TIMEOUT, self._unanswered)
        except SeatFault as fault:
            self._connection = None
            self._again(str(fault))
        else:
            connection.send(hubframes.hello(self._name))
            self._welcoming = self._clock.callLater(WELCOME_TIMEOUT, self._unanswered)

    def _becomeHub(self) -> None:
        try:
            isHub = not self._isPatient and self._holder.compete()
            if not isHub:
                self._seeWhoComes()
        except SeatFault as fault:
            self._again(str(fault))
        else:
            self._isPatient = False
            if isHub:
                self._retry = self._clock.callLater(0, self._connect)
            else:
                self._again("there is no hub")

    def _seeWhoComes(self) -> None:
        now = self._clock.seconds()
        if self._met is None or self._met != self._vacantHolder:
            self._vacantHolder, self._vacantSince = self._met, now
        elif now - self._vacantSince > VACANT_TIMEOUT:
            self._holder.depose(self._met)

    def _unanswered(self) -> None:
        self._welcoming = None
        met = self._met
        isAgain = met is not None and met == self._silentHolder
        self._silentHolder = met
        if isAgain:
            try:
                self._holder.depose(met)
            except SeatFault as fault:
                self._again(str(fault))
                return
        if self._connection is None:
            self._again("the hub takes no connection")
        else:
            self.cut("the hub does not answer")

    def _silent(self) -> None:
        self._silentHolder = self._met
        self.cut(f"the hub has not answered for {self._pingTimeout:g} seconds")

    def _welcome(self, frames: list[bytes]) -> None:
        names = hubframes.readWelcome(frames[0])
        self._stopWelcoming()
        self._silentHolder = self._vacantHolder = None
        self.isReady = self._isPatient = True
        self._readySince = self._clock.seconds()
        self._user.ready(names)
        if frames[1:] and self.isReady:
            self._user.received(frames[1:])

    def _over(self, connection: HubClient, reason: str) -> None:
        wasLasting = self.isReady and self._clock.seconds() - self._readySince >= STEADY
        self._connection = None
        self.isReady = False
        self._pingsSent.clear()
        self._watch.end()
        self._stopWelcoming()
        self._again(reason, atOnce=wasLasting)

    def _again(self, reason: str, atOnce: bool = False) -> None:
        if not self._isStopped and self._retry is None:
            delay = 0.0 if atOnce else RETRY * (0.5 + self._random.random() / 2)
            self._retry = self._clock.callLater(delay, self._connect)
        self._user.lost(reason)

    def _stopWelcoming(self) -> None:
        if self._welcoming is not None:
            self._welcoming.cancel()
            self._welcoming = None

    def _ping(self) -> None:
        if self.isReady:
            self._pingsSent.append(self._clock.seconds())
            self._watch.begin()
            self.send(frame(hubframes.PING))

"""
Leaving without losing anything: what a node does from the moment in which it is told to go until nobody needs it.

::

    begin      a first goodbye, then others at an even pace, all of them within so many seconds
               a client whose turn has come, and that waits for answers, or has some to give, is served until then
    no client  the calls between servers that are open then are waited for; later ones are not, or it might never end
    the end    when those have ended, too; or at the deadline, when whoever is still there is told goodbye at once

A goodbye is a close with code 1012, and with a hint when to come back (L{RETRY_AFTER}).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from math import ceil
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_crossws.errors import CloseCode
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.sockets import Socket

_log = Logger()

#: Seconds from one goodbye to the next, at most: who restarts a node with two browsers on it does not want to wait.
SPACING = 0.05

#: Seconds from one batch of goodbyes to the next, at least: one timer for each of 10,000 clients helps nobody.
TICK = 0.02

#: Seconds after which a client is to come back: from, to. Balancers look about once in a second where to send it, and
#: clients that go together are not to come together.
RETRY_AFTER = (0.5, 2.5)

#: Seconds between two looks whether the last calls between servers have ended.
LOOK_INTERVAL = 0.05


class Pace:
    """
    How many of a number of clients go when: batches that differ by one at most, an even time apart.

    @ivar batches: how many there are; the first one goes at once.
    @ivar step: seconds from one batch to the next.
    """

    def __init__(self, clients: int, seconds: float) -> None:
        """
        @param seconds: within which all go; 0: at once.
        """
        self._clients = clients
        self.batches = max(1, min(clients, ceil(seconds / TICK)))
        self.step = min(seconds / self.batches, SPACING)

    def gone(self, batches: int) -> int:
        """How many clients have gone with so many batches."""
        return self._clients * batches // self.batches


class Draining:
    """
    The course of it, once.

    @ivar isOver: whether it has ended, well or not.
    """

    def __init__(
        self,
        serverName: str,
        clock: IReactorTime,
        counters: Counters,
        *,
        seconds: float,
        deadline: float,
        random: Callable[[], float],
        isBusy: Callable[[Socket], bool],
        openCalls: Callable[[], Collection[object]],
    ) -> None:
        """
        @param seconds: within which all clients that wait for nothing go.
        @param deadline: seconds after which it ends in any case.
        @param random: gives a number from 0 to 1, for the jitter.
        @param isBusy: whether that client waits for an answer, or somebody waits for its own.
        @param openCalls: the calls between servers that have not ended; each is equal to itself alone.
        """
        self.isOver = False
        self._serverName = serverName
        self._clock = clock
        self._counters = counters
        self._seconds = seconds
        self._deadline = deadline
        self._random = random
        self._isBusy = isBusy
        self._openCalls = openCalls
        self._began = clock.seconds()
        self._clients: list[Socket] = []
        self._pace = Pace(0, 0)
        # Those whose turn has come, and those of them of whom there is news.
        self._busy: set[Socket] = set()
        self._answered: set[Socket] = set()
        self._calls: set[object] = set()
        # One for each thing that is to be done later.
        self._timers: dict[Callable[..., None], IDelayedCall] = {}
        self._waiting: list[Deferred[None]] = []

    def begin(self, clients: Iterable[Socket], whenEmpty: Callable[[], Deferred[None]]) -> None:
        """
        @param clients: everyone who is connected; nobody else may come in any more.
        @param whenEmpty: gives a Deferred that fires when nobody is connected.
        """
        if self.isOver:
            return
        self._clients = list(clients)
        self._pace = Pace(len(self._clients), self._seconds)
        self._began = self._clock.seconds()
        self._later(self._deadline, self._tooLate)
        self._goodbyes(1)
        whenEmpty().addCallback(self._nobodyLeft)

    def when(self) -> Deferred[None]:
        """
        @return: fires when it is over.
        """
        if self.isOver:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def answered(self, client: Socket) -> None:
        """That client has got an answer, or has given one; there may be more to wait for."""
        if client in self._busy:
            self._answered.add(client)
            # Not now: the answer may not have been given to the transport yet.
            if self._lookAtBusy not in self._timers:
                self._later(0, self._lookAtBusy)

    def end(self) -> None:
        """It is over. Whoever is connected still remains so."""
        if self.isOver:
            return
        self.isOver = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._clients = []
        self._busy.clear()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _goodbyes(self, batch: int) -> None:
        """The turn of one batch has come; they are counted from 1."""
        pace = self._pace
        for client in self._clients[pace.gone(batch - 1) : pace.gone(batch)]:
            if self._isBusy(client):
                self._busy.add(client)
            else:
                self._goodbye(client)
        if batch < pace.batches:
            # Counted from the beginning: what comes late does not put off what comes after it.
            due = self._began + batch * pace.step
            self._later(max(due - self._clock.seconds(), 0), self._goodbyes, batch + 1)

    def _lookAtBusy(self) -> None:
        answered, self._answered = self._answered, set()
        for client in answered:
            if not self._isBusy(client):
                self._busy.discard(client)
                self._goodbye(client)

    def _goodbye(self, client: Socket) -> None:
        # What is told of one client may have ended it all.
        if client.isOpen and not self.isOver:
            self._counters["clients_drained"] += 1
            earliest, latest = RETRY_AFTER
            after = earliest + (latest - earliest) * self._random()
            client.close(CloseCode.SERVICE_RESTART, f"retry-after={after:.2f}")

    def _nobodyLeft(self, _: None) -> None:
        if not self.isOver:
            self._calls = set(self._openCalls())
            self._lookAtCalls()

    def _lookAtCalls(self) -> None:
        self._calls.intersection_update(self._openCalls())
        if self._calls:
            self._later(LOOK_INTERVAL, self._lookAtCalls)
        else:
            self.end()

    def _tooLate(self) -> None:
        staying = [client for client in self._clients if client.isOpen]
        busy = sum(map(self._isBusy, staying))
        self._counters["clients_drained_unanswered"] += busy
        _log.warn(
            "{server}: draining ends by its deadline, {seconds:g} seconds: {clients} clients had to go at once, {busy} "
            "of them without all their answers, and {calls} calls between servers are open.",
            server=self._serverName,
            seconds=self._deadline,
            clients=len(staying),
            busy=busy,
            calls=len(self._openCalls()),
        )
        for client in staying:
            self._goodbye(client)
        self.end()

    def _later(self, seconds: float, what: Callable[..., None], *args: Any) -> None:
        if not self.isOver:
            self._timers[what] = self._clock.callLater(seconds, self._due, what, args)

    def _due(self, what: Callable[..., None], args: tuple[Any, ...]) -> None:
        del self._timers[what]
        what(*args)

"""
What this server tells of the last numbers of its channels, so that others see what is missing at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_crossws.interfaces import HealthChange
from twisted_crossws.state.numbers import SentNumbers
from twisted_crossws.wire.packets import Presence

#: Announcements in which the last number of a channel that has become quiet is told, as one of them may be lost, too.
TIMES_TOLD = 2

#: Seconds that are told of in addition, when there was a gap: so long a fault may take to be noticed, by a ping each
#: five seconds that is given two for its answer.
UNNOTICED = 10.0

#: Seconds after which those are told who have missed something: with one packet all who come back at the same time.
TOGETHER = 0.5


class Tails:
    """
    Adds last numbers to signs of life: to those at intervals, of channels that have become quiet lately; to one more
    when somebody has missed something, or this server could not publish, of all that have become quiet since; and to
    the last one. At most L{MAX_TOLD<twisted_crossws.state.numbers.MAX_TOLD>} channels are told of at once.

    @ivar announce: gives one more sign of life.
    """

    def __init__(self, numbers: SentNumbers, clock: IReactorTime, interval: float) -> None:
        """
        @param interval: seconds between two signs of life.
        """
        self.announce: Callable[[], Any] = lambda: None
        self._numbers = numbers
        self._clock = clock
        self._interval = interval
        self._turned = clock.seconds()
        self._gap = 0.0
        self._awaySince = inf
        self._wanted = inf
        self._since = inf
        self._telling: IDelayedCall | None = None

    def stop(self) -> None:
        """Nobody is told any more."""
        self._wanted = self._awaySince = inf
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def addTo(self, said: Presence) -> None:
        """This server is about to say this."""
        now, since = self._clock.seconds(), self._since
        isLast = said.kind == "bye"
        isTurn = said.kind == "here" and now - self._turned >= self._interval / 2
        if isLast:
            self._numbers.turn(now)
        if isLast or isTurn:
            since = min(since, self._wanted, now - (TIMES_TOLD + 0.5) * self._interval)
        said.tails = self._numbers.tails(since)
        if isTurn:
            self._numbers.turn(now)
            self._turned = now
        if said.kind == "hello":
            said.gap, self._gap = self._gap, 0.0

    def heard(self, said: Presence) -> None:
        """Another server has said this."""
        if said.kind == "hello" and said.gap > 0.0:
            self._want(self._clock.seconds() - said.gap - UNNOTICED)

    def healthChanged(self, change: HealthChange) -> None:
        """
        If this server could not publish, others have missed something. If it did not hear, it has itself; and perhaps
        it could not publish, either, and has not noticed.
        """
        now = self._clock.seconds()
        if change.role == "subscriber" and change.gap is not None:
            self._gap = max(self._gap, change.gap)
            self._want(now - change.gap - UNNOTICED)
        elif change.role == "publisher" and not change.healthy:
            self._awaySince = min(self._awaySince, now)
        elif change.role == "publisher" and self._awaySince < inf:
            self._want(self._awaySince - UNNOTICED)
            self._awaySince = inf

    def _want(self, since: float) -> None:
        self._wanted = min(self._wanted, since)
        if self._telling is None:
            self._telling = self._clock.callLater(TOGETHER, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._since, self._wanted = self._wanted, inf
        self.announce()
        self._since = inf

"""
Whether a Redis may be published on now.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds that a Redis is not published on because this node is not subscribed there itself, as others may not be
#: either. Then it is published on all the same, if there is no other: those who are subscribed hear it.
PATIENCE = 1.0

#: Seconds that a Redis that is back is not published on while another one serves: so long other nodes may take to be
#: subscribed there, too. And what was published on the other one has arrived by then, so that order holds.
SETTLING = 2.5


class Stand(Enum):
    """What this node has of a Redis."""

    #: It cannot publish there.
    AWAY = "away"
    #: It can publish, and is not subscribed.
    LONELY = "lonely"
    #: The same, for longer than it is willing to wait.
    IMPATIENT = "impatient"
    #: It has both, and leaves others the time to have both, too.
    SETTLING = "settling"
    #: It has both.
    SETTLED = "settled"


class Standing:
    """
    Changes with the two connections, and with time.

    ::

        AWAY      →  LONELY, SETTLING or SETTLED       it can publish
        LONELY    →  IMPATIENT                         after PATIENCE
        SETTLING  →  SETTLED                           after SETTLING, or when it is needed
        any       →  LONELY                            not subscribed any more
        any       →  AWAY                              it cannot publish any more

    @ivar now: what it is.
    """

    def __init__(self, clock: IReactorTime, isAdded: bool, changed: Callable[[], None]) -> None:
        """
        @param isAdded: the Redis came while others were in use: nobody may rely on it before it was subscribed once.
        @param changed: called when time has changed it.
        """
        self.now = Stand.AWAY
        self._clock = clock
        self._isAdded = isAdded
        self._isNew = True
        self._changed = changed
        self._timer: IDelayedCall | None = None

    def weigh(self, publishes: bool, hears: bool) -> None:
        """
        What the two connections are now.
        """
        if not publishes:
            self._turn(Stand.AWAY)
        elif not hears:
            if self.now not in (Stand.LONELY, Stand.IMPATIENT):
                self._turn(Stand.LONELY)
                if not (self._isNew and self._isAdded):
                    self._later(PATIENCE, Stand.IMPATIENT)
        elif self.now not in (Stand.SETTLING, Stand.SETTLED):
            # Where all nodes have just started, none has to wait for the others.
            isFirst, self._isNew = self._isNew and not self._isAdded, False
            self._turn(Stand.SETTLED if isFirst else Stand.SETTLING)
            if not isFirst:
                self._later(SETTLING, Stand.SETTLED)

    def need(self) -> None:
        """There is no other that is settled: if it is settling, then it is settled."""
        if self.now is Stand.SETTLING:
            self._turn(Stand.SETTLED)

    def end(self) -> None:
        """Begin anew."""
        self._turn(Stand.AWAY)
        self._isNew = True

    def _later(self, seconds: float, stand: Stand) -> None:
        self._timer = self._clock.callLater(seconds, self._timeIsUp, stand)

    def _timeIsUp(self, stand: Stand) -> None:
        self._timer = None
        self.now = stand
        self._changed()

    def _turn(self, stand: Stand) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.now = stand

"""
One timer for all who wait.

A delayed call of Twisted's costs 3 µs to make and to cancel, and nearly none of them is ever called.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from heapq import heapify, heappop, heappush

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Deadlines that are kept before those are looked for whose wait is over.
_FEW = 1000


class Deadlines:
    """
    Knows who is to be told when. Whose wait has ended before is skipped, and need not be taken out.
    """

    def __init__(self, clock: IReactorTime, waiting: Container[str], late: Callable[[str], None]) -> None:
        """
        @param waiting: says of each key whether its wait is not over yet.
        @param late: called with the key of each wait that its deadline has ended; it must be over then.
        """
        self._clock = clock
        self._waiting = waiting
        self._late = late
        self._due: list[tuple[float, str]] = []
        self._most = _FEW
        self._timer: IDelayedCall | None = None
        self._timerDue = 0.0

    def add(self, key: str, seconds: float) -> None:
        """From now on it waits, for so long at most. No key may come twice."""
        due = self._clock.seconds() + seconds
        heappush(self._due, (due, key))
        if len(self._due) > self._most:
            self._due = [each for each in self._due if each[1] in self._waiting]
            heapify(self._due)
            self._most = _FEW + 2 * len(self._due)
        if self._timer is None or due < self._timerDue:
            self._look()

    def clear(self) -> None:
        """Nobody waits."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Wait for the first of them that is still open."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._due and self._due[0][1] not in self._waiting:
            heappop(self._due)
        if self._due:
            self._timerDue = self._due[0][0]
            self._timer = self._clock.callLater(max(0.0, self._timerDue - self._clock.seconds()), self._end)

    def _end(self) -> None:
        self._timer = None
        # What the clock says may be less by a rounding error.
        now = max(self._timerDue, self._clock.seconds())
        while self._due and self._due[0][0] <= now:
            _, key = heappop(self._due)
            if key in self._waiting:
                self._late(key)
        self._look()

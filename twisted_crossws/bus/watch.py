"""
Noticing that somebody who owes an answer has fallen silent.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: In how many steps a time-out passes. With one alone, a process that was frozen itself would find it over before it
#: had read what came meanwhile.
LOOKS = 2


class Watch:
    """
    Runs while something is owed. If there is no sign of life for the whole time-out, it says so, once.

    @ivar heard: to be set to C{True} at each sign of life.
    """

    def __init__(
        self, clock: IReactorTime, timeout: float, isOwed: Callable[[], bool], silent: Callable[[], None]
    ) -> None:
        """
        @param timeout: seconds of silence; it takes half as much more to notice if there was a sign before.
        @param isOwed: whether anything is still waited for; if not, the watch ends by itself.
        @param silent: called when the time is over.
        """
        self.heard = False
        self._clock = clock
        self._interval = timeout / LOOKS
        self._isOwed = isOwed
        self._silent = silent
        self._missed = 0
        self._next: IDelayedCall | None = None

    def begin(self) -> None:
        """From now on something is owed. If it was before, nothing changes."""
        if self._next is None:
            self.heard = False
            self._missed = 0
            self._next = self._clock.callLater(self._interval, self._look)

    def end(self) -> None:
        """Nothing is waited for any more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        self._next = None
        if not self._isOwed():
            return
        self._missed = 0 if self.heard else self._missed + 1
        self.heard = False
        if self._missed < LOOKS:
            self._next = self._clock.callLater(self._interval, self._look)
        else:
            self._silent()

"""
Who answers a newcomer's C{hello}, and how long it waits for that.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds for which a newcomer waits for those that heard its C{hello} and have not answered. Who is well answers in
#: milliseconds; who is frozen does not, and nobody should wait for it long.
HELLO_TIME = 0.5


class RollCall:
    """
    Counts the servers that have said something, against the number of those that the bus says have heard the C{hello}.
    The newcomer itself is one of both.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._present: set[str] = set()
        self._expected: int | None = None
        self._done: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None

    def heard(self, incarnation: str, isLeaving: bool = False) -> None:
        """
        A server has said something.

        @param isLeaving: that it leaves, so that it hears nothing any more.
        """
        if isLeaving:
            self._present.discard(incarnation)
        else:
            self._present.add(incarnation)
            self._look()

    def begin(self, published: Deferred[int]) -> Deferred[None]:
        """
        The C{hello} is on its way.

        @param published: fires with the number of those that have heard it; if it fails, nobody can tell.
        @return: fires when so many have said something, and after L{HELLO_TIME} in any case. Cancelling it ends the
            wait.
        """
        done: Deferred[None] = Deferred(self._cancelled)
        self._done = done
        self._timer = self._clock.callLater(HELLO_TIME, self._fire)
        published.addCallbacks(self._counted, lambda _: None)
        return done

    def end(self) -> None:
        """Nobody waits any more, and those that were heard may be gone when the next wait begins."""
        self._present.clear()
        if self._done is not None:
            self._done.cancel()

    def _counted(self, count: int) -> None:
        self._expected = count
        self._look()

    def _look(self) -> None:
        if self._done is not None and self._expected is not None and len(self._present) >= self._expected:
            self._fire()

    def _cancelled(self, _: Deferred[None]) -> None:
        self._end()

    def _fire(self) -> None:
        done = self._end()
        assert done is not None
        done.callback(None)

    def _end(self) -> Deferred[None] | None:
        done, self._done, self._expected = self._done, None, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return done

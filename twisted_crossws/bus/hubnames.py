"""
Who else is on a hub. A name that has left may be back at once: a process whose connection broke, or all of them after a
hub has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds in which whoever has lost its connection has another one, even if it is busy.
GRACE = 1.0


class HubNames:
    """
    The names, those included that have left and may be back.
    """

    def __init__(self, own: str, clock: IReactorTime, gone: Callable[[str], None]) -> None:
        """
        @param own: that of this node.
        @param gone: called with a name that has not come back.
        """
        self._own = own
        self._clock = clock
        self._gone = gone
        self._here: set[str] = set()
        self._absent: dict[str, float] = {}
        self._timer: IDelayedCall | None = None

    @property
    def all(self) -> frozenset[str]:
        """This node's own, those that are here, and those that may be back."""
        return frozenset((self._own, *self._here, *self._absent))

    @property
    def isWhole(self) -> bool:
        """Whether none is missing."""
        return not self._absent

    def welcomed(self, names: Iterable[str]) -> None:
        """A hub says who is there. Whoever was there before, and is not yet, may come."""
        known = self._here | set(self._absent)
        self._here = set(names) - {self._own}
        self._absent.clear()
        for name in known - self._here:
            self.left(name)

    def joined(self, name: str) -> None:
        """Somebody has come."""
        if name != self._own:
            self._here.add(name)
            self._absent.pop(name, None)

    def left(self, name: str) -> None:
        """Somebody's connection has ended."""
        if name != self._own:
            self._here.discard(name)
            self._absent[name] = self._clock.seconds() + GRACE
            self._wait()

    def pause(self) -> None:
        """There is no hub: nobody can come back, and nobody can be missed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def forget(self) -> None:
        """Begin anew."""
        self.pause()
        self._here.clear()
        self._absent.clear()

    def _wait(self) -> None:
        if self._timer is None and self._absent:
            due = min(self._absent.values())
            self._timer = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        gone = [name for name, due in self._absent.items() if due <= now]
        for name in gone:
            del self._absent[name]
        self._wait()
        for name in gone:
            self._gone(name)

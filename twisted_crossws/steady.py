"""
Time that never jumps. Twisted's reactors count their timers in wall-clock time: if that is set back by a minute, no
timer fires for a minute; if it is set forward by an hour, all fire at once.
"""

from __future__ import annotations

from time import monotonic
from time import time as wallClock
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime

_R = TypeVar("_R", bound=IReactorTime)


def steady(reactor: _R) -> _R:
    """
    Make a reactor count its time by the monotonic clock.

    Its seconds go on from the wall clock's as they are now, so that what takes them for Unix time (the access log of
    a Twisted Web site) is still right, up to later corrections of the wall clock. Timers that run already go on, too.
    A reactor or a test's clock that does not count by L{time.time} is left as it is.

    @return: the same reactor.
    """
    if getattr(reactor, "seconds", None) is not wallClock:
        return reactor
    offset: float = wallClock() - monotonic()

    def seconds() -> float:
        return monotonic() + offset

    reactor.seconds = seconds  # type: ignore[method-assign]
    for call in reactor.getDelayedCalls():
        # Each remembers by which clock it is to be delayed or reset.
        call.seconds = seconds  # type: ignore[attr-defined]
    return reactor

"""
Handshakes that were refused: counted by cause, and told in the log.

A line says who was refused, why, and what to set if that is not meant. It holds no query, no header but C{Origin} and
C{Host}, and so no token; what a client chose stands in quotes. Of each cause there are few lines, whatever clients do,
and the next one says how many were left out.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_crossws.state.counters import Counters
from twisted_crossws.state.limits import TokenBucket

_log = Logger()

#: Lines of one cause that may come at once, and in each second after that: enough to see who it is, and too few to fill
#: a disk.
BURST = 5
RATE = 0.1

#: The counter of each cause.
COUNTERS = {
    "authentication": "handshakes_refused",
    "authenticator": "handshakes_failed",
    "connections": "handshakes_over_limit",
    "malformed": "handshakes_malformed",
    "origin": "handshakes_foreign_origin",
    "path": "handshakes_wrong_path",
    "rate": "handshakes_over_limit",
    "stopping": "handshakes_stopping",
    "timeout": "handshakes_timed_out",
}


class Refusals:
    """
    Tells of the handshakes that a node refuses.
    """

    def __init__(self, clock: IReactorTime, counters: Counters) -> None:
        self._clock = clock
        self._counters = counters
        self._buckets: dict[str, TokenBucket] = {}
        self._untold: dict[str, int] = {}

    def count(self, cause: str) -> None:
        """Count one of which the log says something elsewhere, or needs to say nothing."""
        self._counters[COUNTERS[cause]] += 1

    def tell(self, cause: str, peer: str, why: str) -> None:
        """
        Count one, and tell of it, unless there were too many lines of this cause.

        @param cause: one of L{COUNTERS}.
        @param peer: who it was, for people.
        @param why: one or more sentences: what is wrong, and what to set.
        """
        self.count(cause)
        now = self._clock.seconds()
        if cause not in self._buckets:
            self._buckets[cause] = TokenBucket(RATE, BURST, now)
        if not self._buckets[cause].take(now):
            self._untold[cause] = self._untold.get(cause, 0) + 1
            return
        untold = self._untold.pop(cause, 0)
        more = f" ({untold} more were refused for this cause since the last such line.)" if untold else ""
        _log.info("refused {peer}: {why}{more}", peer=peer, why=why, more=more, cause=cause)

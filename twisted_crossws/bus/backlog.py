"""
Packets that wait until the bus can carry them, and what becomes of them if it cannot: each is counted by its cause, and
whoever waits for one is told.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_crossws.bus.waiting import Entry, WaitingQueue
from twisted_crossws.errors import BusUnavailable

_COUNTERS = {
    "full": "bus_dropped_full",
    "old": "bus_dropped_old",
    "stopped": "bus_dropped_stopped",
    "large": "bus_rejected",
}


class Backlog:
    """
    A L{WaitingQueue} with a clock and counters.
    """

    def __init__(
        self, queue: WaitingQueue, clock: IReactorTime, counters: dict[str, int], *, carrier: str = "Redis"
    ) -> None:
        """
        @param carrier: what they wait for, in the sentence that says that it did not come.
        """
        self._queue = queue
        self._clock = clock
        self._counters = counters
        self._expiry: IDelayedCall | None = None
        self._causes = {
            "full": "too many wait already",
            "old": f"no {carrier} became healthy in time",
            "stopped": "the bus is stopped",
            "large": f"it is larger than a {carrier} carries",
        }

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, entry: Entry) -> bool:
        """
        @return: whether it waits now. If not, it was dropped.
        """
        if not self._queue.add(entry, self._clock.seconds()):
            return self.drop(entry, "full")
        self._counters["bus_queued"] += 1
        if self._expiry is None:
            self._expireLater()
        return True

    def takeAll(self) -> list[Entry]:
        """All that wait. They wait no more."""
        return self._queue.takeAll()

    def drop(self, entry: Entry, cause: str) -> bool:
        """
        This one is not carried.

        @param cause: C{full}, C{old}, C{stopped} or C{large}.
        @return: C{False}.
        """
        self._counters[_COUNTERS[cause]] += 1
        mark = entry[2]
        if not isinstance(mark, int):
            mark.errback(BusUnavailable(f"The packet was dropped: {self._causes[cause]}."))
        return False

    def stop(self) -> None:
        """None of them will be carried."""
        for entry in self._queue.takeAll():
            self.drop(entry, "stopped")
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _expireLater(self) -> None:
        due = self._queue.due
        if due is not None:
            self._expiry = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._expire)

    def _expire(self) -> None:
        self._expiry = None
        expired = self._queue.expired(self._clock.seconds())
        self._expireLater()
        for entry in expired:
            self.drop(entry, "old")

"""
What a node has published on a hub and has no confirmation of yet.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_crossws.bus.hubline import HubLine
from twisted_crossws.bus.waiting import Entry
from twisted_crossws.errors import BusUnavailable
from twisted_crossws.interfaces import Told
from twisted_crossws.wire.hubframes import BadFrame, message

#: Bytes of packets that wait while the hub does not read. As with a Redis: much more than any pause of one that is
#: well, and no more memory than a node has to spare.
MAX_UNSENT = 8_388_608

#: Numbers of questions begin again after this one.
_LAST_NUMBER = 0xFFFFFFFF


class HubSent:
    """
    All packets of one turn leave in one write, in the order in which they were given. The hub confirms how many it
    has passed on, so that nothing is kept of each.
    """

    def __init__(self, line: HubLine, clock: IReactorTime, counters: dict[str, int]) -> None:
        self._line = line
        self._clock = clock
        self._counters = counters
        self._unsent: list[Entry] = []
        self._unsentBytes = 0
        self._owed = 0
        self._number = 0
        self._counting: dict[int, Told] = {}
        self._flushing: IDelayedCall | None = None
        self._isHeld = False
        self._draining: list[Deferred[None]] = []

    def add(self, entry: Entry) -> bool:
        """
        @return: whether it was taken; if not, too much waits already.
        """
        if self._unsentBytes > MAX_UNSENT and self._line.isFull:
            return False
        self._unsent.append(entry)
        self._unsentBytes += len(entry[1])
        if self._flushing is None and not self._isHeld:
            self._flushing = self._clock.callLater(0, self._flushLater)
        return True

    def hold(self) -> None:
        """Until L{release} is called, in the same turn, it collects what is published."""
        self._isHeld = True

    def release(self) -> None:
        """What was collected leaves now, and need not wait for the end of the turn."""
        self._isHeld = False
        self.flush()

    def flush(self) -> None:
        """Send what there is, if the connection takes it."""
        if self._unsent and self._line.isReady and not self._line.isFull:
            self._send()

    def confirmed(self, count: int, unheard: int) -> None:
        """
        The hub has passed on so many more.

        @raise BadFrame: so many were not given to it.
        """
        if count > self._owed:
            raise BadFrame("More packets are confirmed than there were.")
        self._owed -= count
        self._counters["bus_confirmed"] += count
        self._counters["bus_unheard"] += unheard
        self._seeWhetherDrained()

    def counted(self, number: int, count: int) -> None:
        """
        So many have got one of them.

        @raise BadFrame: it was not asked for.
        """
        counting = self._counting.pop(number, None)
        if counting is None:
            raise BadFrame("A packet is counted that nobody asked for.")
        counting.callback(count)

    def close(self) -> list[Entry]:
        """
        Send what there is, as nothing can be sent later.

        @return: what cannot be sent.
        """
        self._stopFlushing()
        if self._unsent and self._line.isReady:
            self._send()
        unsent, self._unsent, self._unsentBytes = self._unsent, [], 0
        return unsent

    def lost(self) -> None:
        """The connection has ended: what is not confirmed by now perhaps was not passed on."""
        self._counters["bus_unconfirmed"] += self._owed
        self._owed = 0
        counting, self._counting = self._counting, {}
        for each in counting.values():
            each.errback(BusUnavailable("The connection to the hub broke: perhaps it was delivered."))
        self._seeWhetherDrained()

    def drained(self, timeout: float) -> Deferred[None]:
        """
        @return: fires when everything was confirmed, or after so many seconds.
        """
        if not self._owed:
            return succeed(None)
        drained: Deferred[None] = Deferred()
        self._draining.append(drained)
        return drained.addTimeout(timeout, self._clock).addErrback(lambda _: None)

    def _flushLater(self) -> None:
        self._flushing = None
        self.flush()

    def _stopFlushing(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None

    def _send(self) -> None:
        entries, self._unsent, self._unsentBytes = self._unsent, [], 0
        self._owed += len(entries)
        self._line.send(
            b"".join(
                [
                    message(channel, packet, mark) if isinstance(mark, int) else self._question(channel, packet, mark)
                    for channel, packet, mark in entries
                ]
            )
        )

    def _question(self, channel: str, packet: bytes, mark: Told) -> bytes:
        self._number = self._number % _LAST_NUMBER + 1
        self._counting[self._number] = mark
        return message(channel, packet, 0, self._number)

    def _seeWhetherDrained(self) -> None:
        if self._draining and not self._owed:
            draining, self._draining = self._draining, []
            for each in draining:
                if not each.called:
                    each.callback(None)

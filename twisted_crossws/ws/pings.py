"""
Server pings: who does not answer them is cut (wire section 1).
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from twisted_crossws.state.heartbeat import Pinged, PingWheel

#: How many slots an interval has: the bursts are a twentieth of the clients, the timer runs once a second.
_SLOTS = 20


class Pingable(Pinged, Protocol):
    """Somebody who can be pinged, and cut."""

    def ping(self) -> None: ...

    def silent(self) -> None: ...


class Pings:
    """
    Pings every member once in an interval, and cuts those of whom nothing was heard since the last time. Its one timer
    runs while there are members.
    """

    def __init__(self, clock: IReactorTime, interval: float) -> None:
        """
        @param interval: seconds; 0 is never.
        """
        self._wheel: PingWheel[Pingable] = PingWheel(_SLOTS)
        self._interval = interval
        self._loop: LoopingCall = LoopingCall.withCount(self._turn)
        self._loop.clock = clock

    def add(self, member: Pingable) -> None:
        if self._interval <= 0:
            return
        self._wheel.add(member)
        if not self._loop.running:
            self._loop.start(self._interval / _SLOTS, now=False)

    def remove(self, member: Pingable) -> None:
        if self._interval <= 0:
            return
        self._wheel.remove(member)
        if not len(self._wheel) and self._loop.running:
            self._loop.stop()

    def _turn(self, count: int) -> None:
        # After a pause of the whole process nobody is to be cut for what was missed: one round at most.
        for _ in range(min(count, _SLOTS)):
            ping, cut = self._wheel.turn()
            for member in ping:
                member.ping()
            for member in cut:
                member.silent()

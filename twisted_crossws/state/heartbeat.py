"""
Who is to be pinged when, and who has been silent for too long.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Pinged(Protocol):
    """
    Somebody whose life is watched.

    @ivar heard: set to C{True} by whoever receives anything from it.
    @ivar pingSlot: belongs to the wheel.
    """

    heard: bool
    pingSlot: int


_M = TypeVar("_M", bound=Pinged)


class PingWheel(Generic[_M]):
    """
    All members, spread over the slots of one interval by the moment in which they came.

    Each turn of the wheel by one slot says who is due. A member is due once in an interval: if nothing was heard of
    it since the last time, it is to be cut, else it is to be pinged. That costs one timer however
    many members there are, and pings do not come in bursts.
    """

    def __init__(self, slots: int = 20) -> None:
        self._slots: list[set[_M]] = [set() for _ in range(slots)]
        self._at = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, member: _M) -> None:
        """From now on it is due once in an interval, the first time after one interval."""
        member.heard = True
        member.pingSlot = self._at
        self._slots[self._at].add(member)
        self._size += 1

    def remove(self, member: _M) -> None:
        """It is gone; to be called once for each L{add}."""
        self._slots[member.pingSlot].remove(member)
        self._size -= 1

    def turn(self) -> tuple[list[_M], list[_M]]:
        """
        One slot further.

        @return: those to be pinged, and those to be cut.
        """
        self._at = (self._at + 1) % len(self._slots)
        ping: list[_M] = []
        cut: list[_M] = []
        for member in self._slots[self._at]:
            (ping if member.heard else cut).append(member)
            member.heard = False
        return ping, cut

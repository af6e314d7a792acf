"""
Packets that wait, because no Redis is healthy now.
"""

from __future__ import annotations

from collections import deque

from twisted_crossws.interfaces import Told

#: Who is told what became of a packet: how many subscribers there must be, or somebody who is told how many there were.
Mark = int | Told


#: A packet to be published: its channel, itself, and who is to be told. One is made for each, so it is a plain tuple.
Entry = tuple[str, bytes, Mark]


class WaitingQueue:
    """
    So many packets, so many bytes of them, so long each. What does not fit is not taken, so that those that wait
    already keep their places; they leave in the order in which they came.
    """

    def __init__(self, packets: int, bytes: int, seconds: float) -> None:
        """
        @param packets: how many may wait; 0: none.
        @param bytes: of all of them together.
        @param seconds: how long one may wait.
        """
        self._packets = packets
        self._bytes = bytes
        self._seconds = seconds
        self._entries: deque[tuple[float, Entry]] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def due(self) -> float | None:
        """When the first one will have waited for too long; C{None} while none waits."""
        return self._entries[0][0] if self._entries else None

    def add(self, entry: Entry, now: float) -> bool:
        """
        @return: whether it waits now; C{False} if it is too much.
        """
        size = self._size + len(entry[1])
        if len(self._entries) >= self._packets or size > self._bytes:
            return False
        self._size = size
        self._entries.append((now + self._seconds, entry))
        return True

    def expired(self, now: float) -> list[Entry]:
        """Those that have waited for too long. They wait no more."""
        found = []
        while self._entries and self._entries[0][0] <= now:
            found.append(self._entries.popleft()[1])
        self._size -= sum(len(entry[1]) for entry in found)
        return found

    def takeAll(self) -> list[Entry]:
        """All that wait. They wait no more."""
        found = [entry for _, entry in self._entries]
        self._entries.clear()
        self._size = 0
        return found

"""
Which other servers are alive, as far as this one has heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

#: Stands in an incarnation before the number of times that the server has come back as the same process.
RETURNED = "+"


@dataclass(frozen=True)
class ServerInfo:
    """
    What a server says of itself.

    @ivar name: unique in the cluster.
    @ivar incarnation: what tells this life of the server from earlier ones of the same name.
    @ivar since: Unix time in seconds at which this life began, by its own clock.
    @ivar role: what it is for, in words of the application.
    @ivar tags: what else the application says of it.
    @ivar address: where it runs: host and process id.
    @ivar version: of this package, there.
    @ivar clients: how many it served when it said so.
    @ivar state: C{"running"}; C{"draining"}: it sends its clients away, and stops; C{"gone"}: it was there, and is not
        any more.
    """

    name: str
    incarnation: str
    since: float
    role: str = ""
    tags: tuple[str, ...] = ()
    address: str = ""
    version: str = ""
    clients: int = 0
    state: Literal["running", "draining", "gone"] = "running"


class News(NamedTuple):
    """
    What a sign of life has changed.

    @ivar gone: whose place the server has taken: another life of it.
    @ivar isUp: a life has begun.
    @ivar lostFor: if this very life had been taken for lost, the seconds for which nothing was heard of it; otherwise
        C{None}.
    """

    gone: ServerInfo | None = None
    isUp: bool = False
    lostFor: float | None = None


class _Departed(NamedTuple):
    """
    A server that is gone.

    @ivar at: since when.
    @ivar heardAt: when it was heard for the last time.
    @ivar hasLeft: it said goodbye.
    """

    info: ServerInfo
    at: float
    heardAt: float
    hasLeft: bool


class Members:
    """
    The table of other servers. It is told what was heard, and when.

    A life begins once, and ends once. A server that was taken for lost and is heard again is alive, but is not up again
    in the same life: it is to be told, and begins another one.
    """

    def __init__(self, departedFor: float) -> None:
        """
        @param departedFor: seconds for which a server that is gone is remembered as such.
        """
        self._departedFor = departedFor
        self._alive: dict[str, ServerInfo] = {}
        self._heardAt: dict[str, float] = {}
        self._departed: dict[str, _Departed] = {}
        # Heard again, though their lives have ended: for how long they were not heard.
        self._lostFor: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._alive)

    def __iter__(self) -> Iterator[ServerInfo]:
        return iter(list(self._alive.values()))

    def names(self) -> frozenset[str]:
        """Of those that are alive, draining or not."""
        return frozenset(self._alive)

    def heardSince(self, since: float) -> list[ServerInfo]:
        """
        @param since: leave out those of which nothing was heard at this time or later.
        """
        return [info for name, info in self._alive.items() if self._heardAt[name] >= since]

    def get(self, name: str) -> ServerInfo | None:
        """What a living server says of itself."""
        return self._alive.get(name)

    def info(self, name: str) -> ServerInfo | None:
        """As L{get}; of one that is gone, what it said last."""
        departed = self._departed.get(name)
        return replace(departed.info, state="gone") if departed is not None else self._alive.get(name)

    def isDeparted(self, name: str) -> bool:
        """Whether a server of this name had announced itself, and is gone."""
        return name in self._departed

    def heard(self, info: ServerInfo, now: float) -> News:
        """
        A sign of life. What an earlier life has said, and is heard of late, changes nothing.
        """
        known, departed = self._alive.get(info.name), self._departed.get(info.name)
        if departed is not None and departed.info.incarnation == info.incarnation:
            if departed.hasLeft:
                return News()
            self._lostFor[info.name] = now - departed.heardAt
        elif known is not None and known.incarnation != info.incarnation:
            return self._nextLife(known, info, now)
        self._keep(info, now)
        return News(isUp=known is None and info.name not in self._lostFor, lostFor=self._lostFor.get(info.name))

    def left(self, name: str, incarnation: str, now: float) -> ServerInfo | None:
        """
        A goodbye.

        @return: who is gone, if that life of it was known.
        """
        known = self._alive.get(name)
        if known is not None and processOf(known.incarnation) == processOf(incarnation):
            return self._remove(name, now, hasLeft=True)
        departed = self._departed.get(name)
        if departed is not None and departed.info.incarnation == incarnation:
            self._departed[name] = departed._replace(hasLeft=True)
        return None

    def lost(self, name: str, now: float) -> ServerInfo | None:
        """
        Somebody says that this one is gone, and it has not said so itself.

        @return: who is gone, if it was known.
        """
        return self._remove(name, now) if name in self._alive else None

    def silent(self, now: float, seconds: float) -> list[ServerInfo]:
        """
        Remove those that have not been heard for so long.

        @return: them.
        """
        found = [self._remove(info.name, now) for info in self if now - self._heardAt[info.name] >= seconds]
        for name in [name for name, each in self._departed.items() if now - each.at >= self._departedFor]:
            del self._departed[name]
        return [info for info in found if info is not None]

    def excuse(self, now: float) -> None:
        """It is not their fault that nothing was heard: count their silence from now on."""
        self._heardAt = dict.fromkeys(self._heardAt, now)

    def _nextLife(self, known: ServerInfo, info: ServerInfo, now: float) -> News:
        if (known.since, known.incarnation) > (info.since, info.incarnation):
            return News()
        wasLost = self._lostFor.pop(info.name, None) is not None
        self._keep(info, now)
        if wasLost:
            return News(isUp=True)  # That it was gone has been said.
        if processOf(known.incarnation) == processOf(info.incarnation):
            return News()  # Others had missed it, and here it was there all the time.
        return News(known, isUp=True)

    def _keep(self, info: ServerInfo, now: float) -> None:
        self._alive[info.name] = info
        self._heardAt[info.name] = now
        self._departed.pop(info.name, None)

    def _remove(self, name: str, now: float, hasLeft: bool = False) -> ServerInfo | None:
        """
        @return: who is gone, unless that has been said before.
        """
        info = self._alive.pop(name)
        self._departed[name] = _Departed(info, now, self._heardAt.pop(name), hasLeft)
        return info if self._lostFor.pop(name, None) is None else None


def processOf(incarnation: str) -> str:
    """
    @return: what all lives of one process have in common.
    """
    return incarnation.partition(RETURNED)[0]

"""
Which other servers are alive, as far as this one has heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


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
    """

    name: str
    incarnation: str
    since: float
    role: str = ""
    tags: tuple[str, ...] = ()
    address: str = ""
    version: str = ""
    clients: int = 0


class Members:
    """
    The table of other servers. It is told what was heard, and when.
    """

    def __init__(self, departedFor: float) -> None:
        """
        @param departedFor: seconds for which a server that is gone is remembered as such.
        """
        self._departedFor = departedFor
        self._alive: dict[str, ServerInfo] = {}
        self._heardAt: dict[str, float] = {}
        self._departed: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._alive)

    def __iter__(self) -> Iterator[ServerInfo]:
        return iter(list(self._alive.values()))

    def names(self) -> frozenset[str]:
        """Of those that are alive."""
        return frozenset(self._alive)

    def get(self, name: str) -> ServerInfo | None:
        """What a living server says of itself."""
        return self._alive.get(name)

    def isDeparted(self, name: str) -> bool:
        """Whether a server of this name had announced itself, and is gone."""
        return name in self._departed

    def heard(self, info: ServerInfo, now: float) -> tuple[ServerInfo | None, bool]:
        """
        A sign of life.

        @return: who of that name is gone for it, if another life of it was known; and whether the server is new. An old
            life that is heard of late changes nothing.
        """
        known = self._alive.get(info.name)
        if known is not None and known.incarnation == info.incarnation:
            self._keep(info, now)
            return None, False
        if known is not None and (known.since, known.incarnation) > (info.since, info.incarnation):
            return None, False
        self._keep(info, now)
        return known, True

    def left(self, name: str, incarnation: str, now: float) -> ServerInfo | None:
        """
        A goodbye.

        @return: who is gone, if that life of it was known.
        """
        known = self._alive.get(name)
        if known is None or known.incarnation != incarnation:
            return None
        self._remove(name, now)
        return known

    def silent(self, now: float, seconds: float) -> list[ServerInfo]:
        """
        Remove those that have not been heard for so long.

        @return: them.
        """
        gone = [info for info in self if now - self._heardAt[info.name] >= seconds]
        for info in gone:
            self._remove(info.name, now)
        for name in [name for name, at in self._departed.items() if now - at >= self._departedFor]:
            del self._departed[name]
        return gone

    def excuse(self, now: float) -> None:
        """It is not their fault that nothing was heard: count their silence from now on."""
        self._heardAt = dict.fromkeys(self._heardAt, now)

    def _keep(self, info: ServerInfo, now: float) -> None:
        self._alive[info.name] = info
        self._heardAt[info.name] = now
        self._departed.pop(info.name, None)

    def _remove(self, name: str, now: float) -> None:
        del self._alive[name]
        del self._heardAt[name]
        self._departed[name] = now

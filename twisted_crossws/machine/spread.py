"""
Who gets the next connection.

Asked for each connection anew, with those that serve and how many each has. So nothing needs to be told here of
processes that come, go, are stuck or are being drained: they are among those asked about, or not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import count
from random import Random as RandomSource
from typing import Protocol


class Spread(Protocol):
    """One for each shared port."""

    def choose(self, loads: Mapping[str, int], full: Collection[str] = ()) -> str | None:
        """
        @param loads: by name how many connections each one has.
        @param full: the names of those that cannot take one more just now, but soon.
        @return: the name of one that can; or C{None} to wait.
        """


class LeastConnection:
    """
    Who has the fewest; among equals, whose turn was longest ago. As counts are exact, connections that stay are
    spread as evenly as they can be, whatever ended before. So that this holds for many at once too, they wait for those
    who have the fewest if these are full.
    """

    def __init__(self) -> None:
        self._turns = _Turns()

    def choose(self, loads: Mapping[str, int], full: Collection[str] = ()) -> str | None:
        fewest = min(loads.values(), default=0)
        return self._turns.next(name for name, load in loads.items() if load == fewest and name not in full)


class RoundRobin:
    """Of those that can take one, whose turn was longest ago, however many it has."""

    def __init__(self) -> None:
        self._turns = _Turns()

    def choose(self, loads: Mapping[str, int], full: Collection[str] = ()) -> str | None:
        return self._turns.next(name for name in loads if name not in full)


class Random:
    """Anyone that can take one."""

    def __init__(self, source: RandomSource | None = None) -> None:
        """
        @param source: of chance.
        """
        self._source = source or RandomSource()

    def choose(self, loads: Mapping[str, int], full: Collection[str] = ()) -> str | None:
        names = [name for name in loads if name not in full]
        return self._source.choice(names) if names else None


#: By the names that a configuration knows them by.
SPREADS: dict[str, Callable[[], Spread]] = {
    "least-connection": LeastConnection,
    "round-robin": RoundRobin,
    "random": Random,
}


def spreadOf(name: str) -> Spread:
    """
    @param name: one of L{SPREADS}.
    @raise ValueError: it is none of them.
    """
    if name not in SPREADS:
        raise ValueError(f"A spread is one of {', '.join(SPREADS)}, not {name!r}.")
    return SPREADS[name]()


class _Turns:
    """
    When each name had its last turn. Who never had one is first. Names are those of processes, of which there are
    few, so none is forgotten: who is restarted finds its place in the row.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._numbers = count(1)

    def next(self, names: Iterable[str]) -> str | None:
        last = self._last
        chosen = min(names, key=lambda name: last.get(name, 0), default=None)
        if chosen is not None:
            last[chosen] = next(self._numbers)
        return chosen

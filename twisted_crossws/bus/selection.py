"""
Which of several Redis servers a packet is published on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from random import Random
from typing import Any, Protocol, TypeVar


class Choice(Protocol):
    """
    A Redis that can be published on.

    @ivar server: which one it is, the same text on every node.
    @ivar latency: seconds that it takes to answer, smoothed.
    """

    @property
    def server(self) -> str: ...

    @property
    def latency(self) -> float: ...


_C = TypeVar("_C", bound=Choice)

#: Called with the channel and those that can be published on, at least one: which one it is. While these stay the
#: same, they are given as the same object.
Choose = Callable[[str, Sequence[Any]], Any]

#: The channels whose Redis is remembered. Each costs 100 bytes, and about 2 µs to find out anew.
REMEMBERED = 10_000


def selection(strategy: str, random: Random) -> Choose:
    """
    @param strategy: C{"pinned"}, C{"random"}, C{"round-robin"} or C{"fastest"}.
    @raise ValueError: it is none of these.
    """
    strategies: dict[str, Callable[[], Choose]] = {
        "pinned": lambda: _Pinned().choose,
        "random": lambda: lambda channel, among: random.choice(among),
        "round-robin": lambda: _RoundRobin().choose,
        "fastest": lambda: _fastest,
    }
    if strategy not in strategies:
        raise ValueError(f"A strategy must be one of {', '.join(map(repr, strategies))}, not {strategy!r}.")
    return strategies[strategy]()


def pinned(channel: str, among: Sequence[_C]) -> _C:
    """
    Rendezvous hashing: each Redis has a weight for the channel, and the heaviest has it. Every node finds the same, and
    if one goes or comes, only the channels move that were its own or become so.
    """
    return max(among, key=lambda choice: (_weight(choice.server, channel), choice.server))


def _weight(server: str, channel: str) -> bytes:
    return blake2b(f"{server}\0{channel}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _fastest(channel: str, among: Sequence[_C]) -> _C:
    return min(among, key=lambda choice: choice.latency)


class _Pinned:
    """Remembers what was found, for as long as there are the same to choose from."""

    def __init__(self) -> None:
        self._among: Sequence[Any] = ()
        self._found: dict[str, Any] = {}

    def choose(self, channel: str, among: Sequence[_C]) -> _C:
        if among is not self._among or len(self._found) >= REMEMBERED:
            self._among = among
            self._found = {}
        found: _C | None = self._found.get(channel)
        if found is None:
            found = self._found[channel] = pinned(channel, among)
        return found


class _RoundRobin:
    """One after the other."""

    def __init__(self) -> None:
        self._count = -1

    def choose(self, channel: str, among: Sequence[_C]) -> _C:
        self._count += 1
        return among[self._count % len(among)]

"""
Long answers to other servers, a page at a time: no packet is too large, and nobody gets more than it has asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from secrets import token_hex
from typing import Any, Protocol

from msgspec import Raw
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_crossws.cluster.answering import ServerMessage
from twisted_crossws.errors import ReplyError
from twisted_crossws.wire.remote import Page

#: Bytes of items after which a page is full. Small enough that a Redis with its default limits holds the pages of
#: a hundred servers at once for the one that asks, and that making one takes a few milliseconds.
PAGE_BYTES = 262_144

#: Some encoded items, and whether these are the last.
Part = tuple[list[bytes], bool]


class Source(Protocol):
    """Where the items of one answer come from."""

    def part(self) -> Deferred[Part]:
        """The next ones; asked for again only when it has fired."""


class Listed:
    """Items that are there already, and are encoded when they are wanted."""

    def __init__(self, items: Iterator[bytes]) -> None:
        self._items = items
        self._next = next(items, None)

    def part(self) -> Deferred[Part]:
        taken: list[bytes] = []
        size = 0
        while self._next is not None and (not taken or size + len(self._next) <= PAGE_BYTES):
            taken.append(self._next)
            size += len(self._next)
            self._next = next(self._items, None)
        return succeed((taken, self._next is None))


class Growing:
    """Items that come by and by: a part waits until there is one, or the end."""

    def __init__(self) -> None:
        self._items: deque[bytes] = deque()
        self._isEnded = False
        self._wanted: Deferred[Part] | None = None

    def put(self, item: bytes) -> None:
        """One more."""
        self._items.append(item)
        self._look()

    def end(self) -> None:
        """That was the last."""
        self._isEnded = True
        self._look()

    def drop(self) -> None:
        """Nobody waits any more, neither for what is there nor for what would come."""
        self._items.clear()
        self._wanted = None

    def part(self) -> Deferred[Part]:
        wanted: Deferred[Part] = Deferred()
        self._wanted = wanted
        self._look()
        return wanted

    def _look(self) -> None:
        if self._wanted is None or not (self._items or self._isEnded):
            return
        taken: list[bytes] = []
        size = 0
        while self._items and (not taken or size + len(self._items[0]) <= PAGE_BYTES):
            size += len(self._items[0])
            taken.append(self._items.popleft())
        wanted, self._wanted = self._wanted, None
        wanted.callback((taken, self._isEnded and not self._items))


class Pages:
    """Makes pages of answers, and keeps what is left of each until it is asked for, or nobody waits for it any more."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._left: dict[str, tuple[Source, IDelayedCall]] = {}
        self._prefix = token_hex(6)
        self._count = 0

    def __len__(self) -> int:
        return len(self._left)

    def first(self, source: Source, seconds: float) -> Deferred[Page]:
        """
        @param seconds: how long the asking server waits for all of it.
        @return: fires with the first page.
        """
        until = self._clock.seconds() + seconds
        return source.part().addCallback(self._firstMade, source, until)

    def more(self, message: ServerMessage) -> Deferred[Page]:
        """
        A server asks for the next page.

        @raise ReplyError: there is none.
        """
        token = message.payload
        if not isinstance(token, str) or token not in self._left:
            raise ReplyError("no_such_page", "What was left of this answer is not kept any more.")
        source, _ = self._left[token]
        return source.part().addCallback(self._nextMade, token)

    def stop(self) -> None:
        """Keep nothing."""
        for _, timer in self._left.values():
            timer.cancel()
        self._left.clear()

    def _firstMade(self, part: Part, source: Source, until: float) -> Page:
        items, isLast = part
        if isLast:
            return _page(items, None)
        self._count += 1
        token = f"{self._prefix}-{self._count}"
        timer = self._clock.callLater(max(0.0, until - self._clock.seconds()), self._expired, token)
        self._left[token] = (source, timer)
        return _page(items, token)

    def _nextMade(self, part: Part, token: str) -> Page:
        items, isLast = part
        if not isLast:
            return _page(items, token)
        _, timer = self._left.pop(token, (None, None))
        if timer is not None:
            timer.cancel()
        return _page(items, None)

    def _expired(self, token: str) -> None:
        del self._left[token]


def _page(items: list[bytes], more: str | None) -> Page:
    # They are encoded already, to know how much fits.
    encoded: list[Any] = [Raw(item) for item in items]
    return Page(encoded, more)

"""
Long answers, a page at a time.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twisted_crossws.cluster.answering import ServerMessage
from twisted_crossws.cluster.pages import PAGE_BYTES, Growing, Listed, Pages
from twisted_crossws.errors import ReplyError
from twisted_crossws.wire.remote import Page


def more(pages: Pages, token: Any) -> Deferred[Page]:
    return pages.more(ServerMessage("_more_", token, "serverA", "1"))


def now(waiting: Deferred[Page]) -> Page:
    """The page, which is there at once."""
    results: list[Page] = []
    waiting.addCallback(results.append)
    return results[0]


def sizes(page: Page) -> list[int]:
    return [len(msgspec.msgpack.encode(item)) for item in page.items]


@given(st.lists(st.integers(0, 2 * PAGE_BYTES), max_size=30))
def test_allOfThem(lengths: list[int]) -> None:
    """Every item comes once and in order; a page is not larger than it may be, unless one item alone is."""
    clock = Clock()
    pages = Pages(clock)
    page = now(pages.first(Listed(iter([b"x" * length for length in lengths])), 5.0))
    got = sizes(page)
    while page.more is not None:
        page = now(more(pages, page.more))
        assert len(page.items) == 1 or sum(sizes(page)) <= PAGE_BYTES
        assert page.items
        got += sizes(page)
    assert got == lengths
    assert not pages and not clock.getDelayedCalls()


@given(st.lists(st.integers(0, PAGE_BYTES) | st.none(), max_size=30))
def test_growing(steps: list[int | None]) -> None:
    """The same, however items and requests for pages (C{None}) follow each other: a page waits until there is one."""
    clock = Clock()
    pages, source, got = Pages(clock), Growing(), list[int]()
    token: list[Any] = []

    def heard(page: Page) -> None:
        got.extend(sizes(page))
        token[:] = [page.more]

    pages.first(source, 5.0).addCallback(heard)
    for step in steps:
        if step is not None:
            source.put(b"x" * step)
        elif token and token[0] is not None:
            wanted, token[:] = token[0], []
            more(pages, wanted).addCallback(heard)
    source.end()
    while token and token[0] is not None:
        wanted, token[:] = token[0], []
        more(pages, wanted).addCallback(heard)
    assert got == [step for step in steps if step is not None]
    assert token == [None]
    assert not pages and not clock.getDelayedCalls()


def test_expires(clock: Clock) -> None:
    """What nobody asks for is kept as long as somebody may wait for it, and no longer."""
    pages = Pages(clock)
    page = now(pages.first(Listed(iter([b"x" * PAGE_BYTES] * 3)), 5.0))
    clock.advance(4.9)
    assert now(more(pages, page.more)).more == page.more
    clock.advance(0.2)
    with pytest.raises(ReplyError, match="not kept"):
        more(pages, page.more)
    assert not pages


@pytest.mark.parametrize("token", [None, 7, "", "unknown", [], {}])
def test_unknown(clock: Clock, token: Any) -> None:
    """There is no such page."""
    with pytest.raises(ReplyError):
        more(Pages(clock), token)


def test_stop(clock: Clock) -> None:
    """A node that stops keeps nothing, not even a timer."""
    pages = Pages(clock)
    pages.first(Listed(iter([b"x" * PAGE_BYTES] * 3)), 5.0)
    pages.stop()
    assert not pages and not clock.getDelayedCalls()

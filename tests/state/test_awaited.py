"""
Waiting until there are enough servers.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_crossws.state.awaited import Awaited
from twisted_crossws.state.members import ServerInfo

case = SynchronousTestCase()

A, B, C = (ServerInfo(name, "1", 0.0, role) for name, role in (("a", "game"), ("b", "chat"), ("c", "game")))


@pytest.fixture
def awaited() -> Awaited:
    return Awaited()


@pytest.mark.parametrize(
    ("count", "role", "servers", "names"),
    [
        (0, None, [], set()),
        (1, None, [A], {"a"}),
        (2, None, [A, B, C], {"a", "b", "c"}),
        (2, "game", [A, B, C], {"a", "c"}),
        (1, "chat", [A, B, C], {"b"}),
    ],
)
def test_already(awaited: Awaited, count: int, role: str | None, servers: list[ServerInfo], names: set[str]) -> None:
    """If there are enough it fires at once, with the names of all, or of all of the role."""
    assert case.successResultOf(awaited.add(count, role, servers)) == names


@pytest.mark.parametrize(("count", "role"), [(3, None), (2, "game")])
def test_later(awaited: Awaited, count: int, role: str | None) -> None:
    """Otherwise it fires once, as soon as there are."""
    waiting = awaited.add(count, role, [A])
    awaited.changed([A, B])
    case.assertNoResult(waiting)
    awaited.changed([A, B, C])
    assert len(case.successResultOf(waiting)) == count
    awaited.changed([A, B, C])


def test_cancelled(awaited: Awaited) -> None:
    """Who does not wait any longer is forgotten; the others are told."""
    impatient, patient = awaited.add(2, None, [A]), awaited.add(2, None, [A])
    impatient.cancel()
    case.failureResultOf(impatient, CancelledError)
    awaited.changed([A, B])
    assert case.successResultOf(patient) == {"a", "b"}


def test_cancelledByAnother(awaited: Awaited) -> None:
    """Who is told may end the wait of another, who would have been told next."""
    first, second = awaited.add(2, None, [A]), awaited.add(2, None, [A])
    first.addCallback(lambda names: second.cancel())
    awaited.changed([A, B])
    case.successResultOf(first)
    case.failureResultOf(second, CancelledError)


def test_addedByAnother(awaited: Awaited) -> None:
    """Who is told may wait for more."""
    more: list[Deferred[Any]] = []
    awaited.add(2, None, [A]).addCallback(lambda names: more.append(awaited.add(3, None, [A, B])))
    awaited.changed([A, B])
    case.assertNoResult(more[0])
    awaited.changed([A, B, C])
    assert case.successResultOf(more[0]) == {"a", "b", "c"}


def test_end(awaited: Awaited) -> None:
    """When nobody else will come, all waits end."""
    waiting = [awaited.add(count, None, [A]) for count in (2, 3)]
    awaited.cancel()
    for each in waiting:
        case.failureResultOf(each, CancelledError)
    awaited.changed([A, B, C])

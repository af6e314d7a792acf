"""
The table of other servers: a life begins once and ends once.
"""

from __future__ import annotations

import pytest

from twisted_crossws.state.members import Members, News, ServerInfo

FIRST = ServerInfo("serverC", "first", 100.0)
#: The same process, after it was away.
AGAIN = ServerInfo("serverC", "first+000001", 100.0)
THIRD = ServerInfo("serverC", "first+000002", 100.0)
#: Another process.
NEXT = ServerInfo("serverC", "next", 200.0)


@pytest.fixture
def members() -> Members:
    """One that knows the first life of serverC, heard at second 0."""
    members = Members(50.0)
    assert members.heard(FIRST, 0.0) == News(isUp=True)
    return members


def test_known(members: Members) -> None:
    """One that is known is no news."""
    assert members.heard(FIRST, 1.0) == News()
    assert (members.names(), len(members), list(members)) == ({"serverC"}, 1, [FIRST])
    assert members.get("serverC") == members.info("serverC") == FIRST


def test_otherLife(members: Members) -> None:
    """Another life ends the one before; what that says late is no news."""
    assert members.heard(NEXT, 1.0) == News(FIRST, isUp=True)
    assert members.heard(FIRST, 1.0) == News()
    assert members.left("serverC", "first", 1.0) is None
    assert members.get("serverC") == NEXT


def test_left(members: Members) -> None:
    """Who has said goodbye is gone: what it said before, and is heard of late, does not bring it back."""
    assert members.left("serverC", "first", 1.0) == FIRST
    assert members.heard(FIRST, 1.1) == News()
    assert (members.names(), members.get("serverC"), members.isDeparted("serverC")) == (set(), None, True)
    assert members.heard(NEXT, 2.0) == News(isUp=True)
    assert not members.isDeparted("serverC")


def test_leftUnknown(members: Members) -> None:
    """A goodbye of a server that is not known is no news."""
    assert members.left("serverD", "first", 1.0) is None
    assert members.info("serverD") is None


def test_gone(members: Members) -> None:
    """One that is gone is remembered as such, with what it said last, but not for ever."""
    members.left("serverC", "first", 1.0)
    info = members.info("serverC")
    assert info is not None and (info.incarnation, info.state) == ("first", "gone")
    assert members.silent(50.9, 5.0) == []
    assert members.isDeparted("serverC")
    members.silent(51.0, 5.0)
    assert members.info("serverC") is None and not members.isDeparted("serverC")


def test_silent(members: Members) -> None:
    """Who was silent for too long is gone, unless that is excused."""
    members.excuse(3.0)
    assert members.silent(7.9, 5.0) == []
    assert members.silent(8.0, 5.0) == [FIRST]
    assert members.silent(9.0, 5.0) == []


@pytest.mark.parametrize("bySilence", [True, False])
def test_lostAndHeard(members: Members, bySilence: bool) -> None:
    """
    One that was taken for lost and is heard again is alive, and not up again: its life has ended. It is to begin
    another one, which is up.
    """
    assert (members.silent(6.0, 5.0) if bySilence else [members.lost("serverC", 6.0)]) == [FIRST]
    assert members.heard(FIRST, 7.0) == News(lostFor=7.0)
    assert members.names() == {"serverC"} and not members.isDeparted("serverC")
    assert members.heard(FIRST, 7.5) == News(lostFor=7.0)
    assert members.heard(AGAIN, 8.0) == News(isUp=True)
    assert members.heard(AGAIN, 9.0) == members.heard(FIRST, 9.0) == News()


def test_knowsThatItWasLost(members: Members) -> None:
    """If it has begun another life by itself, that is up at once."""
    members.lost("serverC", 6.0)
    assert members.heard(AGAIN, 7.0) == News(isUp=True)


def test_notMissedHere(members: Members) -> None:
    """Who has not missed it sees no change in its other lives."""
    assert members.heard(AGAIN, 1.0) == members.heard(THIRD, 2.0) == News()
    assert members.get("serverC") == THIRD
    assert members.left("serverC", "first+000003", 3.0) == THIRD


def test_lostAgain(members: Members) -> None:
    """One that is lost again before it has begun another life is not down twice."""
    members.lost("serverC", 6.0)
    members.heard(FIRST, 7.0)
    assert members.lost("serverC", 8.0) is None
    assert members.lost("serverC", 8.0) is None
    members.heard(FIRST, 9.0)
    assert members.silent(20.0, 5.0) == []
    assert members.isDeparted("serverC")


def test_replacedWhileLost(members: Members) -> None:
    """Another process that takes its place is up, and nobody is down once more."""
    members.lost("serverC", 6.0)
    members.heard(FIRST, 7.0)
    assert members.heard(NEXT, 8.0) == News(isUp=True)


def test_goodbyeOfALostOne(members: Members) -> None:
    """If one that was taken for lost says goodbye, nothing brings it back either."""
    members.lost("serverC", 6.0)
    assert members.left("serverC", "first", 7.0) is None
    assert members.heard(FIRST, 8.0) == News()
    assert members.names() == set()

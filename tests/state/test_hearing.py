"""
A server that judges by its own signs of life whether it hears, and whether it was away.
"""

from __future__ import annotations

import pytest

from twisted_crossws.state.hearing import Hearing


@pytest.fixture
def hearing() -> Hearing:
    """Of a server that announces itself each 1.5 seconds, and is lost after 5; it has come at second 10."""
    hearing = Hearing(1.5, 5.0)
    hearing.begin(10.0)
    return hearing


def test_deaf(hearing: Hearing) -> None:
    """It is deaf when its signs of life do not come back, before others can seem lost."""
    assert hearing.heardItself(11.5) == 0.0
    assert not hearing.isDeaf(14.4)
    assert hearing.isDeaf(14.5)
    assert hearing.heardItself(14.6) == 0.0
    assert not hearing.isDeaf(14.6)


def test_rareSigns() -> None:
    """If they are rare it waits longer for them."""
    hearing = Hearing(2.0, 3.0)
    assert not hearing.isDeaf(2.9)
    assert hearing.isDeaf(3.0)


def test_resumes(hearing: Hearing) -> None:
    """One that could not hear, and knows that, is given the time to hear itself again."""
    hearing.resume(20.0)
    assert not hearing.isDeaf(22.9)
    assert hearing.isDeaf(23.0)


def test_away(hearing: Hearing) -> None:
    """If it did not hear itself for so long that others have lost it, it was away, and is told so once."""
    assert hearing.heardItself(14.9) == 0.0
    assert hearing.heardItself(22.9) == pytest.approx(8.0)
    assert hearing.away(9.0, 24.0) == 0.0
    assert hearing.away(20.0, 40.0) == pytest.approx(17.1)


def test_toldByOthers(hearing: Hearing) -> None:
    """What others have said of it is not said again."""
    hearing.isTold(16.0)
    assert hearing.heardItself(16.1) == 0.0


def test_alone(hearing: Hearing) -> None:
    """One that nobody could hear was not away."""
    hearing.needsNoVoice(90.0)
    assert hearing.heardItself(91.0) == 0.0

"""
Times of other servers' clocks, in the time of this one's.
"""

from __future__ import annotations

from twisted_crossws.state.peerclocks import PeerClocks


def test_ahead() -> None:
    """A time of a clock that is an hour ahead is an hour earlier here."""
    clocks = PeerClocks()
    assert clocks.heard("serverB", 4600.0, 1000.0) == -3600.0
    assert clocks.toMine("serverB", 4605.0) == 1005.0


def test_last() -> None:
    """What the server announced last counts."""
    clocks = PeerClocks()
    clocks.heard("serverB", 4600.0, 1000.0)
    assert clocks.heard("serverB", 900.0, 1010.0) == 110.0
    assert clocks.toMine("serverB", 905.0) == 1015.0


def test_unknown() -> None:
    """A time of a server that never announced its own, or is gone, is taken as it is."""
    clocks = PeerClocks()
    assert clocks.toMine("serverB", 5.0) == 5.0
    clocks.heard("serverB", 0.0, 7.0)
    clocks.forget("serverB")
    clocks.forget("serverC")
    assert clocks.toMine("serverB", 5.0) == 5.0

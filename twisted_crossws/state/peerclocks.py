"""
How far the clocks of other servers are from this one's.
"""

from __future__ import annotations


class PeerClocks:
    """
    Turns a time that another server has written down into this server's own time. Each announcement tells the sender's
    time; what it took to arrive makes that clock seem late by as much, so a deadline is never put too early.
    """

    def __init__(self) -> None:
        self._behind: dict[str, float] = {}

    def heard(self, name: str, theirs: float, mine: float) -> float:
        """
        @param theirs: seconds of that server's clock, as it has just announced them.
        @param mine: seconds of this server's clock now.
        @return: seconds by which that clock is behind this one; negative if it is ahead.
        """
        behind = self._behind[name] = mine - theirs
        return behind

    def forget(self, name: str) -> None:
        """Forget the clock of a server that is gone."""
        self._behind.pop(name, None)

    def toMine(self, name: str, theirs: float) -> float:
        """
        @return: the time of this server's clock at that time of the other's; the same, if it never announced its own.
        """
        return theirs + self._behind.get(name, 0.0)

"""
Whether this server itself is well, judged by its own signs of life: they take the same way as those of all others.
"""

from __future__ import annotations


class Hearing:
    """
    Knows when this server was last heard, by itself. A server that does not hear itself cannot tell whether others are
    silent; one that has not heard itself for long was away for others. It is told the time, in seconds of one clock.
    """

    def __init__(self, announceInterval: float, lostAfter: float) -> None:
        """
        @param announceInterval: seconds between two signs of life.
        @param lostAfter: seconds of silence after which a server is gone for others.
        """
        self._lostAfter = lostAfter
        # Late enough for a sign of life to come back by a slow bus, and, as far as these two allow, before anybody else
        # seems lost.
        self._deafAfter = max(lostAfter * 0.6, announceInterval * 1.5)
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """From now on there are signs of life."""
        self._heardAt = self._deafSince = self._presentSince = now

    def heardItself(self, now: float) -> float:
        """
        One came back.

        @return: seconds for which the server was away, as of L{away}.
        """
        silence = now - self._heardAt
        self.needsNoVoice(now)
        return self.away(silence, now)

    def needsNoVoice(self, now: float) -> None:
        """There is nobody who could hear it, or miss it."""
        self._heardAt = self._deafSince = now

    def resume(self, now: float) -> None:
        """It could not have heard anything until now, and that is known."""
        self._deafSince = now

    def isDeaf(self, now: float) -> bool:
        """Whether it does not hear what it says itself."""
        return now - self._deafSince >= self._deafAfter

    def away(self, seconds: float, now: float) -> float:
        """
        It has heard nothing, or has not been heard, for so long.

        @return: seconds for which it was away for others, and has not been told so before; 0 if it was not.
        """
        seconds = min(seconds, now - self._presentSince)
        if seconds < self._lostAfter:
            return 0.0
        self._presentSince = now
        return seconds

    def isTold(self, now: float) -> None:
        """Others have said that it was away."""
        self._presentSince = now

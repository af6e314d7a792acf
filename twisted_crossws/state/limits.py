"""
How much is too much.
"""

from __future__ import annotations


class TokenBucket:
    """
    So many each second, and so many at once.

    @ivar rate: how many each second, in the long run; 0 or less is no limit.
    @ivar burst: how many at once after a pause.
    """

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float, count: float = 1.0) -> bool:
        """
        @param now: seconds, from a clock that does not go back.
        @return: whether there was enough; if not, nothing was taken.
        """
        if self.rate <= 0:
            return True
        tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        self._tokens = tokens - count if tokens >= count else tokens
        return tokens >= count

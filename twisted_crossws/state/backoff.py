"""
When to try again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class ReconnectSchedule:
    """
    How long a client waits before each attempt to reconnect.

    The first few come quickly, since most losses are short. From then on the wait doubles, with jitter, so that the
    clients of a server that fell do not all come back in the same moment.

    @ivar fastAttempts: how many attempts come quickly.
    @ivar interval: seconds before each of these.
    @ivar longest: seconds, never to wait longer.
    """

    fastAttempts: int = 3
    interval: float = 3.0
    longest: float = 120.0

    def delay(self, attempt: int, random: Callable[[], float]) -> float:
        """
        @param attempt: 1 for the first after a loss.
        @param random: gives a number from 0 to 1, for the jitter.
        @return: seconds.
        """
        if attempt <= self.fastAttempts:
            return min(self.interval, self.longest)
        # Beyond 2^64 the product is longer than any limit, and would overflow a float in the end.
        doubled = self.interval * 2.0 ** min(attempt - self.fastAttempts, 64)
        return min(doubled + self.interval * random(), self.longest)

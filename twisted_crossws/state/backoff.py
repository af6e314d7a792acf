"""
When to try again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from twisted_crossws.errors import CloseCode

#: Seconds, the longest that a server's hint is followed: it is to spread its clients, not to keep them away.
LONGEST_HINT = 60.0

_HINT = re.compile(r"\bretry-after=([0-9]+(?:\.[0-9]+)?)", re.ASCII)


@dataclass(frozen=True)
class ReconnectSchedule:
    """
    How long a client waits before each attempt to reconnect.

    The first few come quickly, since most losses are short; from then on the wait doubles. From the first one on each
    lies anywhere within the last interval of what it may be, so that the clients of a server that fell do not all come
    back in the same moment.

    @ivar fastAttempts: how many attempts come quickly.
    @ivar interval: seconds, the longest wait before each of these, and how far all waits are spread.
    @ivar longest: seconds, never to wait longer.
    """

    fastAttempts: int = 3
    interval: float = 3.0
    longest: float = 120.0

    def delay(self, attempt: int, random: Callable[[], float], hint: float | None = None) -> float:
        """
        @param attempt: 1 for the first after a loss.
        @param random: gives a number from 0 to 1, for the jitter.
        @param hint: seconds that the server wants, where it says (L{hintOf}).
        @return: seconds.
        """
        if hint is not None:
            return min(hint, self.longest)
        # Beyond 2^64 the product is longer than any limit, and would overflow a float in the end.
        doublings = min(attempt - self.fastAttempts, 64)
        factor = 2.0**doublings + 1 if doublings > 0 else 1.0
        latest = min(self.interval * factor, self.longest)
        return latest - min(self.interval, latest) * random()


def hintOf(code: int, reason: str) -> float | None:
    """
    How many seconds after its goodbye a server that is being restarted wants to see this client again; C{None} if it
    does not say.
    """
    found = _HINT.search(reason) if code == CloseCode.SERVICE_RESTART else None
    return min(float(found[1]), LONGEST_HINT) if found else None

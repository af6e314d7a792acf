"""
What other servers send to one whose name is not its own yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.logger import Logger

from twisted_crossws.state.counters import Counters
from twisted_crossws.wire.packets import ServerEvent

_log = Logger()

#: Events that wait until a server has its name, which takes half a second.
MAX_WAITING = 1_000


class EarlyEvents:
    """
    Events and questions that wait: the name that they are for may turn out to be another server's, which serves them.
    Those that nobody serves here are counted.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._waiting: deque[ServerEvent] = deque()

    def add(self, message: ServerEvent) -> None:
        """One more came."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(message)
        else:
            self._counters["events_early"] += 1

    def serve(self, serve: Callable[[ServerEvent], None]) -> None:
        """
        The name is this server's own: serve all of them, in the order in which they came, unless one of them stops
        this server.
        """
        while self._waiting:
            message = self._waiting.popleft()
            try:
                serve(message)
            except Exception:
                _log.failure("an event of {sender} could not be handled", sender=message.senderServer)

    def drop(self) -> None:
        """This server does not get the name, or stops."""
        self._counters["events_early"] += len(self._waiting)
        self._waiting.clear()

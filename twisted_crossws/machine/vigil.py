"""
Whether the master is frozen, as a process is that was stopped by a signal, or that the system has no memory for.

A master that dies is noticed at once, as its end of the channel is closed. One that is frozen still has it, and the
listening socket too: connections would wait for it. So a worker looks each second whether some do wait. If so, it asks
the master for a sign of life; and if there is none until it looks again, it accepts connections by itself, until there
is one. A master that lives answers, whatever reason it has not to accept.
"""

from __future__ import annotations

import select
from typing import Any, Protocol

from twisted.logger import Logger

_log = Logger()

#: Seconds between two looks, and so those that a master has to answer.
INTERVAL = 1.0


class Watched(Protocol):
    """A port with a channel to a master."""

    def fileno(self) -> int:
        """Of the listening socket."""

    def ask(self) -> None:
        """Ask the master for a sign of life."""

    def startReading(self) -> None: ...

    def stopReading(self) -> None: ...


class Vigil:
    """
    Over the master of one port, from when it is made until it is L{ended<end>}.
    """

    def __init__(self, port: Watched, reactor: Any) -> None:
        self._port = port
        self._reactor = reactor
        self._isAsked = False
        self._isFrozen = False
        self._timer = reactor.callLater(INTERVAL, self._look)

    def heard(self) -> None:
        """There is a sign of life."""
        self._isAsked = False
        if self._isFrozen:
            self._isFrozen = False
            self._port.stopReading()
            _log.info("the master is there again")

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._reactor.callLater(INTERVAL, self._look)
        if self._isFrozen:
            return
        if self._isAsked:
            self._isFrozen = True
            _log.warn("the master does not answer; connections are accepted without it")
            self._port.startReading()
        elif self._doWait():
            self._isAsked = True
            self._port.ask()

    def _doWait(self) -> bool:
        """Whether there are connections that nobody has accepted."""
        poll = select.poll()
        poll.register(self._port.fileno(), select.POLLIN)
        return bool(poll.poll(0))

"""
A control socket that stays where it is to be found, whatever removes files from the run folder meanwhile: a logout, or
a cleaner of temporary files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twisted_crossws.machine.control import Connection, ControlFactory, Refused, listen, locked
from twisted_crossws.runfolder import identityOf, makeRunFolder

_log = Logger()

#: Seconds between two looks whether the socket still is there.
LOOK_INTERVAL = 1.0


class KeptSocket:
    """
    Listens at a path. When the socket, its lock or the folder has been removed, they are made again within
    L{LOOK_INTERVAL}; connections that are open go on.
    """

    def __init__(self, path: str, make: Callable[[], Connection], reactor: Any, *, takenBy: str = "") -> None:
        """
        @param make: makes the protocol of a connection.
        @param takenBy: what to say when another process has the socket's lock, C{PATH.lock}; without it there is none.
        """
        self.path = path
        self._factory = ControlFactory(make)
        self._reactor = reactor
        self._takenBy = takenBy
        self._lock: int | None = None
        self._port: Any = None
        self._found: dict[str, tuple[int, int] | None] = {}
        self._timer: IDelayedCall | None = None
        self._fault = ""

    def open(self) -> None:
        """
        Listen.

        @raise Refused: another process listens there, or has the lock.
        @raise CannotListenError: the system does not let us.
        @raise OSError: the same, for the lock.
        """
        if self._takenBy and self._lock is None:
            # Two that start at the same moment would each find that nobody answers.
            self._lock = locked(self._lockPath)
            if self._lock is None:
                raise Refused(self._takenBy)
        self._port = listen(self._reactor, self.path, self._factory)
        self._found = self._identities()
        self._timer = self._reactor.callLater(LOOK_INTERVAL, self._look)

    def close(self) -> Deferred[Any]:
        """
        @return: fires when nobody can connect any more.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return self._stopPort().addBoth(lambda _: self._unlock())

    @property
    def _lockPath(self) -> str:
        return f"{self.path}.lock"

    def _identities(self) -> dict[str, tuple[int, int] | None]:
        """Which files lie there now."""
        return {path: identityOf(path) for path in (self.path, self._lockPath)}

    def _look(self) -> None:
        self._timer = self._reactor.callLater(LOOK_INTERVAL, self._look)
        identities = self._identities()
        if identities == self._found:
            return
        if identities[self._lockPath] != self._found[self._lockPath]:
            self._unlock()
        self._timer.cancel()
        self._timer = None
        self._stopPort().addBoth(lambda _: self._openAgain())

    def _openAgain(self) -> None:
        try:
            makeRunFolder(os.path.dirname(self.path))
            self.open()
        except (ValueError, Refused, CannotListenError, OSError) as fault:
            self._complain(str(fault).rstrip("."))
            self._timer = self._reactor.callLater(LOOK_INTERVAL, self._openAgain)
        else:
            self._fault = ""
            _log.warn("somebody has removed the control socket {path}, which is made again", path=self.path)

    def _complain(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            says = "somebody has removed the control socket {path}, which cannot be made again yet: {fault}"
            _log.error(says, path=self.path, fault=fault)

    def _stopPort(self) -> Deferred[Any]:
        port, self._port = self._port, None
        if port is None:
            return succeed(None)
        # Twisted's port removes its file when it stops, and fails if there is none: its socket then stays open.
        with suppress(OSError, ValueError):
            makeRunFolder(os.path.dirname(self.path))
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return maybeDeferred(port.stopListening)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

"""
The master's end of a L{channel<twisted_crossws.machine.handover>}: it gives connections to one worker, and knows how
many that has.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.machine.handover import CONNECTION, PATIENCE, REPORT, REST, SIGN_OF_LIFE, WINDOW

_log = Logger()

#: The system cannot take more descriptors just now, or there is nobody any more.
_EXPECTED = {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS, errno.EPIPE, errno.ECONNRESET}


class Owner(Protocol):
    """Who has L{Giver}s."""

    def reported(self, giver: Giver) -> None:
        """It may have room now."""

    def returned(self, giver: Giver, connections: Sequence[socket.socket]) -> None:
        """It could not take these."""

    def ended(self, giver: Giver, connections: Sequence[socket.socket]) -> None:
        """The worker has closed the channel, and has not read these."""


@implementer(IReadDescriptor)
class Giver:
    """
    One channel.

    @ivar name: of the worker.
    @ivar load: how many connections the worker has, those on the way to it included.
    @ivar isReady: whether it has ever reported.
    @ivar isPaused: whether it is to get no further ones.
    """

    def __init__(self, name: str, channel: socket.socket, owner: Owner, reactor: Any) -> None:
        channel.setblocking(False)
        self.name = name
        self.load = 0
        self.isReady = False
        self.isPaused = False
        self._channel = channel
        self._owner = owner
        self._reactor = reactor
        self._underWay: deque[tuple[socket.socket, float]] = deque()
        self._received = 0
        self._rests = 0.0
        self._unread = b""
        self._isOpen = True
        reactor.addReader(self)

    def serves(self, now: float) -> bool:
        """
        @return: whether connections are to be given to it: it listens, and is not stuck.
        """
        if not self.isReady or self.isPaused or now < self._rests:
            return False
        return not self._underWay or now - self._underWay[0][1] < PATIENCE

    def room(self) -> int:
        """
        @return: how many can be given to it now.
        """
        return WINDOW - len(self._underWay)

    def changesAt(self) -> float:
        """
        @return: when it will be stuck, or have rested, if it reports nothing until then.
        """
        return max(self._rests, self._underWay[0][1] + PATIENCE if self._underWay else 0.0)

    def give(self, connections: list[socket.socket]) -> bool:
        """
        @param connections: as many as there is room for. Those given are closed here when the worker has them.
        @return: whether they were given: all, or none.
        """
        now = self._reactor.seconds()
        try:
            socket.send_fds(
                self._channel, [CONNECTION * len(connections)], [connection.fileno() for connection in connections]
            )
        except OSError as fault:
            # What has ended is found out by reading, where the last reports are.
            self._rests = now + REST
            if fault.errno not in _EXPECTED:
                _log.failure("{name} could not be given a connection", name=self.name)
            return False
        self._underWay.extend((connection, now) for connection in connections)
        self.load += len(connections)
        return True

    def close(self) -> None:
        """End the channel. The worker serves what is in it."""
        # If the worker is gone, that is to be known before.
        while self._isOpen and self._readSome():
            pass
        self._close()

    # For the reactor

    def fileno(self) -> int:
        return self._channel.fileno()

    def logPrefix(self) -> str:
        return "crossws"

    def doRead(self) -> None:
        self._readSome()

    def connectionLost(self, reason: Failure) -> None:
        """The worker is gone, or the reactor ends."""
        self.close()

    def _readSome(self) -> bool:
        """
        @return: whether there was something, so that there may be more.
        """
        try:
            data = self._channel.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._read(self._unread + data)
            return True
        left = [connection for connection, _ in self._underWay]
        self._underWay.clear()
        self._close()
        self._owner.ended(self, left)
        return False

    def _read(self, data: bytes) -> None:
        whole = len(data) - len(data) % REPORT.size
        self._unread = data[whole:]
        for received, load, returned, asks in REPORT.iter_unpack(data[:whole]):
            new = received - self._received
            if not 0 <= returned <= new <= len(self._underWay):
                _log.error("{name} reports what cannot be; its channel is closed", name=self.name)
                # Whether it has read them or not: nobody else may serve them.
                self._close()
                self._owner.ended(self, ())
                return
            self._received = received
            connections = [self._underWay.popleft()[0] for _ in range(new)]
            for connection in connections[: new - returned]:
                connection.close()
            self.load = load + len(self._underWay)
            self.isReady = True
            if asks:
                self._answer()
            if returned:
                self._rests = self._reactor.seconds() + REST
                self._owner.returned(self, connections[new - returned :])
        self._owner.reported(self)

    def _answer(self) -> None:
        with suppress(OSError):  # A worker that does not read needs no sign, nor does a dead one.
            self._channel.send(SIGN_OF_LIFE)

    def _close(self) -> None:
        if self._isOpen:
            self._isOpen = self.isReady = False
            self._reactor.removeReader(self)
            self._channel.close()
            for connection, _ in self._underWay:
                connection.close()
            self._underWay.clear()

"""
The worker's end of a L{channel<twisted_crossws.machine.handover>}: it takes connections, and says how many it has.
"""

from __future__ import annotations

import socket
from array import array
from typing import Any, Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.machine.handover import BATCH, CONNECTION, INTERVAL, REPORT, SIGN_OF_LIFE

_log = Logger()

#: Programs that are started must not inherit what is received. Python's own C{recv_fds} forgets about that in 3.11.
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)

#: Bytes that are read at once: more than a batch and all signs of life that may stand before it.
_SIZE = 4096

#: Bytes that the descriptors of a batch need.
_SPACE = socket.CMSG_LEN(BATCH * array("i").itemsize)


class Receiver(Protocol):
    """Who has a L{Taker}."""

    @property
    def open(self) -> int:
        """How many connections it has."""

    def take(self, connection: socket.socket) -> None:
        """Serve it."""

    def noRoom(self, count: int) -> None:
        """There were no descriptors left for so many."""

    def heard(self) -> None:
        """The master lives."""

    def channelEnded(self) -> None:
        """Nothing comes from the channel any more."""


@implementer(IReadDescriptor)
class Taker:
    """
    One channel.
    """

    def __init__(self, channel: socket.socket, receiver: Receiver, reactor: Any, family: int = socket.AF_INET) -> None:
        """
        @param family: of the connections.
        """
        channel.setblocking(False)
        self._channel = channel
        self._receiver = receiver
        self._reactor = reactor
        self._family = family
        self._received = 0
        self._held: list[socket.socket] = []
        self._lost = 0
        self._asks = False
        self._timer: Any = None
        self._isOpen = True
        self._isHeard = True
        reactor.addReader(self)
        self._report()

    def changed(self) -> None:
        """The receiver has fewer connections than it had. It is reported some time later."""
        if self._timer is None and self._isOpen:
            self._timer = self._reactor.callLater(INTERVAL, self._onTime)

    def ask(self) -> None:
        """Ask the master for a sign of life."""
        self._asks = True
        self.changed()

    def finish(self) -> None:
        """Serve what is in the channel already, and close it: there is a new one, of another master."""
        if not self._isHeard:
            self._report()
        while self._isOpen and self._takeSome():
            pass
        self.close()

    def close(self) -> None:
        """What is in the channel goes to others."""
        if not self._isOpen:
            return
        self._isOpen = False
        self._reactor.removeReader(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._channel.close()
        for connection in self._held:
            connection.close()
        self._held.clear()

    # For the reactor

    def fileno(self) -> int:
        return self._channel.fileno()

    def logPrefix(self) -> str:
        return "crossws"

    def doRead(self) -> None:
        self._takeSome()

    def connectionLost(self, reason: Failure) -> None:
        """The master is gone, or the reactor ends."""
        while self._isOpen and self._takeSome():
            pass
        self.close()

    def _takeSome(self) -> bool:
        """
        @return: whether there was something, so that there may be more.
        """
        if not self._isHeard:
            return False
        try:
            data, received, _, _ = self._channel.recvmsg(_SIZE, _SPACE, _CLOSE_ON_EXEC)
        except BlockingIOError:
            return False
        except OSError:
            data, received = b"", []
        descriptors = array("i")
        for _, _, numbers in received:
            descriptors.frombytes(numbers)
        connections = [socket.socket(self._family, socket.SOCK_STREAM, 0, number) for number in descriptors]
        count = data.count(CONNECTION)
        if data.strip(CONNECTION + SIGN_OF_LIFE) or len(connections) > count:
            _log.error("the master sent what is no connection; its channel is closed")
            for connection in connections:
                connection.close()
            data = b""
        if not data:
            self.close()
            self._receiver.channelEnded()
            return False
        self._receiver.heard()
        if count:
            self._received += count
            self._held = connections
            self._lost = count - len(connections)
            if self._lost:
                self._receiver.noRoom(self._lost)
            self._report()
        return True

    def _onTime(self) -> None:
        self._timer = None
        self._report()

    def _report(self) -> None:
        """Say how it stands, and serve what waited for that to be said."""
        count = self._receiver.open + len(self._held)
        try:
            self._channel.send(REPORT.pack(self._received, count, self._lost, self._asks))
        except BlockingIOError:
            # The master is stuck. As long as it does not know that we have these, they are not ours.
            self._hear(False)
            self.changed()
            return
        except OSError:
            pass  # It is gone, and they are.
        self._hear(True)
        held, self._held, self._lost, self._asks = self._held, [], 0, False
        for connection in held:
            self._receiver.take(connection)
        if self._receiver.open != count:
            self.changed()

    def _hear(self, isHeard: bool) -> None:
        """Read from the channel, or do not. What is read must be reported before more is."""
        if isHeard != self._isHeard:
            self._isHeard = isHeard
            (self._reactor.addReader if isHeard else self._reactor.removeReader)(self)

"""
A listening port of a worker: Twisted's own, on a listening socket that all workers share.

While there is a channel to a master, connections come from it. When there is none, or the master is
L{frozen<twisted_crossws.machine.vigil>}, the port accepts them itself, as any port does. Either way they are made
alike, and counted.
"""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.machine.taker import Taker
from twisted_crossws.machine.vigil import Vigil

_log = Logger()


class HandedPort(Port):
    """
    It listens when it is L{given<give>} a socket.

    @ivar open: how many connections there are.
    @ivar lacked: how many could not be taken for want of descriptors, and went back to the master.
    """

    def __init__(self, port: int, factory: IProtocolFactory, backlog: int, interface: str, reactor: Any) -> None:
        super().__init__(port, factory, backlog, interface, reactor)
        self.open = 0
        self.lacked = 0
        self._taker: Taker | None = None
        self._vigil: Vigil | None = None
        self._makes: Any = None

    def give(self, listening: socket.socket, channel: socket.socket) -> None:
        """
        Listen. If it does already, this is another master's channel, and most probably the same socket.

        @param listening: not blocking. Both are closed with the port.
        """
        if self._taker is not None:
            self._taker.finish()
        if not self.connected:
            self._preexistingSocket = listening
            self.startListening()
        elif os.path.sameopenfile(listening.fileno(), self.socket.fileno()):
            listening.close()
        else:
            self._exchange(listening)
        self.stopReading()
        self._letGo()
        self._vigil = Vigil(self, self.reactor)
        self._taker = Taker(channel, self, self.reactor, self.addressFamily)

    def doRead(self) -> None:
        self._count()
        super().doRead()
        if self._taker is not None:
            self._taker.changed()

    def withdraw(self) -> None:
        """Take no further connections. What has not been taken yet goes to others."""
        if self._taker is not None:
            self._taker.close()
        self._letGo()
        self.stopReading()

    def loseConnection(self, *args: Any) -> Deferred[None] | None:
        """Stop listening. Nobody else does because of that: other processes have the socket too."""
        self.withdraw()
        stopped: Deferred[None] | None = super().loseConnection(*args)
        return stopped

    stopListening = loseConnection

    def _exchange(self, listening: socket.socket) -> None:
        """The master listens elsewhere than the former one."""
        self.stopReading()
        self.socket.close()
        self.socket = listening
        self.fileno = listening.fileno  # type: ignore[method-assign]
        self._realPortNumber = listening.getsockname()[1]
        _log.warn("the master listens anew, on {address}", address=self.getHost())

    # For the channel

    def take(self, connection: socket.socket) -> None:
        """Serve it, as C{doRead} of Twisted's port does with what it has accepted."""
        self._count()
        try:
            address = connection.getpeername()
        except OSError:
            connection.close()  # It has ended meanwhile.
            return
        made = None
        try:
            if len(address) == 4:
                # With the scope, as Twisted tells it.
                host, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
                address = (host, *address[1:])
            protocol = self.factory.buildProtocol(self._buildAddr(address))  # type: ignore[union-attr]
            if protocol is not None:
                number = self.sessionno
                self.sessionno = number + 1
                made = self.transport(connection, protocol, address, self, number, self.reactor)
                protocol.makeConnection(made)
        except BaseException:
            _log.failure("a connection could not be served")
        if made is None:
            connection.close()

    def noRoom(self, count: int) -> None:
        self.lacked += count
        _log.error("no descriptors are left for {count} connections; they go to another process", count=count)

    def channelEnded(self) -> None:
        """The master is gone."""
        self._letGo()
        if self.connected and not self.disconnecting:
            self.startReading()

    def heard(self) -> None:
        if self._vigil is not None:
            self._vigil.heard()

    def _letGo(self) -> None:
        """There is no channel any more."""
        self._taker = None
        if self._vigil is not None:
            self._vigil.end()
            self._vigil = None

    # For the vigil

    def ask(self) -> None:
        if self._taker is not None:
            self._taker.ask()

    # For its connections

    def opened(self) -> None:
        self.open += 1

    def ended(self) -> None:
        self.open -= 1
        if self._taker is not None:
            self._taker.changed()

    def _count(self) -> None:
        """Whatever connections are made by, such as by those who change it when the port is there: they are counted."""
        if self.transport is not self._makes:
            self.transport = self._makes = _counted(self.transport)


class _Counted:
    """To be put before a class of connections."""

    server: HandedPort

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.server.opened()

    def connectionLost(self, reason: Failure) -> None:
        # As Twisted knows it: it may be called more than once.
        isFirst = hasattr(self, "socket")
        try:
            super().connectionLost(reason)  # type: ignore[misc]
        finally:
            if isFirst:
                self.server.ended()


def _counted(makes: Any) -> Any:
    """
    @param makes: a class of connections, or a C{partial} of one.
    """
    if isinstance(makes, partial):
        return partial(_counted(makes.func), *makes.args, **makes.keywords)
    return type(f"Counted{makes.__name__}", (_Counted, makes), {})

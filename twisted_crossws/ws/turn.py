"""
Fast path: one turn of the reactor for all connections of a port.

For each socket that can be read Twisted's reactor has 2 µs of work of its own, as much as this package needs to handle
an event. To it a L{Turn} is one reader, an epoll inside of its epoll: it reads all sockets that are ready, and then
sends all that was written meanwhile, to each connection at once. Sending after all was read also wakes a client that
waits once, and not for each reply.

It does with a socket what Twisted's reactor does, on these conditions:

 - the system has C{epoll}, and takes the socket; if not, the reactor watches it the ordinary way;
 - only reading is watched here: who waits until a full socket can be written to is watched by the reactor;
 - an error of a connection ends that connection and no other, and is reported to its protocol as the reactor would.
"""

from __future__ import annotations

import select
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_log = Logger()

#: How many are read before what they are answered is sent, and others of the reactor have their turn: 2 ms of work. The
#: system begins with those who have waited longest.
BATCH = 256

#: C{select.EPOLLIN}, where there is no such thing too.
_IN = 1


class Watched(Protocol):
    """A connection: what Twisted's C{tcp.Connection} has of it, and L{sendNow}."""

    connected: Any

    def fileno(self) -> int: ...

    def doRead(self) -> Any: ...

    def readConnectionLost(self, reason: Failure) -> None: ...

    def connectionLost(self, reason: Failure) -> None: ...

    def sendNow(self) -> Any:
        """
        Send what waits.

        @return: C{None}, or the exception that is to end the connection.
        """


@implementer(IReadDescriptor)
class Turn:
    """
    Who is to be read, and who has something to send.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll: Any = None
        self._readers: dict[int, Watched] = {}
        self._sending: list[Watched] = []
        self._isRunning = False

    def watch(self, transport: Watched) -> bool:
        """
        Call its C{doRead} whenever there is something to read.

        @return: whether that can be done here; if not, the reactor has to do it.
        """
        number = transport.fileno()
        try:
            if self._epoll is None:
                self._epoll = select.epoll()
            self._epoll.register(number, _IN)
        except (AttributeError, OSError):
            return number in self._readers  # Watching it already is no error.
        if not self._readers:
            self._reactor.addReader(self)
        self._readers[number] = transport
        return True

    def unwatch(self, transport: Watched) -> bool:
        """
        No more.

        @return: whether it was watched here.
        """
        number = transport.fileno()
        if self._readers.get(number) is not transport:
            return False
        del self._readers[number]
        self._epoll.unregister(number)
        if not self._readers:
            self._reactor.removeReader(self)
        return True

    def send(self, transport: Watched) -> None:
        """Call its L{sendNow<Watched.sendNow>} at the end of this turn."""
        if not self._sending and not self._isRunning:
            self._reactor.callLater(0, self._sendAll)
        self._sending.append(transport)

    # For the reactor

    def fileno(self) -> int:
        return int(self._epoll.fileno())

    def logPrefix(self) -> str:
        return "crossws"

    def doRead(self) -> None:
        self._isRunning = True
        try:
            for number, event in self._epoll.poll(0, BATCH):
                transport = self._readers.get(number)
                if transport is None:
                    continue
                try:
                    # Without anything to read this is the end of it, as the reactor sees it.
                    problem = transport.doRead() if event & _IN else CONNECTION_DONE
                except BaseException as fault:
                    # As in the reactor, whatever it is: from here it would end all connections.
                    _log.failure("a connection failed while it was being read")
                    problem = fault
                if problem is not None:
                    self._end(transport, problem)
        finally:
            self._isRunning = False
            self._sendAll()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends, and so do all connections."""
        for transport in list(self._readers.values()):
            transport.connectionLost(reason)

    def _end(self, transport: Watched, problem: BaseException) -> None:
        self.unwatch(transport)
        if problem.__class__ is ConnectionDone:
            transport.readConnectionLost(Failure(problem))
        else:
            transport.connectionLost(Failure(problem))

    def _sendAll(self) -> None:
        # Whoever comes while these send is served at the end of the next turn.
        sending, self._sending = self._sending, []
        for transport in sending:
            try:
                problem = transport.sendNow()
            except BaseException as fault:
                # A producer of somebody's raised.
                _log.failure("a connection failed while it was sending")
                problem = fault
            if problem is not None and transport.connected:
                transport.connectionLost(Failure(problem))

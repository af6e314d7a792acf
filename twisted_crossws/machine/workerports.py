"""
The ports of a worker, which shares them with others.

::

    master                                           worker
    SharedPort(key, listening socket)                WorkerPorts.endpoint("tcp:9000").listen(factory)    waits
        addWorker(name)    ─── both sockets ───→     WorkerPorts.offer(key, listening, channel)
                           ←── "I listen" ──────     the Deferred of listen fires with a HandedPort
        accepts, chooses   ─── connection ──────→     serves it
        (dies)                                       the HandedPort accepts by itself
    SharedPort(key, one of WorkerPorts.sockets())
        addWorker(name)    ─── both sockets ───→     WorkerPorts.offer: no longer by itself

L{spread<twisted_crossws.machine.spread>} decides who gets a connection, L{handover<twisted_crossws.machine.handover>}
is what the two say on the channel, and L{vigil<twisted_crossws.machine.vigil>} notices a master that is frozen.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from twisted_crossws.machine.binding import CannotBeShared, Listens, endpointOf, keyOfPort, ownSocket
from twisted_crossws.machine.handedport import HandedPort

_log = Logger()

#: Seconds after which somebody should know that a port still waits for its socket.
PATIENCE = 10.0


class WorkerPorts:
    """
    All shared ports of one process.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._ports: dict[str, HandedPort] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._offers: dict[str, tuple[socket.socket, socket.socket]] = {}
        self._isWithdrawn = False

    def endpoint(self, description: str, place: str) -> IStreamServerEndpoint:
        """
        @param description: a Twisted endpoint string.
        @param place: where it was configured, to begin messages with.
        @return: its C{listen} fires when the master has offered a socket for it.
        @raise ValueError: the description is no endpoint.
        """
        return _SharedEndpoint(self, endpointOf(Listens(self._make), description), description, place)

    def offer(self, key: str, listening: int, channel: int) -> None:
        """
        The master gives us a listening socket. It is kept until somebody wants it.

        @param listening: the descriptor of it.
        @param channel: that of the channel by which connections come. Both are ours from now on.
        """
        sockets = []
        for number in (listening, channel):
            try:
                sockets.append(ownSocket(number))
            except OSError as fault:
                _log.error("what was offered for {key} is no socket: {fault}", key=key, fault=fault)
        if len(sockets) < 2:
            for received in sockets:
                received.close()
            return
        self._dropOffer(key)
        self._offers[key] = (sockets[0], sockets[1])
        if self._isWithdrawn:
            self._dropOffer(key)
        elif key in self._waiting:
            waiting = self._waiting.pop(key)
            self._open(key, waiting.port)
            waiting.isOver()
        elif key in self._ports and _listens(self._ports[key]):
            self._open(key, self._ports[key])
        elif key in self._ports:
            self._dropOffer(key)  # It has stopped.

    def sockets(self) -> dict[str, socket.socket]:
        """
        @return: by key what is listened on, for a master that has none. They stay ours.
        """
        return {key: port.socket for key, port in self._ports.items() if _listens(port)}

    def connections(self) -> int:
        """
        @return: how many there are on all ports.
        """
        return sum(port.open for port in self._ports.values())

    def waiting(self) -> list[str]:
        """
        @return: the keys of ports that have not been offered yet.
        """
        return list(self._waiting)

    def withdraw(self) -> None:
        """Take no further connections, now and later, with a master or without: the process is about to end."""
        self._isWithdrawn = True
        for port in self._ports.values():
            if _listens(port):
                port.withdraw()

    def close(self) -> None:
        """Nobody wants what was offered and not asked for."""
        for key in list(self._offers):
            self._dropOffer(key)

    def whenOpen(self, port: HandedPort, says: str) -> Deferred[HandedPort]:
        """
        @param port: one that does not listen yet.
        @param says: that it waits, to be logged when it has for long.
        @return: fires when it does.
        """
        key = keyOfPort(port.port or 0, port.interface)
        if key in self._waiting or (key in self._ports and _listens(self._ports[key])):
            return fail(OSError("it is listened on already"))
        if key in self._offers:
            self._open(key, port)
            return succeed(port)
        waiting = self._waiting[key] = _Waiting(port, self._reactor, says, lambda: self._waiting.pop(key))
        return waiting.opened

    def _make(self, port: int, factory: IProtocolFactory, backlog: int, interface: str) -> HandedPort:
        return HandedPort(port, factory, backlog, interface, self._reactor)

    def _open(self, key: str, port: HandedPort) -> None:
        self._ports[key] = port
        port.give(*self._offers.pop(key))

    def _dropOffer(self, key: str) -> None:
        for unwanted in self._offers.pop(key, ()):
            unwanted.close()


class _Waiting:
    """
    A port that has not been given its socket yet.
    """

    def __init__(self, port: HandedPort, reactor: Any, says: str, forget: Any) -> None:
        self.port = port
        self.opened: Deferred[HandedPort] = Deferred(self._cancelled)
        self._forget = forget
        self._warning = reactor.callLater(PATIENCE, _log.warn, "{says}", says=says)

    def isOver(self) -> None:
        self._silence()
        self.opened.callback(self.port)

    def _cancelled(self, opened: object) -> None:
        self._silence()
        self._forget()

    def _silence(self) -> None:
        if self._warning.active():
            self._warning.cancel()


@implementer(IStreamServerEndpoint)
class _SharedEndpoint:
    def __init__(self, ports: WorkerPorts, endpoint: IStreamServerEndpoint, description: str, place: str) -> None:
        self._ports = ports
        self._endpoint = endpoint
        self._says = (
            f"{place}: {description!r} has been waiting for {PATIENCE:g} seconds for the master to give its port; "
            "it goes on waiting"
        )

    def listen(self, factory: IProtocolFactory) -> Deferred[Any]:
        made: Deferred[Any] = self._endpoint.listen(factory)
        return made.addCallback(self._whenOpen)

    def _whenOpen(self, port: Any) -> Deferred[HandedPort]:
        if not isinstance(port, HandedPort):
            raise CannotBeShared()
        return self._ports.whenOpen(port, self._says)


def _listens(port: HandedPort) -> bool:
    return bool(port.connected) and not port.disconnecting

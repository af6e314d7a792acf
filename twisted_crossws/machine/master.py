"""
The master: starts the processes of a cluster file on this machine, keeps them running, spreads connections over those
that share a port, and does what C{crossws-ctl} says.

Nothing in the running cluster depends on it. Its processes know each other by the bus, accept connections themselves as
soon as it is gone, and are found again by the next master.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.machine.agent import socketOf
from twisted_crossws.machine.control import MASTER_SOCKET, Ready, Refused, Register, listenerAt
from twisted_crossws.machine.controlled import Controlled, OnProgress
from twisted_crossws.machine.keptsocket import KeptSocket
from twisted_crossws.machine.masterorders import MasterOrders
from twisted_crossws.machine.rows import Row
from twisted_crossws.machine.server import Server

_log = Logger()


class Master(MultiService):
    """
    @ivar servers: those of this machine, by name.
    @ivar elsewhere: rows for those of other machines.
    @ivar folder: the run folder.
    """

    def __init__(
        self,
        servers: Iterable[Server],
        elsewhere: Sequence[Row],
        folder: str,
        reactor: Any,
        *,
        reread: Callable[[str], Server],
        failed: Callable[[str], None],
    ) -> None:
        """
        @param reread: reads the cluster file again, and makes a server of that name; raises L{Refused} if it cannot.
        @param failed: called with a sentence when no server can listen, so that nothing runs.
        """
        super().__init__()
        self.servers = {server.name: server for server in servers}
        self.elsewhere = elsewhere
        self.folder = folder
        self.reactor = reactor
        self.reread = reread
        self._failed = failed
        self.isLeaving = False
        self._orders = MasterOrders(self)
        path = os.path.join(folder, MASTER_SOCKET)
        says = f"Another master of this file is running; crossws-ctl commands it (its socket is {path})."
        self._socket = KeptSocket(path, lambda: _FromOutside(self), reactor, takenBy=says)

    def privilegedStartService(self) -> None:
        """Open the ports of processes that are not there yet: as another user those below 1024 could not be."""
        super().privilegedStartService()
        for server in self.servers.values():
            server.openPorts(self._find)

    def startService(self) -> None:
        """
        @raise Refused: another master is at work here.
        """
        self._socket.open()
        super().startService()
        # Until the reactor runs, a signal would end this process alone, and leave those that it has started.
        self.reactor.callWhenRunning(self._beginAll)

    def stopService(self) -> Deferred[Any]:
        """
        @return: fires when all servers of this machine have stopped, or, if they are to run on, at once.
        """
        if self.isLeaving:
            for server in self.servers.values():
                server.forget()
            stopped: Deferred[Any] = gatherResults([])
        else:
            _log.info("stopping all servers")
            stopped = DeferredList([self.stopServer(server) for server in self.servers.values()])

        def closed(_: object) -> Deferred[Any]:
            return DeferredList([maybeDeferred(super(Master, self).stopService), self._socket.close()])

        return stopped.addCallback(closed)

    def begin(self, server: Server, names: Iterable[str]) -> None:
        """Start some processes of a server, or find them if they run already."""
        for process in server.processes.values():
            process.onGivenUp = self._givenUp
        server.start(names, self._find)

    def stopServer(self, server: Server) -> Deferred[Any]:
        """
        @return: fires when all of its processes are gone, and its ports are closed.
        """
        stopped = DeferredList([server.stop(name) for name in server.processes])
        return stopped.addCallback(lambda _: server.close())

    def _beginAll(self) -> None:
        if self.running:
            for server in self.servers.values():
                self.begin(server, server.processes)

    def _find(self, name: str) -> int | None:
        """Find the process of that name, whoever has started it; as L{listenerAt} says it."""
        return listenerAt(socketOf(self.folder, name))

    def _givenUp(self) -> None:
        """End a master that has nothing to run, and never will."""
        faults = [process.portFault for server in self.servers.values() for process in server.processes.values()]
        if all(faults):
            self._failed("\n".join(dict.fromkeys(faults)))

    def homeOf(self, name: str) -> Server | None:
        """The server that a process belongs to."""
        return next((server for server in self.servers.values() if name in server.processes), None)

    def rows(self) -> Deferred[Sequence[Row]]:
        """All processes of this machine, then the servers of others."""
        asked = gatherResults([server.row(name) for server in self.servers.values() for name in server.processes])
        return asked.addCallback(lambda rows: [*rows, *self.elsewhere])

    def order(self, verb: str, words: dict[str, Any], progress: OnProgress) -> Deferred[Sequence[str]]:
        """What C{crossws-ctl} says."""
        return self._orders.order(verb, words, progress)


class _FromOutside(Controlled):
    """A server of ours that has come to its master, or a person."""

    def __init__(self, master: Master) -> None:
        super().__init__(master)
        self._master = master
        self._name: str | None = None

    @Register.responder
    def register(self, name: str, pid: int, ports: Sequence[str]) -> Mapping[str, Any]:
        """A server is there."""
        server = self._master.homeOf(name)
        if server is None:
            raise Refused(f"no server of this machine is named {name!r} in the cluster file")
        server.registered(name, pid, ports, self)
        self._name = name
        return {}

    @Ready.responder
    def ready(self) -> Mapping[str, Any]:
        """It serves."""
        if self._name is not None and (server := self._master.homeOf(self._name)) is not None:
            server.ready(self._name)
        return {}

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        if self._name is not None and (server := self._master.homeOf(self._name)) is not None:
            server.unregistered(self._name, self)

"""
In the process of each server: its own control socket, and the way to the master.

The master may come and go. While there is none, the agent looks for one five times a second, and the node serves all
the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.machine.children import letGo
from twisted_crossws.machine.control import (
    MASTER_SOCKET,
    Give,
    Offer,
    Ready,
    Refused,
    Register,
    connect,
)
from twisted_crossws.machine.controlled import Controlled
from twisted_crossws.machine.keptsocket import KeptSocket
from twisted_crossws.machine.nodeorders import NodeOrders
from twisted_crossws.node import Node

_log = Logger()

#: Seconds between two looks for a master.
LOOK_INTERVAL = 0.2

#: The variable that says to a process that a master has started it, and hears its standard error.
UNDER_MASTER = "CROSSWS_UNDER_MASTER"


class SharedPorts(Protocol):
    """What the agent needs of L{WorkerPorts<twisted_crossws.machine.workerports.WorkerPorts>}."""

    def offer(self, key: str, listening: int, channel: int) -> None: ...

    def sockets(self) -> Mapping[str, Any]: ...

    def close(self) -> None: ...


class Agent(Service):
    """
    A service beside the node.
    """

    def __init__(
        self,
        node: Node,
        kind: str,
        folder: str,
        reactor: Any,
        ports: SharedPorts | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """
        @param kind: what kind of server it is, or empty.
        @param folder: the run folder.
        @param ports: what it shares with other processes.
        """
        self.node = node
        self.ports = ports
        self.orders = NodeOrders(node, kind, self._addresses, self._stop)
        self._folder = folder
        self._reactor = reactor
        self._isChild = UNDER_MASTER in environment
        path = socketOf(folder, node.serverName)
        self._socket = KeptSocket(path, lambda: Controlled(self.orders), reactor)
        self._connecting: Deferred[Any] | None = None
        self._master: _MasterLink | None = None
        self._timer: IDelayedCall | None = None
        self._hasJoined = self._isReady = False
        self._nodePorts: list[IListeningPort] = []
        node.lifecycle.on("listening", self._nodeListens)

    def startService(self) -> None:
        super().startService()
        try:
            self._socket.open()
        except (Refused, OSError) as fault:
            _log.warn("{server} cannot be commanded: {fault}", server=self.node.serverName, fault=fault)
        self._look()
        # Whoever is refused its name is ended, with a sentence, by the command.
        self.node.whenJoined().addCallbacks(self._joined, lambda _: None)

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._master is not None:
            self._master.close()
        if self.ports is not None:
            self.ports.close()
        return self._socket.close()

    def masterLost(self) -> None:
        """The connection to the master has ended."""
        self._master = None
        if self.running:
            self._timer = self._reactor.callLater(LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        link = _MasterLink(self)
        self._connecting = connect(self._reactor, os.path.join(self._folder, MASTER_SOCKET), link)
        self._connecting.addCallbacks(self._found, self._notFound)

    def _notFound(self, failure: Failure) -> None:
        self._connecting = None
        if self.running:
            self._timer = self._reactor.callLater(LOOK_INTERVAL, self._look)

    def _found(self, link: _MasterLink) -> None:
        self._connecting = None
        self._master = link
        keys = [] if self.ports is None else list(self.ports.sockets())
        registered = link.callRemote(Register, name=self.node.serverName, pid=os.getpid(), ports=keys)
        registered.addCallbacks(self._registered, self._unregistered, callbackArgs=(link,), errbackArgs=(link,))

    def _registered(self, _: object, link: _MasterLink) -> None:
        if self._isReady and link is self._master:
            link.callRemote(Ready).addErrback(_connectionLost)

    def _unregistered(self, failure: Failure, link: _MasterLink) -> None:
        if failure.check(Refused):
            reason = failure.getErrorMessage()
            _log.warn("{server}: the master refuses: {reason}", server=self.node.serverName, reason=reason)
        link.close()

    def _joined(self, _: object) -> None:
        self._hasJoined = True
        self._mayBeReady()

    def _nodeListens(self, port: IListeningPort) -> None:
        self._nodePorts.append(port)
        self._mayBeReady()

    def _mayBeReady(self) -> None:
        """It is, when it has joined its cluster and listens wherever it is to."""
        isListening = len(self._nodePorts) >= len(self.node.config.websocket.listen)
        if self._isReady or not (isListening and self._hasJoined):
            return
        self._isReady = True
        if self._isChild:
            letGo()
        if self._master is not None:
            self._master.callRemote(Ready).addErrback(_connectionLost)

    def _addresses(self) -> list[str]:
        return [addressOf(port.getHost()) for port in self._nodePorts]

    def _stop(self) -> None:
        # Later, so that whoever gave the order hears that it was understood.
        self._reactor.callLater(0, self._reactor.stop)


class _MasterLink(Controlled):
    """The connection to the master."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent.orders)
        self._agent = agent

    @Offer.responder
    def offer(self, key: str, listening: int, channel: int) -> dict[str, Any]:
        """A port that it shares."""
        if self._agent.ports is None:
            os.close(listening)
            os.close(channel)
        else:
            self._agent.ports.offer(key, listening, channel)
        return {}

    @Give.responder
    def give(self, key: str) -> dict[str, Any]:
        """A listening socket that the master before this one has made."""
        sockets = {} if self._agent.ports is None else self._agent.ports.sockets()
        if key not in sockets:
            raise Refused(f"there is no socket for {key}")
        return {"listening": sockets[key].fileno()}

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self._agent.masterLost()


def socketOf(folder: str, name: str) -> str:
    """The control socket of a node."""
    return os.path.join(folder, f"{quote(name, safe='')}.sock")


def addressOf(address: Any) -> str:
    """Where a port listens, for people."""
    if hasattr(address, "port"):
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"{host}:{address.port}"
    name = getattr(address, "name", None)
    return os.fsdecode(name) if name else str(address)


def _connectionLost(failure: Failure) -> None:
    """The master is gone; the agent hears of that elsewhere."""

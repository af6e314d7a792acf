"""
Every way into a node: its own ports, and resources in other sites.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from twisted_crossws.config import WebSocketConfig
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.gateway import ClientGateway
from twisted_crossws.ws.front import FrontFactory
from twisted_crossws.ws.handshake import Admission
from twisted_crossws.ws.resource import SocketResource
from twisted_crossws.ws.server import ServerFactory
from twisted_crossws.ws.site import Health, NodePages, NodeSite


class Entrance:
    """
    Makes factories and resources that all lead to one gateway, under one admission.

    @ivar admission: decides who comes in.
    """

    def __init__(
        self, gateway: ClientGateway, options: WebSocketConfig, clock: IReactorTime, counters: Counters, health: Health
    ) -> None:
        self.admission = Admission(options, clock, counters, lambda: len(gateway.all))
        self._options = options
        self._clock = clock
        self._counters = counters
        self._health = health
        self._sockets = ServerFactory(gateway=gateway, options=options, clock=clock, counters=counters)
        self._doors: list[FrontFactory | SocketResource] = []

    def resource(self, *, anyPath: bool = True) -> IResource:
        """
        @param anyPath: C{False}: only C{path} of the configuration.
        """
        resource = SocketResource(
            admission=self.admission,
            sockets=self._sockets,
            clock=self._clock,
            counters=self._counters,
            handshakeTimeout=self._options.handshake_timeout,
            anyPath=anyPath,
        )
        self._doors.append(resource)
        return resource

    def factory(self) -> FrontFactory:
        """For a port of the node's own."""
        upgrade = self.resource(anyPath=False)
        pages = NodePages(health=self._health, upgrade=upgrade, static=self._options.static)
        factory = FrontFactory(
            admission=self.admission,
            sockets=self._sockets,
            site=NodeSite(pages, self._clock),
            clock=self._clock,
            counters=self._counters,
            handshakeTimeout=self._options.handshake_timeout,
        )
        self._doors.append(factory)
        return factory

    def open(self) -> None:
        """Whoever may come in does, as it is from the beginning."""
        self.admission.isClosed = False

    def close(self) -> None:
        """Nobody comes in any more, and who is at the door is sent away."""
        self.admission.isClosed = True
        for door in self._doors:
            door.sendAway()

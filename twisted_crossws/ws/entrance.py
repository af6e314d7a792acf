"""
Every way into a node: its own ports, and resources in other sites.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from twisted_crossws.config import WebSocketConfig
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.gateway import ClientGateway
from twisted_crossws.state.listeners import checkListener
from twisted_crossws.ws.door import Door
from twisted_crossws.ws.front import FrontFactory
from twisted_crossws.ws.handshake import Admission, Authenticator, SubprotocolChooser
from twisted_crossws.ws.plain import PlainConnections
from twisted_crossws.ws.resource import SocketResource
from twisted_crossws.ws.server import ServerFactory
from twisted_crossws.ws.site import Health, NodePages, NodeSite


class Entrance:
    """
    Makes factories and resources that all lead to one gateway, under one admission.

    @ivar admission: decides who comes in.
    """

    def __init__(
        self,
        gateway: ClientGateway,
        options: WebSocketConfig,
        clock: IReactorTime,
        counters: Counters,
        *,
        health: Health,
        readiness: Health,
        holdTimeout: float,
    ) -> None:
        """
        @param health: whether the node serves.
        @param readiness: whether more clients should be sent to it.
        @param holdTimeout: seconds for which it is held at most.
        """
        self.admission = Admission(options, clock, counters, lambda: len(gateway.all))
        self._static = options.static
        self._plain = PlainConnections(
            clock, counters, limit=options.max_plain_connections, requestTimeout=options.handshake_timeout
        )
        self._clock = clock
        self._health = health
        self._readiness = readiness
        self._door = Door(
            admission=self.admission,
            sockets=ServerFactory(
                gateway=gateway, options=options, clock=clock, counters=counters, refusals=self.admission.refusals
            ),
            clock=clock,
            handshakeTimeout=options.handshake_timeout,
            holdTimeout=holdTimeout,
        )

    def resource(self) -> IResource:
        """For another site, which decides about the path."""
        return SocketResource(self._door, anyPath=True)

    def factory(self) -> FrontFactory:
        """For a port of the node's own."""
        upgrade = SocketResource(self._door, anyPath=False)
        pages = NodePages(health=self._health, readiness=self._readiness, upgrade=upgrade, static=self._static)
        return FrontFactory(self._door, NodeSite(pages, self._clock, self._plain))

    def hold(self) -> None:
        """Whoever may come in does, once this is opened; until then it waits."""
        self.admission.isClosed = False
        self._door.hold()

    def open(self) -> None:
        """Whoever may come in does, as it is from the beginning."""
        self._door.open()

    def close(self) -> None:
        """Nobody comes in any more, and who is at the door is sent away."""
        self.admission.isClosed = True
        self._door.sendAway()
        # Whoever comes now need not wait to hear that.
        self._door.open()


class Asked:
    """
    What the application is asked about handshakes: a part of C{Node}.
    """

    _entrance: Entrance

    @property
    def authenticate(self) -> Authenticator | None:
        """Says who a client is, during its handshake; C{None}: everyone comes in, and nobody is bound by it."""
        return self._entrance.admission.authenticate

    @authenticate.setter
    def authenticate(self, authenticate: Authenticator | None) -> None:
        if authenticate is not None:
            checkListener(authenticate, "request", "An authenticator")
        self._entrance.admission.authenticate = authenticate

    @property
    def chooseSubprotocol(self) -> SubprotocolChooser | None:
        """
        Says which of the subprotocols that a client offers is agreed to; C{None}: what the configuration says.
        """
        return self._entrance.admission.chooseSubprotocol

    @chooseSubprotocol.setter
    def chooseSubprotocol(self, choose: SubprotocolChooser | None) -> None:
        if choose is not None:
            checkListener(choose, "request", "A chooser of subprotocols")
        self._entrance.admission.chooseSubprotocol = choose

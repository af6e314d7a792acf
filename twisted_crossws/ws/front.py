"""
The first bytes of a connection: WebSocket or plain HTTP, and neither too slow nor too long.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress, IProtocolFactory, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.errors import HandshakeError
from twisted_crossws.wire import http
from twisted_crossws.ws.door import Door, Visitor
from twisted_crossws.ws.server import ServerProtocol
from twisted_crossws.ws.transport import peerName


class Front(Visitor, Protocol):
    """
    Reads the request head, lets L{Admission<twisted_crossws.ws.handshake.Admission>} decide, and hands the connection
    on: to Autobahn's protocol, or to the site. From then on whatever is received goes there directly.
    """

    factory: FrontFactory
    transport: Any

    def __init__(self, factory: FrontFactory) -> None:
        super().__init__(factory.door)
        self.factory = factory
        self._successor: Any = None

    def connectionMade(self) -> None:
        self.arrive()

    def dataReceived(self, data: bytes) -> None:
        if self.isOver:
            return
        looked, self.received = len(self.received), self.received + data
        if self.isDeciding:
            self.checkEarly()
            return
        try:
            end = http.headEnd(self.received, looked)
            if end >= 0:
                self._headReceived(http.parseHead(self.received[:end]), end)
        except HandshakeError as fault:
            self._tell("malformed", f"{fault}")
            self.refuse(fault)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.end()
        if self._successor is not None:
            # A site's protocol may have given the connection away in turn: only now it is known who is to hear this.
            self._successor.connectionLost(reason)

    @property
    def peer(self) -> str:
        return peerName(self.transport.getPeer())

    def letIn(self, protocol: ServerProtocol, data: bytes) -> None:
        self._handOn(protocol, data)

    def answer(self, fault: HandshakeError) -> None:
        self.transport.write(http.response(fault.status, str(fault), fault.headers))
        self.transport.loseConnection()

    def abort(self) -> None:
        self.transport.abortConnection()

    def _headReceived(self, head: http.RequestHead, end: int) -> None:
        if head.wantsUpgrade:
            self.received = self.received[end:]
            self.ask(head, self.peer)
        elif "sec-websocket-key" in head.headers:
            # A browser has sent it, and whatever is between did not pass it on.
            says = "The header Upgrade is missing: a proxy must pass it on, and Connection with it."
            raise HandshakeError(426, says, [("Upgrade", "websocket")])
        else:
            received = self.received
            self.end()
            self._handOn(self.factory.site.buildProtocol(self.transport.getPeer()), received)

    def _handOn(self, protocol: Any, data: bytes) -> None:
        # As Twisted's own HTTPChannel does when it gives a connection away: one object less in the
        # way of each read, whatever the transport is.
        self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]
        self._successor = protocol
        protocol.makeConnection(self.transport)
        protocol.dataReceived(data)


@implementer(IProtocolNegotiationFactory)
class FrontFactory(Factory):
    """
    What a node listens with, on any endpoint.

    @ivar door: where clients come in.
    @ivar site: what answers plain HTTP.
    """

    noisy = False

    def __init__(self, door: Door, site: IProtocolFactory) -> None:
        self.door = door
        self.site = site

    def acceptableProtocols(self) -> list[bytes]:
        """What is spoken over TLS. Browsers ask for that, and Twisted refuses who asks a factory that does not say."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        self.site.doStart()

    def stopFactory(self) -> None:
        self.site.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return Front(self)

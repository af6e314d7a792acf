"""
The first bytes of a connection: WebSocket or plain HTTP, and neither too slow nor too long.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.errors import HandshakeError
from twisted_crossws.state.counters import Counters
from twisted_crossws.wire import http
from twisted_crossws.ws.handshake import Admission, Admitted
from twisted_crossws.ws.server import ServerFactory, peerName


class Front(Protocol):
    """
    Reads the request head, lets L{Admission} decide, and hands the connection on: to Autobahn's protocol, or to the
    site. From then on whatever is received goes there directly.
    """

    factory: FrontFactory
    transport: Any

    def __init__(self, factory: FrontFactory) -> None:
        self.factory = factory
        self._buffered = b""
        self._timer: IDelayedCall | None = None
        self._deciding: Deferred[Admitted] | None = None
        self._over = False
        self._successor: Any = None

    def connectionMade(self) -> None:
        factory = self.factory
        factory.waiting.add(self)
        self._timer = factory.clock.callLater(factory.handshakeTimeout, self._tooLate)

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        looked, self._buffered = len(self._buffered), self._buffered + data
        if self._deciding is not None:
            # Nobody may speak before the handshake is answered; a little of it is forgiven.
            if len(self._buffered) > http.MAX_HEAD_BYTES:
                self._cut("handshakes_malformed")
            return
        try:
            end = http.headEnd(self._buffered, looked)
            if end >= 0:
                self._headReceived(http.parseHead(self._buffered[:end]), end)
        except HandshakeError as fault:
            self.factory.counters["handshakes_malformed"] += 1
            self._refuse(fault)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end()
        if self._successor is not None:
            # A site's protocol may have given the connection away in turn: only now it is known who is to hear this.
            self._successor.connectionLost(reason)

    def _headReceived(self, head: http.RequestHead, end: int) -> None:
        if not head.wantsUpgrade:
            self._plain()
            return
        self._buffered = self._buffered[end:]
        self._deciding = Deferred.fromCoroutine(self.factory.admission.admit(head, peerName(self.transport.getPeer())))
        self._deciding.addCallbacks(self._admitted, self._denied)

    def _admitted(self, admitted: Admitted) -> None:
        if self._over:
            return  # It was told to give up, and has not.
        early = self._buffered
        self._end()
        protocol = self.factory.sockets.admit(admitted)
        self._handOn(protocol, admitted.head + early)

    def _denied(self, failure: Failure) -> None:
        failure.trap(HandshakeError, CancelledError)
        if isinstance(failure.value, HandshakeError) and not self._over:
            self._refuse(failure.value)

    def _plain(self) -> None:
        buffered = self._buffered
        self._end()
        protocol = self.factory.site.buildProtocol(self.transport.getPeer())
        self._handOn(protocol, buffered)

    def _handOn(self, protocol: Any, data: bytes) -> None:
        # As Twisted's own HTTPChannel does when it gives a connection away: one object less in the
        # way of each read, whatever the transport is.
        self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]
        self._successor = protocol
        protocol.makeConnection(self.transport)
        protocol.dataReceived(data)

    def _refuse(self, fault: HandshakeError) -> None:
        self._end()
        self.transport.write(http.response(fault.status, str(fault), fault.headers))
        self.transport.loseConnection()

    def sendAway(self) -> None:
        """The node stops: whoever has not come in yet does not."""
        self._refuse(HandshakeError(503, "The server is stopping."))

    def _tooLate(self) -> None:
        self._timer = None
        self._cut("handshakes_timed_out")

    def _cut(self, cause: str) -> None:
        self.factory.counters[cause] += 1
        self._end()
        self.transport.abortConnection()

    def _end(self) -> None:
        """This object has nothing more to do: no timer, no buffer, no decision stays behind."""
        self._over = True
        self._buffered = b""
        self.factory.waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deciding, self._deciding = self._deciding, None
        if deciding is not None:
            deciding.cancel()


@implementer(IProtocolNegotiationFactory)
class FrontFactory(Factory):
    """
    What a node listens with, on any endpoint.

    @ivar site: what answers plain HTTP.
    @ivar waiting: connections whose handshake is not over.
    """

    noisy = False

    def __init__(
        self,
        *,
        admission: Admission,
        sockets: ServerFactory,
        site: IProtocolFactory,
        clock: IReactorTime,
        counters: Counters,
        handshakeTimeout: float,
    ) -> None:
        self.admission = admission
        self.sockets = sockets
        self.site = site
        self.clock = clock
        self.counters = counters
        self.handshakeTimeout = handshakeTimeout
        self.waiting: set[Front] = set()

    def sendAway(self) -> None:
        """The node stops: whoever has not come in yet does not."""
        for front in list(self.waiting):
            front.sendAway()

    def acceptableProtocols(self) -> list[bytes]:
        """What is spoken over TLS. Browsers ask for that, and Twisted refuses who asks a factory that does not say."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        self.site.doStart()

    def stopFactory(self) -> None:
        self.site.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return Front(self)

"""
The same clients, let in through a web site: a resource that gives its connection away.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from twisted_crossws.errors import HandshakeError
from twisted_crossws.state.counters import Counters
from twisted_crossws.wire.http import RequestHead, parseHead
from twisted_crossws.ws.handshake import Admission, Admitted
from twisted_crossws.ws.server import ServerFactory, peerName


class SocketResource(Resource):
    """
    Where this stands in a site, WebSocket clients come in. Whatever is no WebSocket gets 426.
    """

    isLeaf = True

    def __init__(
        self,
        *,
        admission: Admission,
        sockets: ServerFactory,
        clock: IReactorTime,
        counters: Counters,
        handshakeTimeout: float,
        anyPath: bool,
    ) -> None:
        """
        @param anyPath: C{True} where the site decides about paths, C{False} where C{path} of the configuration does.
        """
        super().__init__()
        self._admission = admission
        self._sockets = sockets
        self._clock = clock
        self._counters = counters
        self._handshakeTimeout = handshakeTimeout
        self._anyPath = anyPath

    def render(self, request: Any) -> int | bytes:
        try:
            if not isinstance(request.channel, HTTPChannel):
                raise HandshakeError(426, "WebSocket is spoken over HTTP/1.1 here.")
            head = _headOf(request)
            if not head.wantsUpgrade:
                raise HandshakeError(426, "Only WebSocket is spoken here.", [("Upgrade", "websocket")])
        except HandshakeError as fault:
            self._counters["handshakes_malformed"] += 1
            return _refusal(request, fault)
        self._decide(request, head)
        return NOT_DONE_YET

    def _decide(self, request: Any, head: RequestHead) -> None:
        # Here the transport is paused until the request is answered, so that a client that leaves meanwhile is
        # noticed afterwards.
        peer = peerName(request.channel.transport)
        deciding = Deferred.fromCoroutine(self._admission.admit(head, peer, anyPath=self._anyPath))
        timer = self._clock.callLater(self._handshakeTimeout, deciding.cancel)

        def decided(result: Admitted | Failure) -> None:
            if timer.active():
                timer.cancel()
            if isinstance(result, Admitted):
                self._takeOver(request, result)
            elif isinstance(result.value, HandshakeError):
                request.write(_refusal(request, result.value))
                request.finish()
            else:
                result.trap(CancelledError)
                self._counters["handshakes_timed_out"] += 1
                request.channel.transport.abortConnection()

        deciding.addBoth(decided)

    def _takeOver(self, request: Any, admitted: Admitted) -> None:
        channel = request.channel
        transport = channel.transport
        protocol = self._sockets.admit(admitted)
        channel.setTimeout(None)
        transport.unregisterProducer()
        # As Twisted's own WebSocket resource does: whatever comes next goes to the other protocol.
        channel.dataReceived = protocol.dataReceived
        channel.connectionLost = protocol.connectionLost
        del channel.requests[:]
        protocol.makeConnection(transport)
        protocol.dataReceived(admitted.head)
        transport.resumeProducing()


def _headOf(request: Any) -> RequestHead:
    """The request's head, held to the same rules as one from our own port."""
    lines = [b" ".join((request.method, request.uri, request.clientproto))]
    for name, values in request.requestHeaders.getAllRawHeaders():
        lines.extend(name + b": " + value for value in values)
    return parseHead(b"\r\n".join([*lines, b"", b""]))


def _refusal(request: Any, fault: HandshakeError) -> bytes:
    request.setResponseCode(fault.status, str(fault).encode("ascii"))
    for name, value in fault.headers:
        request.setHeader(name.encode("ascii"), value.encode("ascii"))
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    request.setHeader(b"connection", b"close")
    return f"{fault}\n".encode("ascii")

"""
The same clients, let in through a web site: a resource that gives its connection away.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from twisted_crossws.errors import HandshakeError
from twisted_crossws.state.counters import Counters
from twisted_crossws.wire.http import MAX_HEAD_BYTES, RequestHead, parseHead
from twisted_crossws.ws.handshake import Admission, Admitted
from twisted_crossws.ws.server import ServerFactory, peerName


class SocketResource(Resource):
    """
    Where this stands in a site, WebSocket clients come in. Whatever is no WebSocket gets 426.

    @ivar waiting: requests that are not decided yet.
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
        self.admission = admission
        self.sockets = sockets
        self.clock = clock
        self.counters = counters
        self.handshakeTimeout = handshakeTimeout
        self.anyPath = anyPath
        self.waiting: set[_Visitor] = set()

    def render(self, request: Any) -> int | bytes:
        try:
            if not isinstance(request.channel, HTTPChannel):
                raise HandshakeError(426, "WebSocket is spoken over HTTP/1.1 here.")
            head = _headOf(request)
            if not head.wantsUpgrade:
                raise HandshakeError(426, "Only WebSocket is spoken here.", [("Upgrade", "websocket")])
        except HandshakeError as fault:
            self.counters["handshakes_malformed"] += 1
            return _refusal(request, fault)
        _Visitor(self, request).ask(head)
        return NOT_DONE_YET

    def sendAway(self) -> None:
        """The node stops: whoever has not come in yet does not."""
        for visitor in list(self.waiting):
            visitor.sendAway()


class _Visitor:
    """
    A request until L{Admission} has decided: then its connection goes to Autobahn's protocol, or ends. What the client
    sends meanwhile is kept here, where the site would take it for the next request.
    """

    def __init__(self, resource: SocketResource, request: Any) -> None:
        self._resource = resource
        self._request = request
        self._early = b""
        self._timer: IDelayedCall | None = None
        self._deciding: Deferred[Admitted] | None = None
        self._over = False

    def ask(self, head: RequestHead) -> None:
        """Let it be decided."""
        resource, channel = self._resource, self._request.channel
        resource.waiting.add(self)
        self._request.notifyFinish().addErrback(self._gone)
        channel.rawDataReceived = self._earlyReceived
        self._timer = resource.clock.callLater(resource.handshakeTimeout, self._tooLate)
        admitting = resource.admission.admit(head, peerName(channel.getPeer()), anyPath=resource.anyPath)
        self._deciding = Deferred.fromCoroutine(admitting)
        self._deciding.addCallbacks(self._admitted, self._denied)

    def sendAway(self) -> None:
        """The node stops."""
        self._refuse(HandshakeError(503, "The server is stopping."))

    def _earlyReceived(self, data: bytes) -> None:
        # Nobody may speak before the handshake is answered; a little of it is forgiven.
        if self._over:
            return
        self._early += data
        if len(self._early) > MAX_HEAD_BYTES:
            self._cut("handshakes_malformed")

    def _admitted(self, admitted: Admitted) -> None:
        if self._over:
            return  # It was told to give up, and has not.
        channel, early = self._request.channel, self._early
        self._end()
        transport = channel.transport
        protocol = self._resource.sockets.admit(admitted)
        transport.unregisterProducer()
        # As Twisted's own WebSocket resource does: whatever comes next goes to the other protocol. In the raw mode of a
        # request is what came in one piece with it.
        channel.dataReceived = channel.rawDataReceived = protocol.dataReceived
        channel.connectionLost = protocol.connectionLost
        del channel.requests[:]
        # An answer that the client has not read yet may have paused it.
        transport.resumeProducing()
        protocol.makeConnection(transport)
        protocol.dataReceived(admitted.head + early)

    def _denied(self, failure: Failure) -> None:
        failure.trap(HandshakeError, CancelledError)
        if isinstance(failure.value, HandshakeError) and not self._over:
            self._refuse(failure.value)

    def _refuse(self, fault: HandshakeError) -> None:
        self._end()
        self._request.write(_refusal(self._request, fault))
        self._request.finish()

    def _tooLate(self) -> None:
        self._timer = None
        self._cut("handshakes_timed_out")

    def _cut(self, cause: str) -> None:
        self._resource.counters[cause] += 1
        self._end()
        self._request.channel.transport.abortConnection()

    def _gone(self, _: Failure) -> None:
        self._end()

    def _end(self) -> None:
        """This object has nothing more to do: no timer, no bytes, no decision stays behind."""
        self._over = True
        self._early = b""
        self._resource.waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deciding, self._deciding = self._deciding, None
        if deciding is not None:
            deciding.cancel()


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
    # The header alone does not make Twisted close it.
    request.channel.persistent = False
    return f"{fault}\n".encode("ascii")

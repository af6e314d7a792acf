"""
The same clients, let in through a web site: a resource that gives its connection away.
"""

from __future__ import annotations

from typing import Any

from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from twisted_crossws.errors import HandshakeError
from twisted_crossws.wire.http import RequestHead, parseHead
from twisted_crossws.ws.door import Door, Visitor
from twisted_crossws.ws.plain import PlainChannel
from twisted_crossws.ws.server import ServerProtocol
from twisted_crossws.ws.transport import peerName


class SocketResource(Resource):
    """
    Where this stands in a site, WebSocket clients come in. Whatever is no WebSocket gets 426.
    """

    isLeaf = True

    def __init__(self, door: Door, *, anyPath: bool) -> None:
        """
        @param anyPath: C{True} where the site decides about paths, C{False} where C{path} of the configuration does.
        """
        super().__init__()
        self._door = door
        self._anyPath = anyPath

    def render(self, request: Any) -> int | bytes:
        try:
            if not isinstance(request.channel, HTTPChannel):
                raise HandshakeError(426, "WebSocket is spoken over HTTP/1.1 here.")
            head = _headOf(request)
            if not head.wantsUpgrade:
                raise HandshakeError(426, "Only WebSocket is spoken here.", [("Upgrade", "websocket")])
        except HandshakeError as fault:
            self._door.admission.refusals.tell("malformed", peerName(request.getClientAddress()), f"{fault}")
            return _refusal(request, fault)
        visitor = _RequestVisitor(self._door, request)
        visitor.arrive()
        visitor.ask(head, peerName(request.channel.getPeer()), anyPath=self._anyPath)
        return NOT_DONE_YET


class _RequestVisitor(Visitor):
    """
    A request of the site. What the client sends before it is decided is kept here, where the site would take it for the
    next request.
    """

    def __init__(self, door: Door, request: Any) -> None:
        super().__init__(door)
        self._request = request
        request.notifyFinish().addErrback(lambda _: self.end())
        request.channel.rawDataReceived = self._earlyReceived

    @property
    def peer(self) -> str:
        return peerName(self._request.channel.getPeer())

    def letIn(self, protocol: ServerProtocol, data: bytes) -> None:
        channel = self._request.channel
        transport = channel.transport
        if isinstance(channel, PlainChannel):
            channel.leave()
        transport.unregisterProducer()
        # As Twisted's own WebSocket resource does: whatever comes next goes to the other protocol. In the raw mode of a
        # request is what came in one piece with it.
        channel.dataReceived = channel.rawDataReceived = protocol.dataReceived
        channel.connectionLost = protocol.connectionLost
        del channel.requests[:]
        # An answer that the client has not read yet may have paused it.
        transport.resumeProducing()
        protocol.makeConnection(transport)
        protocol.dataReceived(data)

    def answer(self, fault: HandshakeError) -> None:
        self._request.write(_refusal(self._request, fault))
        self._request.finish()

    def abort(self) -> None:
        self._request.channel.transport.abortConnection()

    def _earlyReceived(self, data: bytes) -> None:
        if not self.isOver:
            self.received += data
            self.checkEarly()


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

"""
The first bytes of a connection, and what comes after them.
"""

from __future__ import annotations

from asyncio import CancelledError
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from twisted_crossws import Node, Socket
from twisted_crossws.testing import FakePeer
from twisted_crossws.wire.frames import Reply
from twisted_crossws.wire.rfc6455 import maskedFrame

PAGE = b"GET /healthz HTTP/1.1\r\nHost: localhost:9000\r\n\r\n"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost:9000\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_protocolOfTLS(clock: Clock) -> None:
    """Who asks over TLS what is spoken here gets an answer: Twisted refuses the connection otherwise."""
    factory = Node(clock=clock).webSocketFactory()
    assert verifyObject(IProtocolNegotiationFactory, factory)
    assert list(IProtocolNegotiationFactory(factory).acceptableProtocols()) == [b"http/1.1"]


@pytest.mark.parametrize("pages", [0, 1, 2])
def test_end(clock: Clock, pages: int) -> None:
    """The end of a WebSocket is noticed, also where its connection has carried plain requests before."""
    node, events = Node(clock=clock), list[str]()
    node.lifecycle.on("connection", lambda socket: events.append("connection"))
    node.lifecycle.on("close", lambda socket, code, reason: events.append(f"close {code} {reason}"))
    peer = FakePeer(node, clock, request=b"")
    for _ in range(pages):
        peer.sendBytes(PAGE)
    peer.sendBytes(HANDSHAKE)
    assert events == ["connection"]
    peer.leave()
    assert events == ["connection", "close 1006 connection lost"]
    clock.advance(1.0)
    assert not clock.getDelayedCalls()


def test_afterTheEnd(clock: Clock) -> None:
    """What still comes on a connection that was refused, as over TLS it may, is not looked at."""
    node = Node(clock=clock)
    protocol: Any = node.webSocketFactory().buildProtocol(None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(b"rubbish\r\n\r\n")
    assert transport.disconnecting
    answer = transport.value()
    protocol.dataReceived(b"rubbish again\r\n\r\n")
    protocol.dataReceived(HANDSHAKE)
    assert transport.value() == answer
    assert node.counters["handshakes_malformed"] == 1
    protocol.connectionLost(Failure(ConnectionDone()))
    assert not clock.getDelayedCalls()


def test_pieces(clock: Clock) -> None:
    """However a request is cut up on its way, it is read as one; so are events that come with its last piece."""
    node = Node(clock=clock)
    node.clients.on("echo", lambda socket, payload: payload)
    peer = FakePeer(node, clock, request=b"")
    event = maskedFrame(1, b'{"event":"echo","payload":7,"callbackId":"1"}', b"mask")
    for at in range(len(HANDSHAKE) - 1):
        peer.sendBytes(HANDSHAKE[at : at + 1])
        assert peer.status is None
    peer.sendBytes(HANDSHAKE[-1:] + event + event[:9])
    peer.sendBytes(event[9:])
    assert peer.takeFrames() == [Reply("1", 7)] * 2


def test_startedAndStopped(clock: Clock) -> None:
    """Listening starts the site that answers plain requests, and stops it in the end, on how many ports ever."""
    factory: Any = Node(clock=clock).webSocketFactory()
    factory.doStart()
    factory.doStart()
    assert clock.getDelayedCalls() != []
    factory.doStop()
    assert clock.getDelayedCalls() != []
    factory.doStop()
    assert clock.getDelayedCalls() == []


def test_raisedAtOnce(clock: Clock, logged: list[Any]) -> None:
    """What a listener raises that is no C{Exception} ends the connection, also at what comes with the handshake."""
    node, closed = Node(clock=clock), list[int]()

    def fail(socket: Socket, payload: Any) -> None:
        raise CancelledError

    node.clients.on("fail", fail)
    node.lifecycle.on("close", lambda socket, code, reason: closed.append(code))
    peer = FakePeer(node, clock, request=b"")
    peer.sendBytes(HANDSHAKE + maskedFrame(1, b'{"event":"fail"}', b"mask"))
    clock.advance(0)
    assert not peer.isConnected and closed == [1006]
    assert logged.pop().check(CancelledError)

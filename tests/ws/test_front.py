"""
The first bytes of a connection, and what comes after them.
"""

from __future__ import annotations

import pytest
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from twisted_crossws import Node
from twisted_crossws.testing import FakePeer

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

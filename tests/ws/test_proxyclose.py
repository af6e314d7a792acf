"""
A proxy that closes a client's connection in the client's name, with a close frame that is not masked.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.ws.nodes import makeNode
from tests.ws.streams import frame
from twisted_crossws import Node
from twisted_crossws.testing import FakePeer
from twisted_crossws.ws.proxyclose import CLOSED_BY_PROXY

GOING_AWAY = frame(8, b"\x03\xe9", mask=None)


@pytest.fixture(params=[True, False], ids=["fast", "ordinary"])
def node(clock: Clock, request: Any) -> Node:
    return makeNode(clock, fast_path=request.param)


@pytest.fixture
def told(node: Node) -> list[Any]:
    """What listeners are told of the end of connections, in order."""
    told: list[Any] = []
    node.lifecycle.on("close", lambda socket, code, reason: told.append((code, reason)))
    node.lifecycle.on("error", lambda socket, failure: told.append(failure.value))
    return told


@pytest.mark.parametrize("close", [GOING_AWAY, frame(8, mask=None), frame(8, b"\x03\xe9bye", mask=None)])
@pytest.mark.parametrize("isChopped", [False, True])
def test_told(node: Node, clock: Clock, told: list[Any], close: bytes, isChopped: bool) -> None:
    """It is 1006 with a reason that says so, no goodbye of the client's, and no fault of the client's."""
    peer = FakePeer(node, clock)
    peer.sendEvent("echo", 1, "1")
    for part in [bytes([octet]) for octet in close] if isChopped else [close]:
        peer.sendBytes(part)
    assert not peer.isConnected and told == [(1006, CLOSED_BY_PROXY)]
    assert peer.closeCode == 1002
    assert peer.takeTexts() == ['{"payload":1,"callbackId":"1"}']
    assert node.counters["clients_faulty"] == 0 and node.counters["connections_closed"] == 1


def test_afterOurs(node: Node, clock: Clock, told: list[Any]) -> None:
    """One that comes while the node closes the connection ends it at once, and is told as what it is."""
    peer = FakePeer(node, clock)
    peer.answersClose = False
    node.clients.on("go", lambda socket, payload: socket.close(4000, "go"))
    peer.sendEvent("go", None)
    assert peer.isConnected
    peer.sendBytes(GOING_AWAY)
    assert not peer.isConnected and told == [(1006, CLOSED_BY_PROXY)]


def test_notRead(node: Node, clock: Clock, told: list[Any]) -> None:
    """If the proxy does not read what waits for the client, the connection is cut all the same."""
    peer = FakePeer(node, clock)
    peer.answersClose = False
    peer.transport.loseConnection = lambda: None
    peer.sendBytes(GOING_AWAY)
    assert told == []
    clock.advance(3.0)
    assert told == [(1006, CLOSED_BY_PROXY)]


@pytest.mark.parametrize("bad", [frame(1, b"x", mask=None), frame(9, mask=None), frame(8, reserved=4, mask=None)])
def test_otherFrames(node: Node, clock: Clock, told: list[Any], bad: bytes) -> None:
    """Whoever sends other frames without a mask is at fault, as before: no proxy does."""
    peer = FakePeer(node, clock)
    peer.sendBytes(bad)
    assert node.counters["clients_faulty"] == 1
    assert peer.closeCode == 1002
    assert told[0].code == 1002

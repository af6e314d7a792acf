"""
A handshake that was decided about is answered without being read once more, and leaves behind what Autobahn does.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.ws.nodes import makeNode
from tests.ws.test_server import HANDSHAKE, frame
from twisted_crossws.testing import FakeTransport

PROTOCOLS = b"Sec-WebSocket-Protocol: chat, superchat\r\n"
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
OTHERS = b"Origin: http://localhost\r\nCookie: a=b\r\nX-Anything: x\r\n"

#: What only Autobahn's reading of the head writes down, and nobody reads afterwards.
READING = ("http_", "websocket_origin", "websocket_protocols")


def opened(clock: Clock, headers: bytes, early: bytes, **options: Any) -> tuple[Any, bytes]:
    """
    @return: the protocol of a client that has just come in, and all that was sent to it.
    """
    front: Any = makeNode(clock, **options).webSocketFactory().buildProtocol(None)
    transport = FakeTransport(clock, front, lambda: None)
    front.makeConnection(transport)
    front.dataReceived(HANDSHAKE[:-2] + headers + b"\r\n" + early)
    return front._successor, transport.value()


def stateOf(protocol: Any) -> dict[str, Any]:
    """What is plain data of the protocol."""
    plain = (str, bytes, bool, int, float, type(None), list)
    return {
        name: [type(each) for each in value] if isinstance(value, list) else value
        for name, value in vars(protocol).items()
        if isinstance(value, plain) and not name.startswith(READING) and name != "_isBetween"
    }


@pytest.mark.parametrize("compression", [False, True])
@pytest.mark.parametrize("headers", [b"", PROTOCOLS, DEFLATE, OTHERS, OTHERS + PROTOCOLS + DEFLATE])
@pytest.mark.parametrize("early", [b"", frame(1, b'{"event":"echo","callbackId":"1"}'), frame(9), b"\x81"])
def test_same(clock: Clock, compression: bool, headers: bytes, early: bytes) -> None:
    """The answer is the same to the byte, and so is the state, whatever is offered, and whatever comes with it."""
    fast, said = opened(clock, headers, early, compression=compression, fast_path=True)
    ordinary, expected = opened(clock, headers, early, compression=compression, fast_path=False)
    assert said == expected
    if not early:
        # What comes with it is read by another fast path, which leaves less behind.
        assert stateOf(fast) == stateOf(ordinary)


@pytest.mark.parametrize("compression", [False, True])
def test_shortcut(clock: Clock, compression: bool) -> None:
    """Autobahn reads the head only where there is something to negotiate."""
    assert not hasattr(opened(clock, OTHERS, b"", compression=compression, fast_path=True)[0], "http_headers")
    read = hasattr(opened(clock, DEFLATE, b"", compression=compression, fast_path=True)[0], "http_headers")
    assert read == compression

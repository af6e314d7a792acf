"""
Header values with bytes from 0x80 on (RFC 9110 section 5.5), on every way into a node: what is meant by them arrives,
and nobody forges a header with them.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.clientfakes import Rig, faultOf
from twisted_crossws import Config, HandshakeRefused, Node, Socket, WebSocketConfig
from twisted_crossws.testing import FakePeer

#: As a browser sends it.
DEFLATE = "permessage-deflate; client_max_window_bits"


class Way:
    """One way into a node, through whichever readers stand there."""

    def __init__(self, clock: Clock, *, site: bool, **options: Any) -> None:
        self._clock = clock
        self.node = Node("serverA", clock=clock, config=Config(websocket=WebSocketConfig(**options)))
        self.node.clients.on("echo", lambda socket, payload: payload)
        self.sockets: list[Socket] = []
        self.node.lifecycle.on("connection", self.sockets.append)
        root = Resource()
        root.putChild(b"", self.node.webResource())
        self._entrance: Any = Site(root, reactor=clock) if site else self.node

    def peer(self, **headers: bytes) -> FakePeer:
        """A client that sends these bytes as the values of headers."""
        lines = {name.replace("_", "-"): value.decode("iso-8859-1") for name, value in headers.items()}
        return FakePeer(self._entrance, self._clock, headers=lines)


@pytest.fixture(
    params=[(site, isFast, deflate) for site in (False, True) for isFast in (True, False) for deflate in (False, True)],
    ids=lambda way: "-".join(("site" if way[0] else "port", "fast" if way[1] else "ordinary", "deflate"[: 7 * way[2]])),
)
def way(request: pytest.FixtureRequest, clock: Clock) -> Way:
    site, isFast, deflate = request.param
    return Way(clock, site=site, fast_path=isFast, compression=deflate)


class TestValues:
    @pytest.mark.parametrize("name", ["Åsa", "ü", "名", "\U0001f600", "x\u0085y", "\u2028"])
    def test_cookie(self, way: Way, name: str) -> None:
        """A cookie that a page has set in UTF-8 arrives as the page has set it, and the page is let in."""
        peer = way.peer(Cookie=b"name=" + name.encode() + b"; theme=dark")
        assert peer.status == 101
        assert way.sockets[0].request.headers["cookie"] == f"name={name}; theme=dark"
        peer.sendText('{"event":"echo","payload":1,"callbackId":"7"}')
        assert peer.takeTexts() == ['{"payload":1,"callbackId":"7"}']

    @pytest.mark.parametrize("byte", [0x80, 0x85, 0x9F, 0xA0, 0xE9, 0xFF])
    def test_others(self, way: Way, byte: int) -> None:
        """What is no UTF-8 arrives as ISO 8859-1, whatever the byte."""
        peer = way.peer(Cookie=b"name=caf" + bytes([byte]), X_Note=bytes([byte]))
        assert peer.status == 101
        headers = way.sockets[0].request.headers
        assert headers["cookie"] == "name=caf" + chr(byte) and headers["x-note"] == chr(byte)

    def test_repeated(self, way: Way) -> None:
        """Each line is read by itself: one that is no UTF-8 leaves the others what they are."""
        head = (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"X-Name: \xc3\x85sa\r\nX-Name: \xc5sa\r\n\r\n"
        )
        FakePeer(way._entrance, way._clock, request=head)
        assert way.sockets[0].request.headers["x-name"] == "Åsa, Åsa"


class TestAttacks:
    @pytest.mark.parametrize("end", [b"\x85", "\u0085".encode(), "\u2028".encode(), "\u2029".encode()])
    def test_headerSplitting(self, way: Way, end: bytes) -> None:
        """What some readers of lines take for the end of one begins no header here: it stays in the value."""
        forged = end + b"Authorization: forged" + end + b"Sec-WebSocket-Protocol: forged" + end + b"Origin: http://evil"
        peer = way.peer(X_Note=b"a" + forged, Cookie=b"a" + forged)
        assert peer.status == 101
        assert b"forged" not in peer.transport.value()
        headers = way.sockets[0].request.headers
        assert not {"authorization", "sec-websocket-protocol", "origin"} & headers.keys()

    @pytest.mark.parametrize("end", [b"\x85", "\u0085".encode(), "\u2028".encode()])
    @pytest.mark.parametrize("name", ["Sec_WebSocket_Extensions", "Sec_WebSocket_Protocol", "Sec_WebSocket_Key"])
    def test_handedOn(self, way: Way, name: str, end: bytes) -> None:
        """What is handed on to Autobahn holds none of it: such a request is refused."""
        value = {
            "Sec_WebSocket_Extensions": DEFLATE,
            "Sec_WebSocket_Protocol": "a",
            "Sec_WebSocket_Key": "x" * 22 + "==",
        }
        peer = way.peer(**{name: value[name].encode() + end + b"Sec-WebSocket-Protocol: forged"})
        assert peer.status == 400
        assert way.sockets == [] and b"forged" not in peer.transport.value()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Upgrade", "websoc\u212aet"),
            ("Connection", "Upgr\u00e5de"),
            ("Host", "local\u2028host"),
            ("Origin", "http://\u212aocalhost"),
            ("Sec_WebSocket_Version", "1\u0663"),
        ],
    )
    def test_lookalikes(self, way: Way, name: str, value: str) -> None:
        """No other character passes for the ASCII that it looks like, or becomes in lower case."""
        peer = way.peer(**{name: value.encode()})
        assert peer.status in (400, 403, 404, 426)
        assert way.sockets == []


def test_plainRequest(clock: Clock) -> None:
    """A request that is no handshake is served with such a cookie, too."""
    node = Node("serverA", clock=clock)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nCookie: name=\xc3\x85sa\r\n\r\n"
    assert FakePeer(node, clock, request=request).status == 200


@pytest.mark.parametrize(
    "line",
    [
        b"Set-Cookie: name=\xc3\x85sa",
        b"Set-Cookie: name=\xc5sa",
        b"X: a\x85",
        b"X: a\x85Sec-WebSocket-Protocol: forged",
        b"X: a\x85Sec-WebSocket-Extensions: permessage-deflate",
    ],
)
def test_answer(line: bytes) -> None:
    """A client takes a server's answer with such a value, and it begins no header there either."""
    rig = Rig()
    rig.client.connect()
    server = rig.endpoint.reach()
    server.answer(server.handshake()[:-2] + line + b"\r\n\r\n")
    assert rig.client.isConnected
    server.emit("said", 1)
    assert rig.told("message") == [("message", '{"event":"said","payload":1}')]


def test_refusal() -> None:
    """A no with such a value is read as the no that it is."""
    rig = Rig()
    connecting = rig.client.connect()
    rig.endpoint.reach().answer(b"HTTP/1.1 403 Forbidden\r\nX: caf\xe9\r\n\r\n")
    fault = faultOf(connecting)
    assert isinstance(fault, HandshakeRefused) and fault.status == 403

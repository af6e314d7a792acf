"""
What the log says of handshakes that were refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, eventAsText, globalLogPublisher
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.ws.nodes import makeNode
from twisted_crossws import Node, Refuse
from twisted_crossws.state.counters import MEANINGS
from twisted_crossws.testing import FakePeer
from twisted_crossws.ws.handshake import HandshakeRequest
from twisted_crossws.ws.refusals import BURST, COUNTERS

SECRET = "s3cr3t"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged of level info or above."""
    found: list[str] = []

    def see(event: Any) -> None:
        if event["log_level"] >= LogLevel.info and event["log_namespace"].startswith("twisted_crossws"):
            found.append(eventAsText(event, includeTimestamp=False, includeSystem=False))

    globalLogPublisher.addObserver(see)
    yield found
    globalLogPublisher.removeObserver(see)


def refuse(request: HandshakeRequest) -> None:
    raise Refuse(403, "No such user.")


#: What is sent beside a proper handshake, with which options; and the counter, the status, and what the line says.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, int, list[str]]] = {
    "a page opened from disk": (
        {"headers": {"Origin": "null"}},
        {},
        "handshakes_foreign_origin",
        403,
        ["opened from disk (Origin: null)", 'put "null" into [websocket] allowed_origins'],
    ),
    "a page of another host": (
        {"headers": {"Origin": "http://other.example:8000"}},
        {},
        "handshakes_foreign_origin",
        403,
        [
            "'http://other.example:8000'",
            "not of the host 'localhost",
            "put that origin into [websocket] allowed_origins",
        ],
    ),
    "another path": (
        {"path": "/chta"},
        {"path": "chat"},
        "handshakes_wrong_path",
        404,
        ["the path 'chta'", "[websocket] path is 'chat'"],
    ),
    "too many at once": (
        {},
        {"max_handshakes_per_second": 0.1, "handshake_burst": 1},
        "handshakes_over_limit",
        503,
        ["[websocket] max_handshakes_per_second = 0.1"],
    ),
    "too many": ({}, {"max_connections": 1}, "handshakes_over_limit", 503, ["[websocket] max_connections = 1"]),
    "no handshake": (
        {"headers": {"Sec-WebSocket-Version": "8"}},
        {},
        "handshakes_malformed",
        426,
        ["Only WebSocket version 13 is spoken here."],
    ),
    "a proxy that drops headers": (
        {"request": b"GET /?token=s3cr3t HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"},
        {},
        "handshakes_malformed",
        426,
        ["a proxy must pass it on"],
    ),
    "rubbish": (
        {"request": b"s3cr3t\r\n\r\n"},
        {},
        "handshakes_malformed",
        400,
        ["The request line is malformed."],
    ),
    "a bad offer of compression": (
        {"headers": {"Sec-WebSocket-Extensions": "permessage-deflate; s3cr3t=1"}},
        {"compression": True},
        "handshakes_malformed",
        400,
        ["The header Sec-WebSocket-Extensions is malformed."],
    ),
}


@pytest.mark.parametrize(("asked", "options", "counter", "status", "says"), CASES.values(), ids=CASES)
def test_line(
    clock: Clock,
    lines: list[str],
    asked: dict[str, Any],
    options: dict[str, Any],
    counter: str,
    status: int,
    says: list[str],
) -> None:
    """It says who was refused, why, and what to set; and nothing of what the client has kept secret."""
    node = makeNode(clock, **options)
    # The first one is there, or was, where there may be one only.
    FakePeer(node, clock, path="/chat")
    asked = {"params": {"token": SECRET}, **asked}
    headers = {"Cookie": SECRET, "Authorization": SECRET, **asked.pop("headers", {})}
    peer = FakePeer(node, clock, headers=headers, **asked)
    assert peer.status == status
    (line,) = lines
    assert line.startswith("refused 192.0.2.1:54321: ") and line.endswith(".")
    assert [part for part in says if part not in line] == []
    assert SECRET not in line
    assert node.counters[counter] == 1
    assert sum(node.counters[name] for name in set(COUNTERS.values())) == 1


class TestAuthentication:
    def test_refused(self, node: Node, clock: Clock, lines: list[str]) -> None:
        """What an authenticator has said is in the line."""
        node.authenticate = refuse
        FakePeer(node, clock, params={"token": SECRET})
        assert lines == ["refused 192.0.2.1:54321: The authenticator said 403 'No such user.'."]
        assert node.counters["handshakes_refused"] == 1

    def test_failed(self, node: Node, clock: Clock, lines: list[str], logged: list[Any]) -> None:
        """If it fails, its traceback is enough."""
        node.authenticate = lambda request: 1 // 0
        FakePeer(node, clock)
        assert [line.partition("\n")[0] for line in lines] == [
            "the authenticator failed for 192.0.2.1:54321, which was refused"
        ]
        assert node.counters["handshakes_failed"] == 1
        logged.clear()

    def test_tooLate(self, clock: Clock, lines: list[str]) -> None:
        """If it does not decide in time, that is said."""
        node = makeNode(clock, handshake_timeout=2.5)
        node.authenticate = lambda request: Deferred()
        peer = FakePeer(node, clock)
        clock.pump([2.5, 0])
        assert not peer.isConnected
        says = "The authenticator had not decided after [websocket] handshake_timeout = 2.5 seconds."
        assert lines == [f"refused 192.0.2.1:54321: {says}"]
        assert node.counters["handshakes_timed_out"] == 1


class TestTime:
    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (
                b"GET /?s3cr3t HTTP/1.1\r\n",
                "Its request was not complete after [websocket] handshake_timeout = 5 seconds.",
            ),
            (
                b"\x16\x03\x01\x02\x00\x01",
                "It speaks TLS (wss:, https:), and this port does not: listen on ssl: for that.",
            ),
        ],
    )
    def test_incomplete(self, node: Node, clock: Clock, lines: list[str], data: bytes, says: str) -> None:
        """A request that does not come to its end is told of; and one that is encrypted, as what it is."""
        FakePeer(node, clock, request=data)
        clock.pump([5.0, 0])
        assert lines == [f"refused 192.0.2.1:54321: {says}"]
        assert node.counters["handshakes_timed_out"] == 1

    def test_silent(self, node: Node, clock: Clock, lines: list[str]) -> None:
        """Who says nothing, as a browser that connects ahead of time, or a check of a port, is counted, and no line."""
        FakePeer(node, clock, request=b"")
        FakePeer(node, clock, request=b"").leave()
        clock.pump([5.0, 0])
        assert lines == []
        assert node.counters["handshakes_timed_out"] == 1


class TestStopping:
    def test_drained(self, node: Node, clock: Clock, lines: list[str]) -> None:
        """Who comes while the node drains is counted apart from limits."""
        node.startService()
        node.drain()
        lines.clear()
        assert FakePeer(node, clock).status == 503
        assert lines == ["refused 192.0.2.1:54321: This node is to stop, and takes no new clients."]
        assert (node.counters["handshakes_stopping"], node.counters["handshakes_over_limit"]) == (1, 0)
        node.stopService()
        clock.pump([1.0] * 20)

    def test_sentAway(self, node: Node, clock: Clock, lines: list[str]) -> None:
        """So is who was at the door."""
        node.startService()
        node.authenticate = lambda request: Deferred()
        peer = FakePeer(node, clock)
        lines.clear()
        node.stopService()
        assert peer.status == 503 and node.counters["handshakes_stopping"] == 1
        assert "refused 192.0.2.1:54321: This node stops." in lines


def test_otherSites(node: Node, clock: Clock, lines: list[str]) -> None:
    """On a site of somebody else's it is the same."""
    root = Resource()
    root.putChild(b"chat", node.webResource())
    site = Site(root, reactor=clock, timeout=None)
    FakePeer(site, clock, path="/chat", headers={"Origin": "http://other.example"})
    FakePeer(site, clock, request=b"GET /chat?s3cr3t HTTP/1.1\r\nHost: x\r\n\r\n")
    first, second = lines
    assert "allowed_origins" in first and "Only WebSocket is spoken here." in second and SECRET not in second


class TestFlood:
    def test_limited(self, node: Node, clock: Clock, lines: list[str]) -> None:
        """However many are refused, there are few lines of each cause; the next one says how many there were."""
        for _ in range(1000):
            FakePeer(node, clock, headers={"Origin": "null"})
        assert len(lines) == BURST
        FakePeer(node, clock, headers={"Sec-WebSocket-Version": "8"})
        assert len(lines) == BURST + 1
        clock.advance(600)
        FakePeer(node, clock, headers={"Origin": "null"})
        FakePeer(node, clock, headers={"Origin": "null"})
        assert lines[-2].endswith(f" ({1000 - BURST} more were refused for this cause since the last such line.)")
        assert "more were" not in lines[-1]
        assert node.counters["handshakes_foreign_origin"] == 1002

    def test_injection(self, clock: Clock, lines: list[str]) -> None:
        """What a client chose is on one line, in quotes, and not long."""
        node = makeNode(clock, path="chat")
        FakePeer(node, clock, path="/%0aINFO%20fake%1b[31m" + "x" * 5000)
        FakePeer(node, clock, path="/chat", headers={"Origin": "http://'" + "y" * 5000})
        assert all("\n" not in line and "\x1b" not in line and len(line) < 600 for line in lines)
        assert len(lines) == 2


def test_counters() -> None:
    """Each cause has a counter that there is."""
    assert set(COUNTERS.values()) == {name for name in MEANINGS if name.startswith("handshakes_")}

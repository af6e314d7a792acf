"""
What a node answers over plain HTTP on its own port, and WebSockets on connections that have carried other requests.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import eventAsText, globalLogPublisher

from tests.ws.nodes import makeNode
from twisted_crossws import Node
from twisted_crossws.testing import FakePeer
from twisted_crossws.wire.frames import Reply

HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def ask(node: Node, clock: Clock, path: str, method: str = "GET") -> tuple[int | None, dict[str, str], bytes]:
    """A plain request on a connection of its own: status, headers, body."""
    peer = FakePeer(node, clock, request=f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    clock.pump([0] * 5)
    status, headers, body = _read(peer)
    peer.leave()
    return status, headers, body


def _read(peer: FakePeer) -> tuple[int | None, dict[str, str], bytes]:
    head, _, body = peer.transport.value().partition(b"\r\n\r\n")
    lines = [line.decode().partition(": ") for line in head.split(b"\r\n")[1:]]
    return peer.status, {name.lower(): value for name, _, value in lines}, body


class TestHealth:
    def test_serving(self, node: Node, clock: Clock) -> None:
        """C{/healthz} is 200 while the node serves, says how many clients there are, and is not to be cached."""
        FakePeer(node, clock)
        status, headers, body = ask(node, clock, "/healthz?why=not")
        assert status == 200
        assert json.loads(body) == {"status": "ok", "server": "serverA", "clients": 1}
        assert headers["content-type"] == "application/json"
        assert headers["cache-control"] == "no-store"
        assert int(headers["content-length"]) == len(body)

    def test_stopping(self, node: Node, clock: Clock) -> None:
        """Once the node stops it is 503, on connections that are still there too."""
        node.startService()
        peer = FakePeer(node, clock, request=b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        peer.transport.clear()
        node.stopService()
        peer.sendBytes(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        status, _, body = _read(peer)
        assert status == 503
        assert json.loads(body) == {"status": "stopping", "server": "serverA", "clients": 0}

    @pytest.mark.parametrize("path", ["/readyz", "/readyz?why=not"])
    def test_readiness(self, node: Node, clock: Clock, path: str) -> None:
        """C{/readyz} is another question: a node that has not joined serves, and is not to be sent anybody."""
        status, headers, body = ask(node, clock, path)
        assert status == 503 and json.loads(body)["status"] == "starting"
        node.startService()
        status, headers, body = ask(node, clock, path)
        assert status == 200
        assert json.loads(body) == {"status": "ready", "server": "serverA", "clients": 0}
        assert (headers["content-type"], headers["cache-control"]) == ("application/json", "no-store")

    def test_readinessOfTheDrained(self, node: Node, clock: Clock) -> None:
        """It is 503 once the node is drained, on connections that are still there too, with the reason."""
        node.startService()
        peer = FakePeer(node, clock, request=b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        peer.transport.clear()
        node.drain()
        peer.sendBytes(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        status, _, body = _read(peer)
        said = json.loads(body)
        assert status == 503 and said["status"] == "draining" and said["reason"].endswith(".")

    @pytest.mark.parametrize("path", ["healthz", "readyz"])
    def test_nextLife(self, node: Node, clock: Clock, path: str) -> None:
        """
        503 ends the connection that it was asked on, and 200 does not: a balancer that keeps it open would never come
        to who listens on that port after this node, or beside it.
        """
        request = f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        node.startService()
        peer = FakePeer(node, clock, request=request)
        assert peer.isConnected and "connection" not in _read(peer)[1]
        node.stopService()
        peer.transport.clear()
        peer.sendBytes(request)
        status, headers, _ = _read(peer)
        assert (status, headers["connection"]) == (503, "close")
        assert not peer.isConnected

    def test_head(self, node: Node, clock: Clock) -> None:
        """A C{HEAD} request, as some balancers send it, gets the status alone."""
        status, headers, body = ask(node, clock, "/healthz", "HEAD")
        assert (status, body) == (200, b"")
        assert headers["content-length"] == ask(node, clock, "/healthz")[1]["content-length"]

    def test_otherMethods(self, node: Node, clock: Clock) -> None:
        """It takes no other requests."""
        assert ask(node, clock, "/healthz", "POST")[0] == 405


class TestPages:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "secret.txt").write_text("secret")
        pages = tmp_path / "pages"
        (pages / "sub").mkdir(parents=True)
        (pages / "index.html").write_text("<h1>hi</h1>")
        (pages / "sub" / "a.css").write_text("a {}")
        return pages

    def test_script(self, node: Node, clock: Clock) -> None:
        """C{/crossws.js} is the browser's client, as it is in the package."""
        status, headers, body = ask(node, clock, "/crossws.js")
        assert status == 200
        assert headers["content-type"] == "text/javascript; charset=utf-8"
        assert body == files("twisted_crossws").joinpath("browser/crossws.js").read_bytes()

    @pytest.mark.parametrize("path", ["/", "/index.html", "/nothing", "/sub/a.css"])
    def test_noFolder(self, node: Node, clock: Clock, path: str) -> None:
        """Without C{static} there are no other pages."""
        assert ask(node, clock, path)[0] == 404

    # The content of a file Twisted sends by the global reactor, whatever clock a site has: here its head is asked for.

    @pytest.mark.parametrize(
        ("path", "kind", "size"),
        [("/", "text/html", 11), ("/index.html?x=1", "text/html", 11), ("/sub/a.css", "text/css", 4)],
    )
    def test_folder(self, clock: Clock, folder: Path, path: str, kind: str, size: int) -> None:
        """C{static} is served as it is, with C{index.html} for a folder, beside the node's own pages."""
        node = makeNode(clock, static=str(folder))
        status, headers, _ = ask(node, clock, path, "HEAD")
        assert (status, headers["content-type"], headers["content-length"]) == (200, kind, str(size))
        assert ask(node, clock, "/healthz")[0] == ask(node, clock, "/crossws.js")[0] == 200

    @pytest.mark.parametrize("path", ["/nothing", "/sub/", "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt"])
    def test_notInTheFolder(self, clock: Clock, folder: Path, path: str) -> None:
        """What is not in it, or above it, is not found; what is in a folder is not listed."""
        status, _, body = ask(makeNode(clock, static=str(folder)), clock, path)
        assert status == 404
        assert b"secret" not in body and b"a.css" not in body

    @pytest.mark.parametrize("path", ["/", "/healthz", "/crossws.js", "/nothing"])
    def test_headers(self, clock: Clock, folder: Path, path: str) -> None:
        """No answer says which software this is, and no browser is to guess what it is."""
        _, headers, _ = ask(makeNode(clock, static=str(folder)), clock, path, "HEAD")
        assert "server" not in headers
        assert headers["x-content-type-options"] == "nosniff"

    def test_everything(self, node: Node, clock: Clock) -> None:
        """That goes for what is asked of no page at all, too."""
        peer = FakePeer(node, clock, request=b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        peer.transport.clear()
        peer.sendBytes(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
        assert peer.status == 200
        assert b"Twisted" not in peer.transport.value()

    def test_idle(self, node: Node, clock: Clock) -> None:
        """A connection that asks for nothing more is ended after half a minute."""
        peer = FakePeer(node, clock, request=b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        clock.pump([29.0, 0])
        assert peer.isConnected
        clock.pump([1.0, 0])
        assert not peer.isConnected
        assert clock.getDelayedCalls() == []


class TestUpgradeLater:
    """A WebSocket on a connection that has carried other requests, as proxies reuse theirs."""

    def after(self, node: Node, clock: Clock, before: str = "/healthz") -> FakePeer:
        peer = FakePeer(node, clock, request=f"GET {before} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        clock.pump([0] * 5)
        peer.transport.clear()
        return peer

    @pytest.mark.parametrize("before", ["/healthz", "/crossws.js", "/nothing"])
    def test_upgrade(self, node: Node, clock: Clock, before: str) -> None:
        """It is served as on a new connection."""
        peer = self.after(node, clock, before)
        peer.sendBytes(HANDSHAKE % b"/some/where")
        assert peer.status == 101
        peer.sendEvent("echo", "x", "1")
        assert peer.takeFrames() == [Reply("1", "x")]

    @pytest.mark.parametrize(("path", "status"), [(b"/chat", 101), (b"/chat/", 101), (b"/", 404), (b"/healthz", 404)])
    def test_path(self, clock: Clock, path: bytes, status: int) -> None:
        """It is held to C{path} of the configuration, as there."""
        node = makeNode(clock, path="chat")
        peer = self.after(node, clock)
        peer.sendBytes(HANDSHAKE % path)
        assert peer.status == status
        assert node.counters["handshakes_wrong_path"] == (status == 404)

    def test_stopping(self, node: Node, clock: Clock) -> None:
        """Once the node stops it gets 503."""
        node.startService()
        peer = self.after(node, clock)
        node.stopService()
        peer.sendBytes(HANDSHAKE % b"/")
        assert peer.status == 503


class TestAccessLog:
    def lines(self, node: Node, clock: Clock, *requests: bytes) -> list[str]:
        """What is logged while these requests come to a port that is listened on."""
        found: list[str] = []

        def see(event: Any) -> None:
            found.append(eventAsText(event, includeTimestamp=False, includeSystem=False))

        factory: Any = node.webSocketFactory()
        factory.doStart()
        globalLogPublisher.addObserver(see)
        try:
            for request in requests:
                FakePeer(factory, clock, request=request).leave()
        finally:
            globalLogPublisher.removeObserver(see)
            factory.doStop()
        return found

    def test_line(self, node: Node, clock: Clock) -> None:
        """A request is one line: who, what and how it went, without the query and the headers, which hold tokens."""
        request = (
            b"GET /crossws.js?token=s3cr3t HTTP/1.1\r\nHost: x\r\nReferer: http://x/?s3cr3t\r\nCookie: s3cr3t\r\n\r\n"
        )
        assert self.lines(node, clock, request) == ["192.0.2.1:54321 'GET' '/crossws.js' 200"]

    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/readyz?from=balancer"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_healthChecks(self, node: Node, clock: Clock, method: str, path: str) -> None:
        """Balancers that ask each second, whatever the answer is, leave no lines. They are counted."""
        request = f"{method} {path} HTTP/1.0\r\n\r\n".encode()
        assert self.lines(node, clock, request, request) == []
        assert node.counters["health_checks"] == 2

    @pytest.mark.parametrize(("path", "status"), [("crossws.js", 200), ("nothing", 404)])
    def test_head(self, node: Node, clock: Clock, path: str, status: int) -> None:
        """Nor does a C{HEAD} request leave more than its line, which holds no query."""
        request = f"HEAD /{path}?token=s3cr3t HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        assert self.lines(node, clock, request) == [f"192.0.2.1:54321 'HEAD' '/{path}' {status}"]

    def test_noHealthCheck(self, node: Node, clock: Clock) -> None:
        """What a balancer would not send there is a line."""
        request = b"OPTIONS /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
        assert self.lines(node, clock, request) == ["192.0.2.1:54321 'OPTIONS' '/readyz' 501"]
        assert node.counters["health_checks"] == 0

    def test_injection(self, node: Node, clock: Clock) -> None:
        """What a client chooses is in quotes, and cut to 200 characters."""
        (line,) = self.lines(node, clock, b"GET /healthz'" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert line == "192.0.2.1:54321 'GET' \"/healthz'" + "x" * 191 + '"… 404'

    def test_webSockets(self, node: Node, clock: Clock) -> None:
        """A handshake is no line."""
        assert self.lines(node, clock, HANDSHAKE % b"/?token=s3cr3t") == []

"""
What a node answers over plain HTTP on its own port: its health, its browser client, and a folder of pages.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.web.pages import errorPage, notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site
from twisted.web.static import Data

from twisted_crossws.wire.text import shown
from twisted_crossws.ws.folder import Folder
from twisted_crossws.ws.plain import IDLE_TIMEOUT, PlainChannel, PlainConnections
from twisted_crossws.ws.transport import peerName

#: Where balancers and supervisors ask, once a second each.
HEALTH_CHECKS = (b"/healthz", b"/readyz")

#: Says how the node is: whether it can serve, and what to show.
Health = Callable[[], tuple[bool, dict[str, Any]]]


class HealthResource(Resource):
    """
    C{GET /healthz} and C{/readyz}: 200 while the node is as it should be, otherwise 503; and JSON that says more.

    503 ends the connection. A balancer that kept it would go on asking this node, though another one, or its next life,
    listens on the port by then.
    """

    isLeaf = True

    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health

    def render_GET(self, request: Any) -> bytes:
        well, details = self._health()
        if not well:
            request.setHeader(b"connection", b"close")
            request.channel.persistent = False
        request.setResponseCode(200 if well else 503)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        return msgspec.json.encode(details) + b"\n"


class NodePages(Resource):
    """
    The root of a node's own port: C{/healthz}, C{/readyz}, C{/crossws.js}, the folder C{static}, and WebSocket requests
    on connections that have carried other requests before (as proxies reuse them).
    """

    def __init__(self, *, health: Health, readiness: Health, upgrade: IResource, static: str) -> None:
        """
        @param health: whether the node serves.
        @param readiness: whether more clients should be sent to it.
        @param upgrade: takes the WebSocket requests.
        @param static: a folder, or empty for none.
        """
        super().__init__()
        script = files("twisted_crossws").joinpath("browser/crossws.js").read_bytes()
        self.putChild(b"healthz", HealthResource(health))
        self.putChild(b"readyz", HealthResource(readiness))
        self.putChild(b"crossws.js", Data(script, "text/javascript; charset=utf-8"))
        self._upgrade = upgrade
        self._static = Folder(static) if static else None

    def getChildWithDefault(self, path: bytes, request: Any) -> Any:
        request.setHeader(b"x-content-type-options", b"nosniff")
        if b"websocket" in (request.getHeader(b"upgrade") or b"").lower():
            return self._upgrade
        if b"\0" in request.path or b"%00" in request.path:
            return errorPage(400, "Bad Request", "The path holds a NUL byte.")
        return super().getChildWithDefault(path, request)

    def getChild(self, path: bytes, request: Any) -> Any:
        if self._static is None:
            return notFound()
        return self._static.getChildWithDefault(path, request)


class _Request(Request):
    """Answers without the version of Twisted, which would help nobody but attackers."""

    def setHeader(self, name: bytes, value: bytes) -> None:
        if name.lower() != b"server":
            super().setHeader(name, value)

    def render(self, resrc: Any) -> None:
        super().render(_HeadOf(resrc) if self.method == b"HEAD" else resrc)


class _HeadOf(Resource):
    """Answers with the head alone. Twisted would log a body that it throws away, and the query with it."""

    def __init__(self, page: Any) -> None:
        super().__init__()
        self._page = page

    def render(self, request: Any) -> Any:
        body = self._page.render(request)
        if isinstance(body, bytes) and body:
            request.setHeader(b"content-length", b"%d" % len(body))
            return b""
        return body


class NodeSite(Site):
    """
    A site whose connections are few and short, and whose access log has no query strings: they hold tokens. Health
    checks are counted, and not logged: at one a second the log would hold little else, and what changes their answer
    is logged where it happens.
    """

    noisy = False
    displayTracebacks = False
    requestFactory = _Request
    protocol = PlainChannel  # type: ignore[assignment]  # Without the proxy that waits for HTTP/2.

    def __init__(self, pages: IResource, clock: IReactorTime, connections: PlainConnections) -> None:
        self.connections = connections
        super().__init__(pages, timeout=IDLE_TIMEOUT, reactor=clock, logFormatter=accessLine)

    def log(self, request: Any) -> None:
        """Write the access log's line, but for a health check."""
        if request.method in (b"GET", b"HEAD") and request.path in HEALTH_CHECKS:
            self.connections.counters["health_checks"] += 1
        else:
            super().log(request)


def accessLine(timestamp: str, request: Any) -> str:
    """One line for one request: who, what, and how it went; not the query, not the headers."""
    path = request.uri.partition(b"?")[0].decode("iso-8859-1")
    method = request.method.decode("iso-8859-1")
    return f"{peerName(request.getClientAddress())} {shown(method)} {shown(path)} {request.code}"

"""
Who comes in: path, origin, limits and the authenticator, before anything of WebSocket is spoken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.config import WebSocketConfig
from twisted_crossws.errors import HandshakeError, Refuse
from twisted_crossws.state.coroutines import deferredOf, explained
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.limits import TokenBucket
from twisted_crossws.wire.http import Params, RequestHead
from twisted_crossws.wire.origin import OriginPolicy
from twisted_crossws.wire.text import shown
from twisted_crossws.ws.refusals import Refusals

_log = Logger()

#: Given the request; returns the socketId, or None, or a Deferred or coroutine of one; raises Refuse.
Authenticator = Callable[["HandshakeRequest"], Any]

#: Given the request; returns one of its subprotocols, or None, or a Deferred or coroutine of one; raises Refuse.
SubprotocolChooser = Callable[["HandshakeRequest"], Any]

#: Where a client asks for the wire's extensions (wire section 3). It is ours, not the application's.
_VERSION_PARAM = "crossws"


@dataclass(slots=True)
class HandshakeRequest:
    """
    The request that opens a connection, as authenticators and listeners see it.

    @ivar path: without the outer slashes, percent-decoded.
    @ivar params: the URL parameters; a repeated key has a list. They may hold secrets, and are not shown.
    @ivar headers: lower-case names to values.
    @ivar peer: address and port of the other side, for people.
    @ivar version: which version of the wire's extensions the client asked for; 1 is none.
    @ivar subprotocols: those that the client offers, in its order.
    @ivar subprotocol: the one that was agreed to, or C{None}; known when the client comes in.
    """

    path: str
    params: Params = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    peer: str
    version: int = 1
    subprotocols: tuple[str, ...] = ()
    subprotocol: str | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """
    A client that may come in.

    @ivar head: the handshake to be completed, with nothing in it that was not checked.
    @ivar socketId: what the authenticator said.
    @ivar subprotocol: the one to agree to, if there is one.
    @ivar key: the client's C{Sec-WebSocket-Key}.
    @ivar offersExtensions: whether C{head} offers any.
    """

    request: HandshakeRequest
    socketId: str | None
    head: bytes
    subprotocol: str | None
    key: str
    offersExtensions: bool


class Admission:
    """
    Decides about handshakes. One for each node, whatever the ports and sites it is reached by.

    @ivar authenticate: the application's L{Authenticator}, or C{None}.
    @ivar chooseSubprotocol: the application's L{SubprotocolChooser}, or C{None}: the configuration chooses.
    @ivar isClosed: C{True} once the node stops: nobody comes in any more.
    @ivar refusals: whom it is told of that a client may not come in, here and wherever else that is found out.
    """

    def __init__(
        self,
        options: WebSocketConfig,
        clock: IReactorTime,
        counters: Counters,
        connected: Callable[[], int],
    ) -> None:
        """
        @param connected: says how many clients are connected now.
        """
        self.authenticate: Authenticator | None = None
        self.chooseSubprotocol: SubprotocolChooser | None = None
        self.isClosed = False
        self.refusals = Refusals(clock, counters)
        self._options = options
        self._clock = clock
        self._connected = connected
        self._deciding = 0
        self._origins = OriginPolicy(options.allowed_origins)
        self._path = options.path.strip("/")
        self._rate = TokenBucket(options.max_handshakes_per_second, options.handshake_burst, clock.seconds())

    async def admit(self, head: RequestHead, peer: str, *, anyPath: bool = False) -> Admitted:
        """
        @param head: a request for a WebSocket.
        @param anyPath: on a shared site the site has decided about the path.
        @raise HandshakeError: it may not come in; the message is for the client.
        """
        request = self._check(head, peer, anyPath)
        self._deciding += 1
        try:
            socketId = await self._identity(request)
            request.subprotocol = await self._agreed(request)
        finally:
            self._deciding -= 1
        passesExtensions = self._options.compression
        return Admitted(
            request,
            socketId,
            head.canonical(extensions=passesExtensions),
            request.subprotocol,
            head.headers["sec-websocket-key"],
            passesExtensions and "sec-websocket-extensions" in head.headers,
        )

    def _check(self, head: RequestHead, peer: str, anyPath: bool) -> HandshakeRequest:
        options, tell = self._options, self.refusals.tell
        if self.isClosed:
            tell("stopping", peer, "This node is to stop, and takes no new clients.")
            raise HandshakeError(503, "The server takes no new connections now.", [("Retry-After", "1")])
        if not self._rate.take(self._clock.seconds()):
            limit = options.max_handshakes_per_second
            tell("rate", peer, f"There are more handshakes than [websocket] max_handshakes_per_second = {limit:g}.")
            raise HandshakeError(503, "The server takes no new connections now.", [("Retry-After", "1")])
        if not anyPath and self._path and head.path != self._path:
            tell("path", peer, f"It asked for the path {shown(head.path)}; [websocket] path is {options.path!r}.")
            raise HandshakeError(404, "There is no WebSocket at this path.")
        try:
            head.checkUpgrade()
            params = head.params(options.lowercase_params)
        except HandshakeError as fault:
            tell("malformed", peer, f"{fault}")
            raise
        origin, host = head.headers.get("origin"), head.headers["host"]
        if not self._origins.allows(origin, host):
            tell("origin", peer, _foreignOrigin(str(origin), host))
            raise HandshakeError(403, "Pages of this origin may not connect here.")
        if 0 < options.max_connections <= self._connected() + self._deciding:
            tell("connections", peer, f"There are [websocket] max_connections = {options.max_connections} already.")
            raise HandshakeError(503, "The server has as many connections as it may have.", [("Retry-After", "5")])
        version = 2 if params.pop(_VERSION_PARAM, None) == "2" else 1
        return HandshakeRequest(head.path, params, head.headers, peer, version, tuple(head.subprotocols))

    async def _identity(self, request: HandshakeRequest) -> str | None:
        if self.authenticate is None:
            return None
        return await self._asked(self.authenticate, request, _checkIdentity, "authenticator", "authenticate")

    async def _agreed(self, request: HandshakeRequest) -> str | None:
        """The subprotocol to agree to. Without one the client decides whether it stays (RFC 6455 section 4.1)."""
        offered = request.subprotocols
        if not offered:
            return None
        if self.chooseSubprotocol is not None:
            return await self._asked(
                self.chooseSubprotocol, request, _checkSubprotocol, "chooser of subprotocols", "agree to"
            )
        spoken = self._options.subprotocols
        return next((each for each in spoken if each in offered), None) if spoken else offered[0]

    async def _asked(
        self,
        ask: Callable[[HandshakeRequest], Any],
        request: HandshakeRequest,
        check: Callable[[HandshakeRequest, Any], None],
        who: str,
        what: str,
    ) -> str | None:
        """
        What the application says about a handshake.

        @param check: raises an exception if that is nothing that may be said.
        @param who: which of its callables is asked, for people.
        @param what: what that is to do with the connection, for people.
        @raise HandshakeError: it said no, or failed.
        """
        try:
            said = ask(request)
            if isawaitable(said):
                said = await deferredOf(said)
            check(request, said)
        except Refuse as no:
            self.refusals.tell("authentication", request.peer, f"The {who} said {no.status} {shown(no.reason)}.")
            raise HandshakeError(no.status, no.reason) from None
        except CancelledError:
            raise  # Given up: too late, or the client has left.
        except Exception:
            self.refusals.count("authenticator")
            failure = explained(Failure())
            _log.failure("the {who} failed for {peer}, which was refused", failure, who=who, peer=request.peer)
            raise HandshakeError(500, f"The server failed to {what} the connection.") from None
        return said  # type: ignore[no-any-return]


def _checkIdentity(request: HandshakeRequest, said: object) -> None:
    if said is not None and not (isinstance(said, str) and said):
        raise TypeError(f"An authenticator must give a non-empty string or None, not {type(said)}.")


def _checkSubprotocol(request: HandshakeRequest, said: object) -> None:
    if said is not None and said not in request.subprotocols:
        offered = ", ".join(map(shown, request.subprotocols))
        raise ValueError(f"A chooser of subprotocols must give one that is offered ({offered}) or None, not {said!r}.")


def _foreignOrigin(origin: str, host: str) -> str:
    """What the log says of a page that may not connect, for who wonders why it does not work."""
    if origin.lower() == "null":
        what = "It is a page without an origin, such as one opened from disk (Origin: null)."
        entry = '"null"'
    else:
        what = f"It is a page of {shown(origin)}, which is not of the host {shown(host)} that it asked."
        entry = "that origin"
    return f"{what} If it may connect, put {entry} into [websocket] allowed_origins."

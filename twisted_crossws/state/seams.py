"""
Between a node and what speaks WebSocket for it: a transport on one side, tables on the other, and neither knows the
other but by this.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted_crossws.wire.http import Params
from twisted_crossws.wire.rfc6455 import Prepared


class Request(Protocol):
    """
    The request that opened a connection.

    @ivar path: without the outer slashes, percent-decoded.
    @ivar params: the URL parameters; a repeated key has a list. They may hold secrets.
    @ivar headers: lower-case names to values.
    @ivar peer: address and port of the other side, for people.
    @ivar version: which version of the wire's extensions the client asked for (wire section 3); 1 is none.
    @ivar subprotocols: those that the client offers, in its order.
    @ivar subprotocol: the one that was agreed to, or C{None}.
    """

    path: str
    params: Params
    headers: dict[str, str]
    peer: str
    version: int
    subprotocols: tuple[str, ...]
    subprotocol: str | None


class Channel(Protocol):
    """
    The way to one client. What is beyond it (frames, buffers, sockets) only it knows.

    @ivar isBinary: whether the message that is being handed over came as bytes, and not as text.
    """

    isBinary: bool

    def isOpen(self) -> bool:
        """Whether a text can still be sent: neither side has begun to close."""

    def sendText(self, text: bytes) -> bool:
        """
        @param text: UTF-8.
        @return: whether it was open, and so has taken the text.
        """

    def sendBytes(self, data: bytes) -> bool:
        """As L{sendText}, for bytes that need not be text."""

    def sendPrepared(self, message: Prepared) -> bool:
        """As L{sendText}, for a message that goes to many."""

    def isBehind(self) -> bool:
        """
        Whether something waits that was sent before and that the peer's side has not taken. What was sent in this turn
        and not tried yet does not count.
        """

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; a peer that does not answer it is cut. Does nothing if it has begun."""

    def abort(self, reason: str) -> None:
        """Cut the connection, without a closing handshake."""

    def fault(self, code: int, reason: str) -> None:
        """The client broke a limit: close for that, and take nothing more from it."""


class Gateway(Protocol):
    """
    What the side that speaks WebSocket needs to know of a node. It has never seen a transport.
    """

    def opened(self, channel: Channel, request: Request, socketId: str | None) -> Any:
        """
        A handshake was completed.

        @param socketId: what the authenticator said.
        @return: the L{Socket<twisted_crossws.state.sockets.Socket>}, to be given to all other methods.
        """

    def messageReceived(self, socket: Any, text: bytes) -> bytes | None:
        """
        A whole message came, as text or as bytes: L{Channel.isBinary} says which.

        @return: the text to answer with at once, or C{None}.
        """

    def pingReceived(self, socket: Any) -> None:
        """A ping of RFC 6455 came (and is answered elsewhere)."""

    def pongReceived(self, socket: Any) -> None:
        """A pong of RFC 6455 came."""

    def faultDetected(self, socket: Any, code: int, reason: str) -> None:
        """The client broke the protocol or a limit, and is being closed for it."""

    def closed(self, socket: Any, code: int, reason: str) -> None:
        """The connection has ended. Comes exactly once for each L{opened}, last."""

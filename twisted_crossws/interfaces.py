"""
The seams, with what each side promises.

zope interfaces (names with an I) where a user or a plugin supplies the part; C{typing.Protocol} between our own parts.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import Attribute, Interface

from twisted_crossws.wire.http import Params
from twisted_crossws.wire.rfc6455 import Prepared


class INodeService(Interface):
    """
    A service by name: provided by a Twisted plugin in C{twisted.plugins} of an installed package, and named by
    C{use = "…"} in the configuration.
    """

    name = Attribute("The name that the configuration uses (C{str}).")

    def makeService(node: Any, **options: Any) -> Any:
        """
        Attach listeners to the node.

        @param node: the L{Node<twisted_crossws.node.Node>}.
        @param options: what C{[service.options]} says.
        @return: an L{IService<twisted.application.service.IService>}, started and stopped with the node, or
            C{None}.
        """


class IBusReceiver(Interface):
    """What a node offers to the bus."""

    serverName = Attribute("The name of the node, unique on the bus (C{str}).")

    def packetReceived(channel: str, packet: bytes) -> None:
        """
        A packet came on a channel that the link is subscribed to. It may be the node's own. Must not raise.
        """


class IBusLink(Interface):
    """
    One node's connection to a bus.

    Promises: packets of one sender on one channel come in the order in which they were published; nothing comes
    for a channel after L{unsubscribe} was called; whatever is published after L{subscribe} has fired is not
    missed, unless a gap is reported. Delivery never happens inside C{publish}.
    """

    isAlone = Attribute(
        "C{True} while it is certain that no other node is on this bus, so that nothing needs to be encoded for "
        "it (C{bool})."
    )

    def serverNames() -> Any:
        """
        @return: a frozenset of the names of all nodes on this bus, this one included, or C{None} where the bus
            itself cannot tell.
        """

    def start() -> Deferred[None]:
        """Fires when the link is up, or when it has begun to try."""

    def stop() -> Deferred[None]:
        """Fires when nothing more will be received, and what was published is sent or counted as lost."""

    def subscribe(channel: str) -> Deferred[None]:
        """Fires when the subscription is confirmed."""

    def unsubscribe(channel: str) -> Deferred[None]:
        """From now on nothing more comes for this channel."""

    def publish(channel: str, packet: bytes) -> None:
        """To all that are subscribed, this node included. What cannot be sent is counted."""

    def publishCounted(channel: str, packet: bytes) -> Deferred[int]:
        """As L{publish}; fires with the number of subscribers that got it."""


class IBus(Interface):
    """Something that carries packets between nodes."""

    leavesProcess = Attribute("C{True} if nodes of other processes can be on it (C{bool}).")

    def attach(receiver: IBusReceiver, clock: IReactorTime) -> Any:
        """
        A node joins.

        @return: its L{IBusLink}.
        """


class Request(Protocol):
    """
    The request that opened a connection.

    @ivar path: without the outer slashes, percent-decoded.
    @ivar params: the URL parameters; a repeated key has a list. They may hold secrets.
    @ivar headers: lower-case names to values.
    @ivar peer: address and port of the other side, for people.
    @ivar version: which version of the wire's extensions the client asked for (wire section 3); 1 is none.
    """

    path: str
    params: Params
    headers: dict[str, str]
    peer: str
    version: int


class Channel(Protocol):
    """
    The way to one client. What is beyond it (frames, buffers, sockets) only it knows.
    """

    def isOpen(self) -> bool:
        """Whether a text can still be sent: neither side has begun to close."""

    def sendText(self, text: bytes) -> bool:
        """
        @param text: UTF-8.
        @return: whether it was open, and so has taken the text.
        """

    def sendPrepared(self, message: Prepared) -> bool:
        """As L{sendText}, for a message that goes to many."""

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
        A whole message came.

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

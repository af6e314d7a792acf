"""
What a user or a plugin may supply, with what each side promises.

The seam between clients and a node, both of them our own, is in L{twisted_crossws.state.seams}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import Attribute, Interface


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

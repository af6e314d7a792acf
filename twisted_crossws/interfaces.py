"""
What a user or a plugin may supply, with what each side promises.

The seam between clients and a node, both of them our own, is in L{twisted_crossws.state.seams}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

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


#: The two connections of a link to a Redis: one that packets are published on, and one that they come in by. A hub has
#: one connection for both, and tells of each all the same.
Role = Literal["publisher", "subscriber"]


@dataclass(frozen=True)
class HealthChange:
    """
    A link of the bus became healthy, or has ceased to be.

    @ivar url: where it leads to, without its password.
    @ivar role: which of the two connections it is.
    @ivar healthy: what it is now.
    @ivar reason: why, for people.
    @ivar counts: by role, how many are healthy now.
    @ivar gap: for a subscriber that is healthy again, the seconds in which packets may have been missed, counted from
        when the last probe was sent that came back; otherwise C{None}.
    """

    url: str
    role: Role
    healthy: bool
    reason: str
    counts: dict[str, int]
    gap: float | None = None


@dataclass(frozen=True)
class Gap:
    """
    Packets that this node has not got, or may not have.

    @ivar channel: on which they were published; empty where that is not known: it may have been any.
    @ivar sender: the name of the server that published them; empty where that is not known.
    @ivar count: how many are missing, exactly; C{None} where that is not known.
    @ivar seconds: they were published within so many seconds before they are told of.
    """

    channel: str
    sender: str
    count: int | None
    seconds: float


class Told(Protocol):
    """Whoever is told what became of a packet, as a Deferred is. Neither may raise."""

    def callback(self, count: int) -> Any:
        """So many subscribers got it."""

    def errback(self, fault: Exception) -> Any:
        """It was dropped, or nobody can tell."""


class IBusReceiver(Interface):
    """What a node offers to the bus. None of these may raise."""

    serverName = Attribute("The name of the node, unique on the bus (C{str}).")

    def packetReceived(channel: str, packet: bytes) -> None:
        """
        A packet came on a channel that the link is subscribed to. It may be the node's own.
        """

    def healthChanged(change: HealthChange) -> None:
        """The health of one of the link's connections has changed."""

    def subscriptionFailed(channel: str, reason: Exception) -> None:
        """A Redis does not let this node subscribe to a channel; it is tried again."""

    def serverGone(serverName: str) -> None:
        """
        No connection of that server is left on the bus, and it has not come back within a second. Told only where the
        bus knows its servers (L{IBusLink.serverNames}); elsewhere their silence has to tell.
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

    isHealthy = Attribute(
        "C{True} while this node hears everything that others publish, and can publish itself (C{bool}). While it is "
        "not, the silence of others means nothing."
    )

    isConnected = Attribute(
        "C{True} while this node can publish and hear: with several Redis servers one of them is enough, where "
        "L{isHealthy} asks for all (C{bool})."
    )

    refusesNames = Attribute(
        "C{True} if no two nodes of one name can be on this bus, as L{start} raises C{ValueError} for the second one, "
        "and whoever is on it serves at once (C{bool}). Elsewhere nodes have to agree on their names."
    )

    heardUntil = Attribute(
        "A time by the clock (C{float}): whatever comes from now on was published after it. Everything before has "
        "come, or lies in a gap that was told, or will be when the link is healthy again."
    )

    def serverNames() -> Any:
        """
        @return: a frozenset of the names of all nodes on this bus, this one included, or C{None} where the bus
            itself cannot tell, or cannot tell now.
        """

    def start() -> Deferred[None]:
        """Fires when the link is up, or when it has begun to try."""

    def stop() -> Deferred[None]:
        """Fires when nothing more will be received, and what was published is sent or counted as lost."""

    def subscribe(channel: str) -> Deferred[None]:
        """
        Fires when the subscription is confirmed, by every healthy Redis where there are several. While none is
        healthy, it waits until one is.
        """

    def unsubscribe(channel: str) -> Deferred[None]:
        """From now on nothing more comes for this channel."""

    def publish(channel: str, packet: bytes, expected: int = 0) -> bool:
        """
        To all that are subscribed, this node included.

        @param expected: how many subscribers there must be, as far as the sender knows; if fewer got it, the
            difference is counted as C{bus_unheard}.
        @return: whether the bus has taken it, to send it now or very soon. If not, that has been counted, by its
            cause.
        """

    def publishCounted(channel: str, packet: bytes) -> Deferred[int]:
        """
        As L{publish}; fires with the number of subscribers that got it, or fails with
        L{BusUnavailable<twisted_crossws.errors.BusUnavailable>} if it was dropped, or if nobody can tell.
        """

    def publishTold(channel: str, packet: bytes, told: Told) -> None:
        """
        As L{publishCounted}, without a Deferred, which would cost more than the rest.

        @param told: called as the Deferred would be, perhaps at once.
        """

    def hasOtherSubscribers(channel: str, known: list[str]) -> Deferred[bool]:
        """
        Whether a channel is subscribed by others than the nodes that are known.

        @param known: for each of these nodes a channel that it alone subscribes, as long as it subscribes C{channel}.
        @return: fails with L{BusUnavailable<twisted_crossws.errors.BusUnavailable>} if nobody can tell. Asked only
            where L{serverNames} cannot tell.
        """

    def addRedis(url: str) -> Deferred[None]:
        """
        One more Redis. It is published on only once everything is subscribed there.

        @return: fires when it is subscribed.
        @raise ValueError: the URL is faulty, or this is not a bus of Redis servers.
        """

    def redisCount() -> int:
        """How many Redis servers the link uses; 0 where it is not a bus of these."""

    def healthyCount(role: Role) -> int:
        """How many of their connections are healthy now, of this role; of a hub, 1 or 0."""


class IBus(Interface):
    """Something that carries packets between nodes."""

    leavesProcess = Attribute("C{True} if nodes of other processes can be on it (C{bool}).")

    def attach(receiver: IBusReceiver, clock: IReactorTime, counters: dict[str, int]) -> Any:
        """
        A node joins.

        @param counters: the node's L{Counters<twisted_crossws.state.counters.Counters>}; those whose names start
            with C{bus_} the link counts up.

        @return: its L{IBusLink}.
        """

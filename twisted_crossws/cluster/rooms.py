"""
Rooms: who is in which, and which namespaces this node hears for them.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred, fail

from twisted_crossws.cluster.subscriptions import Joined, Subscriptions
from twisted_crossws.config import RoomsConfig
from twisted_crossws.errors import NotConnected
from twisted_crossws.state.rooms import RoomTable
from twisted_crossws.state.sockets import Sockets, checkSocketId
from twisted_crossws.wire.text import shown
from twisted_crossws.wire.topics import Topics


class Rooms:
    """
    C{node.rooms}. A room is a pair of strings, C{(namespace, roomId)}; a namespace is one channel on the bus, heard
    while it has a member on this node and for C{unsubscribe_after} (with C{auto_unsubscribe}), or always if it is
    preset.

    Members are C{socketId}s of open sockets of this node. Unbinding one, its socket's closing, and a newer socket that
    is bound to it take it out of all its rooms.
    """

    def __init__(self, subscriptions: Subscriptions, topics: Topics, sockets: Sockets, options: RoomsConfig) -> None:
        self._table = RoomTable()
        self._subscriptions = subscriptions
        self._topics = topics
        self._sockets = sockets
        self._preset = frozenset(topics.preset(namespace) for namespace in options.preset)
        self._autoUnsubscribe = options.auto_unsubscribe
        self._unsubscribeAfter = options.unsubscribe_after

    @property
    def presetChannels(self) -> frozenset[str]:
        """The channels that are heard from the start, and always."""
        return self._preset

    def join(self, namespace: str, roomId: str, socketId: str) -> Deferred[Joined]:
        """
        Messages that this node sends reach the member at once; the Deferred is about those of other nodes.

        @return: fires with L{Joined<twisted_crossws.cluster.subscriptions.Joined>} when this node is subscribed, so
            that nothing sent later is missed; within C{subscribe_timeout} in any case, and then C{heard} is C{False},
            while the rest is done when the bus is back. Fails with
            L{NotConnected<twisted_crossws.errors.NotConnected>}, and nothing is joined, if no open socket of this node
            bears the C{socketId}; with L{BusUnavailable<twisted_crossws.errors.BusUnavailable>} if the bus cannot carry
            this namespace.
        @raise TypeError: one of the three is not a non-empty string.
        @raise ValueError: the namespace is one that the bus needs for something else.
        """
        checkRoom(namespace, roomId)
        checkSocketId(socketId)
        channel = self._topics.room(namespace)
        socket = self._sockets.get(socketId)
        if socket is None or not socket.isOpen:
            return fail(
                NotConnected(
                    f"{shown(socketId)} cannot join a room: no open socket of this node bears this socketId. Either "
                    "the client has gone meanwhile, or it must be bound first (sockets.bind), or it is on another node "
                    "(clients.joinAll)."
                )
            )
        self._table.join(namespace, roomId, socketId)
        return self._subscriptions.ask(channel)

    def leave(self, namespace: str, roomId: str, socketId: str) -> None:
        """
        Leaving a room that one is not in is no error.

        @raise TypeError: one of the three is not a non-empty string.
        """
        checkRoom(namespace, roomId)
        checkSocketId(socketId)
        if self._table.leave(namespace, roomId, socketId):
            self._emptied((namespace,))

    def leaveAll(self, socketId: str) -> None:
        """Out of every room."""
        self._emptied(self._table.leaveAll(socketId))

    def remove(self, namespace: str, roomId: str) -> None:
        """
        Everyone out, room gone, on this node.

        @raise TypeError: one of the two is not a non-empty string.
        """
        checkRoom(namespace, roomId)
        if self._table.remove(namespace, roomId):
            self._emptied((namespace,))

    def members(self, namespace: str, roomId: str | None = None, *, exact: bool = True) -> frozenset[str]:
        """
        The C{socketId}s on this node in a room, or without a C{roomId} in any room of the namespace.

        @param exact: C{False}: in all rooms of the namespace whose ids start with C{roomId}; nothing without one.
        """
        return self._table.members(namespace, roomId, exact=exact or roomId is None)

    def here(self, namespace: str, roomId: str) -> set[str]:
        """As L{members}, without a copy: not to be kept, nor looked at while it may change."""
        return self._table.here(namespace, roomId)

    def count(self, namespace: str, roomId: str | None = None, *, exact: bool = True) -> int:
        """How many memberships: as L{members}, but who is in two rooms counts twice."""
        return self._table.count(namespace, roomId, exact=exact or roomId is None)

    def ids(self, namespace: str, *, exact: bool = True) -> frozenset[str]:
        """
        Room ids of a namespace.

        @param exact: C{False}: of all namespaces that start so.
        """
        return self._table.ids(namespace, exact=exact)

    def roomCount(self, namespace: str, *, exact: bool = True) -> int:
        """How many rooms: as L{ids}, but an id in two namespaces counts twice."""
        return self._table.roomCount(namespace, exact=exact)

    def joined(self, socketId: str, namespacePrefix: str | None = None) -> dict[str, frozenset[str]]:
        """Where a C{socketId} is: room ids by namespace."""
        return self._table.joined(socketId, namespacePrefix)

    def isMember(self, socketId: str, namespace: str, roomId: str | None = None) -> bool:
        """Whether it is in that room, or without a C{roomId} in any of the namespace."""
        return self._table.isMember(socketId, namespace, roomId)

    def _emptied(self, namespaces: Iterable[str]) -> None:
        if not self._autoUnsubscribe:
            return
        for namespace in namespaces:
            channel = self._topics.room(namespace)
            if channel not in self._preset and not self._table.isUsed(namespace):
                self._subscriptions.dropLater(channel, self._unsubscribeAfter)


def checkRoom(namespace: object, roomId: object) -> None:
    """
    @raise TypeError: one of the two is not a non-empty string.
    """
    if not (isinstance(namespace, str) and namespace and isinstance(roomId, str) and roomId):
        raise TypeError(
            f"A room is a namespace and an id, both non-empty strings, and not {namespace!r} and {roomId!r}."
        )

"""
Rooms: who is in which, and which namespaces this node hears for them.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred

from twisted_crossws.cluster.subscriptions import Subscriptions
from twisted_crossws.state.rooms import RoomTable
from twisted_crossws.state.sockets import checkSocketId
from twisted_crossws.wire.topics import Topics


class Rooms:
    """
    C{node.rooms}. A room is a pair of strings, C{(namespace, roomId)}; a namespace is one channel on the bus, heard
    while it has a member on this node (with C{auto_unsubscribe}), or always if it is preset.

    Members are C{socketId}s, bound or not. Unbinding one, or its socket's closing, takes it out of all its rooms.
    """

    def __init__(
        self, subscriptions: Subscriptions, topics: Topics, preset: Iterable[str] = (), autoUnsubscribe: bool = True
    ) -> None:
        self._table = RoomTable()
        self._subscriptions = subscriptions
        self._topics = topics
        self._preset = frozenset(topics.preset(namespace) for namespace in preset)
        self._autoUnsubscribe = autoUnsubscribe

    @property
    def presetChannels(self) -> frozenset[str]:
        """The channels that are heard from the start, and always."""
        return self._preset

    def join(self, namespace: str, roomId: str, socketId: str) -> Deferred[None]:
        """
        Messages that this node sends reach the member at once; the Deferred is about those of other nodes.

        @return: fires when this node is subscribed, so that nothing sent later is missed.
        @raise TypeError: one of the three is not a non-empty string.
        @raise ValueError: the namespace is one that the bus needs for something else.
        """
        checkRoom(namespace, roomId)
        checkSocketId(socketId)
        channel = self._topics.room(namespace)
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
                # Nobody waits for it; if it cannot be, the log says so.
                self._subscriptions.drop(channel).addErrback(lambda _: None)


def checkRoom(namespace: object, roomId: object) -> None:
    """
    @raise TypeError: one of the two is not a non-empty string.
    """
    if not (isinstance(namespace, str) and namespace and isinstance(roomId, str) and roomId):
        raise TypeError(
            f"A room is a namespace and an id, both non-empty strings, and not {namespace!r} and {roomId!r}."
        )

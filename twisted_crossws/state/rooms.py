"""
Who is in which room, on this node.
"""

from __future__ import annotations

from collections.abc import Iterator


class RoomTable:
    """
    Memberships of C{socketId}s in rooms, each room a pair C{(namespace, roomId)}.

    A room is there while somebody is in it, and a namespace while it has a room. What is told to
    whom about that is not decided here: the methods that change something say what changed.
    """

    def __init__(self) -> None:
        self._namespaces: dict[str, dict[str, set[str]]] = {}
        self._bySocket: dict[str, dict[str, set[str]]] = {}

    def join(self, namespace: str, roomId: str, socketId: str) -> bool:
        """
        @return: whether this was not so before.
        """
        members = self._namespaces.setdefault(namespace, {}).setdefault(roomId, set())
        if socketId in members:
            return False
        members.add(socketId)
        self._bySocket.setdefault(socketId, {}).setdefault(namespace, set()).add(roomId)
        return True

    def leave(self, namespace: str, roomId: str, socketId: str) -> bool:
        """
        @return: whether it was in there.
        """
        members = self._room(namespace, roomId)
        if socketId not in members:
            return False
        members.remove(socketId)
        self._forget(namespace, roomId, socketId)
        if not members:
            self._drop(namespace, roomId)
        return True

    def leaveAll(self, socketId: str) -> frozenset[str]:
        """
        Out of every room.

        @return: the namespaces it was in.
        """
        joined = self.joined(socketId)
        for namespace, roomIds in joined.items():
            for roomId in roomIds:
                self.leave(namespace, roomId, socketId)
        return frozenset(joined)

    def remove(self, namespace: str, roomId: str) -> frozenset[str]:
        """
        Everyone out, room gone.

        @return: who was in it.
        """
        members = frozenset(self._room(namespace, roomId))
        for socketId in members:
            self.leave(namespace, roomId, socketId)
        return members

    def isUsed(self, namespace: str) -> bool:
        """Whether the namespace has a member."""
        return namespace in self._namespaces

    def here(self, namespace: str, roomId: str) -> set[str]:
        """
        The members of one room, as the table itself holds them: to be looked at, not kept and not changed.
        """
        return self._room(namespace, roomId)

    def members(self, namespace: str, roomId: str | None = None, *, exact: bool = True) -> frozenset[str]:
        """
        The C{socketId}s in a room, or in all rooms of a namespace.

        @param exact: C{False} takes all rooms whose id starts with C{roomId}, or, without a C{roomId}, all
            namespaces that start with C{namespace}.
        """
        return frozenset().union(*self._matching(namespace, roomId, exact))

    def count(self, namespace: str, roomId: str | None = None, *, exact: bool = True) -> int:
        """How many memberships: as L{members}, but who is in two of the rooms counts twice."""
        return sum(len(members) for members in self._matching(namespace, roomId, exact))

    def ids(self, namespace: str, *, exact: bool = True) -> frozenset[str]:
        """The ids of the rooms of a namespace; C{exact=False}: of all namespaces that start so."""
        return frozenset(roomId for rooms in self._named(namespace, exact) for roomId in rooms)

    def roomCount(self, namespace: str, *, exact: bool = True) -> int:
        """How many rooms a namespace has; C{exact=False}: all namespaces that start so together."""
        return sum(len(rooms) for rooms in self._named(namespace, exact))

    def joined(self, socketId: str, namespacePrefix: str | None = None) -> dict[str, frozenset[str]]:
        """Where a C{socketId} is: room ids by namespace."""
        return {
            namespace: frozenset(roomIds)
            for namespace, roomIds in self._bySocket.get(socketId, {}).items()
            if namespacePrefix is None or namespace.startswith(namespacePrefix)
        }

    def isMember(self, socketId: str, namespace: str, roomId: str | None = None) -> bool:
        """Whether it is in that room, or without a C{roomId} in any of the namespace."""
        roomIds = self._bySocket.get(socketId, {}).get(namespace, ())
        return roomId in roomIds if roomId is not None else bool(roomIds)

    def _room(self, namespace: str, roomId: str) -> set[str]:
        return self._namespaces.get(namespace, {}).get(roomId) or set()

    def _named(self, namespace: str, exact: bool) -> Iterator[dict[str, set[str]]]:
        if exact:
            yield self._namespaces.get(namespace, {})
        else:
            yield from (rooms for name, rooms in self._namespaces.items() if name.startswith(namespace))

    def _matching(self, namespace: str, roomId: str | None, exact: bool) -> Iterator[set[str]]:
        if roomId is None:
            for rooms in self._named(namespace, exact):
                yield from rooms.values()
        elif exact:
            yield self._room(namespace, roomId)
        else:
            rooms = self._namespaces.get(namespace, {})
            yield from (members for name, members in rooms.items() if name.startswith(roomId))

    def _forget(self, namespace: str, roomId: str, socketId: str) -> None:
        joined = self._bySocket[socketId]
        joined[namespace].remove(roomId)
        if not joined[namespace]:
            del joined[namespace]
        if not joined:
            del self._bySocket[socketId]

    def _drop(self, namespace: str, roomId: str) -> None:
        rooms = self._namespaces[namespace]
        del rooms[roomId]
        if not rooms:
            del self._namespaces[namespace]

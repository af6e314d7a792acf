"""
The sockets of the whole cluster: who is there, into which rooms with them, and out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_crossws.cluster.servers import Servers
from twisted_crossws.cluster.survey import Faults, Heard, Survey
from twisted_crossws.state.pulse import checkNotNegative
from twisted_crossws.state.sockets import checkCloseCode
from twisted_crossws.wire.remote import (
    DISCONNECT,
    FETCH,
    Disconnect,
    Fetch,
    Handshake,
    Move,
    Moved,
    Of,
    Room,
    SocketItem,
)
from twisted_crossws.wire.topics import Topics

#: Which sockets: a room, a C{socketId}, or all of them.
Chosen = Room | str | None


class RemoteSocket(msgspec.Struct, frozen=True):
    """
    A socket of any server, as it was when it was asked for: a copy.

    @ivar socketId: its identity; C{None} if it is not bound. Only one that is can be addressed.
    @ivar server: where it is.
    @ivar rooms: pairs of namespace and id.
    @ivar data: what the application remembers of it there, as the bus carries it.
    @ivar request: the request that opened it: C{path}, C{params}, C{headers} (without those that hold credentials),
        C{peer}, C{version}.
    @ivar omitted: keys of C{data} whose values could not travel: they have no form on the bus, or are too large.
    """

    socketId: str | None
    server: str
    rooms: frozenset[Room]
    data: dict[str, Any]
    request: Handshake
    omitted: tuple[str, ...] = ()


class RemoteSockets(list[RemoteSocket]):
    """
    The sockets that were found, in no order.

    @ivar missing: names of servers that have not told all of theirs: they are gone, did not answer in time, or could
        not be asked.
    """

    def __init__(self, found: Iterable[RemoteSocket] = (), missing: Iterable[str] = ()) -> None:
        super().__init__(found)
        self.missing = frozenset(missing)


class Affected(int):
    """
    For how many sockets something was done.

    @ivar missing: names of servers that have not said for how many of theirs.
    @ivar unheard: of joining: names of servers whose sockets have joined, and that do not hear these rooms yet, as the
        bus is away.
    """

    missing: frozenset[str]
    unheard: frozenset[str]

    def __new__(cls, count: int, missing: Iterable[str] = (), unheard: Iterable[str] = ()) -> Affected:
        self = super().__new__(cls, count)
        self.missing = frozenset(missing)
        self.unheard = frozenset(unheard)
        return self


class Everywhere:
    """Asks all servers about their sockets, or does something with them. Each answers for its own."""

    def __init__(self, servers: Servers, topics: Topics, serverName: str, clock: IReactorTime) -> None:
        self._servers = servers
        self._topics = topics
        self._serverName = serverName
        self._clock = clock

    def fetch(self, room: Room | None, localOnly: bool, timeout: float) -> Deferred[RemoteSockets]:
        """
        @param room: C{None} for all sockets, bound or not.
        @return: fires with what came, also if servers are missing.
        """
        of = Of(room=None if room is None else self.checkRoom(room))
        found: list[RemoteSocket] = []

        def heard(server: str, item: Any) -> None:
            found.append(_socketOf(server, msgspec.convert(item, SocketItem)))

        done = self._survey(FETCH, Fetch(of, timeout), timeout, heard, localOnly)
        return done.addCallback(lambda faults: RemoteSockets(found, faults))

    def move(self, event: str, rooms: Room | Iterable[Room], of: Chosen, timeout: float) -> Deferred[Affected]:
        """
        @param event: to join, or to leave.
        """
        return self._do(event, Move(self._of(of), self._checkRooms(rooms), timeout), timeout)

    def disconnect(self, of: Chosen, code: int, reason: str, timeout: float) -> Deferred[Affected]:
        """
        @param code: the close code.
        """
        checkCloseCode(code)
        if not isinstance(reason, str):
            raise TypeError(f"The reason of a close must be a string, not {reason!r}.")
        return self._do(DISCONNECT, Disconnect(self._of(of), int(code), reason, timeout), timeout)

    def checkRoom(self, room: Any) -> Room:
        """
        @raise TypeError: it is not a pair of non-empty strings.
        @raise ValueError: the namespace is one that the bus needs for something else.
        """
        if not (_isPair(room) and all(isinstance(part, str) and part for part in room)):
            raise TypeError(f"A room is a pair of non-empty strings, a namespace and an id, and {room!r} is not.")
        namespace, roomId = room
        self._topics.room(namespace)
        return namespace, roomId

    def _checkRooms(self, rooms: Any) -> list[Room]:
        if isinstance(rooms, str):
            raise TypeError(f"A room is a pair of non-empty strings, a namespace and an id, and {rooms!r} is not.")
        rooms = list(rooms)
        isOne = len(rooms) == 2 and all(isinstance(each, str) for each in rooms)
        return [self.checkRoom(room) for room in ([rooms] if isOne else rooms)]

    def _of(self, of: Chosen) -> Of:
        if of is None:
            return Of()
        if isinstance(of, str) and of:
            return Of(socketId=of)
        if not _isPair(of):
            raise TypeError(f"'of' is a room, which is a pair of strings, or a socketId, or None, and not {of!r}.")
        return Of(room=self.checkRoom(of))

    def _do(self, event: str, payload: Move | Disconnect, timeout: float) -> Deferred[Affected]:
        counts: list[int] = []
        unheard: list[str] = []

        def heard(server: str, item: Any) -> None:
            moved = msgspec.convert(item, int | Moved)
            if isinstance(moved, Moved):
                counts.append(moved.count)
                if not moved.heard:
                    unheard.append(server)
            else:
                counts.append(moved)

        done = self._survey(event, payload, timeout, heard, localOnly=False)
        return done.addCallback(lambda faults: Affected(sum(counts), faults, unheard))

    def _survey(self, event: str, payload: object, timeout: float, heard: Heard, localOnly: bool) -> Deferred[Faults]:
        checkNotNegative(timeout=timeout)
        to = [self._serverName] if localOnly else []
        return Survey(self._servers, self._clock, event, payload, timeout, heard, to=to).done


def _isPair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2


def _socketOf(server: str, item: SocketItem) -> RemoteSocket:
    return RemoteSocket(item.id, server, frozenset(item.rooms), item.data, item.request, tuple(item.omitted))

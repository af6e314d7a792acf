"""
Messages to clients, wherever they are connected.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.rooms import Rooms, checkRoom
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.listeners import checkEvent
from twisted_crossws.state.sockets import Socket, Sockets, checkSocketId
from twisted_crossws.wire.frames import encodeEvent
from twisted_crossws.wire.packets import ForAll, ForRoom, ForSockets
from twisted_crossws.wire.rfc6455 import Prepared
from twisted_crossws.wire.topics import Topics


class Delivery:
    """
    The ways of a message to clients.

    Sending returns at once, with the number of sockets of this node that were written to. These are served first, and
    the bus carries the rest. A client that is closing is skipped, and that is counted. Each message is encoded once
    however many receive it.

    Where it is volatile, a client that has not taken what was sent before is skipped, too, and that is counted by
    itself: on every node.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        topics: Topics,
        sockets: Sockets,
        rooms: Rooms,
        everyone: Iterable[Socket],
        counters: Counters,
        isVolatile: bool = False,
    ) -> None:
        """
        @param everyone: all sockets of this node, bound or not.
        """
        self._isVolatile = isVolatile
        # Other nodes are told by a key that is absent from ordinary packets.
        self._mark: bool | UnsetType = True if isVolatile else UNSET
        self._outbox = outbox
        self._topics = topics
        self._sockets = sockets
        self._rooms = rooms
        self._everyone = everyone
        self._counters = counters

    def send(self, socketId: str, event: str, payload: object = None) -> int:
        """
        To every socket of the cluster that bears this C{socketId}.

        @raise TypeError: the C{socketId} or the event is not a non-empty string, or the payload has no form in JSON.
        """
        if socketId.__class__ is not str or not socketId:
            checkSocketId(socketId)
        message = prepared(event, payload)
        socket = self._sockets.get(socketId)
        written = 0 if socket is None else self._write((socket,), message)
        if not self._outbox.isAlone:
            own = self._outbox.serverName
            packet = ForSockets(message.text.decode(), socketId=socketId, senderServer=own, volatile=self._mark)
            self._outbox.publish(self._topics.privateSocket, packet)
        return written

    def sendMany(self, socketIds: Iterable[str], event: str, payload: object = None) -> int:
        """
        To every socket of the cluster that bears one of these, to each once.

        @raise TypeError: as L{send}; C{socketIds} is one string.
        """
        wanted = list(dict.fromkeys(_checkedIds("socketIds", socketIds)))
        message = prepared(event, payload)
        written = self.writeSome(wanted, message)
        if wanted and not self._outbox.isAlone:
            own = self._outbox.serverName
            packet = ForSockets(message.text.decode(), socketIds=wanted, senderServer=own, volatile=self._mark)
            self._outbox.publish(self._topics.privateSocket, packet)
        return written

    def toRoom(
        self,
        namespace: str,
        roomId: str,
        event: str,
        payload: object = None,
        *,
        exclude: Iterable[str] = (),
        localOnly: bool = False,
        destroy: bool = False,
    ) -> int:
        """
        To everyone in a room.

        @param exclude: C{socketId}s that do not get it.
        @param localOnly: only to those on this node.
        @param destroy: the room is removed on this node afterwards.
        @raise TypeError: as L{send}; the namespace is not a string, or the id not a non-empty one; C{exclude} is
            one string.
        @raise ValueError: the namespace is empty, or one that the bus needs for something else.
        """
        excluded = _checkedIds("exclude", exclude) if exclude else []
        if namespace.__class__ is not str or roomId.__class__ is not str or not roomId:
            checkRoom(namespace, roomId)
        channel = self._topics.room(namespace)
        message = prepared(event, payload)
        written = self.writeRoom(namespace, roomId, message, excluded)
        if not localOnly and not self._outbox.isAlone:
            own = self._outbox.serverName
            packet = ForRoom(message.text.decode(), namespace, roomId, own, excluded, self._mark)
            self._outbox.publish(channel, packet)
        if destroy:
            self._rooms.remove(namespace, roomId)
        return written

    def broadcast(self, event: str, payload: object = None, localOnly: bool = False) -> int:
        """
        To every client of the cluster, bound or not.

        @param localOnly: only to those of this node.
        @raise TypeError: as L{send}.
        """
        message = prepared(event, payload)
        written = self.writeAll(message)
        if not localOnly and not self._outbox.isAlone:
            packet = ForAll(message.text.decode(), self._outbox.serverName, self._mark)
            self._outbox.publish(self._topics.broadcast, packet)
        return written

    def writeSome(self, socketIds: Iterable[str], message: Prepared) -> int:
        """A finished message to those of some sockets that are on this node."""
        return self._write([s for s in map(self._sockets.get, socketIds) if s is not None], message)

    def writeConnection(self, socketIds: Iterable[str], connection: str, message: Prepared) -> int:
        """
        A finished message to those of some sockets that are on this node. If the connection was on this node, it is for
        that one alone; a client that was on another node may have come here since.
        """
        found = [socket for socket in map(self._sockets.get, socketIds) if socket is not None]
        if connection.startswith(self._outbox.incarnation):
            found = [socket for socket in found if socket.connection == connection]
            self._counters["replies_undeliverable"] += not found
        return self._write(found, message)

    def writeRoom(self, namespace: str, roomId: str, message: Prepared, excluded: Iterable[str] = ()) -> int:
        """A finished message to the members of a room on this node."""
        members: Iterable[str] = self._rooms.here(namespace, roomId)
        if excluded:
            members = set(members).difference(excluded)
        return self.writeSome(members, message)

    def writeAll(self, message: Prepared) -> int:
        """A finished message to every client of this node."""
        return self._write(list(self._everyone), message)

    def _write(self, sockets: Iterable[Socket], message: Prepared) -> int:
        if self._isVolatile:
            sockets = self._notBehind(list(sockets))
        written = skipped = 0
        for socket in sockets:
            if socket.sendPrepared(message):
                written += 1
            else:
                skipped += 1
        self._counters["messages_sent"] += written
        self._counters["messages_skipped"] += skipped
        return written

    def _notBehind(self, sockets: list[Socket]) -> list[Socket]:
        taking = [socket for socket in sockets if not socket.isBehind]
        self._counters["messages_volatile_skipped"] += len(sockets) - len(taking)
        return taking


def _checkedIds(name: str, socketIds: Iterable[str]) -> list[str]:
    """
    Several C{socketId}s.

    @param name: what they are called, for people.
    @raise TypeError: one of them is not a non-empty string, or it is one string itself.
    """
    if isinstance(socketIds, str):
        raise TypeError(f"{name} must be several socketIds, such as [{socketIds!r}], not one string.")
    found = list(socketIds)
    for socketId in found:
        if socketId.__class__ is not str or not socketId:
            checkSocketId(socketId)
    return found


def prepared(event: str, payload: object) -> Prepared:
    """
    An event for many, encoded once.

    @raise TypeError: the event is not a non-empty string, or the payload has no form in JSON.
    """
    checkEvent(event)
    return Prepared(encodeEvent(event, payload))

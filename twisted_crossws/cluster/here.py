"""
What other servers may want of the sockets of this one: to know them, to move them between rooms, to close them, to ask
them something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred, gatherResults

from twisted_crossws.cluster.answering import ServerMessage
from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.pages import Growing, Listed, Pages
from twisted_crossws.cluster.rooms import Rooms
from twisted_crossws.cluster.servers import Servers
from twisted_crossws.cluster.subscriptions import Joined
from twisted_crossws.errors import CallTimeout, CrossWSError, NotConnected, RemoteError, ReplyError
from twisted_crossws.state.asking import Asking
from twisted_crossws.state.sockets import Socket, Sockets
from twisted_crossws.wire.packets import PacketCodec
from twisted_crossws.wire.remote import (
    DISCONNECT,
    FETCH,
    JOIN,
    LEAVE,
    MORE,
    REQUEST,
    AnswerFault,
    AnswerItem,
    Ask,
    Disconnect,
    Fetch,
    Handshake,
    Move,
    Moved,
    Of,
    Page,
    SocketItem,
)
from twisted_crossws.wire.rfc6455 import Prepared

#: Headers that stay on the node where they came in: who lists clients does not need what they authenticate with.
CREDENTIALS = frozenset(("authorization", "cookie", "proxy-authorization"))

#: Bytes of what an application remembers of one socket that are sent to another server; packets have 16 MiB at most.
MAX_DATA_BYTES = 1_048_576

_T = TypeVar("_T")


class SocketsHere:
    """Answers the questions of L{twisted_crossws.wire.remote}, those of this node itself included."""

    def __init__(
        self,
        *,
        servers: Servers,
        pages: Pages,
        outbox: Outbox,
        sockets: Sockets,
        rooms: Rooms,
        everyone: Iterable[Socket],
        asking: Asking,
    ) -> None:
        """
        @param everyone: all sockets of this node, bound or not.
        """
        self._pages = pages
        self._outbox = outbox
        self._sockets = sockets
        self._rooms = rooms
        self._everyone = everyone
        self._asking = asking
        answers: dict[str, Callable[[ServerMessage], Any]] = {
            FETCH: self._fetch,
            JOIN: self._join,
            LEAVE: self._leave,
            DISCONNECT: self._disconnect,
            REQUEST: self._ask,
            MORE: pages.more,
        }
        for event, answer in answers.items():
            servers.serve(event, answer)

    def _chosen(self, of: Of) -> list[Socket]:
        """The open sockets that are meant."""
        found: Iterable[Socket | None]
        if of.socketId is not None:
            found = (self._sockets.get(of.socketId),)
        elif of.room is not None:
            found = map(self._sockets.get, self._rooms.here(*of.room))
        else:
            found = self._everyone
        return [socket for socket in found if socket is not None and socket.isOpen]

    def _fetch(self, message: ServerMessage) -> Deferred[Page]:
        asked = _read(message, Fetch)
        items = self._items(self._chosen(asked.of))
        return self._pages.first(Listed(items), asked.seconds)

    def _items(self, sockets: list[Socket]) -> Iterator[bytes]:
        for socket in sockets:
            if socket.isOpen:
                yield self._item(socket)

    def _item(self, socket: Socket) -> bytes:
        socketId, request, codec = socket.socketId, socket.request, self._outbox.codec
        rooms = {} if socketId is None else self._rooms.joined(socketId)
        headers = {name: value for name, value in request.headers.items() if name not in CREDENTIALS}
        data, omitted = portable(socket.data if socket.hasData else {}, codec)
        about = SocketItem(
            socketId,
            [(namespace, roomId) for namespace, roomIds in rooms.items() for roomId in roomIds],
            {key: msgspec.Raw(value) for key, value in data.items()},
            Handshake(request.path, request.params, headers, request.peer, request.version),
            omitted,
        )
        return codec.encodeValue(about)

    def _join(self, message: ServerMessage) -> Deferred[Page]:
        asked = _read(message, Move)
        bound = [socket for socket in self._chosen(asked.of) if socket.socketId is not None]
        # The last one who waits for a subscription does not wait longer than those before it.
        joined: dict[str, Deferred[Joined]] = {}
        for socket in bound:
            for namespace, roomId in asked.rooms:
                joined[namespace] = self._rooms.join(namespace, roomId, str(socket.socketId))

        def done(outcomes: list[Joined]) -> Page:
            count = len(bound)
            return Page([count if all(outcome.heard for outcome in outcomes) else Moved(count, heard=False)])

        return gatherResults(joined.values()).addCallback(done)

    def _leave(self, message: ServerMessage) -> Page:
        asked = _read(message, Move)
        bound = [socket for socket in self._chosen(asked.of) if socket.socketId is not None]
        for socket in bound:
            for namespace, roomId in asked.rooms:
                self._rooms.leave(namespace, roomId, str(socket.socketId))
        return Page([len(bound)])

    def _disconnect(self, message: ServerMessage) -> Page:
        asked = _read(message, Disconnect)
        chosen = self._chosen(asked.of)
        for socket in chosen:
            socket.close(asked.code, asked.reason)
        return Page([len(chosen)])

    def _ask(self, message: ServerMessage) -> Deferred[Page]:
        asked = _read(message, Ask)
        chosen = self._chosen(asked.of)
        answers = _Answers(chosen, self._outbox.codec)
        if asked.of.room is not None:
            answers.announce()
        self._asking.ask(chosen, asked.ackId, Prepared(asked.frame.encode()), asked.seconds, answers)
        return self._pages.first(answers.items, asked.seconds)


class _Answers:
    """
    What clients answer to the question of a server.

    @ivar items: what there is to tell of them.
    """

    def __init__(self, sockets: Iterable[Socket], codec: PacketCodec) -> None:
        self.items = Growing()
        self._codec = codec
        self._waiting = {socket: str(socket.socketId) for socket in sockets}
        if not self._waiting:
            self.items.end()

    def announce(self) -> None:
        """Who is asked: the asking server tells by it who has not answered."""
        for socketId in self._waiting.values():
            self._put(AnswerItem(socketId))

    def answered(self, socket: Socket, payload: Any) -> None:
        self._told(AnswerItem(self._waiting.pop(socket), payload))

    def failed(self, socket: Socket, error: CrossWSError) -> None:
        socketId = self._waiting.pop(socket)
        if isinstance(error, CallTimeout):
            # Whoever asks waits no longer than this server does, and knows by itself when it is too late.
            self.items.drop()
        else:
            self._told(AnswerItem(socketId, error=_faultOf(error)))

    def _told(self, item: AnswerItem) -> None:
        self._put(item)
        if not self._waiting:
            self.items.end()

    def _put(self, item: AnswerItem) -> None:
        self.items.put(self._codec.encodeValue(item))


def portable(data: dict[Any, Any], codec: PacketCodec) -> tuple[dict[str, bytes], list[str]]:
    """
    What an application remembers of a socket, as far as it can travel.

    @return: the encoded values by their keys; and the names of those that have no form on the bus, or are too large.
    """
    encoded: dict[str, bytes] = {}
    omitted: list[str] = []
    size = 0
    for key, value in data.items():
        form = _formOf(key, value, codec)
        if form is None or size + len(form) > MAX_DATA_BYTES:
            omitted.append(key if isinstance(key, str) and key.isascii() else ascii(key))
        else:
            size += len(form)
            encoded[key] = form
    return encoded, omitted


def _formOf(key: Any, value: Any, codec: PacketCodec) -> bytes | None:
    # Keys of maps are strings on the bus, and not every string has a form.
    if key.__class__ is not str:
        return None
    try:
        codec.encodeValue(key)
        return codec.encodeValue(value)
    except TypeError:
        return None


def _read(message: ServerMessage, kind: type[_T]) -> _T:
    """
    @raise ReplyError: it is not that.
    """
    try:
        return msgspec.convert(message.payload, kind)
    except msgspec.ValidationError as fault:
        raise ReplyError("malformed", f"The question is not understood: {fault}.") from None


def _faultOf(error: CrossWSError) -> AnswerFault:
    if isinstance(error, RemoteError):
        return AnswerFault("remote", error.message, error.code)
    return AnswerFault("gone" if isinstance(error, NotConnected) else "cannot", str(error))

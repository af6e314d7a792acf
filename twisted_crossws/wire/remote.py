"""
What servers ask each other about their clients: events of our own, reserved by their names (wire section 3).

They travel as any question between servers does (L{ServerEvent<twisted_crossws.wire.packets.ServerEvent>}); a Node.js
peer does not answer them, and is not waited for. C{of} says which sockets are meant: C{{socketId: X}},
C{{room: [NS, R]}}, or C{{}} for all of them. C{seconds} is how long the asking server waits::

    _fetch_       {of, seconds}                      items  {id, rooms: [[NS, R]…], data, omitted: [K…], request: {…}}
    _join_        {of, rooms: [[NS, R]…], seconds}   item   how many, or {count, heard: false} while these rooms are
                                                            not heard there
    _leave_       {of, rooms: [[NS, R]…], seconds}   item   how many
    _disconnect_  {of, code, reason, seconds}        item   how many
    _request_     {of, frame: FRAME, ackId, seconds} items  {id}                               it was asked
                                                            {id, payload}                      its answer
                                                            {id, error: {kind, code, message}} there is none from it

Every reply is a page, so that no answer is too large for a packet. If there is a C{more}, it is what to ask for the
next one with::

    reply         {items: [ITEM…], more: TOKEN}
    _more_        TOKEN

The items of C{_request_} come as the clients answer: a reply waits until there is something to tell.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

FETCH = "_fetch_"
JOIN = "_join_"
LEAVE = "_leave_"
DISCONNECT = "_disconnect_"
REQUEST = "_request_"
MORE = "_more_"

#: A namespace and an id.
Room = tuple[str, str]


class Of(msgspec.Struct, omit_defaults=True):
    """Which sockets; without either, all of them."""

    socketId: str | None = None
    room: Room | None = None


class Fetch(msgspec.Struct):
    """What do you know of them?"""

    of: Of
    seconds: float


class Move(msgspec.Struct):
    """Let them join, or leave."""

    of: Of
    rooms: list[Room]
    seconds: float


class Moved(msgspec.Struct):
    """
    For how many it was done.

    @ivar heard: whether the server hears their rooms. If it does, the number alone is sent.
    """

    count: int
    heard: bool = True


class Disconnect(msgspec.Struct):
    """Close them."""

    of: Of
    code: int
    reason: str
    seconds: float


class Ask(msgspec.Struct):
    """Ask them this."""

    of: Of
    frame: str
    ackId: str
    seconds: float


class Page(msgspec.Struct, omit_defaults=True):
    """A part of an answer."""

    items: list[Any] = []
    more: str | None = None


class Handshake(msgspec.Struct, frozen=True):
    """
    The request that opened a connection, as another server sees it.

    @ivar path: without the outer slashes.
    @ivar params: the URL parameters. They may hold secrets.
    @ivar headers: lower-case names to values, without those that hold credentials.
    @ivar peer: address and port of the other side, for people.
    @ivar version: which version of the wire's extensions the client asked for; 1 is none.
    """

    path: str
    params: dict[str, str | list[str]]
    headers: dict[str, str]
    peer: str
    version: int = 1


class SocketItem(msgspec.Struct, omit_defaults=True):
    """One socket."""

    id: str | None
    rooms: list[Room]
    data: dict[str, Any]
    request: Handshake
    omitted: list[str] = []


class AnswerFault(msgspec.Struct, omit_defaults=True):
    """
    Why there is no answer of a client.

    @ivar kind: C{remote}: it answered with an error, of which C{code} and C{message} are; C{gone}: it is not connected
        any more; C{cannot}: it cannot answer.
    """

    kind: Literal["remote", "gone", "cannot"]
    message: str = ""
    code: str = ""


class AnswerItem(msgspec.Struct, omit_defaults=True):
    """What is to be told of a client that is asked; without an answer and an error, that it was asked."""

    id: str
    payload: Any = msgspec.UNSET
    error: AnswerFault | None = None

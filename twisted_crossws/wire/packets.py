"""
Bus packets: what servers say to each other (wire section 2).

A packet is one map, as MessagePack or as JSON; every node of a cluster has the same setting::

    ws:private_socket   ForSockets   {data: FRAME, socketId: X | socketIds: [X…], senderServer}
    ws:broadcast        ForAll       {data: FRAME, senderServer}
    ws:<namespace>      ForRoom      {data: FRAME, roomNamespace, roomId, senderServer, excludeSocketIds}
    csbp:server_bridge  Bridge       {data: ServerEvent}
    csbp:members        Presence     a sign of life, ours alone
    anything else       a map, the application's own

C{volatile: true} in one of the first three is ours alone: who has not taken what was sent before does not get it. So
are C{incarnation} and C{number} in all but the last one: that life of the sender has published so many packets on this
channel, this one included (L{twisted_crossws.state.numbers}).

Peers may send keys that are not known here; they are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec

from twisted_crossws.errors import OverLimit, PacketError
from twisted_crossws.wire.values import (
    MAX_NESTING,
    UNREADABLE,
    UNWRITABLE,
    deeper,
    reread,
    rewritten,
    settled,
)

#: The event name that a reply carries. What makes it a reply is C{isCallback}.
REPLY_EVENT = "_Cs_Cb_"


class ForSockets(msgspec.Struct, omit_defaults=True):
    """
    A frame for one socket (C{socketId}) or some (C{socketIds}).

    @ivar connection: on the server that this begins with the incarnation of, for no other socket: see L{ReplyTo}.
    """

    data: str
    socketId: str | None = None
    socketIds: list[str] | None = None
    senderServer: str = ""
    volatile: Any = msgspec.UNSET
    connection: Any = msgspec.UNSET
    incarnation: Any = msgspec.UNSET
    number: Any = msgspec.UNSET


class ForAll(msgspec.Struct, omit_defaults=True):
    """A frame for every client."""

    data: str
    senderServer: str = ""
    volatile: Any = msgspec.UNSET
    incarnation: Any = msgspec.UNSET
    number: Any = msgspec.UNSET


class ForRoom(msgspec.Struct):
    """A frame for a room."""

    data: str
    roomNamespace: str
    roomId: str
    senderServer: str = ""
    excludeSocketIds: list[str] = []
    volatile: Any = msgspec.UNSET
    incarnation: Any = msgspec.UNSET
    number: Any = msgspec.UNSET


class ReplyTo(msgspec.Struct, omit_defaults=True):
    """
    Whose question was relayed: the answer goes there, and not to the relaying server (wire section 3).

    @ivar v: the version that the client speaks, ours alone.
    @ivar connection: which socket has asked, ours alone; it begins with the incarnation of the relaying server.
    """

    socketId: str
    callbackId: str
    v: int = 1
    connection: str = ""


class ReplyFault(msgspec.Struct):
    """An error as a server's reply, in a key that Node.js peers ignore."""

    code: str
    message: str = ""


class ServerEvent(msgspec.Struct, omit_defaults=True):
    """
    An event between servers, or a reply.

    @ivar targetServer: empty for all.
    @ivar callbackId: the reply that is wanted, or that this is.
    @ivar deadline: Unix time in milliseconds after which nobody waits for the reply, by the sender's clock.
    """

    event: str
    senderServer: str
    payload: Any = msgspec.UNSET
    targetServer: list[str] | None = None
    callbackId: str | None = None
    isCallback: bool = False
    replyTo: ReplyTo | None = None
    deadline: float | None = None
    error: ReplyFault | None = None


class Bridge(msgspec.Struct):
    """What is on the channel between servers."""

    data: ServerEvent
    incarnation: Any = msgspec.UNSET
    number: Any = msgspec.UNSET


Kind = Literal["claim", "taken", "hello", "here", "bye"]


class Presence(msgspec.Struct, omit_defaults=True):
    """
    What a server says of itself to others of its kind. Node.js peers neither send nor hear it.

    @ivar kind: C{claim}: it wants to come in, under a name that it takes for free; C{taken}: the sender has the name
        that the incarnation C{to} claims; C{hello}: a sign of life, and others are asked for theirs; C{here}: a sign
        of life, which with an incarnation in C{to} says that the sender had taken that one for lost; C{bye}: it leaves.
    @ivar incarnation: what tells this life of the server from earlier ones of the same name.
    @ivar since: Unix time in seconds at which this life began.
    @ivar tails: the last numbers of channels on which this server has become quiet.
    @ivar gap: in a C{hello}, the seconds in which this server may have missed something.
    @ivar now: seconds of the sender's clock, by which its C{deadline}s are meant; none from older servers.
    @ivar state: C{draining}, if it sends its clients away.
    @ivar silence: seconds for which the sender had not heard the incarnation C{to}.
    """

    kind: Kind
    senderServer: str
    incarnation: str
    since: float
    role: str = ""
    tags: tuple[str, ...] = ()
    address: str = ""
    version: str = ""
    clients: int = 0
    to: str = ""
    now: float | None = None
    number: Any = msgspec.UNSET
    tails: dict[str, int] = {}
    gap: float = 0.0
    state: str = ""
    silence: float = 0.0


Packet = ForSockets | ForAll | ForRoom | Bridge | Presence
_P = TypeVar("_P", ForSockets, ForAll, ForRoom, Bridge, Presence, dict[str, Any])

#: Bytes of the largest packet that is read. It must hold the largest message of a client, and a list of those
#: whom it is for.
MAX_PACKET_SIZE = 16 * 1_048_576


#: How deep a packet may be nested: a payload, and what is around it here and in the answers of clients.
_LEVELS = MAX_NESTING + 16

# What is said where a packet is proper but for a limit.
_BEYOND = (OverLimit, RecursionError)


class PacketCodec:
    """
    Reads and writes packets in the encoding of the cluster.
    """

    def __init__(self, compression: bool = True) -> None:
        """
        @param compression: C{True} for MessagePack, C{False} for JSON.
        """
        self._format = "MessagePack" if compression else "JSON"
        # JSON has one kind of numbers, so a peer in JavaScript may write integers of any size.
        self._isLoose = not compression
        self._reread: Callable[[Any, bytes], Any] = deeper if compression else reread
        encoder = msgspec.msgpack.Encoder() if compression else msgspec.json.Encoder()
        self._encode = encoder.encode
        decoder: Any = msgspec.msgpack.Decoder if compression else msgspec.json.Decoder
        self._decoders: dict[Any, Any] = {
            kind: decoder(kind).decode for kind in (ForSockets, ForAll, ForRoom, Bridge, Presence)
        }
        self._decoders[dict] = decoder(dict[str, Any]).decode
        self._decodeAny: Callable[[bytes], Any] = decoder().decode

    def encode(self, packet: Packet | dict[str, Any]) -> bytes:
        """
        @raise TypeError: a payload holds something that the bus has no form for; the message says what.
        """
        return self.encodeValue(packet)

    def encodeValue(self, value: object) -> bytes:
        """
        As L{encode}, for what is a part of a packet (as C{msgspec.Raw}).

        @raise TypeError: as L{encode}.
        """
        try:
            return self._encode(value)
        except UNWRITABLE as fault:
            return rewritten(self._encode, self._decodeAny, value, fault, _LEVELS)

    def decode(self, kind: type[_P], packet: bytes) -> _P:
        """
        @param kind: what the channel carries: one of the classes above, or C{dict} for the application's own.
        @raise PacketError: it is not that, or is larger than L{MAX_PACKET_SIZE}.
        """
        if len(packet) > MAX_PACKET_SIZE:
            says = f"The packet has {len(packet)} bytes, and more than {MAX_PACKET_SIZE} are not read."
            raise PacketError("oversized", says)
        try:
            found = self._decoders[kind](packet)
        except UNREADABLE:
            found = self._again(kind, packet)
        return _fit(kind, found) if self._isLoose else found  # type: ignore[no-any-return]

    def decoder(self, kind: type[_P]) -> Callable[[bytes], _P]:
        """
        @return: does what L{decode} does, for many packets of one kind.
        """
        read = self._decoders[kind]

        def decode(packet: bytes) -> _P:
            if len(packet) > MAX_PACKET_SIZE:
                return self.decode(kind, packet)
            try:
                return read(packet)  # type: ignore[no-any-return]
            except UNREADABLE:
                return self._again(kind, packet)  # type: ignore[no-any-return]

        return partial(self.decode, kind) if self._isLoose else decode

    def _again(self, kind: type[_P], packet: bytes) -> Any:
        """Read what msgspec has refused."""
        try:
            return self._reread(self._decoders[kind], packet)
        except (OverLimit, *UNREADABLE) as fault:
            raise self._error(kind, packet, fault) from None

    def _error(self, kind: type, packet: bytes, fault: Exception) -> PacketError:
        if isinstance(fault, _BEYOND):
            return _beyondLimit(fault)
        try:
            found = self._reread(self._decodeAny, packet)
        except _BEYOND as beyond:
            return _beyondLimit(beyond)
        except UNREADABLE as unreadable:
            says = f"The packet is not {self._format} ({unreadable}); all nodes of a cluster need the same compression."
            return PacketError("unreadable", says)
        return PacketError("malformed", f"The packet is no {kind.__name__}: {fault}.", _sender(found))

    def copy(self, value: Any) -> Any:
        """
        What a value becomes on its way over the bus: a local receiver gets the same as a remote one, never the
        sender's own object.

        @raise TypeError: it holds something that the bus has no form for.
        """
        return self.decode(dict, self.encode({"v": value}))["v"]


def _beyondLimit(fault: Exception) -> PacketError:
    says = fault if isinstance(fault, OverLimit) else "It is nested too deep."
    return PacketError("oversized", f"The packet is beyond a limit. {says}")


def _fit(kind: type, found: Any) -> Any:
    """
    Make integers of more than 64 bits floats, which MessagePack has no form for anyway. A question or a reply that is
    beyond a limit is answered, or is, that error.
    """
    try:
        if kind is Bridge:
            found.data.payload = settled(found.data.payload, _LEVELS)
        elif kind is dict:
            settled(found, _LEVELS)
    except OverLimit as fault:
        if kind is not Bridge:
            raise _beyondLimit(fault) from None
        found.data.payload, found.data.error = msgspec.UNSET, ReplyFault(fault.code, str(fault))
    return found


def _sender(found: Any) -> str:
    """Who signed a packet that is otherwise malformed, if that can be told."""
    for _ in range(2):
        if not isinstance(found, dict):
            break
        if isinstance(sender := found.get("senderServer"), str):
            return sender
        found = found.get("data")
    return ""

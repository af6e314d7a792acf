"""
Bus packets: what servers say to each other (wire section 2).

A packet is one map, as MessagePack or as JSON; every node of a cluster has the same setting::

    ws:private_socket   ForSockets   {data: FRAME, socketId: X | socketIds: [X…], senderServer}
    ws:broadcast        ForAll       {data: FRAME, senderServer}
    ws:<namespace>      ForRoom      {data: FRAME, roomNamespace, roomId, senderServer, excludeSocketIds}
    csbp:server_bridge  Bridge       {data: ServerEvent}
    anything else       a map, the application's own

Peers may send keys that are not known here; they are ignored.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from twisted_crossws.errors import PacketError

#: The event name that a reply carries. What makes it a reply is C{isCallback}.
REPLY_EVENT = "_Cs_Cb_"


class ForSockets(msgspec.Struct, omit_defaults=True):
    """A frame for one socket (C{socketId}) or some (C{socketIds})."""

    data: str
    socketId: str | None = None
    socketIds: list[str] | None = None
    senderServer: str = ""


class ForAll(msgspec.Struct, omit_defaults=True):
    """A frame for every client."""

    data: str
    senderServer: str = ""


class ForRoom(msgspec.Struct):
    """A frame for a room."""

    data: str
    roomNamespace: str
    roomId: str
    senderServer: str = ""
    excludeSocketIds: list[str] = []


class ReplyTo(msgspec.Struct, omit_defaults=True):
    """
    Whose question was relayed: the answer goes there, and not to the relaying server (wire section 3).

    @ivar v: the version that the client speaks, ours alone.
    """

    socketId: str
    callbackId: str
    v: int = 1


class ReplyFault(msgspec.Struct):
    """An error as a server's reply, in a key that Node.js peers ignore."""

    code: str
    message: str = ""


class ServerEvent(msgspec.Struct, omit_defaults=True):
    """
    An event between servers, or a reply.

    @ivar targetServer: empty for all.
    @ivar callbackId: the reply that is wanted, or that this is.
    @ivar deadline: Unix time in milliseconds after which nobody waits for the reply.
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


Packet = ForSockets | ForAll | ForRoom | Bridge
_P = TypeVar("_P", ForSockets, ForAll, ForRoom, Bridge, dict[str, Any])

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class PacketCodec:
    """
    Reads and writes packets in the encoding of the cluster.
    """

    def __init__(self, compression: bool = True) -> None:
        """
        @param compression: C{True} for MessagePack, C{False} for JSON.
        """
        self._format = "MessagePack" if compression else "JSON"
        encoder = msgspec.msgpack.Encoder() if compression else msgspec.json.Encoder()
        self._encode = encoder.encode
        decoder: Any = msgspec.msgpack.Decoder if compression else msgspec.json.Decoder
        self._decoders: dict[Any, Any] = {kind: decoder(kind).decode for kind in (ForSockets, ForAll, ForRoom, Bridge)}
        self._decoders[dict] = decoder(dict[str, Any]).decode

    def encode(self, packet: Packet | dict[str, Any]) -> bytes:
        """
        @raise TypeError: a payload holds something that the bus has no form for; the message names its type.
        """
        return self._encode(packet)

    def decode(self, kind: type[_P], packet: bytes) -> _P:
        """
        @param kind: what the channel carries: one of the classes above, or C{dict} for the application's own.
        @raise PacketError: it is not that.
        """
        try:
            return self._decoders[kind](packet)  # type: ignore[no-any-return]
        except _UNREADABLE as fault:
            raise PacketError(
                f"The packet is not a {kind.__name__} in {self._format} ({fault}); "
                "every node of a cluster must have the same setting of compression."
            ) from None

    def copy(self, value: Any) -> Any:
        """
        What a value becomes on its way over the bus: a local receiver gets the same as a remote one, never the
        sender's own object.

        @raise TypeError: it holds something that the bus has no form for.
        """
        return self.decode(dict, self.encode({"v": value}))["v"]

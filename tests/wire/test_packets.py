"""
Bus packets: what a working cluster of Node.js servers published, and what we make of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from twisted_crossws import BusConfig, Config, IBusReceiver, Node
from twisted_crossws.bus.memory import MemoryBus, MemoryLink
from twisted_crossws.errors import PacketError
from twisted_crossws.wire.packets import (
    MAX_PACKET_SIZE,
    REPLY_EVENT,
    Bridge,
    ForAll,
    ForRoom,
    ForSockets,
    PacketCodec,
    ReplyFault,
    ReplyTo,
    ServerEvent,
)

VECTORS = json.loads(Path(__file__).with_name("bus-vectors.json").read_text())["packets"]
KINDS: dict[str, Any] = {
    "ws:broadcast": ForAll,
    "ws:private_socket": ForSockets,
    "ws:chat": ForRoom,
    "csbp:server_bridge": Bridge,
    "mychan": dict,
}


def ours(packet: Any) -> Any:
    """A packet of ours for the same call, made from the values that were captured."""
    if isinstance(packet, dict):
        return packet
    if isinstance(packet, Bridge):
        return Bridge(ServerEvent(**{name: getattr(packet.data, name) for name in packet.data.__struct_fields__}))
    return type(packet)(**{name: getattr(packet, name) for name in packet.__struct_fields__})


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['encoding']}-{vector['channel']}")
class TestCaptured:
    def test_decodes(self, vector: Any) -> None:
        """Every captured packet decodes to its value, in the class of its channel."""
        codec = PacketCodec(vector["encoding"] == "msgpack")
        packet = codec.decode(KINDS[vector["channel"]], bytes.fromhex(vector["bytes_hex"]))
        expected = vector["value"]
        if isinstance(packet, Bridge):
            packet, expected = packet.data, expected["data"]
        for key, value in expected.items():
            assert (packet[key] if isinstance(packet, dict) else getattr(packet, key)) == value

    def test_encodes(self, vector: Any) -> None:
        """What we publish for the same call decodes, for a peer that knows only maps, to the same keys and types."""
        codec = PacketCodec(vector["encoding"] == "msgpack")
        captured = codec.decode(KINDS[vector["channel"]], bytes.fromhex(vector["bytes_hex"]))
        published = codec.encode(ours(captured))
        plain = msgspec.msgpack.decode if vector["encoding"] == "msgpack" else json.loads
        assert plain(published) == vector["value"]


class RecordingBus(MemoryBus):
    """
    Others may be on this bus, and there is nobody.

    @ivar published: channel and bytes of every packet.
    """

    leavesProcess = True

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[str, bytes]] = []

    def attach(self, receiver: IBusReceiver, clock: IReactorTime, counters: dict[str, int]) -> MemoryLink:
        self.receiver: Any = receiver
        return RecordingLink(self, receiver, clock)

    def add(self, link: MemoryLink) -> None:
        self._links.append(link)

    def others(self, link: MemoryLink) -> bool:
        return True

    def carry(self, channel: str, packet: bytes) -> int:
        self.published.append((channel, packet))
        return super().carry(channel, packet)


class RecordingLink(MemoryLink):
    refusesNames = False

    def serverNames(self) -> Any:
        return None


def do(node: Node, channel: str, value: Any) -> Any:
    """The call of a node for which a packet was captured."""
    frame = json.loads(value["data"]) if isinstance(value.get("data"), str) else None
    if channel == "ws:broadcast":
        return node.clients.broadcast(frame["event"], frame["payload"])
    if channel == "ws:private_socket" and "socketId" in value:
        return node.clients.send(value["socketId"], frame["event"], frame["payload"])
    if channel == "ws:private_socket":
        return node.clients.sendMany(value["socketIds"], frame["event"], frame["payload"])
    if channel == "ws:chat":
        room, excluded = (value["roomNamespace"], value["roomId"]), value["excludeSocketIds"]
        return node.clients.toRoom(*room, frame["event"], frame["payload"], exclude=excluded)
    if channel == "mychan":
        return node.channels.publish(channel, value)
    message = value["data"]
    onReply = (lambda reply: None) if "callbackId" in message else None
    return node.servers.emit(message["event"], message["payload"], to=message["targetServer"], onReply=onReply)


class TestFaults:
    @pytest.mark.parametrize("compression", [True, False])
    def test_size(self, compression: bool) -> None:
        """The largest packet is read, and one byte more is not: it is said to be oversized, whatever it holds."""
        codec = PacketCodec(compression)
        largest = MAX_PACKET_SIZE - len(codec.encode({"v": "x" * 100_000})) + 100_000
        packet = codec.encode({"v": "x" * largest})
        assert len(packet) == MAX_PACKET_SIZE
        assert len(codec.decode(dict, packet)["v"]) == largest
        for decode in (lambda packet: codec.decode(dict, packet), codec.decoder(dict)):
            with pytest.raises(PacketError, match=f"{MAX_PACKET_SIZE + 1} bytes") as raised:
                decode(codec.encode({"v": "x" * (largest + 1)}))
            assert (raised.value.cause, raised.value.sender) == ("oversized", "")

    @pytest.mark.parametrize(
        ("packet", "sender"),
        [
            ({"senderServer": "serverB"}, "serverB"),
            ({"data": {"senderServer": "serverB"}}, "serverB"),
            ({"senderServer": 7, "data": {"senderServer": "serverB"}}, "serverB"),
            ({"data": {"data": {"senderServer": "serverB"}}}, ""),
            ({"data": "text"}, ""),
            ({}, ""),
            ([], ""),
            (7, ""),
        ],
    )
    def test_sender(self, packet: Any, sender: str) -> None:
        """Of a malformed packet it is said who has sent it, where that stands where it belongs."""
        with pytest.raises(PacketError) as raised:
            PacketCodec(True).decode(Bridge, msgspec.msgpack.encode(packet))
        assert (raised.value.cause, raised.value.sender) == ("malformed", sender)

    @pytest.mark.parametrize(("mine", "theirs"), [(True, False), (False, True)])
    def test_otherEncoding(self, mine: bool, theirs: bool) -> None:
        """One in the other encoding is unreadable, and the fault says what is usually wrong then."""
        packet = PacketCodec(theirs).encode({"v": [1, "two"], "w": None})
        with pytest.raises(PacketError, match="need the same compression") as raised:
            PacketCodec(mine).decode(Bridge, packet)
        assert raised.value.cause == "unreadable"


def nested(depth: int) -> list[Any]:
    """A list in a list, and so on."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def shape(value: Any) -> Any:
    """Keys and types of a value."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['encoding']}-{vector['channel']}")
class TestPublished:
    """What a whole node puts on the bus, next to what was captured for the same call."""

    def published(self, vector: Any) -> list[tuple[str, Any]]:
        """Channel and value, of all but signs of life."""
        compression, value = vector["encoding"] == "msgpack", vector["value"]
        message = value["data"] if vector["channel"] == "csbp:server_bridge" else {}
        bus, clock = RecordingBus(), Clock()
        name = message.get("senderServer") or value.get("senderServer") or "serverA"
        node = Node(name, bus, config=Config(bus=BusConfig(compression=compression)), clock=clock)
        node.startService()
        clock.pump([1.0])
        bus.published.clear()
        if message.get("isCallback"):
            # The reply to a question that another server of Node.js has asked.
            node.servers.on("say", lambda asked: message["payload"])
            about = {"senderServer": "asker", "targetServer": [name], "callbackId": message["callbackId"]}
            encode = msgspec.msgpack.encode if compression else msgspec.json.encode
            bus.receiver.packetReceived(vector["channel"], encode({"data": {"event": "say", "payload": 1, **about}}))
        else:
            do(node, vector["channel"], value)
        plain = msgspec.msgpack.decode if compression else json.loads
        found = [(channel, plain(packet)) for channel, packet in bus.published]
        node.stopService()
        return found

    def test_sameCall(self, vector: Any) -> None:
        """
        One packet, on the same channel, with the same keys, types and values, but for its number, a deadline and the
        id. What an application publishes has no number: every key is its own.
        """
        ((channel, value),) = self.published(vector)
        assert channel == vector["channel"]
        if channel != "mychan":
            assert (value.pop("number"), len(value.pop("incarnation"))) == (1, 12)
        expected = json.loads(json.dumps(vector["value"]))
        message = expected["data"] if channel == "csbp:server_bridge" else {}
        if "callbackId" in message and "isCallback" not in message:
            assert isinstance(value["data"].pop("deadline"), float)
            assert 1 <= len(value["data"]["callbackId"]) <= 64
            message["callbackId"] = value["data"]["callbackId"]
        assert value == expected
        assert shape(value) == shape(expected)


class TestCodec:
    @pytest.mark.parametrize("compression", [True, False])
    def test_ourKeys(self, compression: bool) -> None:
        """Our own keys travel with a request and its reply."""
        codec = PacketCodec(compression)
        question = ServerEvent("e", "a", 1, ["b"], "id", replyTo=ReplyTo("u1", "7", 2), deadline=1000.0)
        assert codec.decode(Bridge, codec.encode(Bridge(question))).data == question
        answer = ServerEvent(REPLY_EVENT, "b", targetServer=[], callbackId="id", isCallback=True, error=ReplyFault("x"))
        assert codec.decode(Bridge, codec.encode(Bridge(answer))).data == answer

    def test_unknownKeys(self) -> None:
        """Keys that are not known are ignored."""
        codec = PacketCodec()
        packet = msgspec.msgpack.encode({"data": "x", "senderServer": "a", "later": [1]})
        assert codec.decode(ForAll, packet) == ForAll("x", "a")

    @settings(max_examples=500, deadline=None)
    @given(st.sampled_from([ForSockets, ForAll, ForRoom, Bridge, dict]), st.booleans(), st.binary(max_size=200))
    def test_anyBytes(self, kind: Any, compression: bool, packet: bytes) -> None:
        """Any bytes give a packet or L{PacketError}, never anything else."""
        try:
            found = PacketCodec(compression).decode(kind, packet)
        except PacketError as fault:
            assert fault.cause in ("unreadable", "malformed")
        else:
            assert isinstance(found, kind)

    @pytest.mark.parametrize("compression", [True, False])
    def test_deep(self, compression: bool) -> None:
        """Neither does a packet that is nested beyond reason."""
        deep, around = (b"\x91" * 100_000, b"\x81\xa1v") if compression else (b"[" * 100_000, b'{"v":')
        for packet in (deep, around + deep):
            for kind in (dict, Bridge):
                with pytest.raises(PacketError) as raised:
                    PacketCodec(compression).decode(kind, packet)
                assert raised.value.cause == "oversized"

    @pytest.mark.parametrize("value", [{"a": [1, None, "ü", 1.5, True]}, None, "x", 2**53, [], b"binary"])
    def test_copy(self, value: object) -> None:
        """A copy is equal, and never the same object."""
        copied = PacketCodec().copy(value)
        assert copied == value
        if isinstance(value, dict | list) and value:
            assert copied is not value

    @pytest.mark.parametrize("value", [object(), {"x": object()}, {1: {2: object()}}, 2**64, "\ud800", nested(100_000)])
    def test_noForm(self, value: object) -> None:
        """What the bus has no form for is the caller's mistake."""
        with pytest.raises(TypeError):
            PacketCodec().copy(value)

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

from twisted_crossws.errors import PacketError
from twisted_crossws.wire.packets import (
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
        deep = b"\x91" * 100_000 if compression else b"[" * 100_000
        with pytest.raises(PacketError):
            PacketCodec(compression).decode(dict, deep)

    @pytest.mark.parametrize("value", [{"a": [1, None, "ü", 1.5, True]}, None, "x", 2**53, [], b"binary"])
    def test_copy(self, value: object) -> None:
        """A copy is equal, and never the same object."""
        copied = PacketCodec().copy(value)
        assert copied == value
        if isinstance(value, dict | list) and value:
            assert copied is not value

    @pytest.mark.parametrize("value", [object(), {"x": object()}, {1: {2: object()}}])
    def test_noForm(self, value: object) -> None:
        """What the bus has no form for is the caller's mistake."""
        with pytest.raises(TypeError):
            PacketCodec().copy(value)

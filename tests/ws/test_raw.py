"""
Texts and bytes that are no frames of ours: for applications whose clients speak a wire of their own.
"""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from twisted.internet.task import Clock

from twisted_crossws import Config, Node, Socket, WebSocketConfig
from twisted_crossws.testing import FakePeer
from twisted_crossws.wire.rfc6455 import OPCODE_BYTES, OPCODE_TEXT, maskedFrame, serverFrames

EVENT = '{"event":"echo","payload":1,"callbackId":"7"}'
REPLY = '{"payload":1,"callbackId":"7"}'


class Raw:
    """A node whose application hears everything that its one client says."""

    def __init__(self, clock: Clock, *, headers: dict[str, str] | None = None, **options: Any) -> None:
        self.node = Node("serverA", clock=clock, config=Config(websocket=WebSocketConfig(**options)))
        self.node.clients.on("echo", lambda socket, payload: payload)
        self.heard: list[Any] = []
        sockets: list[Socket] = []
        self.node.lifecycle.on("connection", sockets.append)
        self.peer = FakePeer(self.node, clock, headers=headers)
        (self.socket,) = sockets

    def listen(self) -> None:
        self.node.lifecycle.on("message", lambda socket, data: self.heard.append(data))


@pytest.fixture(params=[True, False], ids=["fast", "ordinary"])
def isFast(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class TestHeard:
    def test_both(self, clock: Clock, isFast: bool) -> None:
        """A text is a string, and bytes are bytes, in the order in which they came; nothing of it is malformed."""
        raw = Raw(clock, fast_path=isFast)
        raw.listen()
        raw.peer.sendText("hü")
        raw.peer.sendBinary(b"\xff\x00")
        raw.peer.sendBinary("hü".encode())
        raw.peer.sendText("[1]")
        assert raw.heard == ["hü", b"\xff\x00", "hü".encode(), "[1]"]
        assert (raw.node.counters["messages_raw"], raw.node.counters["frames_malformed"]) == (4, 0)

    def test_fragments(self, clock: Clock, isFast: bool) -> None:
        """So it is with one that comes in several frames."""
        raw = Raw(clock, fast_path=isFast)
        raw.listen()
        for opcode, parts in ((OPCODE_BYTES, (b"\xc3", b"\x28")), (OPCODE_TEXT, (b"h\xc3", b"\xbc"))):
            first, last = (maskedFrame(opcode, parts[0], b"mask", final=False), maskedFrame(0, parts[1], b"mask"))
            raw.peer.sendBytes(first + last)
        assert raw.heard == [b"\xc3\x28", "hü"]

    def test_frames(self, clock: Clock, isFast: bool) -> None:
        """Frames are heard, too, before they are read; a binary one is read as if it were text."""
        raw = Raw(clock, fast_path=isFast)
        raw.listen()
        raw.peer.sendText(EVENT)
        raw.peer.sendBinary(EVENT.encode())
        assert raw.heard == [EVENT, EVENT.encode()]
        assert raw.peer.takeTexts() == [REPLY, REPLY]
        assert raw.node.counters["messages_raw"] == 0

    def test_heartbeat(self, clock: Clock, isFast: bool) -> None:
        """The heartbeat is none of the application's."""
        raw = Raw(clock, fast_path=isFast)
        raw.listen()
        raw.peer.sendText("")
        assert raw.heard == [] and raw.peer.takeTexts() == [""]

    def test_answered(self, clock: Clock, isFast: bool) -> None:
        """An application can answer each as it came, in order with all else."""
        raw = Raw(clock, fast_path=isFast)

        def again(socket: Socket, data: str | bytes) -> None:
            if isinstance(data, str):
                socket.sendText(data)
            else:
                socket.sendBytes(data)

        raw.node.lifecycle.on("message", again)
        sent = [(OPCODE_TEXT, b"one"), (OPCODE_BYTES, b"\xff"), (OPCODE_TEXT, b"two")]
        raw.peer.sendBytes(b"".join(maskedFrame(opcode, data, b"mask") for opcode, data in sent))
        answers = raw.peer.transport.value().partition(b"\r\n\r\n")[2]
        assert [(opcode, data) for opcode, data, _ in serverFrames(answers)] == sent

    def test_failing(self, clock: Clock, isFast: bool, logged: list[Any]) -> None:
        """A listener that fails harms neither what comes after nor what is bytes and what is text."""
        raw = Raw(clock, fast_path=isFast)
        raw.node.lifecycle.on("message", lambda socket, data: 1 / 0)
        raw.listen()
        raw.peer.sendBinary(b"\xff")
        raw.peer.sendText("text")
        assert raw.heard == [b"\xff", "text"]
        assert len(logged) == 2
        logged.clear()


class TestLimits:
    def test_noNoise(self, clock: Clock, isFast: bool) -> None:
        """What the application hears is no noise: a client may send more of it than that limit."""
        raw = Raw(clock, fast_path=isFast, max_noise_per_second=1.0)
        raw.listen()
        for _ in range(100):
            raw.peer.sendText("text")
        assert len(raw.heard) == 100 and raw.peer.closeCode is None

    def test_noise(self, clock: Clock, isFast: bool) -> None:
        """Where nobody hears it, it is."""
        raw = Raw(clock, fast_path=isFast, max_noise_per_second=1.0)
        for _ in range(100):
            raw.peer.sendBinary(b"\xff")
        assert raw.peer.closeCode == 1008 and raw.node.counters["messages_raw"] == 0

    def test_events(self, clock: Clock, isFast: bool) -> None:
        """It is held to the limit of events instead."""
        raw = Raw(clock, fast_path=isFast, max_events_per_second=5.0)
        raw.listen()
        for _ in range(11):
            raw.peer.sendBinary(b"\xff")
        assert raw.peer.closeCode == 1008 and raw.node.counters["messages_raw"] == 11

    def test_size(self, clock: Clock, isFast: bool) -> None:
        """Bytes have the limit of texts."""
        raw = Raw(clock, fast_path=isFast, max_message_size=10)
        raw.listen()
        raw.peer.sendBinary(b"\xff" * 10)
        raw.peer.sendBinary(b"\xff" * 11)
        assert raw.heard == [b"\xff" * 10] and raw.peer.closeCode == 1009


class TestSent:
    def test_both(self, clock: Clock, isFast: bool) -> None:
        """A text and bytes arrive as they are."""
        raw = Raw(clock, fast_path=isFast)
        assert raw.socket.sendText("hü") is True
        assert raw.socket.sendBytes(b"\xff" * 70_000) is True
        assert raw.peer.takeTexts() == ["hü"] and raw.peer.takeBinary() == [b"\xff" * 70_000]
        assert raw.peer.takeBinary() == []

    def test_closed(self, clock: Clock, isFast: bool) -> None:
        """To a closed socket nothing is sent."""
        raw = Raw(clock, fast_path=isFast)
        raw.socket.close()
        assert raw.socket.sendText("hü") is False and raw.socket.sendBytes(b"\xff") is False
        assert raw.peer.takeTexts() == [] and raw.peer.takeBinary() == []

    def test_compressed(self, clock: Clock, isFast: bool) -> None:
        """Where messages are compressed, bytes are so, too; but for those that are longer than any message may be."""
        headers = {"Sec-WebSocket-Extensions": "permessage-deflate"}
        raw = Raw(clock, headers=headers, fast_path=isFast, compression=True, max_message_size=5000)
        raw.socket.sendBytes(b"\xff" * 1000)
        raw.socket.sendBytes(b"\xff" * 6000)
        short, long = raw.peer.takeBinary()
        assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(short + b"\0\0\xff\xff") == b"\xff" * 1000
        assert long == b"\xff" * 6000

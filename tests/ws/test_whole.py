"""
Whole text frames, read without Autobahn: on which conditions, and what is sent when.

That nothing else changes by it is for C{test_differential} to find out.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from tests.ws.nodes import makeNode
from twisted_crossws import Node, Socket
from twisted_crossws.testing import FakePeer
from twisted_crossws.wire.rfc6455 import maskedFrame, serverFrames, unmask
from twisted_crossws.ws.whole import LONG, wholeText

LIMIT = 70_000
MASK = b"\x01\x80\xff\x00"


def text(payload: bytes, *, mask: bytes = MASK) -> bytes:
    return maskedFrame(1, payload, mask)


def event(name: str, number: int, payload: Any = None) -> bytes:
    return text(json.dumps({"event": name, "payload": payload, "callbackId": str(number)}).encode())


class TestWholeText:
    @given(st.binary(max_size=20), st.text(max_size=400), st.binary(min_size=4, max_size=4), st.binary(max_size=20))
    def test_found(self, before: bytes, words: str, mask: bytes, after: bytes) -> None:
        """A frame is found at any place, with its text and the place after it, whatever its mask."""
        frame = text(words.encode(), mask=mask)
        assert wholeText(before + frame + after, len(before), LIMIT) == (words.encode(), len(before) + len(frame))

    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, LONG - 1, LONG, 4000, 65535])
    def test_sizes(self, size: int) -> None:
        """So are all sizes that can come in one piece, by whichever way they are unmasked."""
        words = (b"0123456789abcde" * (size // 15 + 1))[:size]
        frame = text(words)
        assert wholeText(frame, 0, LIMIT) == (words, len(frame))

    @pytest.mark.parametrize("size", [0, 5, 200, 65535])
    def test_incomplete(self, size: int) -> None:
        """As long as a byte is missing it is none."""
        frame = text(b"x" * size)
        for end in {*range(min(len(frame), 20)), len(frame) - 1}:
            assert wholeText(frame[:end], 0, LIMIT) is None

    @pytest.mark.parametrize(
        "first", [0x01, 0x80, 0x82, 0x88, 0x89, 0x8A, 0x83, 0xC1, 0xA1, 0x91, 0x00], ids=lambda byte: f"{byte:#x}"
    )
    def test_otherFrames(self, first: int) -> None:
        """What is not final, not a text, or has a reserved bit is for Autobahn."""
        assert wholeText(bytes([first]) + text(b"hello")[1:], 0, LIMIT) is None

    @pytest.mark.parametrize("size", [0, 5, 125])
    def test_unmasked(self, size: int) -> None:
        """So is what is not masked."""
        assert wholeText(b"\x81" + bytes([size]) + b"x" * (size + 10), 0, LIMIT) is None

    @pytest.mark.parametrize("size", [0, 5, 125])
    def test_longForm(self, size: int) -> None:
        """So is a length that takes more bytes than it needs."""
        masked = MASK + unmask(b"x" * size, MASK)
        assert wholeText(b"\x81\xfe" + size.to_bytes(2, "big") + masked, 0, LIMIT) is None
        assert wholeText(b"\x81\xff" + size.to_bytes(8, "big") + masked, 0, LIMIT) is None

    def test_limit(self) -> None:
        """So is what is longer than a message may be."""
        assert wholeText(text(b"x" * 300), 0, 300) is not None
        assert wholeText(text(b"x" * 301), 0, 300) is None

    @pytest.mark.parametrize("words", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
    def test_notUTF8(self, words: bytes) -> None:
        """So is what is not UTF-8."""
        assert wholeText(text(b"caf\xc3\xa9 " + words), 0, LIMIT) is None


class Talk:
    """A client of a node whose writes are counted."""

    def __init__(self, node: Node, clock: Clock) -> None:
        self.peer = FakePeer(node, clock)
        self.writes: list[bytes] = []
        transport = self.peer.transport
        write = transport.write

        def counted(data: bytes) -> None:
            self.writes.append(data)
            write(data)

        transport.write = counted  # type: ignore[method-assign]

    def read(self, data: bytes) -> list[list[str]]:
        """
        @return: what was written meanwhile, write by write: events by name, replies by callbackId, and other
            frames by opcode.
        """
        self.writes.clear()
        self.peer.sendBytes(data)
        return [[_name(*frame) for frame in serverFrames(each)] for each in self.writes]


def _name(opcode: int, payload: bytes, end: int) -> str:
    if opcode != 1:
        return str(opcode)
    said = json.loads(payload)
    return str(said.get("event") or said["callbackId"])


class TestAnswers:
    @pytest.fixture
    def fast(self, clock: Clock) -> Node:
        return makeNode(clock, fast_path=True)

    @pytest.fixture
    def talk(self, fast: Node, clock: Clock) -> Talk:
        return Talk(fast, clock)

    def test_together(self, talk: Talk) -> None:
        """The answers to what came in one read are one write, in order."""
        assert talk.read(event("echo", 1) + event("echo", 2) + event("echo", 3)) == [["1", "2", "3"]]

    def test_betweenOthers(self, fast: Node, talk: Talk) -> None:
        """What a listener sends comes after the answers before it and before its own, in as many writes as it takes."""
        fast.clients.on("news", lambda socket, payload: socket.send("extra"))
        assert talk.read(event("echo", 1) + event("news", 2) + event("echo", 3)) == [["1"], ["extra"], ["2", "3"]]

    def test_control(self, talk: Talk) -> None:
        """A ping between two events is answered between their answers."""
        assert talk.read(event("echo", 1) + maskedFrame(9, b"", MASK) + event("echo", 2)) == [["1"], ["10"], ["2"]]

    @pytest.mark.parametrize("way", ["close", "abort"])
    def test_ended(self, fast: Node, talk: Talk, way: str, clock: Clock) -> None:
        """A listener that ends the connection loses none of the answers before it, and nobody is asked after it."""
        fast.clients.on("end", lambda socket, payload: getattr(socket, way)())
        written = talk.read(event("echo", 1) + event("end", 2) + event("echo", 3))
        assert written == ([["1"], ["8"]] if way == "close" else [["1"]])
        assert fast.counters["events_received"] == 2
        assert fast.counters["replies_undeliverable"] == 1
        talk.peer.transport.leave()
        clock.advance(0)

    def test_heartbeat(self, clock: Clock) -> None:
        """A heartbeat is not answered after the goodbye of a listener that closed because of it."""
        node = makeNode(clock, fast_path=True, heartbeat="beat")
        node.lifecycle.on("clientPing", lambda socket: socket.close())
        talk = Talk(node, clock)
        assert talk.read(event("echo", 1) + text(b"beat") + event("echo", 2)) == [["1"], ["8"]]
        talk.peer.transport.leave()
        clock.advance(0)

    def test_large(self, fast: Node, talk: Talk) -> None:
        """They do not wait for the end of the read once they are many, so that who does not read them is noticed."""
        fast.clients.on("book", lambda socket, payload: "x" * 40_000)
        assert talk.read(b"".join(event("book", each) for each in range(5))) == [["0", "1"], ["2", "3"], ["4"]]

    def test_slow(self, clock: Clock) -> None:
        """A client that asks for much and reads nothing is closed in the middle of its questions."""
        node = makeNode(clock, fast_path=True, max_queued_bytes=100_000, max_queued_hard=200_000)
        node.clients.on("book", lambda socket, payload: "x" * 40_000)
        talk = Talk(node, clock)
        talk.peer.transport.isStalled = True
        talk.read(b"".join(event("book", each) for each in range(100)))
        assert talk.peer.closeCode == 4008 and node.counters["clients_slow"] == 1
        assert sum(map(len, talk.writes)) < 500_000
        clock.pump([3.0, 0])
        assert not talk.peer.isConnected

    def test_early(self, fast: Node, talk: Talk) -> None:
        """What arrives while a listener is being called is read after the rest of what came before it."""
        heard: list[str] = []

        def more(socket: Socket, payload: Any) -> None:
            heard.append("more")
            talk.peer.sendBytes(event("last", 3))

        fast.clients.on("more", more)
        for name in ("middle", "last"):
            fast.clients.on(name, lambda socket, payload, name=name: heard.append(name))
        assert talk.read(event("more", 1) + event("middle", 2)) == [["1", "2"], ["3"]]
        assert heard == ["more", "middle", "last"]

    def test_off(self, clock: Clock) -> None:
        """Without the fast path each answer is written at once."""
        talk = Talk(makeNode(clock, fast_path=False), clock)
        assert talk.read(event("echo", 1) + event("echo", 2)) == [["1"], ["2"]]

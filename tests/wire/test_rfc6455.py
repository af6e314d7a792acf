"""Whole WebSocket frames (RFC 6455 section 5)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_crossws.wire.rfc6455 import (
    OPCODE_CLOSE,
    OPCODE_PING,
    OPCODE_PONG,
    OPCODE_TEXT,
    Prepared,
    bytesFrame,
    maskedFrame,
    serverFrames,
    textFrame,
    unmask,
)

examples = settings(deadline=None, max_examples=150)

masks = st.binary(min_size=4, max_size=4)
#: Texts on both sides of the lengths at which the header changes.
texts = st.binary(max_size=8) | st.sampled_from([b"x" * length for length in (125, 126, 127, 65535, 65536)])

LENGTHS = [
    (0, "00"),
    (1, "01"),
    (125, "7d"),
    (126, "7e007e"),
    (127, "7e007f"),
    (65535, "7effff"),
    (65536, "7f0000000000010000"),
]


class TestTextFrame:
    @pytest.mark.parametrize(("length", "header"), LENGTHS)
    def test_header(self, length: int, header: str) -> None:
        """A text frame is final and unmasked, and its length is written in the shortest of the three forms."""
        text = b"x" * length
        assert textFrame(text) == bytes.fromhex("81" + header) + text

    def test_example(self) -> None:
        """The example of section 5.7."""
        assert textFrame(b"Hello") == bytes.fromhex("810548656c6c6f")

    @pytest.mark.parametrize(("length", "header"), LENGTHS)
    def test_bytes(self, length: int, header: str) -> None:
        """A binary frame differs by its opcode alone."""
        assert bytesFrame(b"\xff" * length) == bytes.fromhex("82" + header) + b"\xff" * length

    def test_prepared(self) -> None:
        """A prepared message holds the text, and the frame of it."""
        message = Prepared("grüß".encode())
        assert message.text == "grüß".encode()
        assert message.frame == textFrame("grüß".encode())


class TestMaskedFrame:
    @pytest.mark.parametrize(("length", "header"), LENGTHS)
    def test_header(self, length: int, header: str) -> None:
        """The length is written as in other frames, with the mask bit, and the mask follows."""
        frame = maskedFrame(OPCODE_TEXT, b"x" * length, b"\0\0\0\0")
        first, rest = bytes.fromhex(header)[:1], bytes.fromhex(header)[1:]
        assert frame == b"\x81" + bytes([first[0] | 0x80]) + rest + b"\0\0\0\0" + b"x" * length

    def test_example(self) -> None:
        """The example of section 5.7."""
        assert maskedFrame(OPCODE_TEXT, b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("818537fa213d7f9f4d5158")

    @pytest.mark.parametrize("opcode", [0, OPCODE_TEXT, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, 15])
    def test_opcode(self, opcode: int) -> None:
        """The first byte is the opcode, with the highest bit where the frame is final."""
        assert maskedFrame(opcode, b"", b"mask")[0] == 0x80 + opcode
        assert maskedFrame(opcode, b"", b"mask", final=False)[0] == opcode


class TestUnmask:
    @examples
    @given(st.binary(), masks)
    def test_definition(self, payload: bytes, mask: bytes) -> None:
        """Byte i is combined with byte i modulo 4 of the mask by exclusive or."""
        assert unmask(payload, mask) == bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    @examples
    @given(texts, masks)
    def test_involution(self, payload: bytes, mask: bytes) -> None:
        """Applying a mask twice gives back what there was."""
        assert unmask(unmask(payload, mask), mask) == payload


class TestServerFrames:
    @examples
    @given(st.lists(texts, max_size=4))
    def test_roundTrip(self, sent: list[bytes]) -> None:
        """What textFrame wrote is read back in order, each with the place where the next one begins."""
        data = b""
        ends = []
        for text in sent:
            data += textFrame(text)
            ends.append(len(data))
        assert list(serverFrames(data)) == [(OPCODE_TEXT, text, end) for text, end in zip(sent, ends, strict=True)]

    @examples
    @given(st.lists(texts, min_size=1, max_size=3), st.data())
    def test_cut(self, sent: list[bytes], data: st.DataObject) -> None:
        """Of what has been received in part, the whole frames are read; the rest is read when it is there."""
        whole = b"".join(map(textFrame, sent))
        cut = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, 12).map(lambda at: min(at, len(whole) - 1)))
        first = list(serverFrames(whole[:cut]))
        begin = first[-1][2] if first else 0
        assert begin <= cut
        rest = list(serverFrames(whole[begin:]))
        assert [text for _, text, _ in first + rest] == sent
        assert begin + len(textFrame(sent[len(first)])) > cut

    @pytest.mark.parametrize("opcode", [OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG])
    def test_controlFrames(self, opcode: int) -> None:
        """Control frames are read with their opcode."""
        assert list(serverFrames(bytes([0x80 | opcode, 2]) + b"hi")) == [(opcode, b"hi", 4)]

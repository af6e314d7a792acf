"""
What a hub and its processes say to each other, as bytes.
"""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_crossws.wire import hubframes
from twisted_crossws.wire.hubframes import BadFrame, FrameSplitter, frame
from twisted_crossws.wire.packets import MAX_PACKET_SIZE

texts = st.text(st.characters(exclude_categories=()), max_size=50)


class TestFrames:
    def test_bytes(self) -> None:
        """The frames are those of the grammar."""
        assert hubframes.hello("é") == b"\0\0\0\4\1\1\xc3\xa9"
        assert hubframes.welcome(["a", "bc"]) == b"\0\0\0\x09\x11\1\0\1a\0\2bc"
        assert frame(hubframes.SUBSCRIBE, b"x") == b"\0\0\0\2\2x"
        assert hubframes.message("x", b"yz", 3, 4) == b"\0\0\0\x0c\4\0\3\0\0\0\4\0\1xyz"
        assert hubframes.numbers(hubframes.CONFIRMED, 5, 6) == b"\0\0\0\x09\x15\0\0\0\5\0\0\0\6"
        assert frame(hubframes.PING) == b"\0\0\0\1\5"

    @given(texts, st.binary(max_size=50), st.integers(0, 2**40), st.integers(0, 2**32 - 1))
    def test_message(self, channel: str, packet: bytes, expected: int, number: int) -> None:
        """A MESSAGE comes as it went; more than can be expected is expected as the most."""
        (came,) = FrameSplitter().feed(hubframes.message(channel, packet, expected, number))
        name, *rest = hubframes.readMessage(came)
        assert (hubframes.decoded(name), rest) == (channel, [min(expected, 65535), number])
        assert hubframes.readPacket(came, name) == packet

    @given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=50))
    def test_hello(self, name: str) -> None:
        """A HELLO comes as it went, whatever a name is made of."""
        assert hubframes.readHello(hubframes.hello(name)) == name

    @given(st.frozensets(texts))
    def test_welcome(self, names: frozenset[str]) -> None:
        """So does a WELCOME."""
        assert hubframes.readWelcome(hubframes.welcome(names)) == names

    @given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
    def test_numbers(self, first: int, second: int) -> None:
        """So do two numbers."""
        assert hubframes.readNumbers(hubframes.numbers(hubframes.COUNTED, first, second)) == (first, second)

    def test_longest(self) -> None:
        """The largest packet on the longest channel is a frame that is read."""
        largest = hubframes.message("\U0001f980" * hubframes.MAX_CHANNEL, bytes(MAX_PACKET_SIZE))
        (came,) = FrameSplitter().feed(largest)
        assert came == largest

    @pytest.mark.parametrize(
        ("read", "data", "says"),
        [
            (hubframes.readHello, frame(hubframes.PING), "no HELLO"),
            (hubframes.readHello, frame(hubframes.HELLO), "no HELLO"),
            (hubframes.readHello, frame(hubframes.HELLO, b"\1"), "no HELLO"),
            (
                hubframes.readHello,
                frame(hubframes.HELLO, b"\2a"),
                "speaks version 2 of the hub's protocol, and this one 1",
            ),
            (hubframes.readHello, frame(hubframes.HELLO, b"\1\xff"), "not UTF-8"),
            (hubframes.readHello, frame(hubframes.HELLO, b"\1" + b"x" * 65536), "more than 65535 bytes"),
            (hubframes.readWelcome, frame(hubframes.PONG), "no WELCOME"),
            (hubframes.readWelcome, frame(hubframes.WELCOME), "no WELCOME"),
            (hubframes.readWelcome, frame(hubframes.WELCOME, b"\3"), "speaks version 3"),
            (hubframes.readWelcome, frame(hubframes.WELCOME, b"\1\0"), "ends within a name"),
            (hubframes.readWelcome, frame(hubframes.WELCOME, b"\1\0\5abcd"), "ends within a name"),
            (hubframes.readWelcome, frame(hubframes.WELCOME, b"\1\0\1\xff"), "not UTF-8"),
            (hubframes.readText, frame(hubframes.JOINED, b"\xff"), "not UTF-8"),
            (hubframes.readNumbers, frame(hubframes.CONFIRMED, b"1234567"), "another length"),
            (hubframes.readNumbers, frame(hubframes.CONFIRMED, b"123456789"), "another length"),
            (hubframes.readMessage, frame(hubframes.MESSAGE, b"1234567"), "before its channel"),
            (hubframes.readMessage, frame(hubframes.MESSAGE, b"\0\0\0\0\0\0\0\5abcd"), "within its channel"),
        ],
    )
    def test_faulty(self, read: object, data: bytes, says: str) -> None:
        """What is no such frame is refused with a sentence."""
        with pytest.raises(BadFrame, match=says):
            read(data)  # type: ignore[operator]


class TestSplitter:
    @given(st.lists(st.binary(max_size=30)), st.lists(st.integers(1, 40)))
    def test_anyPortions(self, bodies: list[bytes], sizes: list[int]) -> None:
        """In whatever portions bytes come, the frames are those that were sent, each as soon as it is whole."""
        sent = [frame(7, body) for body in bodies]
        data, splitter, came, fed = b"".join(sent), FrameSplitter(), [], 0
        for size in [*sizes, len(data) + 1]:
            came += splitter.feed(data[:size])
            fed += len(data[:size])
            data = data[size:]
            whole = 0
            while whole < len(sent) and len(b"".join(sent[: whole + 1])) <= fed:
                whole += 1
            assert came == sent[:whole]
        assert came == sent

    @pytest.mark.parametrize("length", [0, hubframes.MAX_FRAME + 1, 0xFFFFFFFF])
    def test_lengths(self, length: int) -> None:
        """Lengths that no frame has are refused before anything of it is kept."""
        with pytest.raises(BadFrame, match="from 1 to"):
            FrameSplitter().feed(pack(">I", length) + b"x")

    def test_large(self) -> None:
        """A large frame that comes in many portions is put together once."""
        data = hubframes.message("x", bytes(MAX_PACKET_SIZE))
        splitter = FrameSplitter()
        came = [each for at in range(0, len(data), 4096) for each in splitter.feed(data[at : at + 4096])]
        assert came == [data]

"""
RFC 6455, frame by frame: the quick cases of the Autobahn|Testsuite (whose numbers stand at the tests), without it.

Each is played with the fast paths and without them, with all that the client sends in one read and octet by octet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from tests.ws.echo import echoFactory
from tests.ws.streams import frame
from twisted_crossws.testing import FakePeer
from twisted_crossws.wire.rfc6455 import serverFrames

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

#: With the fast paths or not, chopped or not.
WAYS = [(True, False), (True, True), (False, False), (False, True)]

Frames = list[tuple[int, bytes]]


class Talk:
    """One client of an echo, that says what it is told to, and answers nothing by itself."""

    def __init__(self, isFast: bool, isChopped: bool) -> None:
        self._clock = Clock()
        self._isChopped = isChopped
        self.peer = FakePeer(echoFactory(self._clock, isFast=isFast), self._clock)
        self.peer.answersPings = self.peer.answersClose = False
        self._head = len(self.peer.transport.value())

    def say(self, *frames: bytes) -> Frames:
        """
        Send these.

        @return: all that came until now.
        """
        data = b"".join(frames)
        # Octet by octet as far as it may matter.
        alone = min(len(data), 2000) if self._isChopped else 0
        for at in range(alone):
            self.peer.sendBytes(data[at : at + 1])
        self.peer.sendBytes(data[alone:])
        return [(opcode, payload) for opcode, payload, _ in serverFrames(self.peer.transport.value()[self._head :])]

    def assertFails(self, code: int, *frames: bytes, before: Frames | None = None) -> None:
        """What is wrong with these is answered with a close frame of this code; the answer to that ends it."""
        came = self.say(*frames)
        assert came[:-1] == (before or [])
        assert came[-1][0] == CLOSE and came[-1][1][:2] == code.to_bytes(2, "big")
        assert self.say(frame(TEXT, b"late"), frame(PING)) == came
        self.say(closeFrame(code))
        assert not self.peer.isConnected

    def assertCloses(self, *frames: bytes, answer: bytes, before: Frames | None = None) -> None:
        """The client says goodbye: it is answered, and the connection ended."""
        assert self.say(*frames) == [*(before or []), (CLOSE, answer)]
        assert not self.peer.isConnected


def closeFrame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


@pytest.fixture(params=WAYS, ids=lambda way: f"{'fast' if way[0] else 'ordinary'}-{'octets' if way[1] else 'whole'}")
def talk(request: Any) -> Callable[[], Talk]:
    """Begins to talk."""
    return partial(Talk, *request.param)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 128, 1299, 1300, 65535, 65536])
class TestFraming:
    """1: a message of any length comes back."""

    def test_text(self, talk: Callable[[], Talk], length: int) -> None:
        """1.1: as it is."""
        text = b"*" * length
        assert talk().say(frame(TEXT, text)) == [(TEXT, text)]

    def test_binary(self, talk: Callable[[], Talk], length: int) -> None:
        """1.2: what comes in a binary message is taken for a text, and a node answers in texts only."""
        assert talk().say(frame(BINARY, b"*" * length)) == [(TEXT, b"*" * length)]


class TestPings:
    @pytest.mark.parametrize("payload", [b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125])
    def test_ping(self, talk: Callable[[], Talk], payload: bytes) -> None:
        """2.1 to 2.4, 2.6: a ping is answered with what it said."""
        assert talk().say(frame(PING, payload)) == [(PONG, payload)]

    def test_tooLong(self, talk: Callable[[], Talk]) -> None:
        """2.5: 126 bytes are more than a control frame may have."""
        talk().assertFails(1002, frame(PING, b"\xfe" * 126))

    @pytest.mark.parametrize("payload", [b"", b"unsolicited"])
    def test_pong(self, talk: Callable[[], Talk], payload: bytes) -> None:
        """2.7 to 2.9: nobody asked for this pong, which is no fault, and no answer to anything."""
        assert talk().say(frame(PONG, payload), frame(PING, b"after")) == [(PONG, b"after")]

    def test_many(self, talk: Callable[[], Talk]) -> None:
        """2.10, 2.11: each of ten pings is answered, in order."""
        pings = [b"payload-%d" % number for number in range(10)]
        assert talk().say(*[frame(PING, ping) for ping in pings]) == [(PONG, ping) for ping in pings]

    def test_betweenTexts(self, talk: Callable[[], Talk]) -> None:
        """Pongs and answers come in the order of what they answer."""
        said = [frame(TEXT, b"1"), frame(PING, b"2"), frame(TEXT, b"3"), frame(TEXT, b"4"), frame(PING, b"5")]
        assert talk().say(*said) == [(TEXT, b"1"), (PONG, b"2"), (TEXT, b"3"), (TEXT, b"4"), (PONG, b"5")]


class TestHeaders:
    def test_reserved(self, talk: Callable[[], Talk]) -> None:
        """3: no reserved bit may be set; what came before is answered, what comes after is not."""
        for reserved, opcode in product(range(1, 8), [TEXT, BINARY, PING, CLOSE]):
            bad = frame(opcode, b"\x03\xe8", reserved=reserved)
            talk().assertFails(1002, frame(TEXT, b"good"), bad, frame(PING), before=[(TEXT, b"good")])

    def test_opcodes(self, talk: Callable[[], Talk]) -> None:
        """4: no opcode may be used that has no meaning."""
        for opcode, payload in product([3, 4, 5, 6, 7, 11, 12, 13, 14, 15], [b"", b"reserved opcode payload"]):
            talk().assertFails(
                1002, frame(TEXT, b"good"), frame(opcode, payload), frame(PING), before=[(TEXT, b"good")]
            )

    @pytest.mark.parametrize("opcode", [TEXT, PING])
    @pytest.mark.parametrize("payload", [b"", b"clear"])
    def test_unmasked(self, talk: Callable[[], Talk], opcode: int, payload: bytes) -> None:
        """What a client sends is masked (section 5.1)."""
        talk().assertFails(1002, frame(TEXT, b"good"), frame(opcode, payload, mask=None), before=[(TEXT, b"good")])

    def test_lengths(self, talk: Callable[[], Talk]) -> None:
        """A length is written in its shortest form (section 5.2)."""
        for length, form in [(0, 126), (125, 126), (0, 127), (125, 127), (126, 127), (65535, 127)]:
            talk().assertFails(
                1002, frame(TEXT, b"good"), frame(TEXT, b"x" * length, form=form), before=[(TEXT, b"good")]
            )


class TestFragments:
    @pytest.mark.parametrize("opcode", [PING, PONG])
    def test_control(self, talk: Callable[[], Talk], opcode: int) -> None:
        """5.1, 5.2: control frames are whole."""
        talk().assertFails(1002, frame(opcode, b"fragment1", isFinal=False), frame(0, b"fragment2"))

    @pytest.mark.parametrize("parts", [[b"one", b"two"], [b"", b"", b""], [b"", b"middle", b""], [b"x"] * 100])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_message(self, talk: Callable[[], Talk], parts: list[bytes], opcode: int) -> None:
        """5.3 to 5.5, 6.1: the parts are one message."""
        assert talk().say(*fragments(parts, opcode=opcode)) == [(TEXT, b"".join(parts))]

    @pytest.mark.parametrize("pings", [1, 2])
    def test_pingBetween(self, talk: Callable[[], Talk], pings: int) -> None:
        """5.6 to 5.8, 5.19, 5.20: a ping within a message is answered at once."""
        first, second = fragments([b"fragment1", b"fragment2"])
        between = [frame(PING, b"ping")] * pings
        client = talk()
        assert client.say(first, *between) == [(PONG, b"ping")] * pings
        assert client.say(second)[-1] == (TEXT, b"fragment1fragment2")

    @pytest.mark.parametrize("isFinal", [True, False])
    def test_nothingToContinue(self, talk: Callable[[], Talk], isFinal: bool) -> None:
        """5.9 to 5.14: a part of a message needs a beginning."""
        bad = frame(0, b"non-continuation", isFinal=isFinal)
        talk().assertFails(1002, bad, frame(TEXT, b"Hello, world!"))

    def test_nothingToContinueAfterAMessage(self, talk: Callable[[], Talk]) -> None:
        """5.15: the message is over, and so there is nothing to continue."""
        good = fragments([b"one", b"two"])
        talk().assertFails(
            1002, *good, frame(0, b"three", isFinal=False), frame(0, b"four"), before=[(TEXT, b"onetwo")]
        )

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    @pytest.mark.parametrize("isFinal", [True, False])
    def test_messageInMessage(self, talk: Callable[[], Talk], opcode: int, isFinal: bool) -> None:
        """5.16 to 5.18: no message begins before the last one has ended."""
        talk().assertFails(1002, frame(TEXT, b"one", isFinal=False), frame(opcode, b"two", isFinal=isFinal))


def fragments(parts: list[bytes], opcode: int = TEXT) -> list[bytes]:
    """A message in these frames."""
    last = len(parts) - 1
    return [frame(0 if number else opcode, part, isFinal=number == last) for number, part in enumerate(parts)]


KOSME = "\u03ba\u1f79\u03c3\u03bc\u03b5"

#: 6.2, 6.5, 6.7, 6.9, 6.11, 6.17, 6.22, 6.23: what is allowed, the first and last of each length and non-characters.
VALID = [
    "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!", KOSME, "\x00", "\x7f", "\x80", "\u07ff", "\u0800",
    "\uffff", "\U00010000", "\U0010ffff", "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\ufdd0", "\U0001fffe", "\ufeff",
]  # fmt: skip

#: 6.3, 6.6, 6.8, 6.10, 6.12 to 6.16, 6.18 to 6.21: alone and wrong continuations, overlong forms, surrogates, too high.
INVALID = [
    b"\x80", b"\xbf", b"\x80\xbf", bytes(range(0x80, 0xC0)), b"\xc0 \xc1 ", b"\xe0 \xef ", b"\xf0 ", b"\xf8 ", b"\xfc ",
    b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80", b"\xdf", b"\xef\xbf",
    b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf", b"\xfe", b"\xff", b"\xfe\xfe\xff\xff",
    b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf",
    b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf",
    b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80",
    b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbe\x80",
    b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xaf\xbf\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf",
    b"\xf8\x88\x80\x80\x80", b"\xfb\xbf\xbf\xbf\xbf", b"\xfc\x84\x80\x80\x80\x80", b"\xfd\xbf\xbf\xbf\xbf\xbf",
    KOSME.encode() + b"\xed\xa0\x80edited", KOSME.encode()[:-1],
]  # fmt: skip


class TestUTF8:
    def test_valid(self, talk: Callable[[], Talk]) -> None:
        """6: comes back, also if it is cut inside of a character."""
        for text in [text.encode() for text in VALID]:
            octets = [text[at : at + 1] for at in range(len(text))]
            assert talk().say(frame(TEXT, text), *fragments([b"", *octets])) == [(TEXT, text)] * 2

    def test_invalid(self, talk: Callable[[], Talk]) -> None:
        """6: closed with 1007."""
        for text in INVALID:
            talk().assertFails(1007, frame(TEXT, text))

    def test_invalidFragments(self, talk: Callable[[], Talk]) -> None:
        """6: the same, octet by octet."""
        for text in INVALID:
            octets = [text[at : at + 1] for at in range(len(text))]
            talk().assertFails(1007, *fragments([*octets, b""]))

    @pytest.mark.parametrize("bad", [b"\xf4\x90", b"\xed\xa0", b"\xc0"])
    def test_atOnce(self, talk: Callable[[], Talk], bad: bytes) -> None:
        """6.4: closed as soon as it is wrong, not when the message ends."""
        came = talk().say(frame(TEXT, KOSME.encode(), isFinal=False), frame(0, bad, isFinal=False))
        assert [opcode for opcode, _ in came] == [CLOSE] and came[0][1][:2] == b"\x03\xef"
        inFrame = frame(TEXT, KOSME.encode() + bad + b"edited")
        came = Talk(True, False).say(inFrame[:-6])
        assert [opcode for opcode, _ in came] == [CLOSE]

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def test_any(self, data: st.DataObject) -> None:
        """Whatever is sent as a text comes back if Python can decode it, and is closed with 1007 if not."""
        text = data.draw(st.binary(max_size=40) | st.text(max_size=140).map(str.encode))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
        parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        client = Talk(*data.draw(st.sampled_from(WAYS)))
        try:
            text.decode()
        except UnicodeDecodeError:
            client.assertFails(1007, *fragments(parts))
        else:
            assert client.say(*fragments(parts)) == [(TEXT, text)]


class TestClosing:
    def test_usual(self, talk: Callable[[], Talk]) -> None:
        """7.1.1: all before it is answered."""
        talk().assertCloses(frame(TEXT, b"Hello"), closeFrame(1000), answer=b"\x03\xe8", before=[(TEXT, b"Hello")])

    @pytest.mark.parametrize("after", [closeFrame(1000), frame(TEXT, b"late"), frame(PING), frame(0, b"late")])
    def test_after(self, talk: Callable[[], Talk], after: bytes) -> None:
        """7.1.2 to 7.1.6: nothing that comes after it is heard."""
        talk().assertCloses(closeFrame(1000), after, answer=b"\x03\xe8")

    def test_insideMessage(self, talk: Callable[[], Talk]) -> None:
        """7.1.5: also in the middle of a message."""
        talk().assertCloses(frame(TEXT, b"one", isFinal=False), closeFrame(1000), frame(0, b"two"), answer=b"\x03\xe8")

    def test_empty(self, talk: Callable[[], Talk]) -> None:
        """7.3.1: without a code it is answered without one."""
        talk().assertCloses(frame(CLOSE), answer=b"")

    def test_oneByte(self, talk: Callable[[], Talk]) -> None:
        """7.3.2: half a code is none."""
        talk().assertFails(1002, frame(CLOSE, b"a"))

    @pytest.mark.parametrize("reason", [b"Hello World!", b"*" * 123, KOSME.encode()])
    def test_reason(self, talk: Callable[[], Talk], reason: bytes) -> None:
        """7.3.3 to 7.3.5: code and reason come back."""
        talk().assertCloses(closeFrame(1000, reason), answer=b"\x03\xe8" + reason)

    def test_longReason(self, talk: Callable[[], Talk]) -> None:
        """7.3.6: 124 bytes are more than fit."""
        talk().assertFails(1002, closeFrame(1000, b"*" * 124))

    @pytest.mark.parametrize("reason", [KOSME.encode() + b"\xed\xa0\x80edited", KOSME.encode()[:-1], b"\xff"])
    def test_badReason(self, talk: Callable[[], Talk], reason: bytes) -> None:
        """7.5.1: a reason is UTF-8."""
        talk().assertFails(1007, closeFrame(1000, reason))

    def test_codes(self, talk: Callable[[], Talk]) -> None:
        """7.7: a code that may be sent comes back."""
        for code in [*range(1000, 1004), *range(1007, 1014), 3000, 3999, 4000, 4999]:
            talk().assertCloses(closeFrame(code), answer=code.to_bytes(2, "big"))

    def test_badCodes(self, talk: Callable[[], Talk]) -> None:
        """7.9, 7.13: one that may not be sent is answered with 1002."""
        for code, reason in product(
            [0, 999, *range(1004, 1007), 1015, 1016, 1100, 2000, 2999, 5000, 65535], [b"", b"reason"]
        ):
            talk().assertFails(1002, closeFrame(code, reason))

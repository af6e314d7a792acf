"""
What a client may send after its handshake, and what may happen meanwhile: random scripts for L{tests.ws.twins}.

Each script has a few kinds of frames and of listeners to choose from, so that some get far with what is usual, and
others are full of what RFC 6455 forbids, or allows though nobody does it: at every limit, and cut at any place.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.ws.deeds import ACTIONS, EVENTS, LIFECYCLE
from tests.ws.twins import Script, Step
from twisted_crossws.wire.rfc6455 import unmask

#: Of a message: one limit near, one that the lengths of 16 and 64 bits fit below.
SMALL = 300
LARGE = 70_000

#: Where the form of the header changes, where the limits are, and where the fast path takes another masker.
LENGTHS = [0, 1, 2, 5, 124, 125, 126, 127, 128, 255, 256, SMALL - 1, SMALL, SMALL + 1]
LONG_LENGTHS = [1299, 1300, 1301, 65534, 65535, 65536, 65537, LARGE - 1, LARGE, LARGE + 1]

TEXTS = ["", "x", "beat", "\u03ba\u1f79\u03c3\u03bc\u03b5", "\U0001f600", "\x00", "\ufeff", "{}"]
#: Overlong, surrogates, beyond Unicode, cut.
NO_UTF8 = [
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\x80",
    b"\xe2\x82",
    b"a\xf0\x9f\x98",
    b"\xfe\xff",
]
NO_EVENTS = [
    "null", "[]", '{"event":""}', '{"event":1}', '{"event":"echo"', '{"event":"echo","payload":9007199254740993}',
    '{"event":"echo","payload":NaN}', '{"event":"echo","payload":"\\ud800"}', '\ufeff{"event":"echo"}',
    '{"event":"echo","payload":' + "[" * 65 + "]" * 65 + ',"callbackId":"4"}', '{"payload":1,"callbackId":"1"}',
]  # fmt: skip
ODD_EVENTS = [
    '{"event":"raise","event":"echo","callbackId":"2"}', '{"event":"nobody","callbackId":"5"}', '{"event":"nobody"}',
    '{"event":"echo","callbackId":5,"payload":1}', '{"event":"echo","callbackId":"","payload":1}',
    '{"event":"echo","callbackId":"' + "i" * 65 + '"}', ' {"event" : "echo", "more": [], "callbackId": "3"} ',
    '{"event":"echo","payload":9007199254740992,"callbackId":"\\u0031"}',
]  # fmt: skip
PAYLOADS: list[Any] = [None, 0, 1, -1.5, True, [], {}, {"a": [1, {"b": None}]}, "x" * 100, *TEXTS]

CLOSE_CODES = [0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1014, 1015, 1016, 2999, 3000, 4000]
CLOSE_CODES += [4999, 5000, 65535]
REASONS = [b"", b"bye", b"\xc3\xa9", b"r" * 123, b"r" * 124, b"\xff", b"\xe2\x82"]

MASKS = [b"\x12\x34\x56\x78", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x80\x01\xfe"]


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    mask: bytes | None = b"mask",
    isFinal: bool = True,
    reserved: int = 0,
    form: int = 0,
) -> bytes:
    """
    Any frame, proper or not.

    @param mask: C{None} for a frame that is not masked.
    @param reserved: the three bits.
    @param form: how the length is written: 126 or 127 as these say, 0 the shortest way.
    """
    length = len(payload)
    form = form or (length if length < 126 else 126 if length < 65536 else 127)
    extended = length.to_bytes(2, "big") if form == 126 else length.to_bytes(8, "big") if form == 127 else b""
    first = (0x80 if isFinal else 0) | reserved << 4 | opcode
    head = bytes([first, (0 if mask is None else 0x80) | form]) + extended
    return head + (payload if mask is None else mask + unmask(payload, mask))


def sized(length: int) -> bytes:
    """An event whose text has this length, unless that is too short for one."""
    text = b'{"event":"echo","callbackId":"s","payload":""}'
    return text[:-2] + b"x" * (length - len(text)) + text[-2:]


class Streams:
    """
    Draws a script.

    @ivar limit: of messages.
    """

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.limit = chance.choice([SMALL, SMALL, LARGE])
        usual: list[Callable[[], bytes]] = [self.event]
        unusual = [self.anyText, self.control, self.fragmented, self.fragmented, self.binary, self.crowd, self.odd]
        forbidden = [self.close, self.broken, self.badForm, self.badForm, self.badText, self.flood, self.noise]
        self._kinds = usual * chance.choice([1, 4, 8]) + [self.sizes] + self._some(unusual, 4)
        self._kinds += self._some(forbidden, 3) if chance.randint(0, 1) else []
        self._events = ["echo"] * chance.choice([1, 4, 16]) + self._some(list(EVENTS), 5)
        self._held = {0: b"", 1: b""}

    def script(self) -> Script:
        """Two clients of one node, and all that happens."""
        pick = self._chance.choice
        steps = [] if self._chance.randint(0, 4) else self._stall()
        kinds = [self._turn, self._advance, self._fire, self._stall, self._drain, self._act, self._leave]
        others = self._some(kinds, 3)
        for _ in range(self._chance.randint(1, 10)):
            steps += self._feed() if not others or self._chance.randint(0, 2) else pick(others)()
        lifecycle = {name: pick(["note", "note", *ACTIONS]) for name in LIFECYCLE if not self._chance.randint(0, 2)}
        return Script(
            options={
                "max_message_size": self.limit,
                "max_fragments": pick([4, 128]),
                "max_unanswered": pick([2, 1024]),
                "max_noise_per_second": pick([2.0, 200.0]),
                "max_events_per_second": pick([0.0, 0.0, 0.0, 3.0]),
                "max_queued_bytes": pick([600, 100_000]),
                "max_queued_hard": pick([1, 2000, 1_000_000]),
                "slow_timeout": pick([0.5, 5.0, 60.0]),
                "heartbeat": pick(["", "beat"]),
                "compression": pick([False, False, True]),
            },
            version=pick([1, 2]),
            lifecycle=lifecycle,
            nested=[self._cutShort(pick(self._kinds)()) for _ in range(self._chance.randint(0, 3))],
            steps=steps,
        )

    # Frames

    def text(self) -> bytes:
        """The text of a proper event, whose listener does something."""
        content: dict[str, Any] = {"event": self._chance.choice(self._events)}
        if self._chance.randint(0, 1):
            content["payload"] = self._chance.choice(PAYLOADS)
        if self._chance.randint(0, 3):
            content["callbackId"] = self._chance.choice(["1", "2", "i" * 64, "\u00e9"])
        return json.dumps(content, ensure_ascii=bool(self._chance.randint(0, 1)), separators=(",", ":")).encode()

    def event(self) -> bytes:
        """Whole and small: what the fast path is for."""
        return frame(1, self.text(), mask=self._chance.choice(MASKS))

    def crowd(self) -> bytes:
        """Many of these."""
        return b"".join(self.event() for _ in range(self._chance.randint(2, 6)))

    def anyText(self) -> bytes:
        """A proper frame, with a text that may be an event."""
        return frame(1, self._chance.choice([*TEXTS, *NO_EVENTS, *ODD_EVENTS]).encode())

    def odd(self) -> bytes:
        """An event in a form that is not the usual one."""
        return frame(1, self._chance.choice(ODD_EVENTS).encode())

    def sizes(self) -> bytes:
        """Proper frames of sizes where something changes."""
        length = self._chance.choice(LONG_LENGTHS if self.limit == LARGE else LENGTHS)
        return frame(1, self._chance.choice([sized(length), b"x" * length]), mask=self._chance.choice(MASKS))

    def binary(self) -> bytes:
        """The same in a binary frame, for which UTF-8 is not asked."""
        return frame(2, self._chance.choice([self.text(), *NO_UTF8]))

    def control(self) -> bytes:
        """A ping or a pong."""
        return frame(self._chance.choice([9, 10]), self._chance.choice([b"", b"ping", b"\xff\x00", b"p" * 125]))

    def close(self) -> bytes:
        """A close frame, with a good code or a bad one."""
        good = frame(8, self._chance.choice(CLOSE_CODES).to_bytes(2, "big") + self._chance.choice(REASONS))
        return self._chance.choice(
            [good, good, good, good, frame(8), frame(8, b"\x03"), frame(8, b"\x03\xe8", mask=None)]
        )

    def badText(self) -> bytes:
        """No UTF-8, somewhere in it."""
        text, bad = self.text(), self._chance.choice(NO_UTF8)
        return frame(1, self._chance.choice([bad, text[:-2] + bad + text[-2:]]))

    def badForm(self) -> bytes:
        """All is good but for one thing in the header."""
        text = self.text()
        return self._chance.choice(
            [
                frame(1, text, form=126),
                frame(1, text, form=126),
                frame(1, text, form=127),
                frame(1, text, mask=None),
                frame(1, text, reserved=self._chance.randint(1, 7)),
                frame(1, text, reserved=self._chance.randint(1, 7)),
                frame(self._chance.choice([0, 3, 4, 7, 11, 15]), text),
                frame(9, text, isFinal=False),
                frame(10, b"p" * 126),
                b"\x81\xff" + (2**40).to_bytes(8, "big") + b"mask" + text,
                b"\x81\xff" + b"\xff" * 8 + b"mask" + text,
                b"\x81\xfe" + (self.limit % 65536 + 1).to_bytes(2, "big") + b"mask" + text,
            ]
        )

    def broken(self) -> bytes:
        """Any header, also with several faults."""
        chance = self._chance
        return frame(
            chance.randint(0, 15),
            self.text(),
            mask=chance.choice([None, *MASKS]),
            isFinal=bool(chance.randint(0, 1)),
            reserved=chance.choice([0, 0, chance.randint(0, 7)]),
            form=chance.choice([0, 0, 126, 127]),
        )

    def noise(self) -> bytes:
        """No frame at all."""
        return bytes(self._chance.randint(0, 255) for _ in range(self._chance.randint(1, 12)))

    def fragmented(self) -> bytes:
        """One message in several frames, cut anywhere; others between them, which may be allowed or not."""
        chance = self._chance
        text = chance.choice([self.text(), self.text(), b"", chance.choice(NO_UTF8), "x\U0001f600\u00e9".encode()])
        parts = self._cuts(text)
        frames = []
        for number, part in enumerate(parts):
            opcode = 0 if number else chance.choice([1, 1, 1, 2])
            frames.append(frame(opcode, part, isFinal=number == len(parts) - 1))
        # Sometimes the last one is missing, and what comes next is inside the message.
        if not chance.randint(0, 7):
            frames.pop()
        between = [self.control, self.control, self.event, self.event, self.close]
        for _ in range(chance.randint(0, 2)):
            frames.insert(chance.randint(0, len(frames)), chance.choice(between)())
        return b"".join(frames)

    def flood(self) -> bytes:
        """Many of the same, over the limits of what one client may send; and something after it."""
        each = self._chance.choice([frame(1), frame(1, b"beat"), frame(9), frame(10), frame(1, b"?"), self.event()])
        after = [b"", self.close(), self.event(), frame(1, b"x" * self._chance.choice(LENGTHS)) + self.close()]
        return each * self._chance.randint(15, 40) + self._chance.choice(after)

    # Steps

    def _feed(self) -> list[Step]:
        """Something that one client sends, in one or more reads."""
        chance = self._chance
        client = chance.choice([0, 0, 0, 1])
        data = self._held[client] + b"".join(chance.choice(self._kinds)() for _ in range(chance.randint(1, 6)))
        self._held[client] = b""
        way = chance.choice(["whole", "whole", "whole", "cut", "octets", "held"])
        if way == "octets" and len(data) <= 250:
            parts = [data[at : at + 1] for at in range(len(data))]
        elif way == "whole":
            parts = [data]
        else:
            parts = self._cuts(data)
            if way == "held":
                self._held[client] = parts.pop()
        between: list[Step] = [("turn",)] if chance.randint(0, 1) else []
        return [step for part in parts if part for step in [("read", client, part), *between]]

    def _turn(self) -> list[Step]:
        return [("turn",)]

    def _advance(self) -> list[Step]:
        return [("advance", self._chance.choice([0.1, 2.9, 3.0, 20.0, 20.0]))]

    def _fire(self) -> list[Step]:
        return [("fire", self._chance.choice([0, 0, 1]), bool(self._chance.randint(0, 3)))]

    def _stall(self) -> list[Step]:
        return [("stall", self._client())]

    def _drain(self) -> list[Step]:
        return [("drain", self._client())]

    def _leave(self) -> list[Step]:
        return [("leave", self._client())]

    def _act(self) -> list[Step]:
        return [("act", self._client(), self._chance.choice(list(ACTIONS)))]

    # Chance

    def _client(self) -> int:
        return self._chance.choice([0, 0, 1])

    def _some(self, of: list[Any], most: int) -> list[Any]:
        return [self._chance.choice(of) for _ in range(self._chance.randint(0, most))]

    def _cuts(self, data: bytes) -> list[bytes]:
        at = sorted(self._chance.randint(0, len(data)) for _ in range(self._chance.randint(1, 4)))
        return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]

    def _cutShort(self, data: bytes) -> bytes:
        return data if self._chance.randint(0, 2) else data[: self._chance.randint(1, len(data))]

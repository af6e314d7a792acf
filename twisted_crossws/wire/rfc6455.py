"""
One finished text in one WebSocket frame (RFC 6455 section 5.2).

Reading frames from the network is Autobahn's work. What is here is the other direction, where the whole
text is known: a frame from a server is a header of 2, 4 or 10 bytes before the text, the same for all who
receive it, so it is made once however many do.
"""

from __future__ import annotations

from collections.abc import Iterator

#: First byte of a text frame that is whole: final, no extension, opcode 1.
_TEXT = b"\x81"

#: The same for bytes: opcode 2.
_BYTES = b"\x82"

#: The whole head of a short one, by its length.
_SHORT = [_TEXT + length.to_bytes(1, "big") for length in range(126)]

OPCODE_TEXT = 1
OPCODE_BYTES = 2
OPCODE_CLOSE = 8
OPCODE_PING = 9
OPCODE_PONG = 10


def textFrame(text: bytes) -> bytes:
    """A text as one unmasked frame, as servers send it. C{text} is UTF-8."""
    length = len(text)
    if length < 126:
        return _SHORT[length] + text
    if length < 65536:
        return _TEXT + b"\x7e" + length.to_bytes(2, "big") + text
    return _TEXT + b"\x7f" + length.to_bytes(8, "big") + text


def bytesFrame(data: bytes) -> bytes:
    """The same for bytes: a binary frame."""
    return _BYTES + textFrame(data)[1:]


class Prepared:
    """
    A text for many receivers, encoded and framed once.

    @ivar text: the finished client frame, UTF-8.
    @ivar frame: the same as one WebSocket frame.
    """

    __slots__ = ("frame", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.frame = textFrame(text)


def maskedFrame(opcode: int, payload: bytes, mask: bytes, *, final: bool = True) -> bytes:
    """
    A masked frame, as clients send it.

    @param opcode: 0 to 15.
    @param mask: four bytes.
    """
    length = len(payload)
    first = ((0x80 if final else 0) | opcode).to_bytes(1, "big")
    if length < 126:
        head = first + (0x80 | length).to_bytes(1, "big")
    elif length < 65536:
        head = first + b"\xfe" + length.to_bytes(2, "big")
    else:
        head = first + b"\xff" + length.to_bytes(8, "big")
    return head + mask + unmask(payload, mask)


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Apply a mask of four bytes, which also takes it off (RFC 6455 section 5.3)."""
    length = len(payload)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")


def serverFrames(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """
    The whole frames at the start of what a server sent: opcode, payload, and where the next one begins.

    It is for fakes and tests, which know that the server is this package: it takes unmasked frames as
    they come, and checks nothing.
    """
    at = 0
    while len(data) - at >= 2:
        head, length = 2, data[at + 1] & 0x7F
        if length == 126:
            head, length = 4, int.from_bytes(data[at + 2 : at + 4], "big")
        elif length == 127:
            head, length = 10, int.from_bytes(data[at + 2 : at + 10], "big")
        end = at + head + length
        if len(data) < end or len(data) - at < head:
            return
        yield data[at] & 0x0F, data[at + head : end], end
        at = end

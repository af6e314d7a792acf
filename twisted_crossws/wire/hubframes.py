"""
What a hub and the processes of its machine say to each other, on a Unix socket.

::

    frame       →  length kind body            length: 4 bytes, of kind and body; numbers are big-endian

    process → hub
    HELLO       →  version name                first, and once; version: 1 byte
    SUBSCRIBE   →  channel
    UNSUBSCRIBE →  channel
    READY       →  (nothing)                   once, after HELLO: all that it wants so far is subscribed
    MESSAGE     →  expected number size channel packet
    PING        →  (nothing)
    BYE         →  (nothing)                   the answer to LEAVING: nothing more comes on this connection

    hub → process
    WELCOME     →  version (size name)*        the answer to HELLO: who is ready
    JOINED      →  name                        somebody else is ready
    LEFT        →  name                        the last connection of a name that was ready has ended
    SUBSCRIBED  →  channel                     the answer to SUBSCRIBE
    MESSAGE     →  as it came, to all that are subscribed, its sender included
    CONFIRMED   →  count unheard               so many MESSAGEs, in order, went to all that were subscribed
    COUNTED     →  number count                that many were subscribed
    PONG        →  (nothing)                   the answer to PING
    LEAVING     →  (nothing)                   this hub ends: say BYE, and come again

    expected    2 bytes: how many must hear it, as far as its sender knows
    number      4 bytes: 0, or what COUNTED is to be given by
    size        2 bytes: of the name or channel that follows
    count, unheard   4 bytes; unheard: how many of those that were expected were not there

Names and channels are UTF-8. A MESSAGE goes on as the bytes that it came in, so that the hub makes nothing anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct

from twisted_crossws.wire.packets import MAX_PACKET_SIZE

#: What both sides must say that they speak.
VERSION = 1

HELLO, SUBSCRIBE, UNSUBSCRIBE, MESSAGE, PING, BYE, READY = range(1, 8)
WELCOME, JOINED, LEFT, SUBSCRIBED, CONFIRMED, COUNTED, PONG, LEAVING = range(17, 25)

#: Bytes of the longest name or channel: what its size can say.
MAX_NAME = 65535

#: Characters of the longest channel: in UTF-8 it is not longer than L{MAX_NAME}.
MAX_CHANNEL = MAX_NAME // 4

#: Bytes of the largest frame: a packet that the nodes read, on the longest channel.
MAX_FRAME = MAX_PACKET_SIZE + MAX_NAME + 64

#: The most that a MESSAGE can expect. More processes are on no machine.
MAX_EXPECTED = 65535

_LENGTH = Struct(">I")
_MESSAGE = Struct(">IBHIH")
_NUMBERS = Struct(">IBII")
_SIZE = Struct(">H")

#: Of a MESSAGE, the bytes before its channel.
_BEFORE_CHANNEL = _MESSAGE.size

#: Where the kind of a frame stands.
KIND = 4

_BODY = 5

_lengthOf = _LENGTH.unpack_from
_messageOf = _MESSAGE.unpack_from


class BadFrame(Exception):
    """The other side sends something else than these frames; the message is a sentence about it."""


def encoded(text: str) -> bytes:
    """A name or a channel as it is on the wire."""
    return text.encode("utf-8", "surrogatepass")


def decoded(name: bytes) -> str:
    """The text again."""
    return name.decode("utf-8", "surrogatepass")


def frame(kind: int, body: bytes = b"") -> bytes:
    """Any frame but L{message} and L{numbers}."""
    return b"%b%c%b" % (_LENGTH.pack(len(body) + 1), kind, body)


def hello(name: str) -> bytes:
    """HELLO."""
    return frame(HELLO, bytes((VERSION,)) + encoded(name))


def welcome(names: Iterable[str]) -> bytes:
    """WELCOME."""
    sized = [_SIZE.pack(len(name)) + name for name in map(encoded, names)]
    return frame(WELCOME, bytes((VERSION,)) + b"".join(sized))


def message(channel: str, packet: bytes, expected: int = 0, number: int = 0) -> bytes:
    """MESSAGE. Neither channel nor packet may be longer than L{MAX_CHANNEL} and L{MAX_PACKET_SIZE}."""
    name = _channelName(channel)
    size = len(name)
    # Nothing else is made for each packet, so this is all in one line.
    return _MESSAGE.pack(size + len(packet) + 9, MESSAGE, min(expected, MAX_EXPECTED), number, size) + name + packet


def numbers(kind: int, first: int, second: int) -> bytes:
    """CONFIRMED or COUNTED."""
    return _NUMBERS.pack(9, kind, first, second)


def readNumbers(frame: bytes) -> tuple[int, int]:
    """
    @return: what L{numbers} was given.
    @raise BadFrame: it is not that.
    """
    if len(frame) != _NUMBERS.size:
        raise BadFrame("A frame of two numbers has another length.")
    _, _, first, second = _NUMBERS.unpack(frame)
    return first, second


def readName(frame: bytes) -> bytes:
    """The channel or name that is the whole body of a frame, as it is on the wire."""
    return frame[_BODY:]


def readText(frame: bytes) -> str:
    """
    The same as text.

    @raise BadFrame: it is not UTF-8.
    """
    return _text(frame[_BODY:])


def readHello(frame: bytes) -> str:
    """
    @return: the name.
    @raise BadFrame: it is no HELLO of this version.
    """
    if frame[KIND] != HELLO or len(frame) <= _BODY + 1:
        raise BadFrame("The first frame is no HELLO.")
    _checkVersion(frame[_BODY])
    if len(frame) - _BODY - 1 > MAX_NAME:
        raise BadFrame(f"A name has more than {MAX_NAME} bytes.")
    return _text(frame[_BODY + 1 :])


def readWelcome(frame: bytes) -> frozenset[str]:
    """
    @return: the names.
    @raise BadFrame: it is no WELCOME of this version.
    """
    if frame[KIND] != WELCOME or len(frame) <= _BODY:
        raise BadFrame("The first frame is no WELCOME.")
    _checkVersion(frame[_BODY])
    names, at = set(), _BODY + 1
    while at < len(frame):
        end = at + _SIZE.size + (_SIZE.unpack_from(frame, at)[0] if at + _SIZE.size <= len(frame) else len(frame))
        if end > len(frame):
            raise BadFrame("A WELCOME ends within a name.")
        names.add(_text(frame[at + _SIZE.size : end]))
        at = end
    return frozenset(names)


def readMessage(frame: bytes) -> tuple[bytes, int, int]:
    """
    What the hub needs of a MESSAGE.

    @return: its channel, what it expects, and its number.
    @raise BadFrame: it is not that.
    """
    if len(frame) < _BEFORE_CHANNEL:
        raise BadFrame("A MESSAGE ends before its channel.")
    _, _, expected, number, size = _messageOf(frame)
    end = _BEFORE_CHANNEL + size
    if end > len(frame):
        raise BadFrame("A MESSAGE ends within its channel.")
    return frame[_BEFORE_CHANNEL:end], expected, number


def readPacket(frame: bytes, channel: bytes) -> bytes:
    """The packet of a MESSAGE whose channel was read."""
    return frame[_BEFORE_CHANNEL + len(channel) :]


class FrameSplitter:
    """
    Bytes to frames. What came of a frame that is not whole yet waits here: no more than L{MAX_FRAME} bytes.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        # So many bytes there must be before there is anything to do.
        self._needed = KIND + 1

    def feed(self, data: bytes) -> list[bytes]:
        """
        @return: the frames that are whole now, each with its length.
        @raise BadFrame: the other side sends something else than frames. What was whole before that is lost, too.
        """
        if self._parts:
            self._parts.append(data)
            self._size += len(data)
            if self._size < self._needed:
                return []
            data = b"".join(self._parts)
            self._parts.clear()
        frames: list[bytes] = []
        at, end = 0, len(data)
        while end - at > KIND:
            (length,) = _lengthOf(data, at)
            after = at + 4 + length
            if not 0 < length <= MAX_FRAME:
                raise BadFrame(f"A frame has {length} bytes; from 1 to {MAX_FRAME} are allowed.")
            if after > end:
                self._keep(data, at, after - at)
                return frames
            frames.append(data[at:after])
            at = after
        if at < end:
            self._keep(data, at, KIND + 1)
        return frames

    def _keep(self, data: bytes, at: int, needed: int) -> None:
        rest = data[at:]
        self._parts.append(rest)
        self._size = len(rest)
        self._needed = needed


@lru_cache(1024)
def _channelName(channel: str) -> bytes:
    return encoded(channel)


def _checkVersion(version: int) -> None:
    if version != VERSION:
        raise BadFrame(f"The other side speaks version {version} of the hub's protocol, and this one {VERSION}.")


def _text(name: bytes) -> str:
    try:
        return decoded(name)
    except UnicodeDecodeError:
        raise BadFrame("A name is not UTF-8.") from None

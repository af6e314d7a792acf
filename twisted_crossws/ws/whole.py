"""
Fast path: text frames that arrived whole are read here, at a tenth of what Autobahn's general machine needs for them.

A frame is read here only if all of this holds; if not, Autobahn gets the same bytes from the same place, and says
what is wrong with them, if anything is:

 - the connection is open, the client has broken no limit, and Autobahn has nothing buffered, is inside no frame, and
   inside no message;
 - its first byte is exactly 0x81: final, text, no reserved bit, and so not compressed;
 - it is masked, and its length is in the shortest form;
 - it is complete in what was just read, and within the limit of frames and messages;
 - it is UTF-8.

After each message the state is looked at again: a listener may have closed the connection, and what is left then is
Autobahn's. Whoever watches for signs of life sees them before, in L{dataReceived<ServerProtocol.dataReceived>}; what
the node counts, the gateway counts; only Autobahn's C{trafficStats} is not kept, as nothing reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.xormasker import create_xor_masker

from twisted_crossws.wire.rfc6455 import textFrame, unmask

OPEN: int = WebSocketServerProtocol.STATE_OPEN

#: From this size on Autobahn's masker, which is C behind a costly call, is faster than two large integers.
LONG = 1300

#: Bytes of answers after which they are sent before the read is over, so that a client that does not read is noticed.
MAX_WAITING = 65536


def wholeText(data: bytes, at: int, limit: int) -> tuple[bytes, int] | None:
    """
    The text frame at a place in what was read, if it is one of the common kind (see above).

    @param limit: bytes that a message may have.
    @return: its text, UTF-8, and the place after it.
    """
    left = len(data) - at
    if left < 6 or data[at] != 0x81:
        return None
    length = data[at + 1] - 0x80  # Without the bit of the mask; negative if that is missing.
    if length < 126:
        start = at + 6
    elif length == 126:
        length = data[at + 2] << 8 | data[at + 3]
        start = at + 8
        if length < 126:
            return None
    else:
        return None  # Never whole: reads are not longer than what 16 bits can count.
    end = start + length
    if length < 0 or length > limit or end - at > left:
        return None
    text, mask = data[start:end], data[start - 4 : start]
    text = unmask(text, mask) if length < LONG else create_xor_masker(mask, length).process(text)
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return None
    return text, end


class WholeFrames:
    """
    To be put before L{ServerProtocol<twisted_crossws.ws.server.ServerProtocol>}.

    The answers to the frames of one read are sent together after the last one, or before anything else that is sent
    or done to the connection meanwhile.
    """

    messageReceived: Callable[[Any, bytes], bytes | None]
    maxMessagePayloadSize: int
    transport: Any
    socket: Any
    state: int
    data: bytes
    heard: bool
    failedByMe: bool
    current_frame: Any
    inside_message: bool
    websocket_extensions_in_use: Any
    _isReading: bool
    _isPaused: bool
    _early: bytes
    _dataReceived: Callable[[bytes], None]
    #: The next byte begins a frame, and a message: Autobahn has nothing of either. Only its reading changes that.
    _isBetween = False
    _answers: list[bytes] | None = None

    def dataReceived(self, data: bytes) -> None:
        """As Twisted's."""
        if self._isReading:
            super().dataReceived(data)  # type: ignore[misc]
            return
        if not self._isBetween or self.state != OPEN or self.failedByMe:
            self._readOrdinary(data)
            return
        self.heard = self._isReading = True
        answers: list[bytes] = []
        self._answers = answers
        received, socket, limit = self.messageReceived, self.socket, self.maxMessagePayloadSize
        at = waiting = 0
        end = len(data)
        try:
            while at < end:
                found = wholeText(data, at, limit)
                if found is None:
                    break
                text, at = found
                answer = received(socket, text)
                if self.state != OPEN:
                    break
                if answer is not None:
                    answers.append(textFrame(answer))
                    waiting += len(answer)
                    if waiting > MAX_WAITING:
                        waiting = 0
                        self._sendAnswers(answers)
                        if self.state != OPEN:
                            break
        finally:
            self._isReading = False
            self._answers = None
            if answers:
                self.sendData(b"".join(answers))
        if at < end:
            self._readRest(data[at:])
        if self._early:
            self._readOrdinary(b"")

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """What was answered before goes first. While nothing waits to be sent, nothing is counted."""
        if self._answers:
            self._sendAnswers(self._answers)
        if self._isPaused:
            super().sendData(data)  # type: ignore[misc]
        else:
            self.transport.write(data)

    def dropConnection(self, abort: bool = False) -> None:
        """What was answered before goes first."""
        if self._answers:
            self._sendAnswers(self._answers)
        super().dropConnection(abort)  # type: ignore[misc]

    def _readOrdinary(self, data: bytes) -> None:
        super().dataReceived(data)  # type: ignore[misc]
        self._look()

    def _readRest(self, data: bytes) -> None:
        self._isReading = True
        try:
            self._dataReceived(data)
        finally:
            self._isReading = False
        self._look()

    def _look(self) -> None:
        """Autobahn has read: is it between two messages?"""
        self._isBetween = self.state == OPEN and not (
            self.data or self.inside_message or self.current_frame is not None or self.websocket_extensions_in_use
        )

    def _sendAnswers(self, answers: list[bytes]) -> None:
        together = b"".join(answers)
        answers.clear()
        self.sendData(together)

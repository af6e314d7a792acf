"""
A transport whose other side is the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure


class FakeTransport(StringTransport):
    """
    A transport whose other side is the test. What is written is in L{value}; the connection ends in a later turn of
    the clock, as real ones do.

    @ivar isStalled: the other side does not read: what is written waits, and a push producer is paused beyond
        64 KiB.
    @ivar isAborted: it was cut.
    @ivar isEnded: either side has ended it.
    """

    bufferSize = 65536

    def __init__(self, clock: Clock, protocol: IProtocol, written: Callable[[], None]) -> None:
        """
        @param written: called after each write.
        """
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.1", 54321))
        self.isStalled = False
        self.isAborted = False
        self.isEnded = False
        self._clock = clock
        self._protocol: Any = protocol
        self._written = written
        self._waiting = 0

    def write(self, data: bytes) -> None:
        if self.isEnded:
            return
        super().write(data)
        self._written()
        if self.isStalled:
            self._waiting += len(data)
            if self._waiting > self.bufferSize and self.producer is not None:
                self.producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def read(self) -> None:
        """The other side reads everything that waited."""
        self._waiting = 0
        if self.producer is not None:
            self.producer.resumeProducing()

    def isBehind(self) -> bool:
        """Whether something waits that the other side has not read."""
        return self._waiting > 0

    def unregisterProducer(self) -> None:
        self.producer = None
        self.streaming = None

    def loseConnection(self) -> None:
        super().loseConnection()
        self._end(ConnectionDone())

    def abortConnection(self) -> None:
        self.isAborted = True
        self._end(ConnectionAborted())
        super().abortConnection()

    def leave(self) -> None:
        """The other side closes the connection."""
        self._end(ConnectionDone())

    def _end(self, reason: Exception) -> None:
        if not self.isEnded:
            self.isEnded = True
            self._clock.callLater(0, self._protocol.connectionLost, Failure(reason))

"""
One connection to a hub: bytes to frames.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol as BaseProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.bus.writing import writeNow
from twisted_crossws.wire.hubframes import BadFrame, FrameSplitter


class Line(Protocol):
    """Whoever a connection belongs to."""

    def made(self, connection: HubClient) -> None:
        """There is a connection."""

    def received(self, connection: HubClient, frames: list[bytes]) -> None:
        """These have come."""

    def faulty(self, connection: HubClient, fault: BadFrame) -> None:
        """Something else has come."""

    def writable(self, connection: HubClient) -> None:
        """What was written has left, after there had been too much of it."""

    def gone(self, connection: HubClient) -> None:
        """The transport is closed."""


@implementer(IPushProducer)
class HubClient(BaseProtocol):
    """
    @ivar isFull: more was written than the transport likes.
    """

    def __init__(self, line: Line) -> None:
        self.isFull = False
        self._line = line
        self._splitter = FrameSplitter()

    def send(self, data: bytes) -> None:
        """Whole frames."""
        writeNow(self.transport, data)

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self._line.made(self)

    def dataReceived(self, data: bytes) -> None:
        try:
            frames = self._splitter.feed(data)
        except BadFrame as fault:
            self._line.faulty(self, fault)
        else:
            self._line.received(self, frames)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._line.gone(self)

    def abort(self) -> None:
        """End it at once, without waiting for the other side."""
        transport: Any = self.transport
        transport.abortConnection()

    def pauseProducing(self) -> None:
        self.isFull = True

    def resumeProducing(self) -> None:
        self.isFull = False
        self._line.writable(self)

    def stopProducing(self) -> None:
        pass

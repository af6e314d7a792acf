"""
A real TCP transport of Twisted, without a reactor and without a socket: what it has sent is in memory, and what the
other side reads is what the test says.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Server
from twisted.internet.testing import MemoryReactorClock


class MemorySocket:
    """
    Takes as many bytes as the other side has room for.

    @ivar sent: what was taken so far.
    @ivar room: how many bytes more it takes.
    """

    def __init__(self) -> None:
        self.sent = b""
        self.room = 0

    def send(self, data: bytes) -> int:
        taken = bytes(data[: self.room])
        self.sent += taken
        self.room -= len(taken)
        return len(taken)

    def fileno(self) -> int:
        return 0

    def getsockname(self) -> tuple[str, int]:
        return "192.0.2.2", 9000

    def ignore(self, *args: Any) -> None:
        """Nothing that matters here."""

    setblocking = setsockopt = shutdown = close = ignore


class MemoryTCP:
    """
    One accepted connection.

    @ivar transport: Twisted's own, as the reactor makes them.
    """

    def __init__(self, protocol: Any, client: tuple[Any, ...] = ("192.0.2.1", 54321)) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.socket = MemorySocket()
        self.transport: Any = Server(self.socket, protocol, client, None, 0, self.reactor)  # type: ignore[arg-type]
        protocol.makeConnection(self.transport)

    def read(self, size: int) -> bytes:
        """
        The other side reads.

        @param size: at most so many bytes.
        @return: what was there.
        """
        start = len(self.socket.sent)
        self.socket.room = size
        while self.socket.room and self.transport in self.reactor.writers:
            self.transport.doWrite()
        return self.socket.sent[start:]

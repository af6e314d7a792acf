"""
For tests of what is done with sockets, in one process and in one thread: a reactor that reads when it is told to, and
an account of what is open.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure


class HandReactor(Clock):
    """
    As much of a reactor as reading needs, and a clock.

    @ivar readers: who reads now.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.writers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def addWriter(self, writer: Any) -> None:
        if writer not in self.writers:
            self.writers.append(writer)

    def removeWriter(self, writer: Any) -> None:
        if writer in self.writers:
            self.writers.remove(writer)

    def turn(self, *only: Any) -> int:
        """
        Let those who have something to read do so once, of these or of all; then those who can write.

        @return: how many there were.
        """
        readers = [reader for reader in self.readers if not only or reader in only]
        ready = _ready(readers, select.POLLIN)
        for reader in ready:
            if reader in self.readers:
                self._endIf(reader, reader.doRead())
        self.advance(0)
        writers = [] if only else _ready(self.writers, select.POLLOUT)
        for writer in writers:
            if writer in self.writers:
                self._endIf(writer, writer.doWrite())
        return len(ready) + len(writers)

    def settle(self) -> None:
        """Read until there is nothing to read. Time stands still."""
        for _ in range(1000):
            if not self.turn():
                return
        raise AssertionError(f"Someone always finds something to read, of {self.readers}.")

    def end(self) -> None:
        """As a reactor that stops: no reader goes on."""
        for reader in list(self.readers):
            self.removeReader(reader)
            reader.connectionLost(Failure(ConnectionDone()))
        self.advance(0)

    def _endIf(self, reader: Any, problem: Any) -> None:
        if problem is not None:
            self.removeReader(reader)
            self.removeWriter(reader)
            reader.connectionLost(Failure(problem))


def _ready(those: list[Any], event: int) -> list[Any]:
    numbers = {one.fileno(): one for one in those}
    poll = select.poll()
    for number in numbers:
        poll.register(number, event)
    return [numbers[number] for number, _ in poll.poll(0)]


def openDescriptors() -> set[str]:
    """
    @return: what this process has open of sockets and files. The reactor opens others for itself when it likes.
    """
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # Of the listing itself.
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
    return {one for one in found if "socket:" in one or " /" in one and "/dev/null" not in one}


@contextmanager
def sameDescriptors() -> Iterator[ExitStack]:
    """
    What is opened in it is closed in it.

    @return: for what the test itself opens.
    """
    before = openDescriptors()
    with ExitStack() as stack:
        yield stack
    left = openDescriptors() - before
    assert not left, f"left open: {left}"


def connected(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """
    @return: two ends of a TCP connection: the client's, closed with the test, and the accepted one, which is not.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = stack.enter_context(socket.create_connection(server.getsockname()))
        accepted, _ = server.accept()
    client.settimeout(5)
    return client, accepted


def isEnded(client: socket.socket) -> bool:
    """
    @return: whether the other side has closed, with nobody left who has it open.
    """
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True

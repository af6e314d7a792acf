"""
A real Redis for a test, and what is asked of it.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hiredis
from twisted.internet import reactor as _reactor

from tests.integration.process import PATIENCE, pause, within
from twisted_crossws.bus.redislink import PROBE_PREFIX
from twisted_crossws.redisserver import RedisServer

reactor: Any = _reactor


class FaultyRedis(RedisServer):
    """
    A Redis that fails on command.

    @ivar password: of its default user, for L{command}.
    """

    password = ""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL; L{start} has it back on the same port, empty."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def command(self, *words: str) -> Any:
        """
        Ask it something, on a connection of its own.

        @return: the reply; an error is raised.
        """
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            reader = hiredis.Reader(encoding="utf-8")
            if self.password:
                _ask(connection, reader, "AUTH", self.password)
            return _ask(connection, reader, *words)

    def channels(self) -> set[str]:
        """What is subscribed, but for probes."""
        return {name for name in self.command("PUBSUB", "CHANNELS") if not name.startswith(PROBE_PREFIX)}


@contextmanager
def running(*options: str, port: int | None = None) -> Iterator[FaultyRedis]:
    """A Redis while a test runs."""
    redis = FaultyRedis(*options, port=port)
    redis.start()
    try:
        yield redis
    finally:
        redis.stop()


async def eventually(check: Callable[[], object], what: str, promised: float = PATIENCE) -> None:
    """
    Wait until something is so that nobody else tells of.

    @param promised: in how many seconds, as for L{within}.
    """
    async with within(promised, what):
        until = reactor.seconds() + PATIENCE
        while not check():
            assert reactor.seconds() < until, f"not within {PATIENCE} seconds: {what}"
            await pause(0.01)


def _ask(connection: socket.socket, reader: Any, *words: str) -> Any:
    connection.sendall(hiredis.pack_command(words))  # type: ignore[arg-type]
    while (reply := reader.gets()) is False:
        data = connection.recv(65536)
        assert data, "The Redis closed the connection."
        reader.feed(data)
    if isinstance(reply, Exception):
        raise reply
    return reply

"""
A connection that comes back by itself, for ever.

Not L{ClientService<twisted.application.internet.ClientService>}: it raises in C{connectionLost} when a connection ends
while it is being prepared, which is what a Redis does that is full or starts; it writes a log line for each attempt;
and it says nothing about why one failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from twisted_crossws.bus.connection import ConnectionOver, ErrorReply, RedisConnection, words

#: Seconds before the first attempt to connect again. A connection that was cut by itself is back at once.
FIRST_DELAY = 0.1

#: Seconds, never to wait longer: a Redis that is back is in use again within three seconds.
LONGEST_DELAY = 2.0

#: Seconds after which a connection counts as a lasting one, and the delays begin anew.
STEADY = 1.0

#: Seconds for TCP, the look-up of the name included. Linux alone would try for two minutes.
CONNECT_TIMEOUT = 2.0

#: Errors of a Redis that can do what it is here for: the command may be forbidden to this user, or writing may be.
HARMLESS = frozenset(("NOPERM", "MISCONF"))

#: What a Redis answers to the commands of a greeting.
_ANSWERS = {"AUTH": b"OK", "SELECT": b"OK", "PING": b"PONG"}


def delay(attempt: int, random: Random) -> float:
    """
    Seconds before an attempt: each time about twice as many, with jitter, so that not all nodes come at once.

    @param attempt: 1 for the first after a loss.
    """
    longest = min(FIRST_DELAY * 2.0 ** min(attempt - 1, 16), LONGEST_DELAY)
    return longest * (0.5 + random.random() / 2)


class User(Protocol):
    """Whoever a line belongs to."""

    def ready(self) -> None:
        """There is a connection, and the Redis has let this node in."""

    def received(self, replies: list[Any]) -> None:
        """Replies and messages that came since."""

    def writable(self) -> None:
        """What was written has left, after there had been too much of it."""

    def lost(self, reason: str, unanswered: list[Any]) -> None:
        """
        There is no connection, after there was one or none; another one is tried.

        @param reason: why, for people; the same words for the same cause.
        @param unanswered: the marks of what was sent and not answered.
        """


class Line:
    """
    Connects, greets, and waits to do so again.

    @ivar isReady: there is a connection, and the Redis has let this node in.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        greeting: Sequence[tuple[str, ...]],
        *,
        user: User,
        clock: IReactorTime,
        timeout: float,
        random: Random,
    ) -> None:
        """
        @param greeting: the commands that come first.
        @param timeout: seconds that an answer may take.
        """
        self.isReady = False
        self._endpoint = endpoint
        self._greeting = greeting
        self._user = user
        self._clock = clock
        self._timeout = timeout
        self._random = random
        self._isStopped = True
        self._attempts = 0
        self._readySince = 0.0
        self._connection: RedisConnection | None = None
        self._connecting: Deferred[Any] | None = None
        self._retry: IDelayedCall | None = None
        self._open: set[RedisConnection] = set()
        self._whenClosed: list[Deferred[None]] = []

    @property
    def connection(self) -> RedisConnection:
        """The one that there is while L{isReady}."""
        assert self._connection is not None
        return self._connection

    def start(self) -> None:
        """Begin to connect."""
        self._isStopped = False
        self._connect()

    def stop(self) -> Deferred[None]:
        """
        @return: fires when nothing is left of it.
        """
        self._isStopped = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._connecting is not None:
            self._connecting.cancel()
        self.cut("this node stops")
        if not self._open:
            return succeed(None)
        self._whenClosed.append(Deferred())
        return self._whenClosed[-1]

    def cut(self, reason: str) -> None:
        """End the connection, if there is one, and make another."""
        if self._connection is not None:
            self._connection.cut(reason)

    def retryNow(self) -> None:
        """If it waits for the next attempt: there is reason to believe that it succeeds."""
        if self._retry is not None:
            self._retry.cancel()
            self._connect()

    def made(self, connection: RedisConnection) -> None:
        self._open.add(connection)

    def received(self, replies: list[Any]) -> None:
        if self.isReady:
            self._user.received(replies)
        elif self._connection is not None:
            awaited = self._connection.awaited
            # The greeting asks one thing at a time, so that whoever says more is no Redis.
            if len(replies) == 1 and awaited:
                awaited.popleft().answered(replies[0])
            else:
                self.cut("it is no Redis: it says more than it is asked")

    def writable(self) -> None:
        if self.isReady:
            self._user.writable()

    def over(self, connection: RedisConnection, reason: str, unanswered: list[Any]) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        if self.isReady and self._clock.seconds() - self._readySince >= STEADY:
            self._attempts = 0
        self.isReady = False
        self._again(reason, unanswered)

    def gone(self, connection: RedisConnection) -> None:
        self._open.discard(connection)
        if not self._open:
            waiting, self._whenClosed = self._whenClosed, []
            for each in waiting:
                each.callback(None)

    def _connect(self) -> None:
        self._retry = None
        factory = Factory.forProtocol(lambda: RedisConnection(self, self._clock, self._timeout))
        factory.noisy = False
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        self._connecting = connecting.addTimeout(CONNECT_TIMEOUT, self._clock)
        self._connecting.addCallbacks(self._connected, self._failed)

    def _connected(self, connection: RedisConnection) -> None:
        self._connecting = None
        self._connection = connection
        if connection.isOver:
            self.over(connection, "it closed the connection", [])
        elif self._isStopped:
            self.cut("this node stops")
        else:
            Deferred.fromCoroutine(self._greet(connection))

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        self._again(_whyNot(failure), [])

    def _again(self, reason: str, unanswered: list[Any]) -> None:
        if not self._isStopped:
            self._attempts += 1
            self._retry = self._clock.callLater(delay(self._attempts, self._random), self._connect)
        self._user.lost(reason, unanswered)

    async def _greet(self, connection: RedisConnection) -> None:
        for command in self._greeting:
            try:
                reply = await connection.command(*command)
            except ConnectionOver:
                return
            except ErrorReply as error:
                if command[0] == "PING" and error.code in HARMLESS:
                    continue
                connection.cut(f"it answers {command[0]} with {error.shown}")
                return
            if reply != _ANSWERS[command[0]]:
                connection.cut(f"it is no Redis: it answers {command[0]} with something else")
                return
        self.isReady = True
        self._readySince = self._clock.seconds()
        self._user.ready()


def _whyNot(failure: Failure) -> str:
    """Why an attempt failed, for people."""
    said: dict[type[Exception], str] = {
        ConnectionRefusedError: "it refuses the connection",
        DNSLookupError: "there is no address for its name",
        TimeoutError: f"there is no connection within {CONNECT_TIMEOUT:g} seconds",
        CancelledError: "this node stops",
    }
    kind = failure.check(*said)
    return words(failure) if kind is None else said[kind]

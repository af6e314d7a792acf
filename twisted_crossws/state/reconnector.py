"""
Keeping a client connected: when to try, when to try again, and when to stop.

::

    idle      connect(), reconnect()              ▶ trying
    trying    opened                              ▶ open        the attempts count from 0 again
    trying    failed                              ▶ waiting, or idle beyond repeatLimit or attempts
    open      over                                ▶ waiting, or idle beyond repeatLimit, or if the code is final
    waiting   its time is up                      ▶ trying
    any       reconnect()                         ▶ trying
    any       close()                             ▶ idle

Whatever changes the state changes it first, and tells of it afterwards: those who are told may call any method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.errors import FINAL_CODES, CloseCode, HandshakeRefused, NotConnected
from twisted_crossws.state.backoff import ReconnectSchedule, hintOf
from twisted_crossws.state.connection import Connection, Line
from twisted_crossws.state.pulse import checkNotNegative

_log = Logger()

#: Given the code and the reason of a close, whether to come back.
ReconnectOn = Callable[[int, str], bool]


class Talk(Protocol):
    """What is said while a connection is open."""

    def opened(self, connection: Connection) -> None:
        """From now on it can be sent to."""

    def textReceived(self, text: bytes) -> None:
        """A whole message came."""

    def ended(self, code: int, reason: str) -> None:
        """The connection is over."""


class Reconnector:
    """
    Implements L{ConnectionOwner<twisted_crossws.state.connection.ConnectionOwner>}: wants one connection at a time,
    and makes the next when it is over.

    @ivar isReconnecting: from a loss, a failed attempt or L{reconnect} until the next connection is open, or it is
        given up.
    """

    def __init__(
        self,
        clock: IReactorTime,
        makeLine: Callable[[Connection], Line],
        talk: Talk,
        tell: Callable[..., None],
        *,
        schedule: ReconnectSchedule,
        random: Callable[[], float],
        repeatLimit: int | None,
        attempts: int | None,
        reconnectOn: ReconnectOn | None,
        name: str,
    ) -> None:
        """
        @param tell: called with a lifecycle event and its arguments: C{error}, C{unreachable}, C{reconnect} or
            C{repeatLimit}.
        @param random: gives a number from 0 to 1, for the jitter.
        @param repeatLimit: how many attempts to reconnect may fail in a row; C{None} is any number.
        @param attempts: how many attempts may fail in a row while somebody waits for L{connect}; C{None} is any number.
        @param reconnectOn: decides in place of L{FINAL_CODES}; it must not call methods of the client.
        @param name: where to, for the log.
        @raise ValueError: a number is negative.
        """
        checkNotNegative(
            fastReconnectThreshold=schedule.fastAttempts,
            fastReconnectInterval=schedule.interval,
            reconnectMaxInterval=schedule.longest,
            repeatLimit=repeatLimit,
            attempts=attempts,
        )
        self.isReconnecting = False
        self._clock = clock
        self._makeLine = makeLine
        self._talk = talk
        self._tell = tell
        self._schedule = schedule
        self._random = random
        self._repeatLimit = repeatLimit
        self._attempts = attempts
        self._reconnectOn = reconnectOn
        self._name = name
        self._attempt = 0
        # How many attempts in a row never were open; the first of them need not be one to reconnect.
        self._failures = 0
        self._current: Connection | None = None
        self._retry: IDelayedCall | None = None
        # All that are not gone yet: the current one, and those that are leaving.
        self._alive: set[Connection] = set()
        self._waiters: list[Deferred[None]] = []
        self._closers: list[Deferred[None]] = []

    @property
    def isConnected(self) -> bool:
        """Whether texts can be sent now."""
        return self._current is not None and self._current.isOpen

    def connect(self) -> Deferred[None]:
        """
        Connect, unless that is done or under way.

        @return: fires when a connection is open; fails with L{NotConnected} when it is given up, and with
            L{HandshakeRefused} when the server answers with a status from 400 to 499.
        """
        if self.isConnected:
            return succeed(None)
        waiter = self._newWaiter()
        if self._current is None and self._retry is None:
            self._dial()
        return waiter

    def reconnect(self, reset: bool = False) -> Deferred[None]:
        """
        Drop what there is, and connect now.

        @param reset: count the attempts from 0 again.
        @return: as L{connect}.
        """
        if reset:
            self._attempt = self._failures = 0
        self.isReconnecting = self._current is not None or self._retry is not None
        waiter = self._newWaiter()
        dropped = self._detach()
        # While the loss is told of, this is a wait like any other, which others may end.
        retry = self._retry = self._clock.callLater(0, self._dial)
        self._dismiss(dropped, CloseCode.NORMAL, "The client connects again.")
        if self._retry is retry:
            retry.cancel()
            self._dial()
        return waiter

    def close(self) -> Deferred[None]:
        """
        Drop what there is, and stay closed.

        @return: fires when nothing is left of any connection.
        """
        reason = "The client closed the connection."
        dropped = self._detach()
        tellRest = self._rest(reason)
        self._dismiss(dropped, CloseCode.CLIENT_CLOSED, reason)
        tellRest()
        if not self._isSomeoneLeaving():
            return succeed(None)
        closer: Deferred[None] = Deferred()
        self._closers.append(closer)
        return closer

    def opened(self, connection: Connection) -> None:
        self._attempt = self._failures = 0
        self.isReconnecting = False
        self._talk.opened(connection)
        if connection.isOpen:
            for waiter in self._takeWaiters():
                waiter.callback(None)

    def textReceived(self, connection: Connection, text: bytes) -> None:
        self._talk.textReceived(text)

    def failed(self, connection: Connection, failure: Failure) -> None:
        self._current = None
        self._failures += 1
        failures, why = self._failures, failure.getErrorMessage()
        isEnough = self._attempts is not None and failures >= self._attempts and self._isSomeoneWaiting()
        refused = self._takeWaiters() if _isRefusal(failure) else []
        tellNext = self._rest(f"Gave up after {failures} attempts. {why}") if isEnough else self._next(why)
        if failures == 1:
            _log.warn("cannot connect to {server}: {why}", server=self._name, why=why)
        self._tell("error", failure)
        self._tell("unreachable", why, failures)
        tellNext()
        for waiter in refused:
            waiter.errback(failure)

    def over(self, connection: Connection, code: int, reason: str) -> None:
        if connection is not self._current:
            return
        why = f"The connection ended with code {code}. {reason}"
        isWanted = self._comesBackAfter(code, reason)
        self._current = None
        tellNext = self._next(why, hintOf(code, reason)) if isWanted else self._rest(why)
        self._talk.ended(code, reason)
        tellNext()

    def gone(self, connection: Connection) -> None:
        self._alive.discard(connection)
        if not self._isSomeoneLeaving():
            closers, self._closers = self._closers, []
            for closer in closers:
                closer.callback(None)

    def _dial(self) -> None:
        self._retry = None
        connection = self._current = Connection(self._clock, self)
        self._alive.add(connection)
        connection.line = self._makeLine(connection)
        connection.line.dial()

    def _detach(self) -> Connection | None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        connection, self._current = self._current, None
        return connection

    def _dismiss(self, connection: Connection | None, code: CloseCode, reason: str) -> None:
        if connection is not None:
            wasOpen = connection.isOpen
            connection.drop(code, reason)
            if wasOpen:
                self._talk.ended(int(code), reason)

    def _next(self, why: str, hint: float | None = None) -> Callable[[], None]:
        """
        Wait for the next attempt, or give up. What is returned tells of it.

        @param hint: seconds to wait, in place of what the schedule says.
        """
        limit = self._repeatLimit
        if limit is not None and self._attempt >= limit:
            tellRest = self._rest(f"Gave up after {limit} attempts to reconnect. {why}")

            def tellLimit() -> None:
                self._tell("repeatLimit", limit)
                tellRest()

            return tellLimit

        self._attempt += 1
        self.isReconnecting = True
        attempt, delay = self._attempt, self._schedule.delay(self._attempt, self._random, hint)
        retry = self._retry = self._clock.callLater(delay, self._dial)

        def tellRetry() -> None:
            if self._retry is retry:
                self._tell("reconnect", attempt, delay)

        return tellRetry

    def _rest(self, why: str) -> Callable[[], None]:
        """Stop trying. What is returned tells those who wait for a connection."""
        self._attempt = self._failures = 0
        self.isReconnecting = False
        waiters = self._takeWaiters()

        def tellRest() -> None:
            for waiter in waiters:
                waiter.errback(Failure(NotConnected(why)))

        return tellRest

    def _comesBackAfter(self, code: int, reason: str) -> bool:
        if self._reconnectOn is None:
            return code not in FINAL_CODES
        try:
            return bool(self._reconnectOn(code, reason))
        except Exception:
            _log.failure("reconnectOn failed, so the client reconnects")
            return True

    def _isSomeoneLeaving(self) -> bool:
        return not self._alive <= {self._current}

    def _isSomeoneWaiting(self) -> bool:
        # One that was cancelled has been called.
        return any(not waiter.called for waiter in self._waiters)

    def _newWaiter(self) -> Deferred[None]:
        # Without a canceller: one that is cancelled swallows its result, so it need not be looked for here.
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def _takeWaiters(self) -> list[Deferred[None]]:
        waiters, self._waiters = self._waiters, []
        return waiters


def _isRefusal(failure: Failure) -> bool:
    return isinstance(failure.value, HandshakeRefused) and 400 <= failure.value.status < 500

"""
A client's heartbeat: is the server still there, and how far away is it (wire section 1).
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Pulse:
    """
    Asks for an answer once in an interval, and says when it came, or that it did not.

    One question is open at a time: while it is, the next one is left out.

    @ivar latency: seconds from the last answered question to its answer; C{None} until the first answer on this
        connection.
    """

    def __init__(
        self,
        clock: IReactorTime,
        interval: float,
        timeout: float,
        *,
        ask: Callable[[], None],
        answered: Callable[[float], None],
        silent: Callable[[], None],
    ) -> None:
        """
        @param interval: seconds from one question to the next; 0 is never.
        @param timeout: seconds that an answer may take.
        @param ask: sends the question.
        @param answered: told the latency.
        @param silent: told that there was no answer in time.
        @raise ValueError: a time is negative.
        """
        checkNotNegative(pingInterval=interval, pongTimeout=timeout)
        self.latency: float | None = None
        self._clock = clock
        self._interval = interval
        self._timeout = timeout
        self._ask = ask
        self._answered = answered
        self._silent = silent
        self._isRunning = False
        self._askedAt = 0.0
        self._next: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None

    @property
    def interval(self) -> float:
        """Seconds from one question to the next; 0 is never."""
        return self._interval

    def setInterval(self, seconds: float, immediate: bool = False) -> None:
        """
        The interval counts from now.

        @param seconds: 0 turns the heartbeat off; an answer that is still open is then not waited for.
        @param immediate: ask now, too.
        @raise ValueError: it is negative.
        """
        checkNotNegative(pingInterval=seconds)
        self._interval = seconds
        if not self._isRunning:
            return
        if not seconds:
            self._cancel()
        elif immediate:
            self._beat()
        else:
            self._schedule()

    def start(self) -> None:
        """There is a connection; the first question comes after one interval."""
        self._isRunning = True
        self.latency = None
        self._schedule()

    def stop(self) -> None:
        """The connection is over."""
        self._isRunning = False
        self.latency = None
        self._cancel()

    def answerReceived(self) -> None:
        """The answer came. Without an open question this does nothing."""
        if self._deadline is None:
            return
        self._deadline.cancel()
        self._deadline = None
        self.latency = self._clock.seconds() - self._askedAt
        self._answered(self.latency)

    def _beat(self) -> None:
        self._schedule()
        if self._deadline is None:
            self._askedAt = self._clock.seconds()
            self._deadline = self._clock.callLater(self._timeout, self._late)
            self._ask()

    def _late(self) -> None:
        self._deadline = None
        self._silent()

    def _schedule(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = self._clock.callLater(self._interval, self._beat) if self._interval else None

    def _cancel(self) -> None:
        for timer in (self._next, self._deadline):
            if timer is not None and timer.active():
                timer.cancel()
        self._next = self._deadline = None


def checkNotNegative(**numbers: float | None) -> None:
    """
    Hold options to what they can be. C{None} is left to its own meaning.

    @raise ValueError: one of them is negative, or no number at all (C{nan}); the message names it.
    """
    for name, value in numbers.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name} must be 0 or more, and it is {value!r}.")

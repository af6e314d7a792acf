"""
Replies that are still waited for.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from twisted_crossws.errors import CallTimeout


class PendingAcks:
    """
    Who waits for which reply, each with a deadline on a given clock.

    Whatever ends a wait takes its timer and its entry away: a late or second reply finds nothing.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[str, tuple[Deferred[Any], IDelayedCall]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, callbackId: str, timeout: float, what: str = "call") -> Deferred[Any]:
        """
        @param timeout: seconds.
        @param what: what is waited for, for the message of the time-out.
        @return: fires with the reply; fails with L{CallTimeout}, or with what L{fail} and L{failAll} give;
            cancelling it forgets the wait.
        @raise ValueError: this id is waited for already.
        """
        if callbackId in self._waiting:
            raise ValueError(f"A reply to {callbackId!r} is waited for already.")
        waiting: Deferred[Any] = Deferred(lambda _: self._cancelled(callbackId))
        timer = self._clock.callLater(timeout, self._timedOut, callbackId, timeout, what)
        self._waiting[callbackId] = (waiting, timer)
        return waiting

    def resolve(self, callbackId: str, value: Any) -> bool:
        """
        The reply came.

        @return: whether somebody waited for it.
        """
        waiting = self._forget(callbackId)
        if waiting is None:
            return False
        waiting.callback(value)
        return True

    def fail(self, callbackId: str, reason: Exception) -> bool:
        """
        There will be no reply, or it is an error.

        @return: whether somebody waited for it.
        """
        waiting = self._forget(callbackId)
        if waiting is None:
            return False
        waiting.errback(Failure(reason))
        return True

    def failAll(self, reason: Exception) -> None:
        """No reply will come to any of them. Waits that begin while these are told stay."""
        for callbackId in list(self._waiting):
            self.fail(callbackId, reason)

    def _timedOut(self, callbackId: str, timeout: float, what: str) -> None:
        waiting, _ = self._waiting.pop(callbackId)
        waiting.errback(Failure(CallTimeout(f"No reply to {what} came within {timeout:g} seconds.")))

    def _cancelled(self, callbackId: str) -> None:
        self._forget(callbackId)

    def _forget(self, callbackId: str) -> Deferred[Any] | None:
        found = self._waiting.pop(callbackId, None)
        if found is None:
            return None
        waiting, timer = found
        timer.cancel()
        return waiting

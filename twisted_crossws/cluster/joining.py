"""
How a server comes into its cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.cluster.membership import Membership
from twisted_crossws.cluster.subscriptions import Subscriptions
from twisted_crossws.errors import BusUnavailable

_log = Logger()


class Joining:
    """
    First the server hears everything that its clients and callers depend on; then it claims its name; then it says
    that it is here, and waits for the answers. While the bus is away, each step waits.

    Clients are let in when that is done, or when it takes too long.
    """

    def __init__(
        self,
        membership: Membership,
        subscriptions: Subscriptions,
        channel: str,
        refused: Callable[[Failure], Any],
        clock: IReactorTime,
        timeout: float,
    ) -> None:
        """
        @param channel: what servers announce themselves on.
        @param refused: called with the failure if the name is taken; what it returns is waited for before anybody
            else is told.
        @param timeout: seconds after which clients are let in all the same.
        """
        self._membership = membership
        self._subscriptions = subscriptions
        self._channel = channel
        self._refused = refused
        self._clock = clock
        self._timeout = timeout
        self._timer: IDelayedCall | None = None
        self._joined = _Outcome()
        self._opened = _Outcome()

    def start(self, channels: Iterable[str]) -> None:
        """
        @param channels: everything that this server hears from the start.
        """
        self._joined.reset()
        self._opened.reset()
        self._membership.enter()
        self._timer = self._clock.callLater(self._timeout, self._tooLate)
        steps = self._subscribe([self._channel, self._membership.ownChannel, *channels])
        steps.addCallback(lambda _: self._membership.claim())
        steps.addCallback(lambda _: self._membership.join())
        steps.addErrback(self._failed).addBoth(self._decided)

    def when(self) -> Deferred[None]:
        """
        @return: fires when this server is a member; fails if it was refused, and with C{CancelledError} if it stops
            before that.
        """
        return self._joined.when()

    def whenOpen(self) -> Deferred[None]:
        """
        @return: fires when clients may come in: this server is a member, or the time is over in which it should have
            become one; fails as L{when}.
        """
        return self._opened.when()

    def _subscribe(self, names: list[str]) -> Deferred[Any]:
        def unwrapped(failure: Failure) -> Failure:
            first: Any = failure.value
            return first.subFailure  # type: ignore[no-any-return]

        wanted = [self._subscriptions.want(name) for name in names]
        # All of them fail together, where the bus is stopped meanwhile.
        return gatherResults(wanted, consumeErrors=True).addErrback(unwrapped)

    def _decided(self, outcome: Failure | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._opened.decide(outcome)
        self._joined.decide(outcome)

    def _tooLate(self) -> None:
        _log.warn(
            "{server} has not joined its cluster within {seconds:g} seconds, as {reason}. It lets clients in all the "
            "same: until it joins, they get nothing that other servers send.",
            server=self._membership.serverName,
            seconds=self._timeout,
            reason="it has not got its name yet" if self._membership.hears else "its bus is away",
        )
        self._opened.decide(None)

    def _failed(self, failure: Failure) -> Any:
        if failure.check(CancelledError, BusUnavailable):
            return Failure(CancelledError())  # The node stops before it has come in.
        return maybeDeferred(self._refused, failure).addCallback(lambda _: failure)


class _Outcome:
    """What many may wait for, before it is decided and after that."""

    def __init__(self) -> None:
        self._isDecided = False
        self._outcome: Failure | None = None
        self._waiting: list[Deferred[None]] = []

    def when(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        if self._isDecided:
            waiting.callback(self._outcome)
        else:
            self._waiting.append(waiting)
        return waiting

    def decide(self, outcome: Failure | None) -> None:
        if not self._isDecided:
            self._isDecided, self._outcome = True, outcome
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(outcome)

    def reset(self) -> None:
        self._isDecided, self._outcome = False, None

"""
How a server comes into its cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.python.failure import Failure

from twisted_crossws.cluster.membership import Membership
from twisted_crossws.cluster.subscriptions import Subscriptions
from twisted_crossws.errors import BusUnavailable


class Joining:
    """
    First it hears what servers say of themselves, and claims its name. Once that is its own, it hears everything else;
    and once it hears that, it says that it is here. While the bus is away, each step waits.
    """

    def __init__(
        self, membership: Membership, subscriptions: Subscriptions, channel: str, refused: Callable[[Failure], Any]
    ) -> None:
        """
        @param channel: what servers announce themselves on.
        @param refused: called with the failure if the name is taken; what it returns is waited for before anybody
            else is told.
        """
        self._membership = membership
        self._subscriptions = subscriptions
        self._channel = channel
        self._refused = refused
        self._outcome: Failure | None = None
        self._isDecided = False
        self._waiting: list[Deferred[None]] = []

    def start(self, channels: Iterable[str]) -> None:
        """
        @param channels: everything that this server hears from the start.
        """
        names = [*channels, self._membership.ownChannel]
        steps = self._subscriptions.want(self._channel)
        steps.addCallback(lambda _: self._membership.claim())
        steps.addCallback(lambda _: self._subscribe(names))
        steps.addCallback(lambda _: self._membership.join())
        steps.addErrback(self._failed).addBoth(self._decided)

    def when(self) -> Deferred[None]:
        """
        @return: fires when this server is a member; fails if it was refused, and with C{CancelledError} if it stops
            before that.
        """
        waiting: Deferred[None] = Deferred()
        if self._isDecided:
            waiting.callback(self._outcome)
        else:
            self._waiting.append(waiting)
        return waiting

    def _subscribe(self, names: list[str]) -> Deferred[Any]:
        def unwrapped(failure: Failure) -> Failure:
            first: Any = failure.value
            return first.subFailure  # type: ignore[no-any-return]

        wanted = [self._subscriptions.want(name) for name in names]
        # All of them fail together, where the bus is stopped meanwhile.
        return gatherResults(wanted, consumeErrors=True).addErrback(unwrapped)

    def _decided(self, outcome: Failure | None) -> None:
        self._outcome, self._isDecided = outcome, True
        for waiting in self._waiting:
            waiting.callback(outcome)

    def _failed(self, failure: Failure) -> Any:
        if failure.check(CancelledError, BusUnavailable):
            return Failure(CancelledError())  # The node stops before it has come in.
        return maybeDeferred(self._refused, failure).addCallback(lambda _: failure)

"""
Which channels of the bus this node hears: the first who wants one subscribes, the last one unsubscribes.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.wire.text import shown

_log = Logger()


class Subscriber(Protocol):
    """A link to the bus (L{IBusLink<twisted_crossws.interfaces.IBusLink>}), or what its subscriptions pass through."""

    def subscribe(self, channel: str) -> Deferred[None]: ...

    def unsubscribe(self, channel: str) -> Deferred[None]: ...


class Subscriptions:
    """
    What is wanted, kept in step with the bus: one operation of a channel at a time, and in the end the
    subscription is as wanted, however fast that has changed meanwhile.
    """

    def __init__(self, link: Subscriber) -> None:
        self._link = link
        self._wanted: set[str] = set()
        self._confirmed: set[str] = set()
        self._busy: set[str] = set()
        # Who waits, and whether for a subscription or for its end.
        self._waiting: dict[str, list[tuple[Deferred[None], bool]]] = {}

    def want(self, channel: str) -> Deferred[None]:
        """
        @return: fires when the subscription is confirmed; fails with what the bus says if it cannot be had.
        """
        self._wanted.add(channel)
        return self._wait(channel)

    def ask(self, channel: str) -> Deferred[None]:
        """
        As L{want}, for an application, which need not listen: a failure that it does not hear is logged once, and not
        once more as one that nobody has handled.
        """
        told: Deferred[None] = Deferred()
        isGiven = False

        def failed(failure: Failure) -> None:
            told.errback(failure)
            if isGiven:
                # By now all have heard it who listen.
                told.addErrback(lambda left: None if left is failure else left)

        self.want(channel).addCallbacks(told.callback, failed)
        isGiven = True
        return told

    def drop(self, channel: str) -> Deferred[None]:
        """
        It is not wanted any more.

        @return: fires when the bus has been told; fails with what the bus says to that.
        """
        self._wanted.discard(channel)
        return self._wait(channel)

    def restart(self) -> None:
        """The bus was started, perhaps not for the first time: what it had confirmed before is still to be heard."""
        self._confirmed -= self._wanted
        for channel in list(self._wanted):
            self._step(channel)

    def _wait(self, channel: str) -> Deferred[None]:
        isWanted = channel in self._wanted
        if isWanted == (channel in self._confirmed) and channel not in self._busy:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.setdefault(channel, []).append((waiting, isWanted))
        self._step(channel)
        return waiting

    def _step(self, channel: str) -> None:
        if channel in self._busy:
            return
        if (channel in self._wanted) == (channel in self._confirmed):
            self._settled(channel)
            return
        self._busy.add(channel)
        subscribing = channel in self._wanted
        change = self._link.subscribe if subscribing else self._link.unsubscribe
        done: Deferred[None] = maybeDeferred(change, channel)
        done.addCallback(self._done, channel, subscribing).addErrback(self._failed, channel, subscribing)

    def _done(self, _: object, channel: str, subscribed: bool) -> None:
        self._busy.discard(channel)
        (self._confirmed.add if subscribed else self._confirmed.discard)(channel)
        self._step(channel)

    def _failed(self, failure: Failure, channel: str, subscribing: bool) -> None:
        self._busy.discard(channel)
        self._confirmed.discard(channel)
        done = "subscribed" if subscribing else "left"
        _log.warn(
            "the channel {channel} could not be {done}: {reason}",
            channel=shown(channel),
            done=done,
            reason=failure.getErrorMessage(),
        )
        for waiting, isWanted in self._waiting.pop(channel, ()):
            # Who wants it to end has what it wants, if it never began.
            waiting.callback(None if subscribing and not isWanted else failure)

    def _settled(self, channel: str) -> None:
        for waiting, _ in self._waiting.pop(channel, ()):
            waiting.callback(None)

"""
Which channels of the bus this node hears: the first who wants one subscribes, the last one unsubscribes.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.interfaces import IBusLink

_log = Logger()


class Subscriptions:
    """
    What is wanted, kept in step with the bus: one operation of a channel at a time, and in the end the
    subscription is as wanted, however fast that has changed meanwhile.
    """

    def __init__(self, link: IBusLink) -> None:
        self._link = link
        self._wanted: set[str] = set()
        self._confirmed: set[str] = set()
        self._busy: set[str] = set()
        self._waiting: dict[str, list[Deferred[None]]] = {}

    def want(self, channel: str) -> Deferred[None]:
        """
        @return: fires when the subscription is confirmed; fails with what the bus says if it cannot be had.
        """
        self._wanted.add(channel)
        if channel in self._confirmed and channel not in self._busy:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.setdefault(channel, []).append(waiting)
        self._step(channel)
        return waiting

    def drop(self, channel: str) -> Deferred[None]:
        """
        It is not wanted any more.

        @return: fires when the bus has been told.
        """
        self._wanted.discard(channel)
        if channel not in self._confirmed and channel not in self._busy:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.setdefault(channel, []).append(waiting)
        self._step(channel)
        return waiting

    def __contains__(self, channel: str) -> bool:
        return channel in self._wanted

    def _step(self, channel: str) -> None:
        if channel in self._busy:
            return
        if (channel in self._wanted) == (channel in self._confirmed):
            self._settled(channel)
            return
        self._busy.add(channel)
        subscribing = channel in self._wanted
        change = self._link.subscribe if subscribing else self._link.unsubscribe
        done: Deferred[None] = change(channel)
        done.addCallback(self._done, channel, subscribing).addErrback(self._failed, channel)

    def _done(self, _: object, channel: str, subscribed: bool) -> None:
        self._busy.discard(channel)
        (self._confirmed.add if subscribed else self._confirmed.discard)(channel)
        self._step(channel)

    def _failed(self, failure: Failure, channel: str) -> None:
        self._busy.discard(channel)
        self._wanted.discard(channel)
        self._confirmed.discard(channel)
        _log.failure("the channel {channel} could not be subscribed or left", failure=failure, channel=channel)
        for waiting in self._waiting.pop(channel, ()):
            waiting.errback(failure)

    def _settled(self, channel: str) -> None:
        for waiting in self._waiting.pop(channel, ()):
            waiting.callback(None)

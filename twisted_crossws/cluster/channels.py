"""
The application's own channels on the bus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.cluster.subscriptions import Joined, Subscriptions
from twisted_crossws.state.deliver import notify
from twisted_crossws.state.listeners import checkListener

_log = Logger()

OnMessage = Callable[[str, dict[str, Any]], Any]


class Channels:
    """
    C{node.channels}: any channel that is not one of the cluster's own. What is on it is a map, and the
    application's affair; a map whose C{senderServer} is this node's own name is not handed to it again.
    """

    def __init__(self, outbox: Outbox, subscriptions: Subscriptions, reserved: Callable[[str], bool]) -> None:
        """
        @param reserved: says whether a channel is one of the cluster's own.
        """
        self._outbox = outbox
        self._subscriptions = subscriptions
        self._reserved = reserved
        self._listeners: tuple[OnMessage, ...] = ()

    def publish(self, channel: str, mapping: Mapping[str, Any]) -> Deferred[int]:
        """
        @return: fires with the number of subscribers that got it, this node included.
        @raise TypeError: it is not a mapping with string keys, or holds something that the bus has no form for.
        @raise ValueError: the channel is one of the cluster's own.
        """
        self._check(channel)
        if not isinstance(mapping, Mapping):
            raise TypeError(f"What is published on a channel must be a mapping, not {type(mapping)}.")
        return self._outbox.publishCounted(channel, dict(mapping))

    def subscribe(self, channel: str) -> Deferred[Joined]:
        """
        @return: fires with L{Joined<twisted_crossws.cluster.subscriptions.Joined>} when nothing that is published from
            now on is missed; within C{subscribe_timeout} in any case, and then C{heard} is C{False}, while the rest is
            done when the bus is back. Fails with L{BusUnavailable<twisted_crossws.errors.BusUnavailable>} if the bus
            cannot carry this channel.
        @raise ValueError: the channel is one of the cluster's own.
        """
        self._check(channel)
        return self._subscriptions.ask(channel)

    def unsubscribe(self, channel: str) -> Deferred[None]:
        """
        @return: fires when the bus has been told, or cannot be told now; nothing comes from now on.
        @raise ValueError: the channel is one of the cluster's own.
        """
        self._check(channel)
        return self._subscriptions.drop(channel)

    def onMessage(self, listener: OnMessage) -> OnMessage:
        """
        Call a listener with channel and map of every message, after those that were added before.

        @raise TypeError: it is not callable, or not with these two.
        """
        checkListener(listener, "channel, mapping", "A listener of channels")
        self._listeners = (*self._listeners, listener)
        return listener

    def removeListener(self, listener: OnMessage | None = None) -> None:
        """Remove that listener, or all."""
        self._listeners = tuple(other for other in self._listeners if listener is not None and other != listener)

    def received(self, channel: str, mapping: dict[str, Any]) -> None:
        """A message came over the bus."""
        notify(self._listeners, (channel, mapping), self._failed)

    def _check(self, channel: str) -> None:
        if not (isinstance(channel, str) and channel):
            raise TypeError(f"A channel must be a non-empty string, not {channel!r}.")
        if self._reserved(channel):
            raise ValueError(
                f"The channel {channel!r} is one of the cluster's own; choose a name without its prefixes."
            )

    def _failed(self, listener: Callable[..., Any], failure: Failure) -> None:
        _log.failure("a listener of channels failed: {listener!r}", failure=failure, listener=listener)

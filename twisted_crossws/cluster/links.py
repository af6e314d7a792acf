"""
The links of this node to the bus, and their health.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.interfaces import Gap, HealthChange, IBusLink, Role
from twisted_crossws.state.deliver import notify
from twisted_crossws.state.listeners import checkListener
from twisted_crossws.wire.text import shown

_log = Logger()

OnHealthChange = Callable[[HealthChange], Any]
OnGap = Callable[[Gap], Any]
OnSubscriptionError = Callable[[str, Exception], Any]


class Links:
    """
    C{node.bus}: what connects this node to others. On a bus without Redis there are no links, and so no changes.
    """

    def __init__(self, serverName: str, link: IBusLink) -> None:
        self._serverName = serverName
        self._link = link
        self._onHealthChange: tuple[OnHealthChange, ...] = ()
        self._onSubscriptionError: tuple[OnSubscriptionError, ...] = ()
        self._onGap: tuple[OnGap, ...] = ()

    @property
    def isHealthy(self) -> bool:
        """Whether this node hears everything that others publish, and can publish itself."""
        return bool(self._link.isHealthy)

    @property
    def isConnected(self) -> bool:
        """Whether this node can publish and hear: with several Redis servers, on one of them at least."""
        return bool(self._link.isConnected)

    def addRedis(self, url: str) -> Deferred[None]:
        """
        Use one more Redis. Every node of the cluster must.

        @param url: C{redis://}, C{rediss://} or C{unix://}.
        @return: fires when everything is subscribed there; only then it is published on.
        @raise ValueError: the URL is faulty, or in use already, or the bus is none of Redis servers.
        """
        added: Deferred[None] = self._link.addRedis(url)
        return added

    def redisCount(self) -> int:
        """How many Redis servers are used."""
        return int(self._link.redisCount())

    def healthyCount(self, role: Role) -> int:
        """
        How many of their connections are healthy now.

        @param role: C{"publisher"} or C{"subscriber"}.
        @raise ValueError: it is neither.
        """
        if role not in ("publisher", "subscriber"):
            raise ValueError(f"A connection to a Redis is a publisher or a subscriber, not {role!r}.")
        return int(self._link.healthyCount(role))

    def onHealthChange(self, listener: OnHealthChange) -> OnHealthChange:
        """Call a listener with each L{HealthChange}, after those that were added before."""
        checkListener(listener, "change", "A listener of changes of health")
        self._onHealthChange = (*self._onHealthChange, listener)
        return listener

    def onGap(self, listener: OnGap) -> OnGap:
        """
        Call a listener with each L{Gap}: what servers of this kind have published and this node did not get, by sender
        and channel; and after an interruption one without both, as servers of other kinds, and the application's own
        channels, have no numbers.
        """
        checkListener(listener)
        self._onGap = (*self._onGap, listener)
        return listener

    def onSubscriptionError(self, listener: OnSubscriptionError) -> OnSubscriptionError:
        """Call a listener with channel and exception when a Redis refuses a subscription. It is tried again."""
        checkListener(listener, "channel, error", "A listener of errors of subscriptions")
        self._onSubscriptionError = (*self._onSubscriptionError, listener)
        return listener

    def healthChanged(self, change: HealthChange) -> None:
        """The health of a connection has changed."""
        _log.info(
            "{server}: the {role} at {url} is {state}: {reason}",
            server=self._serverName,
            role=change.role,
            url=change.url,
            state="healthy" if change.healthy else "not healthy",
            reason=change.reason,
        )
        notify(self._onHealthChange, (change,), self._failed)

    def missed(self, gap: Gap) -> None:
        """This node has missed something, or may have."""
        notify(self._onGap, (gap,), self._failed)

    def subscriptionFailed(self, channel: str, reason: Exception) -> None:
        """A subscription was refused."""
        _log.warn(
            "{server}: cannot subscribe to {channel}: {reason}",
            server=self._serverName,
            channel=shown(channel),
            reason=reason,
        )
        notify(self._onSubscriptionError, (channel, reason), self._failed)

    def _failed(self, listener: Callable[..., Any], failure: Failure) -> None:
        _log.failure("a listener of bus failed: {listener!r}", failure=failure, listener=listener)

"""
The two connections to one Redis, and what they say about it together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from twisted_crossws.bus.connection import ErrorReply
from twisted_crossws.bus.publisher import Publisher
from twisted_crossws.bus.standing import Standing
from twisted_crossws.bus.subscriber import Subscriber
from twisted_crossws.bus.waiting import Entry
from twisted_crossws.interfaces import Role
from twisted_crossws.wire.redisurl import RedisUrl


@dataclass(frozen=True)
class Health:
    """
    How health is looked after.

    @ivar forcePing: ping also those who show by themselves that they are alive.
    @ivar pingInterval: seconds between two looks.
    @ivar pingTimeout: seconds that an answer may take.
    """

    forcePing: bool
    pingInterval: float
    pingTimeout: float


class Owner(Protocol):
    """Whoever a pair belongs to."""

    def deliver(self, channel: str, packet: bytes) -> None:
        """A packet came on a channel that is wanted. Must not raise."""

    def confirmed(self, channel: bytes) -> None:
        """It is subscribed at one Redis."""

    def refused(self, pair: Pair, channel: bytes, error: Exception) -> None:
        """A Redis does not allow it; it is tried again."""

    def changed(self, pair: Pair, news: News | None, unsent: list[Entry]) -> None:
        """
        Whether it can be published on, or heard, may have changed.

        @param news: what there is to tell; C{None} if nothing.
        @param unsent: what was given to it and never sent.
        """

    def twins(self, pair: Pair, server: str) -> None:
        """What is published on another Redis comes here, too."""


@dataclass(frozen=True)
class News:
    """
    One of its connections became healthy, or is not, for a new reason.

    @ivar role: which one.
    @ivar healthy: what it is now.
    @ivar reason: why, for people.
    @ivar gap: if it hears again, the seconds in which it may have missed something.
    """

    role: Role
    healthy: bool
    reason: str
    gap: float | None = None


class Pair:
    """
    @ivar url: of the Redis.
    @ivar publisher: the connection that packets leave by.
    @ivar subscriber: the connection that they come in by.
    @ivar standing: whether it may be published on.
    """

    def __init__(
        self,
        url: RedisUrl,
        endpoint: IStreamClientEndpoint,
        *,
        owner: Owner,
        isAdded: bool,
        wanted: Mapping[bytes, str],
        probe: bytes,
        health: Health,
        clock: IReactorTime,
        random: Random,
        counters: dict[str, int],
    ) -> None:
        """
        @param isAdded: it comes while others are in use.
        @param wanted: the channels, with their names.
        @param probe: the channel that is used to see whether anything comes.
        """
        self.url = url
        self.standing = Standing(clock, isAdded, lambda: owner.changed(self, None, []))
        self._owner = owner
        self._probe = probe
        self._health = health
        self._clock = clock
        self._isStopped = True
        self._reasons: dict[Role, set[str]] = {"publisher": set(), "subscriber": set()}
        self._wasHealthy: dict[Role, bool] = {"publisher": False, "subscriber": False}
        self._probes = 0
        self._beats = LoopingCall(self._beat)
        self._beats.clock = clock
        timeout = health.pingTimeout
        common: dict[str, Any] = {"clock": clock, "timeout": timeout, "random": random, "counters": counters}
        greeting = _greeting(url)
        self.publisher = Publisher(url.server, endpoint, greeting, changed=self._publisherChanged, **common)
        self.subscriber = Subscriber(
            endpoint, greeting, listener=self, wanted=wanted, probe=probe, server=url.server, **common
        )

    def start(self) -> None:
        """Begin to connect."""
        self._isStopped = False
        for reasons in self._reasons.values():
            reasons.clear()
        self.publisher.start()
        self.subscriber.start()
        self._beats.start(self._health.pingInterval, now=False)

    def stop(self) -> Deferred[Any]:
        """
        @return: fires when nothing is left of it.
        """
        self._isStopped = True
        self._wasHealthy = dict.fromkeys(self._wasHealthy, False)
        if self._beats.running:
            self._beats.stop()
        self.standing.end()
        return gatherResults([self.subscriber.stop(), self.publisher.stop()])

    def deliveryBegins(self) -> None:
        self.publisher.hold()

    def deliver(self, channel: str, packet: bytes) -> None:
        self._owner.deliver(channel, packet)

    def deliveryEnds(self) -> None:
        # The answers to what came leave together.
        self.publisher.release()

    def confirmed(self, channel: bytes) -> None:
        self._owner.confirmed(channel)

    def refused(self, channel: bytes, error: Exception) -> None:
        self._owner.refused(self, channel, error)

    def foreignProbe(self, server: str) -> None:
        self._owner.twins(self, server)

    def subscriberChanged(self, reason: str, gap: float | None) -> None:
        if self.subscriber.isHealthy:
            # The Redis is back, so the other connection need not wait for its turn.
            self.publisher.retryNow()
        self._changed("subscriber", self.subscriber.isHealthy, reason, gap, [])

    def _publisherChanged(self, reason: str, unsent: list[Entry]) -> None:
        if self.publisher.isReady:
            self.subscriber.retryNow()
        self._changed("publisher", self.publisher.isReady, reason, None, unsent)

    def _changed(self, role: Role, healthy: bool, reason: str, gap: float | None, unsent: list[Entry]) -> None:
        isNews = healthy or self._wasHealthy[role] or reason not in self._reasons[role]
        self._wasHealthy[role] = healthy
        if healthy:
            self._reasons[role].clear()
        else:
            self._reasons[role].add(reason)
        if self._isStopped:
            self._owner.changed(self, None, unsent)
            return
        self.standing.weigh(self.publisher.isReady, self.subscriber.isHealthy)
        self._owner.changed(self, News(role, healthy, reason, gap) if isNews else None, unsent)

    def _beat(self) -> None:
        """See whether both are alive, and whether what is published is heard."""
        self.subscriber.ping(self._health.forcePing)
        if self.publisher.isReady:
            if self._health.forcePing:
                self.publisher.ping()
            # This asks for an answer, too.
            self._probes += 1
            number = self._probes
            asked = self.publisher.ask("PUBLISH", self._probe, self.subscriber.probe(number))
            asked.addCallbacks(lambda _: self.subscriber.expectProbe(number), self._notProbed)

    def _notProbed(self, failure: Failure) -> None:
        if failure.check(ErrorReply):
            self.subscriber.cannotProbe()


def _greeting(url: RedisUrl) -> list[tuple[str, ...]]:
    """What a Redis must answer before it is used."""
    greeting: list[tuple[str, ...]] = []
    if url.password is not None:
        greeting.append(("AUTH", *filter(None, (url.user,)), url.password))
    if url.database:
        greeting.append(("SELECT", str(url.database)))
    return [*greeting, ("PING",)]

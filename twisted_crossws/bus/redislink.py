"""
One node on a bus of Redis servers: what is wanted, what waits, and where it goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from secrets import token_hex
from typing import Any, NoReturn, Protocol

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_crossws.bus.backlog import Backlog
from twisted_crossws.bus.pair import Health, News, Pair
from twisted_crossws.bus.publisher import Publisher
from twisted_crossws.bus.selection import Choose
from twisted_crossws.bus.standing import Stand
from twisted_crossws.bus.waiting import Entry, WaitingQueue
from twisted_crossws.errors import BusUnavailable
from twisted_crossws.interfaces import HealthChange, IBusLink, IBusReceiver, Role, Told
from twisted_crossws.wire.redisurl import RedisUrl

_log = Logger()

#: What the channels start with that nodes hear themselves on. No packet is on them, and no node hears another's.
PROBE_PREFIX = "csbp-probe:"


class Settings(Protocol):
    """
    What the links of a bus have in common.

    @ivar urls: of every Redis.
    @ivar health: how it is looked after.
    @ivar random: for jitter.
    """

    urls: list[RedisUrl]
    health: Health
    random: Random

    def endpoint(self, url: RedisUrl) -> IStreamClientEndpoint:
        """How to reach a Redis."""

    def choosing(self) -> Choose:
        """What chooses among those that can be published on."""

    def waiting(self) -> WaitingQueue:
        """A place to wait while there is none."""


def checkNew(url: RedisUrl, others: Iterable[RedisUrl]) -> None:
    """
    @raise ValueError: it is the same server as another; then each packet would come twice.
    """
    for other in others:
        if other.server == url.server:
            raise ValueError(f"{url.shown} and {other.shown} are one Redis; a bus needs each of them once.")


@implementer(IBusLink)
class RedisLink:
    """
    One node on a bus of Redis servers.

    It publishes on a Redis once this node is subscribed there itself, to everything that it wants. Where
    that cannot be had, after a second it publishes all the same.
    """

    isAlone = False
    refusesNames = False

    def __init__(self, bus: Settings, receiver: IBusReceiver, clock: IReactorTime, counters: dict[str, int]) -> None:
        self._bus = bus
        self._receiver = receiver
        self._clock = clock
        self._counters = counters
        self._isStopped = False
        self._isRunning = False
        self._wanted: dict[bytes, str] = {}
        self._subscribing: dict[bytes, list[Deferred[None]]] = {}
        self._choose = bus.choosing()
        self._usable: tuple[Publisher, ...] = ()
        self._waiting = Backlog(bus.waiting(), clock, counters)
        self._adding: dict[Pair, Deferred[None]] = {}
        self._twins: set[frozenset[str]] = set()
        self._probe = f"{PROBE_PREFIX}{receiver.serverName}:{token_hex(6)}".encode("utf-8", "surrogatepass")
        self._pairs: list[Pair] = []
        for url in bus.urls:
            self._addPair(url, isAdded=False)

    @property
    def isHealthy(self) -> bool:
        """
        Every Redis is heard, as others may publish on any of them, and there is one to publish on. If one fails,
        nobody can tell whether the others do without it, too, so then this node is not healthy.
        """
        return bool(self._usable) and all(pair.subscriber.hearsAll for pair in self._pairs)

    @property
    def isConnected(self) -> bool:
        return any(pair.publisher.isReady and pair.subscriber.isHealthy for pair in self._pairs)

    @property
    def heardUntil(self) -> float:
        subscribers = [pair.subscriber for pair in self._pairs]
        # Nothing comes from those that are not healthy.
        return min(each.heardUntil for each in [each for each in subscribers if each.isHealthy] or subscribers)

    def serverNames(self) -> None:
        return None

    def start(self) -> Deferred[None]:
        self._isStopped, self._isRunning = False, True
        for pair in self._pairs:
            pair.start()
        return succeed(None)

    def stop(self) -> Deferred[None]:
        self._isStopped, self._isRunning = True, False
        for pair in self._pairs:
            pair.standing.end()
        self._weigh()
        stopped = gatherResults([pair.stop() for pair in self._pairs])
        self._waiting.stop()
        why = BusUnavailable("The bus was stopped before the subscription was confirmed.")
        for channel in list(self._subscribing):
            self._notSubscribed(channel, why)
        adding, self._adding = self._adding, {}
        for added in adding.values():
            added.errback(why)
        return stopped.addCallback(lambda _: None)

    def subscribe(self, channel: str) -> Deferred[None]:
        if self._isStopped:
            return fail(BusUnavailable("The bus is stopped."))
        key = _encoded(channel)
        self._wanted[key] = channel
        subscribed: Deferred[None] = Deferred()
        self._subscribing.setdefault(key, []).append(subscribed)
        for pair in self._pairs:
            pair.subscriber.subscribe(key)
        self.confirmed(key)
        return subscribed

    def unsubscribe(self, channel: str) -> Deferred[None]:
        key = _encoded(channel)
        if self._wanted.pop(key, None) is not None:
            for pair in self._pairs:
                pair.subscriber.unsubscribe(key)
            self._notSubscribed(key, BusUnavailable("The channel was left before the subscription was confirmed."))
        return succeed(None)

    def publish(self, channel: str, packet: bytes, expected: int = 0) -> bool:
        return self._put((channel, packet, expected))

    def publishCounted(self, channel: str, packet: bytes) -> Deferred[int]:
        count: Deferred[int] = Deferred()
        self._put((channel, packet, count))
        return count

    def publishTold(self, channel: str, packet: bytes, told: Told) -> None:
        self._put((channel, packet, told))

    def hasOtherSubscribers(self, channel: str, known: list[str]) -> Deferred[bool]:
        if not self._usable:
            return fail(BusUnavailable("No Redis can be asked now."))
        # Whatever it was published on: who is subscribed anywhere may have got it.
        names = [_encoded(name) for name in (channel, *known)]
        asked = [publisher.ask("PUBSUB", "NUMSUB", *names) for publisher in self._usable]
        return gatherResults(asked, consumeErrors=True).addCallbacks(
            lambda replies: any(map(_hasOthers, replies)), _cannotCount
        )

    def addRedis(self, url: str) -> Deferred[None]:
        parsed = RedisUrl.parse(url)
        checkNew(parsed, [pair.url for pair in self._pairs])
        pair = self._addPair(parsed, isAdded=True)
        added = self._adding[pair] = Deferred()
        if self._isRunning:
            pair.start()
        return added

    def redisCount(self) -> int:
        return len(self._pairs)

    def healthyCount(self, role: Role) -> int:
        if role == "publisher":
            return sum(pair.publisher.isReady for pair in self._pairs)
        return sum(pair.subscriber.isHealthy for pair in self._pairs)

    def deliver(self, channel: str, packet: bytes) -> None:
        if self._isStopped:
            return
        try:
            self._receiver.packetReceived(channel, packet)
        except Exception:
            _log.failure(
                "{server}: a packet on {channel} could not be handled",
                server=self._receiver.serverName,
                channel=channel,
            )

    def confirmed(self, channel: bytes) -> None:
        if channel not in self._subscribing:
            return
        healthy = [pair.subscriber for pair in self._pairs if pair.subscriber.isHealthy]
        if healthy and all(channel in subscriber.hears for subscriber in healthy):
            for subscribed in self._subscribing.pop(channel):
                subscribed.callback(None)

    def refused(self, pair: Pair, channel: bytes, error: Exception) -> None:
        name = self._wanted.get(channel) or channel.decode("utf-8", "replace")
        self._receiver.subscriptionFailed(name, error)

    def changed(self, pair: Pair, news: News | None, unsent: list[Entry]) -> None:
        self._weigh()
        # What was given to a connection that is lost comes before everything that is published later.
        for entry in unsent:
            self._put(entry)
        for channel in list(self._subscribing):
            self.confirmed(channel)
        if news is not None:
            counts = {"publisher": self.healthyCount("publisher"), "subscriber": self.healthyCount("subscriber")}
            self._receiver.healthChanged(
                HealthChange(pair.url.shown, news.role, news.healthy, news.reason, counts, news.gap)
            )
        if pair.subscriber.isHealthy and pair in self._adding:
            self._adding.pop(pair).callback(None)

    def twins(self, pair: Pair, server: str) -> None:
        both = frozenset((pair.url.server, server))
        if both not in self._twins:
            self._twins.add(both)
            _log.error(
                "{server}: {url} hears what is published at {other}: they are one Redis, or one copies the other, and "
                "packets come twice; name one of them only",
                server=self._receiver.serverName,
                url=pair.url.shown,
                other=server,
            )

    def _addPair(self, url: RedisUrl, isAdded: bool) -> Pair:
        pair = Pair(
            url,
            self._bus.endpoint(url),
            owner=self,
            isAdded=isAdded,
            wanted=self._wanted,
            probe=self._probe,
            health=self._bus.health,
            clock=self._clock,
            random=self._bus.random,
            counters=self._counters,
        )
        self._pairs.append(pair)
        return pair

    def _weigh(self) -> None:
        """Find out which ones can be published on. If that is so again, what waited goes first."""
        usable = self._standing(Stand.SETTLED)
        if not usable:
            for pair in self._pairs:
                pair.standing.need()
            usable = self._standing(Stand.SETTLED) or self._standing(Stand.IMPATIENT)
        self._usable = usable
        if usable:
            for entry in self._waiting.takeAll():
                self._put(entry)

    def _standing(self, stand: Stand) -> tuple[Publisher, ...]:
        return tuple(pair.publisher for pair in self._pairs if pair.standing.now is stand)

    def _put(self, entry: Entry) -> bool:
        if self._usable:
            publisher: Publisher = self._choose(entry[0], self._usable) if len(self._usable) > 1 else self._usable[0]
            return publisher.publish(entry) or self._waiting.drop(entry, "full")
        if self._isStopped:
            return self._waiting.drop(entry, "stopped")
        return self._waiting.add(entry)

    def _notSubscribed(self, channel: bytes, why: BusUnavailable) -> None:
        for subscribed in self._subscribing.pop(channel, ()):
            subscribed.errback(why)


def _hasOthers(reply: list[Any]) -> bool:
    """Of pairs of channel and count, the first is of all, and the others of each node that is known."""
    all_, *known = reply[1::2]
    return bool(all_ > sum(known))


def _cannotCount(failure: Failure) -> NoReturn:
    says = "A Redis does not say who is subscribed, or not to this user (the permission is +pubsub|numsub)."
    raise BusUnavailable(says)


def _encoded(channel: str) -> bytes:
    return channel.encode("utf-8", "surrogatepass")

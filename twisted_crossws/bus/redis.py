"""
The bus over Redis: any number of machines, one Redis or several.

Each packet goes to one Redis, and every node is subscribed on all of them. So one that goes away takes nothing down
with it as long as there is another, and each adds its own speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random, SystemRandom

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from twisted_crossws.bus.pair import Health
from twisted_crossws.bus.redislink import RedisLink, checkNew
from twisted_crossws.bus.selection import Choose, selection
from twisted_crossws.bus.waiting import WaitingQueue
from twisted_crossws.interfaces import IBus, IBusReceiver
from twisted_crossws.wire.redisurl import RedisUrl

#: Where a Redis of a URL is reached.
Endpoints = Callable[[RedisUrl], IStreamClientEndpoint]


def redisBus(
    urls: Iterable[str],
    *,
    strategy: str = "pinned",
    forcePing: bool = True,
    pingInterval: float = 5.0,
    pingTimeout: float = 2.0,
    maxWaitingPackets: int = 1000,
    maxWaitingBytes: int = 1_048_576,
    maxWaitingSeconds: float = 2.0,
    endpoints: Endpoints | None = None,
    random: Random | None = None,
) -> IBus:
    """
    A bus for nodes of any number of machines.

    @param urls: of every Redis, the same for every node: C{redis://}, C{rediss://} (with TLS; the certificate must be
        valid for the host) or C{unix://}.
    @param strategy: which Redis a packet is published on. C{"pinned"}: each channel has its own, which keeps the order
        of what one node sends; it moves only while that one fails. C{"random"}, C{"round-robin"}, C{"fastest"}:
        for each packet anew.
    @param forcePing: ping each connection also if it shows by itself that it is alive.
    @param pingInterval: seconds between two pings, and between two probes.
    @param pingTimeout: seconds that an answer may take, before the connection is cut and made again.
    @param maxWaitingPackets: how many packets may wait while no Redis is healthy; 0: none.
    @param maxWaitingBytes: of all of them together.
    @param maxWaitingSeconds: how long one may wait.
    @param endpoints: called with each L{RedisUrl<twisted_crossws.wire.redisurl.RedisUrl>}: how to reach it, instead
        of what it says itself.
    @param random: for the jitter of the attempts to connect, and for the strategy C{"random"}.
    @raise ValueError: a URL is faulty, or two are of one server, or there is none; or there is no such strategy.
    """
    parsed = [RedisUrl.parse(url) for url in urls]
    if not parsed:
        raise ValueError("A bus of Redis servers needs the URL of at least one.")
    for number, url in enumerate(parsed):
        checkNew(url, parsed[:number])
    random = SystemRandom() if random is None else random
    selection(strategy, random)
    return RedisBus(
        parsed,
        # Which is the fastest is known of those that are measured.
        Health(forcePing or strategy == "fastest", pingInterval, pingTimeout),
        endpoint=endpointOf if endpoints is None else endpoints,
        choosing=lambda: selection(strategy, random),
        waiting=lambda: WaitingQueue(maxWaitingPackets, maxWaitingBytes, maxWaitingSeconds),
        random=random,
    )


def endpointOf(url: RedisUrl) -> IStreamClientEndpoint:
    """By TCP, with TLS where it is asked for, or by a socket of this machine."""
    from twisted.internet import reactor
    from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
    from twisted.internet.ssl import optionsForClientTLS

    if url.kind == "unix":
        return UNIXClientEndpoint(reactor, url.path)
    endpoint: IStreamClientEndpoint = HostnameEndpoint(reactor, url.host, url.port)
    return wrapClientTLS(optionsForClientTLS(url.host), endpoint) if url.kind == "tls" else endpoint


@implementer(IBus)
class RedisBus:
    """Made by L{redisBus}."""

    leavesProcess = True

    def __init__(
        self,
        urls: list[RedisUrl],
        health: Health,
        *,
        endpoint: Endpoints,
        choosing: Callable[[], Choose],
        waiting: Callable[[], WaitingQueue],
        random: Random,
    ) -> None:
        self.urls = urls
        self.health = health
        self.endpoint = endpoint
        self.choosing = choosing
        self.waiting = waiting
        self.random = random

    def attach(self, receiver: IBusReceiver, clock: IReactorTime, counters: dict[str, int]) -> RedisLink:
        return RedisLink(self, receiver, clock, counters)

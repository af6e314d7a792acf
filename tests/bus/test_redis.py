"""
The bus over Redis, on Redis servers in memory that fail on command.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from tests.bus.fakeredis import FakeRedis
from tests.bus.test_promises import BusPromises, Receiver
from twisted_crossws import Node, redisBus
from twisted_crossws.bus import publisher
from twisted_crossws.bus.line import delay
from twisted_crossws.bus.selection import pinned
from twisted_crossws.errors import BusUnavailable, NotConnected
from twisted_crossws.state.counters import Counters
from twisted_crossws.testing import FakePeer, FakeTransport
from twisted_crossws.wire.frames import Event, Reply
from twisted_crossws.wire.redisurl import RedisUrl

#: What became of a packet, one way or another.
OUTCOMES = ("confirmed", "rejected", "unconfirmed", "dropped_full", "dropped_old", "dropped_stopped")


class Site:
    """
    Some Redis servers, named C{a}, C{b} and so on, and the links of nodes to them.
    """

    def __init__(self, clock: Clock, names: str = "a", **options: Any) -> None:
        self.clock = clock
        self.counters = Counters()
        self.options = options
        self.redis = {name: FakeRedis(clock) for name in names}
        self.urls = [f"redis://{name}" for name in names]
        self.links: list[Any] = []

    @property
    def only(self) -> FakeRedis:
        (redis,) = self.redis.values()
        return redis

    def bus(self, **options: Any) -> Any:
        options = {"endpoints": self.endpoint, "random": Random(1), **self.options, **options}
        return redisBus(options.pop("urls", self.urls), **options)

    def endpoint(self, url: RedisUrl) -> FakeRedis:
        return self.redis[url.host]

    def link(self, name: str = "node", *channels: str, **options: Any) -> tuple[Any, Receiver]:
        """A started link, subscribed to some channels."""
        receiver = Receiver(name)
        link = self.bus(**options).attach(receiver, self.clock, self.counters)
        self.links.append(link)
        link.start()
        self.flush()
        for channel in channels:
            link.subscribe(channel)
            self.flush()
        return link, receiver

    def flush(self) -> None:
        """Let everything arrive that is on its way, without time passing."""
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time pass, in such steps that each timer finds the others done whose time came before."""
        until = self.clock.seconds() + seconds
        self.flush()
        while (due := min((call.getTime() for call in self.clock.getDelayedCalls()), default=inf)) <= until:
            self.clock.advance(max(0.0, due - self.clock.seconds()))
            self.flush()
        self.clock.advance(max(0.0, until - self.clock.seconds()))

    def stop(self) -> None:
        """Stop all links; nothing may be left of them."""
        stopped = [result(link.stop()) for link in self.links]
        self.advance(0.5)
        assert [outcome for outcome in stopped if outcome != [None]] == []
        assert self.clock.getDelayedCalls() == []
        assert [client for redis in self.redis.values() for client in redis.clients] == []

    def outcomes(self) -> dict[str, int]:
        """How many packets had each outcome, those left out that none had."""
        return {name: self.counters[f"bus_{name}"] for name in OUTCOMES if self.counters[f"bus_{name}"]}


def result(deferred: Deferred[Any]) -> list[Any]:
    """Gets what it fires with."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results


def order(channel: str, names: str) -> list[str]:
    """Some Redis servers, the one first that a channel is pinned to."""

    @dataclass(frozen=True)
    class Choice:
        server: str
        latency: float = 0.0

    first = pinned(channel, [Choice(f"{name}:6379") for name in names]).server[0]
    return [first, *(name for name in names if name != first)]


def states(receiver: Receiver) -> list[tuple[str, bool, str]]:
    """What a receiver was told about health since the last call."""
    told = [(change.role, change.healthy, change.reason) for change in receiver.changes]
    receiver.changes.clear()
    return told


UP = [("publisher", True, "connected"), ("subscriber", True, "connected")]


class TestRedisBus(BusPromises):
    @pytest.fixture(autouse=True)
    def connect(self, clock: Clock) -> None:
        self.site = Site(clock)
        self.clock = clock
        self.counters = self.site.counters
        self.bus = self.site.bus()

    def flush(self) -> None:
        self.site.flush()


class TestTwoRedisBus(TestRedisBus):
    """The same with several Redis servers."""

    @pytest.fixture(autouse=True)
    def connect(self, clock: Clock) -> None:
        self.site = Site(clock, "ab")
        self.clock = clock
        self.counters = self.site.counters
        self.bus = self.site.bus()


class TestBus:
    def test_leavesProcess(self, clock: Clock) -> None:
        """A node on it needs a name; it is never alone, and the bus cannot tell who else is there."""
        site = Site(clock)
        assert site.bus().leavesProcess is True
        link, _ = site.link()
        assert link.isAlone is False
        assert link.serverNames() is None

    @pytest.mark.parametrize("urls", [[], ["http://h"], ["redis://:hunter2@h:port"]])
    def test_faultyUrls(self, clock: Clock, urls: list[str]) -> None:
        """Faulty URLs, and none at all, are refused, without a password in the sentence."""
        with pytest.raises(ValueError) as fault:
            Site(clock).bus(urls=urls)
        assert "hunter2" not in str(fault.value)

    def test_oneServerTwice(self, clock: Clock) -> None:
        """Each packet would come twice, so one server cannot be named twice, whatever the rest of the URL is."""
        with pytest.raises(ValueError, match="redis://u@a:6379/1 and redis://a:6379 are one Redis"):
            Site(clock).bus(urls=["redis://A:6379", "redis://u:secret@a/1"])

    def test_strategy(self, clock: Clock) -> None:
        """An unknown strategy is refused."""
        with pytest.raises(ValueError, match="'slowest'"):
            Site(clock).bus(strategy="slowest")


class TestConnecting:
    def test_health(self, clock: Clock) -> None:
        """A link is healthy once it can publish and hear; each change is told."""
        site = Site(clock)
        receiver = Receiver("node")
        link = site.bus().attach(receiver, clock, site.counters)
        assert not link.isHealthy
        link.start()
        site.flush()
        assert link.isHealthy
        assert states(receiver) == UP
        assert (link.redisCount(), link.healthyCount("publisher"), link.healthyCount("subscriber")) == (1, 1, 1)
        site.only.kill()
        site.flush()
        assert not link.isHealthy
        assert states(receiver) == [(role, False, "it closed the connection") for role in ("publisher", "subscriber")]
        assert (link.redisCount(), link.healthyCount("publisher"), link.healthyCount("subscriber")) == (1, 0, 0)

    def test_change(self, clock: Clock) -> None:
        """A change names the URL without its password, and how many are healthy now."""
        site = Site(clock, "ab", urls=["redis://u:secret@a", "redis://b:6379/0"])
        site.redis["a"].password = "secret"
        _, receiver = site.link()
        assert {change.url for change in receiver.changes} == {"redis://u@a:6379", "redis://b:6379"}
        healthy = {"publisher": 0, "subscriber": 0}
        for change in receiver.changes:
            healthy[change.role] += 1
            assert change.counts == healthy
        assert healthy == {"publisher": 2, "subscriber": 2}
        assert [change.gap for change in receiver.changes] == [None] * 4

    def test_greeting(self, clock: Clock) -> None:
        """Password, user and database are given on both connections, before anything else."""
        site = Site(clock, urls=["redis://sam:s%40cret@a/3"])
        site.only.password = "s@cret"
        site.link()
        for word in (b"AUTH", b"SELECT"):
            assert site.only.count(word.decode()) == 2
        assert site.only.commands[:2] == [[b"AUTH", b"sam", b"s@cret"]] * 2
        assert [b"SELECT", b"3"] in site.only.commands
        assert site.links[0].isHealthy

    def test_passwordAlone(self, clock: Clock) -> None:
        """Without a user the password goes alone."""
        site = Site(clock, urls=["redis://:secret@a"])
        site.only.password = "secret"
        site.link()
        assert site.only.commands[0] == [b"AUTH", b"secret"]
        assert site.links[0].isHealthy

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            ({"isDown": True}, "it refuses the connection"),
            ({"isUnreachable": True}, "there is no connection within 2 seconds"),
            ({"isFrozen": True}, "it has not answered for 2 seconds"),
            ({"password": "other"}, "it answers AUTH with 'WRONGPASS invalid username-password pair'"),
            ({"errors": {"SELECT": "ERR DB index is out of range"}}, "it answers SELECT with 'ERR DB index"),
            ({"errors": {"PING": "LOADING Redis is loading"}}, "it answers PING with 'LOADING Redis is loading'"),
            ({"errors": {"PING": "MASTERDOWN Link with MASTER is down"}}, "it answers PING with 'MASTERDOWN"),
            ({"errors": {"PING": "NOAUTH Authentication required."}}, "it answers PING with 'NOAUTH Auth"),
            ({"errors": {"AUTH": "ERR max number of clients reached"}}, "it answers AUTH with 'ERR max number"),
            ({"errors": {"AUTH": "ERR unknown command 'AUTH', with args beginning with: 'u' 'hunter2'"}}, "ERR"),
            ({"speaks": lambda data: b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "it is no Redis: it sends something else"),
            ({"speaks": lambda data: data}, "it is no Redis: it answers AUTH with something else"),
            ({"speaks": lambda data: b""}, "it has not answered for 2 seconds"),
            ({"speaks": lambda data: None}, "it closed the connection"),
            ({"speaks": lambda data: b"+OK\r\n+OK\r\n+PONG\r\n" * 3}, "it is no Redis: it says more than it is asked"),
            ({"speaks": lambda data: b"\xff\x00garbage\r\n"}, "it is no Redis: it sends something else"),
        ],
        # Without those of functions, whose addresses differ between the processes of one run.
        ids=lambda value: value if isinstance(value, str) else "-".join(value),
    )
    def test_heals(self, clock: Clock, fault: dict[str, Any], reason: str) -> None:
        """
        Whatever is wrong is told once, without the password; it is tried for ever, and within three seconds after it
        was mended everything works.
        """
        site = Site(clock, urls=["redis://u:hunter2@a/1"])
        site.only.password = "hunter2"
        was = {name: getattr(site.only, name) for name in fault}
        for name, value in fault.items():
            setattr(site.only, name, value)
        link, receiver = site.link()
        subscribed = result(link.subscribe("x"))
        site.advance(60.0)
        told = states(receiver)
        assert sorted(role for role, _, _ in told) == ["publisher", "subscriber"]
        for _, healthy, why in told:
            assert not healthy and reason in why and "hunter2" not in why
        assert 20 <= site.only.attempts <= 200
        for name, value in was.items():
            setattr(site.only, name, value)
        site.only.thaw()
        # An attempt that hangs is given two seconds.
        site.advance(3.0 if "2 seconds" not in reason else 5.0)
        assert link.isHealthy
        assert sorted(states(receiver)) == UP
        assert subscribed == [None]
        site.stop()

    @pytest.mark.parametrize("error", ["NOPERM this user has no permissions", "MISCONF Redis cannot write to disk"])
    def test_harmlessErrors(self, clock: Clock, error: str) -> None:
        """A Redis that forbids PING, or cannot write to its disk, carries packets all the same."""
        site = Site(clock)
        site.only.errors["PING"] = error
        link, receiver = site.link("node", "x")
        site.advance(30.0)
        assert link.isHealthy
        assert states(receiver) == UP

    def test_becomesUnfit(self, clock: Clock) -> None:
        """One that begins to answer pings with an error is left, and tried again."""
        site = Site(clock)
        link, receiver = site.link()
        states(receiver)
        site.only.errors["PING"] = "LOADING Redis is loading"
        site.advance(5.0)
        assert ("publisher", False, "it answers PING with 'LOADING Redis is loading'") in states(receiver)
        assert not link.isHealthy
        site.only.errors.clear()
        site.advance(3.0)
        assert link.isHealthy

    def test_backOff(self, clock: Clock) -> None:
        """The waits between attempts grow from a tenth of a second to two seconds, and are never the same."""
        waits = [delay(attempt, Random(attempt)) for attempt in range(1, 2000)]
        assert 0.05 <= waits[0] <= 0.1
        assert all(1.0 <= wait <= 2.0 for wait in waits[5:])
        assert len(set(waits)) == len(waits)

    def test_flapping(self, clock: Clock) -> None:
        """A Redis that takes connections and closes them at once is not asked all the time."""
        site = Site(clock)
        link, _ = site.link()
        before = site.only.attempts
        until = clock.seconds() + 60.0
        while clock.seconds() < until:
            site.only.drop()
            site.advance(0.01)
        assert site.only.attempts - before < 250

    def test_backAtOnce(self, clock: Clock) -> None:
        """After a single loss of a connection that had lasted, it is back within a tenth of a second."""
        site = Site(clock)
        link, _ = site.link("node", "x")
        for _ in range(5):
            site.advance(2.0)
            site.only.drop()
            site.advance(0.1)
            assert link.isHealthy

    def test_bothTogether(self, clock: Clock) -> None:
        """As soon as one connection is back, the other one is tried at once, whichever it is."""
        first = set()
        for seed in range(10):
            site = Site(clock, random=Random(seed))
            link, receiver = site.link("node", "x")
            site.only.kill()
            site.advance(30.0)
            states(receiver)
            site.only.isDown = False
            while not receiver.changes:
                site.advance(0.01)
            site.flush()
            first.add(receiver.changes[0].role)
            assert sorted(states(receiver)) == UP
            site.stop()
        assert first == {"publisher", "subscriber"}

    def test_reconnects(self, clock: Clock) -> None:
        """Each connection that was made again is counted."""
        site = Site(clock)
        site.link()
        assert site.counters["bus_reconnects"] == 0
        site.only.drop()
        site.advance(1.0)
        assert site.counters["bus_reconnects"] == 2
        site.only.drop(*site.only.subscribers)
        site.advance(1.0)
        assert site.counters["bus_reconnects"] == 3

    def test_socketOptions(self, clock: Clock) -> None:
        """Nagle's algorithm is off and keepalive on, where the transport has them."""
        site = Site(clock)
        options: list[tuple[str, bool]] = []
        connect = site.only.connect

        def withOptions(factory: Any) -> Any:
            FakeTransport.setTcpNoDelay = lambda _, on: options.append(("noDelay", on))  # type: ignore[attr-defined]
            FakeTransport.setTcpKeepAlive = lambda _, on: options.append(("keepAlive", on))  # type: ignore[attr-defined]
            try:
                return connect(factory)
            finally:
                del FakeTransport.setTcpNoDelay, FakeTransport.setTcpKeepAlive  # type: ignore[attr-defined]

        site.only.connect = withOptions  # type: ignore[method-assign]
        site.link()
        assert options == [("noDelay", True), ("keepAlive", True)] * 2


class TestPublishing:
    def test_oneWrite(self, clock: Clock) -> None:
        """All packets of one turn leave in one write, and in the order in which they were given."""
        site = Site(clock)
        link, _ = site.link()
        (publisher,) = site.only.publishers
        writes: list[bytes] = []
        write = publisher.transport.write
        publisher.transport.write = lambda data: (writes.append(data), write(data))  # type: ignore[method-assign,func-returns-value,assignment]
        for number in range(50):
            assert link.publish("x", b"%d" % number)
        assert writes == []
        site.flush()
        assert len(writes) == 1
        assert site.only.published == [("x", b"%d" % number) for number in range(50)]
        assert site.outcomes() == {"confirmed": 50}

    def test_unheard(self, clock: Clock) -> None:
        """If fewer heard it than had to, the difference is counted; if more did, nothing is."""
        site = Site(clock)
        link, _ = site.link("node", "x")
        link.publish("x", b"1", 3)
        link.publish("x", b"2", 1)
        link.publish("x", b"3")
        link.publish("y", b"4", 1)
        site.flush()
        assert site.counters["bus_unheard"] == 3
        assert site.outcomes() == {"confirmed": 4}

    def test_rejected(self, clock: Clock) -> None:
        """A packet that the Redis answers with an error is counted, and who waits is told; the link lives on."""
        site = Site(clock)
        link, _ = site.link()
        site.only.errors["PUBLISH"] = "NOPERM no permissions to access a channel"
        counted = result(link.publishCounted("x", b"1"))
        link.publish("x", b"2", 1)
        site.flush()
        (failure,) = counted
        assert failure.check(BusUnavailable)
        assert "NOPERM no permissions" in failure.getErrorMessage()
        assert site.outcomes() == {"rejected": 2}
        assert link.isHealthy
        site.only.errors.clear()
        link.publish("x", b"3")
        site.flush()
        assert site.outcomes() == {"rejected": 2, "confirmed": 1}

    @pytest.mark.parametrize("code", ["LOADING", "MASTERDOWN", "READONLY", "NOAUTH", "BUSY", "CLUSTERDOWN"])
    def test_unfit(self, clock: Clock, code: str) -> None:
        """A Redis that cannot carry anything now is left, and tried again."""
        site = Site(clock, maxWaitingSeconds=10.0)
        link, receiver = site.link()
        states(receiver)
        site.only.errors.update({"PUBLISH": f"{code} not now", "PING": f"{code} not now"})
        link.publish("x", b"1")
        site.flush()
        assert ("publisher", False, f"it answers PUBLISH with '{code} not now'") in states(receiver)
        link.publish("x", b"2")
        site.advance(3.0)
        site.only.errors.clear()
        site.advance(3.0)
        assert site.only.published == [("x", b"2")]
        assert site.outcomes() == {"rejected": 1, "confirmed": 1}

    def test_broken(self, clock: Clock) -> None:
        """
        What was sent on a connection that broke was perhaps delivered, and is not sent again; what was not sent yet
        waits for the next.
        """
        site = Site(clock)
        link, _ = site.link()
        site.only.isFrozen = True
        link.publish("x", b"1")
        counted = result(link.publishCounted("x", b"2"))
        site.flush()
        site.only.drop(*site.only.publishers)
        link.publish("x", b"3")
        later = result(link.publishCounted("x", b"4"))
        clock.advance(0)
        (failure,) = counted
        assert failure.check(BusUnavailable) and "perhaps it was" in failure.getErrorMessage()
        assert later == []
        site.only.isFrozen = False
        site.advance(1.0)
        assert site.only.published == [("x", b"3"), ("x", b"4")]
        assert later == [0]
        assert site.outcomes() == {"unconfirmed": 2, "confirmed": 2}

    def test_cancelled(self, clock: Clock) -> None:
        """Who does not want to know any more changes nothing."""
        site = Site(clock)
        link, _ = site.link()
        waiting = link.publishCounted("x", b"1")
        outcome = result(waiting)
        waiting.cancel()
        site.flush()
        assert outcome[0].check(CancelledError)
        assert site.outcomes() == {"confirmed": 1}

    def test_anyChannel(self, clock: Clock) -> None:
        """Channel names are any strings, those included that have no proper UTF-8."""
        site = Site(clock)
        names = ["", "\r\n", "\0", "größer", "\ud800", "*"]
        link, receiver = site.link("node", *names)
        for name in names:
            link.publish(name, b"1", 1)
        site.flush()
        assert receiver.came == [(name, b"1") for name in names]
        assert site.counters["bus_unheard"] == 0

    def test_stopsInside(self, clock: Clock) -> None:
        """Who is told may stop everything there and then."""
        site = Site(clock)
        link, _ = site.link()
        stopped: list[Any] = []
        link.publishCounted("x", b"1").addCallback(lambda _: link.stop().addBoth(stopped.append))
        link.publish("x", b"2")
        link.publish("x", b"3")
        site.flush()
        assert stopped == [None]
        assert site.outcomes() == {"confirmed": 3}


class TestWaiting:
    """While no Redis is healthy."""

    def test_sentLater(self, clock: Clock) -> None:
        """What is published then is sent when one is healthy, in its order, before everything that comes later."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        site.only.kill()
        site.flush()
        assert all(link.publish("x", b"%d" % number) for number in range(3))
        counted = result(link.publishCounted("x", b"3"))
        site.advance(1.0)
        assert receiver.came == []
        site.only.isDown = False
        site.advance(1.5)
        link.publish("x", b"4")
        site.flush()
        assert receiver.came == [("x", b"%d" % number) for number in range(5)]
        assert counted == [1]
        assert site.counters["bus_queued"] == 4
        assert site.outcomes() == {"confirmed": 5}

    def test_sayingSoMayPublish(self, clock: Clock) -> None:
        """What is published as soon as health is told comes after what has waited."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        site.only.kill()
        site.flush()
        link.publish("x", b"waited")
        receiver.healthChanged = lambda change: link.publish("x", b"new") if change.healthy else None  # type: ignore[method-assign]
        site.only.isDown = False
        site.advance(1.0)
        assert [packet for _, packet in receiver.came][:2] == [b"waited", b"new"]

    def test_tooLong(self, clock: Clock) -> None:
        """What has waited for too long is dropped, and who waits is told."""
        site = Site(clock)
        link, _ = site.link()
        site.only.kill()
        site.flush()
        assert link.publish("x", b"1")
        site.advance(1.0)
        counted = result(link.publishCounted("x", b"2"))
        site.advance(1.0)
        assert (site.outcomes(), counted) == ({"dropped_old": 1}, [])
        site.advance(1.0)
        assert site.outcomes() == {"dropped_old": 2}
        assert counted[0].check(BusUnavailable) and "dropped" in counted[0].getErrorMessage()
        site.only.isDown = False
        site.advance(3.0)
        assert site.only.published == []

    @pytest.mark.parametrize("limit", [{"maxWaitingPackets": 3}, {"maxWaitingBytes": 30}])
    def test_tooMuch(self, clock: Clock, limit: dict[str, int]) -> None:
        """What is more than may wait is dropped at once, and the sender is told."""
        site = Site(clock, **limit)
        link, _ = site.link()
        site.only.kill()
        site.flush()
        assert [link.publish("x", b"0123456789") for _ in range(5)] == [True] * 3 + [False] * 2
        (failure,) = result(link.publishCounted("x", b"0123456789"))
        assert failure.check(BusUnavailable) and "too many" in failure.getErrorMessage()
        assert site.outcomes() == {"dropped_full": 3}
        assert site.counters["bus_queued"] == 3

    def test_neverThere(self, clock: Clock) -> None:
        """From the start on, and before it, packets wait."""
        site = Site(clock)
        link = site.bus().attach(Receiver("node"), clock, site.counters)
        assert link.publish("x", b"1")
        link.start()
        site.flush()
        assert site.only.published == [("x", b"1")]

    def test_subscribedFirst(self, clock: Clock) -> None:
        """A Redis that is back is published on only when this node hears again what is published there."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        site.only.isFrozen = True
        site.only.drop()
        link.publish("x", b"1")
        site.flush()
        site.only.isFrozen = False
        site.advance(1.0)
        site.only.drop(*site.only.subscribers)
        site.flush()
        assert link.publish("x", b"2", 1)
        site.advance(1.0)
        assert receiver.came == [("x", b"1"), ("x", b"2")]
        assert site.counters["bus_unheard"] == 0

    def test_cannotSubscribe(self, clock: Clock) -> None:
        """Where this node cannot subscribe, it publishes all the same after a second, since others may hear it."""
        site = Site(clock)
        site.only.errors["SUBSCRIBE"] = "NOPERM this user has no permissions to run the 'subscribe' command"
        link, receiver = site.link()
        link.publish("x", b"1")
        site.advance(0.9)
        assert site.only.published == []
        site.advance(0.2)
        assert site.only.published == [("x", b"1")]
        assert link.publish("x", b"2")
        site.flush()
        assert site.outcomes() == {"confirmed": 2}
        assert not link.isHealthy
        assert ("subscriber", False, NO_SUBSCRIBE) in states(receiver)


NO_SUBSCRIBE = "it answers SUBSCRIBE with \"NOPERM this user has no permissions to run the 'subscribe' command\""


class TestSlowRedis:
    """One that does not read what it is sent."""

    @pytest.fixture(autouse=True)
    def limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(publisher, "MAX_UNSENT", 200_000)

    def test_bounded(self, clock: Clock) -> None:
        """Only so much waits for it; then packets are dropped, and the sender is told. When it reads, the rest goes."""
        site = Site(clock, pingTimeout=60.0)
        link, _ = site.link()
        (client,) = site.only.publishers
        client.stall()
        taken = 0
        for _ in range(100):
            taken += link.publish("x", b"x" * 10_000)
            site.flush()
        assert 20 <= taken <= 40
        assert len(client.transport.value()) < 200_000
        assert site.outcomes() == {"dropped_full": 100 - taken}
        client.flow()
        site.flush()
        assert site.outcomes() == {"dropped_full": 100 - taken, "confirmed": taken}
        link.publish("x", b"more")
        site.flush()
        assert len(site.only.published) == taken + 1

    def test_oneTurn(self, clock: Clock) -> None:
        """What is published in one turn is taken as a whole by a Redis that reads."""
        site = Site(clock)
        link, _ = site.link()
        assert all(link.publish("x", b"x" * 1000) for _ in range(1000))
        site.flush()
        assert site.outcomes() == {"confirmed": 1000}

    def test_lost(self, clock: Clock) -> None:
        """If it is lost, what it was never sent goes to another one."""
        site = Site(clock, "ab")
        link, receiver = site.link("node", "x")
        slow, other = (site.redis[name] for name in order("x", "ab"))
        (client,) = slow.publishers
        client.stall()
        for number in range(20):
            link.publish("x", b"%05d" % number + b"x" * 10_000)
            site.flush()
        slow.kill()
        site.flush()
        came = [int(packet[:5]) for _, packet in receiver.came]
        assert came == list(range(20 - len(came), 20)) and 10 <= len(came) < 20
        assert site.outcomes() == {"unconfirmed": 20 - len(came), "confirmed": len(came)}
        assert [channel for channel, _ in other.published] == ["x"] * len(came)


class TestSubscribing:
    def test_everywhere(self, clock: Clock) -> None:
        """A subscription is confirmed once every healthy Redis has confirmed it."""
        site = Site(clock, "ab")
        link, _ = site.link()
        site.redis["b"].latency = 1.0
        subscribed = result(link.subscribe("x"))
        site.flush()
        assert subscribed == []
        site.advance(1.0)
        assert subscribed == [None]
        assert site.redis["a"].channels() == site.redis["b"].channels() == {"x"}

    def test_whileNoneIsHealthy(self, clock: Clock) -> None:
        """While there is none, it waits until there is one."""
        site = Site(clock, "ab")
        for redis in site.redis.values():
            redis.isDown = True
        link, _ = site.link()
        subscribed = result(link.subscribe("x"))
        site.advance(10.0)
        assert subscribed == []
        site.redis["b"].isDown = False
        site.advance(3.0)
        assert subscribed == [None]

    def test_oneGoesMeanwhile(self, clock: Clock) -> None:
        """One that is lost is not waited for."""
        site = Site(clock, "ab")
        link, _ = site.link()
        site.redis["b"].isFrozen = True
        subscribed = result(link.subscribe("x"))
        site.flush()
        assert subscribed == []
        site.redis["b"].kill()
        site.flush()
        assert subscribed == [None]

    def test_again(self, clock: Clock) -> None:
        """What is subscribed already is confirmed at once, and is not asked for again."""
        site = Site(clock)
        link, _ = site.link("node", "x")
        before = site.only.count("SUBSCRIBE")
        assert result(link.subscribe("x")) == [None]
        both = [result(link.subscribe("y")), result(link.subscribe("y"))]
        site.flush()
        assert both == [[None], [None]]
        assert site.only.count("SUBSCRIBE") == before + 1

    def test_flapping(self, clock: Clock) -> None:
        """However fast it changes, in the end the subscription is what was said last."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        site.only.latency = 0.1
        for _ in range(5):
            link.unsubscribe("x")
            subscribed = result(link.subscribe("x"))
        link.subscribe("y").addErrback(lambda failure: failure.trap(BusUnavailable))
        link.unsubscribe("y")
        site.advance(1.0)
        assert subscribed == [None]
        assert site.only.channels() == {"x"}
        link.publish("x", b"1")
        link.publish("y", b"2")
        site.advance(1.0)
        assert receiver.came == [("x", b"1")]
        assert result(link.subscribe("y")) == []
        site.advance(1.0)
        assert site.only.channels() == {"x", "y"}

    def test_leftBeforeConfirmed(self, clock: Clock) -> None:
        """Who waits for a subscription that is given up is told."""
        site = Site(clock)
        link, _ = site.link()
        subscribed = result(link.subscribe("x"))
        assert result(link.unsubscribe("x")) == [None]
        assert subscribed[0].check(BusUnavailable)
        assert result(link.unsubscribe("never")) == [None]

    def test_nothingAfterUnsubscribe(self, clock: Clock) -> None:
        """Nothing comes after C{unsubscribe}, even if the Redis goes on to send."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        site.only.latency = 5.0
        link.unsubscribe("x")
        (subscriber,) = site.only.subscribers
        subscriber._arrive(b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n")
        assert receiver.came == []

    def test_restored(self, clock: Clock) -> None:
        """After a loss everything is subscribed again, in commands of 512 channels at most."""
        site = Site(clock)
        channels = [f"room:{number}" for number in range(2000)]
        link, receiver = site.link("node", *channels)
        assert site.only.channels() == set(channels)
        site.only.commands.clear()
        site.only.drop()
        site.flush()
        assert site.only.channels() == set()
        site.advance(1.0)
        assert site.only.channels() == set(channels)
        sizes = [len(words) - 1 for words in site.only.commands if words[0] == b"SUBSCRIBE"]
        assert sizes == [512, 512, 512, 465]
        link.publish("room:1999", b"1", 1)
        site.flush()
        assert receiver.came == [("room:1999", b"1")]

    def test_healthyOnceConfirmed(self, clock: Clock) -> None:
        """A subscriber is healthy only when the last of its subscriptions is confirmed."""
        site = Site(clock)
        link, receiver = site.link("node", *[f"room:{number}" for number in range(600)])
        site.advance(2.0)
        site.only.drop()
        site.flush()
        states(receiver)
        site.only.latency = 0.2
        site.advance(0.1 + 0.2 + 0.05)
        late = result(link.subscribe("late"))
        site.advance(0.1)
        assert (states(receiver), link.isHealthy) == ([UP[0]], False)
        site.advance(0.3)
        assert (states(receiver), link.isHealthy) == ([UP[1]], True)
        assert late == [None]

    def test_leftMeanwhile(self, clock: Clock) -> None:
        """What was left while the Redis was away is not subscribed again."""
        site = Site(clock)
        link, _ = site.link("node", "x", "y")
        site.only.kill()
        site.flush()
        link.unsubscribe("x")
        site.only.isDown = False
        site.advance(3.0)
        assert site.only.channels() == {"y"}

    def test_leftWhileRestoring(self, clock: Clock) -> None:
        """What is left while it is being subscribed again keeps nothing from being healthy."""
        site = Site(clock)
        link, _ = site.link("node", "x")
        site.advance(2.0)
        site.only.forbidden.add("x")
        site.only.drop()
        site.advance(0.05)
        site.only.latency = 0.2
        site.advance(0.3)
        link.unsubscribe("x")
        site.advance(1.0)
        assert link.isHealthy
        assert site.only.channels() == set()


class TestRefusedSubscriptions:
    def test_others(self, clock: Clock) -> None:
        """A channel that the Redis does not allow is told once, and tried again; the others live on."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        site.only.forbidden.add("y")
        subscribed = result(link.subscribe("y"))
        site.advance(30.0)
        ((channel, reason),) = receiver.refused
        assert channel == "y" and isinstance(reason, BusUnavailable) and "NOPERM" in str(reason)
        assert subscribed == []
        assert link.healthyCount("subscriber") == 1
        link.publish("x", b"1", 1)
        site.flush()
        assert receiver.came == [("x", b"1")]
        assert 15 <= site.only.count("SUBSCRIBE") <= 60
        site.only.forbidden.clear()
        site.advance(2.0)
        assert subscribed == [None]
        link.publish("y", b"2", 1)
        site.flush()
        assert receiver.came == [("x", b"1"), ("y", b"2")]

    def test_notHealthy(self, clock: Clock) -> None:
        """While one is refused, this node does not hear everything."""
        site = Site(clock)
        link, _ = site.link("node", "x")
        site.only.forbidden.add("y")
        link.subscribe("y")
        site.flush()
        assert not link.isHealthy
        site.only.forbidden.clear()
        site.advance(2.0)
        assert link.isHealthy

    def test_oneOfMany(self, clock: Clock) -> None:
        """Where many are subscribed by one command, one that is refused does not keep the others away."""
        site = Site(clock)
        channels = [f"room:{number}" for number in range(100)]
        link, receiver = site.link("node", *channels)
        site.only.forbidden.add("room:7")
        site.only.drop()
        site.advance(1.0)
        assert site.only.channels() == set(channels) - {"room:7"}
        assert [channel for channel, _ in receiver.refused] == ["room:7"]
        site.only.forbidden.clear()
        site.advance(2.0)
        assert site.only.channels() == set(channels)
        assert link.isHealthy

    def test_toldAgain(self, clock: Clock) -> None:
        """It is told again when it was allowed in between."""
        site = Site(clock)
        link, receiver = site.link("node")
        for _ in range(2):
            site.only.forbidden.add("x")
            site.only.drop()
            site.advance(3.0)
            link.subscribe("x")
            site.flush()
            site.only.forbidden.clear()
            site.advance(3.0)
        assert [channel for channel, _ in receiver.refused] == ["x", "x"]

    def test_given(self, clock: Clock) -> None:
        """One that is given up is not tried any more."""
        site = Site(clock)
        link, _ = site.link()
        site.only.forbidden.add("x")
        link.subscribe("x").addErrback(lambda failure: failure.trap(BusUnavailable))
        site.advance(3.0)
        link.unsubscribe("x")
        site.advance(3.0)
        before = site.only.count("SUBSCRIBE")
        site.advance(30.0)
        assert site.only.count("SUBSCRIBE") == before
        assert link.isHealthy

    def test_probeChannel(self, clock: Clock) -> None:
        """Where only the channel of probes is refused, everything else works, and pings do what they can."""
        site = Site(clock)
        link, receiver = site.link("node", "x", random=Random(2))
        (subscriber,) = site.only.subscribers
        probe = next(channel for channel in subscriber.channels if channel.startswith(b"csbp-probe:"))
        site.only.forbidden.add(probe.decode())
        site.only.drop()
        site.advance(30.0)
        assert [channel for channel, _ in receiver.refused] == [probe.decode()]
        assert link.isHealthy
        assert site.counters["bus_deaf"] == 0
        site.only.isFrozen = True
        site.advance(10.0)
        assert link.healthyCount("subscriber") == 0

    def test_otherErrors(self, clock: Clock) -> None:
        """Any other error is one of the Redis, and not of the channel."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        states(receiver)
        site.only.errors["SUBSCRIBE"] = "ERR out of memory"
        link.subscribe("y")
        site.advance(1.0)
        assert ("subscriber", False, "it answers SUBSCRIBE with 'ERR out of memory'") in states(receiver)
        assert receiver.refused == []
        site.only.errors.clear()
        site.advance(3.0)
        assert site.only.channels() == {"x", "y"}


class TestHealth:
    def test_frozen(self, clock: Clock) -> None:
        """A Redis that stands still is noticed within two intervals, by both connections."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        states(receiver)
        site.only.isFrozen = True
        site.advance(10.0)
        assert sorted(states(receiver)) == [
            (role, False, "it has not answered for 2 seconds") for role in ("publisher", "subscriber")
        ]
        site.only.thaw()
        site.advance(3.0)
        assert link.isHealthy

    def test_unanswered(self, clock: Clock) -> None:
        """A packet that is not answered in time is noticed, too, without waiting for the next ping."""
        site = Site(clock, pingInterval=1000.0)
        link, receiver = site.link()
        site.only.isFrozen = True
        link.publish("x", b"1")
        site.advance(3.0)
        assert link.healthyCount("publisher") == 0
        assert site.outcomes() == {"unconfirmed": 1}

    def test_slowAnswers(self, clock: Clock) -> None:
        """Who answers slowly is not taken for dead as long as something comes."""
        site = Site(clock, pingInterval=0.5)
        link, receiver = site.link("node", "x")
        states(receiver)
        site.only.latency = 1.9
        for _ in range(40):
            link.publish("x", b"1")
            site.advance(0.25)
        assert states(receiver) == []

    def test_ownPause(self, clock: Clock) -> None:
        """A node that was itself frozen reads what has come before it takes anybody for dead."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        states(receiver)
        site.advance(4.9)
        link.publish("x", b"1")
        clock.advance(60.0)
        site.advance(5.0)
        assert states(receiver) == []
        assert receiver.came == [("x", b"1")]

    def test_deaf(self, clock: Clock) -> None:
        """A subscriber that is connected and hears nothing is cut, and made again, within two intervals."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        site.advance(21.0)
        states(receiver)
        site.only.isDeaf = True
        site.advance(8.0)
        assert site.counters["bus_deaf"] == 1
        assert states(receiver)[0] == ("subscriber", False, "it is connected, but nothing comes")
        site.only.isDeaf = False
        site.advance(3.0)
        assert link.isHealthy
        site.advance(30.0)
        assert site.counters["bus_deaf"] == 1

    def test_busyIsNotDeaf(self, clock: Clock) -> None:
        """As long as anything comes, a probe that is late says nothing."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        states(receiver)
        site.only.isDeaf = True
        for _ in range(60):
            (subscriber,) = site.only.subscribers
            subscriber.send(b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n")
            site.advance(0.5)
        assert states(receiver) == []
        assert site.counters["bus_deaf"] == 0

    def test_probesAreQuiet(self, clock: Clock) -> None:
        """Probes are no packets: nobody is told of them, and no counter counts them."""
        site = Site(clock)
        _, receiver = site.link("a", "x")
        site.link("b", "x")
        site.advance(100.0)
        assert receiver.came == []
        assert {name: count for name, count in site.counters.items() if count} == {}

    def test_gap(self, clock: Clock) -> None:
        """A subscriber that is healthy again says for how long it may have missed something."""
        site = Site(clock, pingInterval=1.0)
        link, receiver = site.link("node", "x")
        site.advance(2.0)
        site.only.drop(*site.only.subscribers)
        site.only.isDown = True
        site.advance(4.0)
        site.only.isDown = False
        site.advance(3.0)
        gaps = [(change.role, change.gap) for change in receiver.changes if change.healthy]
        assert gaps[:2] == [("publisher", None), ("subscriber", None)]
        ((role, gap),) = gaps[2:]
        assert role == "subscriber" and gap is not None and 4.0 <= gap <= 6.0
        assert site.counters["bus_gaps"] == 1

    def test_gapWhileRestoring(self, clock: Clock) -> None:
        """What comes before everything is subscribed again does not make the gap shorter."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        site.advance(6.0)
        site.only.latency = 1.0
        site.only.drop()
        site.advance(1.5)
        (subscriber,) = site.only.subscribers
        subscriber._arrive(b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n")
        assert len(receiver.came) == 1
        site.advance(2.0)
        (gap,) = [change.gap for change in receiver.changes if change.gap is not None]
        assert gap >= 3.0

    def test_gapOfTheDeaf(self, clock: Clock) -> None:
        """The gap begins with the last probe that came back, and not with the moment in which that was noticed."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        link.publish("x", b"1")
        site.advance(1.0)
        site.only.isDeaf = True
        while not site.counters["bus_deaf"]:
            site.advance(0.1)
        site.only.isDeaf = False
        site.advance(1.0)
        (gap,) = [change.gap for change in receiver.changes if change.gap is not None]
        assert gap >= 5.0

    def test_noPingsNeeded(self, clock: Clock) -> None:
        """Without C{forcePing} a connection is pinged only if nothing has come by it since the last interval."""

        def pings(**options: Any) -> int:
            site = Site(clock, **options)
            link, _ = site.link("node", "x")
            before = site.only.count("PING")
            for _ in range(20):
                link.publish("x", b"1")
                site.advance(5.0)
            site.stop()
            return site.only.count("PING") - before

        assert pings(forcePing=True) == 40
        assert pings(forcePing=False) == 0
        assert pings(forcePing=False, strategy="fastest") == 40

    def test_quietIsPinged(self, clock: Clock) -> None:
        """A dead connection is found without C{forcePing}, too."""
        site = Site(clock, forcePing=False)
        link, _ = site.link("node", "x")
        site.advance(7.0)
        site.only.isFrozen = True
        site.advance(10.0)
        assert link.healthyCount("publisher") == link.healthyCount("subscriber") == 0

    @pytest.mark.parametrize(
        "data", [b":1\r\n", b"+OK\r\n", b"*0\r\n", b"*3\r\n:1\r\n:2\r\n:3\r\n", b"$-1\r\n", b"-ERR no\r\n", b"HTTP/1.1"]
    )
    @pytest.mark.parametrize("role", ["publishers", "subscribers"])
    def test_outOfStep(self, clock: Clock, role: str, data: bytes) -> None:
        """Whoever says what nobody asked for is no Redis; the connection is made again."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        states(receiver)
        (client,) = getattr(site.only, role)
        client.send(data)
        site.flush()
        ((told, healthy, reason),) = states(receiver)
        assert (told + "s", healthy) == (role, False)
        assert "it is no Redis" in reason
        site.advance(1.0)
        assert link.isHealthy

    def test_answersNothing(self, clock: Clock) -> None:
        """An answer to PUBLISH that is no number is counted as an error."""
        site = Site(clock)
        link, _ = site.link()
        (client,) = site.only.publishers
        client._publish = lambda *words: b"+OK\r\n"
        counted = result(link.publishCounted("x", b"1"))
        site.flush()
        assert counted[0].check(BusUnavailable)
        assert site.outcomes() == {"rejected": 1}

    def test_twins(self, clock: Clock) -> None:
        """Two URLs that lead to one Redis are noticed, and said once: each packet comes twice."""
        site = Site(clock, "ab")
        site.redis["b"] = site.redis["a"]
        said: list[Any] = []
        globalLogPublisher.addObserver(said.append)
        try:
            site.link()
            site.advance(30.0)
        finally:
            globalLogPublisher.removeObserver(said.append)
        lines = [formatEvent(event) for event in said if event["log_namespace"].startswith("twisted_crossws")]
        (line,) = lines
        assert "redis://a:6379" in line and "b:6379" in line or "redis://b:6379" in line and "a:6379" in line


class TestSeveral:
    """Several Redis servers."""

    def channelsBy(self, site: Site, link: Any, names: list[str]) -> dict[str, set[str]]:
        """Where a packet of each channel goes now."""
        for redis in site.redis.values():
            redis.published.clear()
        for name in names:
            assert link.publish(name, b"1")
        site.flush()
        return {server: {channel for channel, _ in redis.published} for server, redis in site.redis.items()}

    def test_pinned(self, clock: Clock) -> None:
        """Each channel has its own, for every node the same."""
        site = Site(clock, "abc")
        names = [f"room:{number}" for number in range(300)]
        first = self.channelsBy(site, site.link("one")[0], names)
        assert all(50 < len(channels) < 150 for channels in first.values())
        assert sum(map(len, first.values())) == 300
        assert self.channelsBy(site, site.link("two")[0], names) == first

    def test_movesAndReturns(self, clock: Clock) -> None:
        """Only the channels of one that fails move, and they come back a little after it does."""
        site = Site(clock, "abc")
        names = [f"room:{number}" for number in range(60)]
        link, receiver = site.link("node", *names)
        before = self.channelsBy(site, link, names)
        site.redis["b"].kill()
        site.flush()
        moved = self.channelsBy(site, link, names)
        assert moved["b"] == set()
        assert moved["a"] > before["a"] and moved["c"] > before["c"]
        site.redis["b"].isDown = False
        site.advance(2.0)
        assert link.healthyCount("publisher") == link.healthyCount("subscriber") == 3
        assert self.channelsBy(site, link, names) == moved
        site.advance(3.0)
        assert self.channelsBy(site, link, names) == before
        assert len(receiver.came) == 240
        assert site.outcomes() == {"confirmed": 240}
        assert site.counters["bus_queued"] == 0

    def test_neededAtOnce(self, clock: Clock) -> None:
        """One that is back serves at once if it is the only one, and also if the other fails meanwhile."""
        site = Site(clock, "ab")
        link, _ = site.link("node", "x")
        site.redis["a"].kill()
        site.flush()
        site.redis["a"].isDown = False
        site.advance(1.0)
        site.redis["b"].kill()
        site.flush()
        link.publish("x", b"1", 1)
        site.flush()
        assert site.redis["a"].published == [("x", b"1")]
        site.redis["a"].drop()
        link.publish("x", b"2", 1)
        site.advance(1.0)
        assert site.redis["a"].published == [("x", b"1"), ("x", b"2")]
        assert site.counters["bus_unheard"] == 0

    def test_healthOfOne(self, clock: Clock) -> None:
        """If one is not heard, others may still publish there, so this node does not hear everything."""
        site = Site(clock, "ab")
        link, _ = site.link("node", "x")
        site.redis["a"].kill()
        site.flush()
        assert not link.isHealthy
        site.redis["a"].isDown = False
        site.advance(3.0)
        assert link.isHealthy

    def test_withoutSubscriber(self, clock: Clock) -> None:
        """One that this node is not subscribed at is not published on while there is another, however long."""
        site = Site(clock, "ab")
        site.redis["a"].errors["SUBSCRIBE"] = "NOPERM no"
        link, _ = site.link("node")
        site.advance(60.0)
        names = [f"room:{number}" for number in range(20)]
        assert self.channelsBy(site, link, names)["a"] == set()
        site.redis["b"].kill()
        site.flush()
        assert self.channelsBy(site, link, names)["a"] == set(names)

    def test_roundRobin(self, clock: Clock) -> None:
        """C{round-robin}: one after the other, those left out that are not healthy."""
        site = Site(clock, "abc", strategy="round-robin")
        link, _ = site.link("node", "x")
        names = [str(number) for number in range(6)]
        assert list(self.channelsBy(site, link, names).values()) == [{"0", "3"}, {"1", "4"}, {"2", "5"}]
        site.redis["b"].kill()
        site.flush()
        assert [len(channels) for channels in self.channelsBy(site, link, names).values()] == [3, 0, 3]

    def test_random(self, clock: Clock) -> None:
        """C{random}: each of them now and then, whatever the channel."""
        site = Site(clock, "abc", strategy="random")
        link, _ = site.link("node", "x")
        for _ in range(300):
            link.publish("x", b"1", 1)
        site.flush()
        assert all(60 < len(redis.published) < 140 for redis in site.redis.values())

    def test_fastest(self, clock: Clock) -> None:
        """C{fastest}: the one that answers pings soonest."""
        site = Site(clock, "abc", strategy="fastest", pingInterval=1.0)
        for name, latency in zip("abc", (0.03, 0.01, 0.02), strict=True):
            site.redis[name].latency = latency
        link, _ = site.link("node", "x")
        site.advance(1.0)
        link.publish("x", b"1")
        site.redis["b"].latency = 0.2
        site.advance(10.0)
        link.publish("x", b"2")
        site.advance(1.0)
        assert [redis.published for redis in site.redis.values()] == [[], [("x", b"1")], [("x", b"2")]]


class TestAddRedis:
    def test_subscribedFirst(self, clock: Clock) -> None:
        """One more Redis is ready when everything is subscribed there, and then, after a while, is published on."""
        site = Site(clock, "ab", urls=["redis://a"])
        names = [f"room:{number}" for number in range(20)]
        link, receiver = site.link("node", *names)
        site.redis["b"].latency = 0.5
        added = result(link.addRedis("redis://b"))
        assert link.redisCount() == 2
        assert not link.isHealthy
        site.advance(0.9)
        assert added == []
        site.advance(0.2)
        assert added == [None]
        assert link.isHealthy
        assert site.redis["b"].channels() == set(names)
        site.redis["b"].latency = 0.0
        site.advance(5.0)
        for name in names:
            link.publish(name, b"1", 1)
        site.flush()
        assert 0 < len(site.redis["b"].published) < 20
        assert len(receiver.came) == 20

    def test_neverSubscribed(self, clock: Clock) -> None:
        """One that lets nobody subscribe is never published on, even if there is no other."""
        site = Site(clock, "ab", urls=["redis://a"])
        link, _ = site.link("node", "x")
        site.redis["b"].errors["SUBSCRIBE"] = "NOPERM no"
        added = result(link.addRedis("redis://b"))
        site.redis["a"].kill()
        for _ in range(10):
            link.publish("x", b"1")
            site.advance(1.0)
        assert site.redis["b"].published == []
        assert added == []
        site.redis["b"].errors.clear()
        site.advance(3.0)
        link.publish("x", b"2")
        site.flush()
        assert added == [None]
        assert site.redis["b"].published[-1] == ("x", b"2")

    @pytest.mark.parametrize("url", ["redis://a", "redis://:hunter2@a:6379/2", "http://b", "redis://:hunter2@b:x"])
    def test_faulty(self, clock: Clock, url: str) -> None:
        """A URL that is faulty, or of a server that is in use already, is refused at once."""
        site = Site(clock, "ab", urls=["redis://a"])
        link, _ = site.link()
        with pytest.raises(ValueError) as fault:
            link.addRedis(url)
        assert "hunter2" not in str(fault.value)
        assert link.redisCount() == 1

    def test_beforeStart(self, clock: Clock) -> None:
        """It can be added before the link is started."""
        site = Site(clock, "ab", urls=["redis://a"])
        link = site.bus().attach(Receiver("node"), clock, site.counters)
        added = result(link.addRedis("redis://b"))
        assert site.redis["b"].attempts == 0
        link.start()
        site.flush()
        assert added == [None]

    def test_stopped(self, clock: Clock) -> None:
        """If the link stops first, who waits is told."""
        site = Site(clock, "ab", urls=["redis://a"])
        link, _ = site.link()
        site.redis["b"].isDown = True
        added = result(link.addRedis("redis://b"))
        link.stop()
        assert added[0].check(BusUnavailable)


class TestStopping:
    def test_sends(self, clock: Clock) -> None:
        """What was published is sent and confirmed first; then nothing is left, and nothing is told."""
        site = Site(clock, "ab")
        link, receiver = site.link("node", "x")
        _, other = site.link("other", "x")
        states(receiver)
        for number in range(10):
            link.publish("x", b"%d" % number)
        counted = result(link.publishCounted("x", b"10"))
        stopped = result(link.stop())
        site.flush()
        assert stopped == [None]
        assert counted == [1]
        assert [packet for _, packet in other.came] == [b"%d" % number for number in range(11)]
        assert (receiver.came, states(receiver)) == ([], [])
        assert link.healthyCount("publisher") == link.healthyCount("subscriber") == 0
        assert not link.isHealthy
        site.stop()

    def test_notForLong(self, clock: Clock) -> None:
        """A Redis that does not confirm is waited for no longer than half a second."""
        site = Site(clock)
        link, _ = site.link("node", "x")
        site.only.isFrozen = True
        link.publish("x", b"1")
        counted = result(link.publishCounted("x", b"2"))
        stopped = result(link.stop())
        site.advance(0.4)
        assert stopped == []
        site.advance(0.1)
        site.flush()
        assert stopped == [None]
        assert counted[0].check(BusUnavailable)
        assert site.outcomes() == {"unconfirmed": 2}
        assert clock.getDelayedCalls() == []

    def test_insideDelivery(self, clock: Clock) -> None:
        """Whoever stops it when a packet comes hears nothing more, not even what has come together with that one."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        received = receiver.packetReceived

        def stop(channel: str, packet: bytes) -> None:
            received(channel, packet)
            link.stop()

        receiver.packetReceived = stop  # type: ignore[method-assign]
        (subscriber,) = site.only.subscribers
        subscriber.send(b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n" * 2)
        site.flush()
        assert receiver.came == [("x", b"1")]

    def test_breaksMeanwhile(self, clock: Clock) -> None:
        """If the connection breaks while it is waited for, there is nothing to wait for any more."""
        site = Site(clock)
        link, _ = site.link("node", "x")
        site.only.isFrozen = True
        link.publish("x", b"1")
        stopped = result(link.stop())
        site.flush()
        site.only.kill()
        site.flush()
        assert stopped == [None]
        assert site.outcomes() == {"unconfirmed": 1}
        assert clock.getDelayedCalls() == []

    def test_whileAway(self, clock: Clock) -> None:
        """What waits for a Redis is dropped, and everybody who waits is told."""
        site = Site(clock)
        site.only.isDown = True
        link, _ = site.link()
        link.publish("x", b"1")
        counted = result(link.publishCounted("x", b"2"))
        subscribed = result(link.subscribe("x"))
        assert result(link.stop()) == [None]
        assert counted[0].check(BusUnavailable) and "stopped" in counted[0].getErrorMessage()
        assert subscribed[0].check(BusUnavailable)
        assert site.outcomes() == {"dropped_stopped": 2}
        assert clock.getDelayedCalls() == []

    def test_afterwards(self, clock: Clock) -> None:
        """What is published then is dropped, and nothing can be subscribed."""
        site = Site(clock)
        link, _ = site.link()
        link.stop()
        site.flush()
        assert result(link.subscribe("x"))[0].check(BusUnavailable)
        assert link.publish("x", b"1") is False
        assert result(link.publishCounted("x", b"2"))[0].check(BusUnavailable)
        assert site.outcomes() == {"dropped_stopped": 2}

    @pytest.mark.parametrize("fault", ["isDown", "isUnreachable", "isFrozen"])
    def test_whileConnecting(self, clock: Clock, fault: str) -> None:
        """It can be stopped while it tries to connect."""
        site = Site(clock)
        setattr(site.only, fault, True)
        link, receiver = site.link()
        states(receiver)
        stopped = result(link.stop())
        site.flush()
        assert stopped == [None]
        assert states(receiver) == []
        assert clock.getDelayedCalls() == []

    def test_twice(self, clock: Clock) -> None:
        """Stopping again, or before starting, does nothing."""
        site = Site(clock)
        link = site.bus().attach(Receiver("node"), clock, site.counters)
        assert result(link.stop()) == [None]
        link.start()
        site.flush()
        first, second = result(link.stop()), result(link.stop())
        site.flush()
        assert first == second == [None]

    def test_again(self, clock: Clock) -> None:
        """A link that is started again hears what it was subscribed to, and begins its tale anew."""
        site = Site(clock)
        link, receiver = site.link("node", "x")
        link.stop()
        site.advance(5.0)
        states(receiver)
        link.start()
        site.flush()
        assert states(receiver) == UP
        assert [change.gap for change in receiver.changes] == []
        link.publish("x", b"1", 1)
        site.flush()
        assert receiver.came == [("x", b"1")]
        assert site.counters["bus_gaps"] == site.counters["bus_reconnects"] == 0


class Story:
    """What may happen to a link, step by step."""

    def __init__(self, clock: Clock) -> None:
        self.site = Site(clock, "ab", maxWaitingPackets=5)
        self.link, self.receiver = self.site.link("node", "x", "y")
        self.published = 0
        self.counted: list[list[Any]] = []

    def publish(self, step: int) -> None:
        self.link.publish("xy"[step % 2], b"%d" % self.published)
        self.published += 1

    def count(self, step: int) -> None:
        self.counted.append(result(self.link.publishCounted("xy"[step % 2], b"%d" % self.published)))
        self.published += 1

    def wait(self, step: int) -> None:
        self.site.advance((0.0, 0.05, 0.5, 3.0)[step % 4])

    def harm(self, step: int) -> None:
        redis = self.site.redis["ab"[step % 2]]
        harms: list[Any] = [
            redis.kill,
            redis.drop,
            lambda: redis.drop(*redis.publishers),
            lambda: redis.drop(*redis.subscribers),
            lambda: setattr(redis, "isFrozen", True),
            lambda: setattr(redis, "isDeaf", True),
            lambda: redis.errors.update(PUBLISH="NOPERM no"),
            lambda: redis.errors.update(PUBLISH="LOADING no"),
            lambda: redis.forbidden.add("y"),
        ]
        harms[step // 2 % len(harms)]()

    def mend(self, step: int) -> None:
        redis = self.site.redis["ab"[step % 2]]
        redis.isDown = redis.isDeaf = False
        redis.errors.clear()
        redis.forbidden.clear()
        redis.thaw()

    def tell(self, steps: list[tuple[str, int]]) -> None:
        for name, step in steps:
            getattr(self, name)(step)


STEPS = st.tuples(
    st.sampled_from(["publish", "publish", "publish", "count", "wait", "wait", "harm", "mend"]), st.integers(0, 17)
)


class TestStories:
    @settings(deadline=None, max_examples=200)
    @given(steps=st.lists(STEPS, max_size=60), stops=st.booleans())
    def test_everyPacketHasOneOutcome(self, steps: list[tuple[str, int]], stops: bool) -> None:
        """Whatever happens, each packet is counted once; in the end everything works, or nothing is left."""
        story = Story(Clock())
        story.tell(steps)
        site = story.site
        if not stops:
            for step in (0, 1):
                story.mend(step)
            site.advance(15.0)
            assert story.link.isHealthy
            assert all(redis.channels() == {"x", "y"} for redis in site.redis.values())
        site.stop()
        assert sum(site.outcomes().values()) == story.published
        assert all(len(told) == 1 for told in story.counted)

    @settings(deadline=None, max_examples=100)
    @given(steps=st.lists(STEPS, max_size=60))
    def test_noneTwice(self, steps: list[tuple[str, int]]) -> None:
        """Whatever happens, no packet comes twice, and of one channel those come in order that went by one Redis."""
        story = Story(Clock())
        story.tell(steps)
        story.site.advance(15.0)
        came = [packet for _, packet in story.receiver.came]
        assert len(came) == len(set(came))
        for redis in story.site.redis.values():
            for channel in "xy":
                sent = [int(packet) for name, packet in redis.published if name == channel]
                assert sent == sorted(sent)
        story.site.stop()


class TestNode:
    """A node on this bus: nothing that a Redis does, or fails to do, is a traceback in its log."""

    def node(self, site: Site) -> Node:
        node = Node("node", site.bus(), clock=site.clock)
        node.startService()
        site.flush()
        return node

    @pytest.mark.parametrize("seconds", [0.0, 0.25, 0.499, 0.5, 1.0])
    @pytest.mark.parametrize("fault", ["kill", "freeze", "none"])
    def test_stopped(self, clock: Clock, fault: str, seconds: float) -> None:
        """It can be stopped at every step of coming in, with a Redis or without."""
        site = Site(clock)
        node = self.node(site)
        joined = result(node.whenJoined())
        site.advance(seconds)
        if fault == "kill":
            site.only.kill()
        site.only.isFrozen = fault == "freeze"
        FakePeer(node, clock, socketId="sam")
        # A client that still waits at the door is in no room.
        node.rooms.join("room", "1", "sam").addErrback(lambda failure: failure.trap(NotConnected))
        node.rooms.leave("room", "1", "sam")
        node.rooms.join("other", "1", "sam").addErrback(lambda failure: failure.trap(NotConnected))
        site.advance(0.75)
        stopped = result(node.stopService())
        site.advance(3.0)
        assert stopped == [None]
        assert len(joined) == 1
        assert clock.getDelayedCalls() == []

    def test_withoutRedis(self, clock: Clock) -> None:
        """Without a Redis it serves its own clients, once it has waited for one."""
        site = Site(clock)
        site.only.isDown = True
        node = self.node(site)
        site.advance(node.config.node.join_timeout)
        peer = FakePeer(node, clock)
        node.clients.on("echo", lambda socket, payload: payload)
        peer.sendEvent("echo", 1, callbackId="1")
        assert node.clients.broadcast("said", 2) == 1
        site.flush()
        assert peer.takeFrames() == [Reply("1", 1), Event("said", 2)]
        assert not node.bus.isHealthy
        site.only.isDown = False
        site.advance(5.0)
        assert node.bus.isHealthy
        peer.leave()
        node.stopService()
        site.advance(1.0)

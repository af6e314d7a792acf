"""
The bus over real Redis servers, and their faults: whatever happens, no packet is lost without a trace.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.protocols.portforward import ProxyFactory

from tests.bus.test_promises import Receiver
from tests.integration.process import PATIENCE, pause, within
from tests.integration.redis import FaultyRedis, eventually, running
from tests.integration.test_command import makeCertificate
from twisted_crossws import BusUnavailable, HealthChange, redisBus
from twisted_crossws.cluster.gaps import GRACE
from twisted_crossws.cluster.outbox import Outbox
from twisted_crossws.errors import PacketError
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.numbers import HeardNumbers, Missed
from twisted_crossws.wire.packets import ForAll, PacketCodec

pytestmark = [pytest.mark.integration, pytest.mark.fates]
reactor: Any = _reactor

#: Quick enough for a test, and too long to be noticed where the machine is busy and nothing is at fault.
USUAL = {"pingInterval": 0.2, "pingTimeout": 10.0}

#: For a Redis that says nothing for a while.
QUICK = {"pingInterval": 0.2, "pingTimeout": 0.3}

#: What became of a packet, one way or another.
OUTCOMES = ("confirmed", "rejected", "unconfirmed", "dropped_full", "dropped_old", "dropped_stopped")

CHANNELS = [f"room:{number}" for number in range(20)]


class Timed(Receiver):
    """
    Remembers when it may have missed something, and what, by the numbers of what came.

    @ivar gaps: from when to when.
    @ivar link: its own.
    """

    link: Any

    def __init__(self, serverName: str) -> None:
        super().__init__(serverName)
        self.gaps: list[tuple[float, float]] = []
        self._codec = PacketCodec()
        self._grace = 0.0
        self._numbers = HeardNumbers(GRACE, lambda: reactor.seconds() + self._grace, lambda: None)

    def listen(self, channel: str) -> None:
        """From now on nothing on this channel should be missed."""
        self._grace = -60.0
        self._numbers.listen(channel)
        self._grace = 0.0
        # The one who publishes comes when that was so for long.
        self._numbers.met("life of a")

    def packetReceived(self, channel: str, packet: bytes) -> None:
        try:
            found = self._codec.decode(ForAll, packet)
        except PacketError:
            super().packetReceived(channel, packet)
        else:
            self._numbers.heardUntil = self.link.heardUntil
            self._numbers.received(channel, found.senderServer, found.incarnation, found.number)
            super().packetReceived(channel, found.data.encode())

    def missed(self) -> dict[str, Missed]:
        """What its application is told that it has missed, by channel, as soon as nothing can come late."""
        self._grace = GRACE
        return {each.channel: each for each in self._numbers.missed()}

    def healthChanged(self, change: HealthChange) -> None:
        super().healthChanged(change)
        if change.gap is not None:
            now = reactor.seconds()
            self.gaps.append((now - change.gap, now))


class Party:
    """
    Two nodes on a bus, both subscribed to all of L{CHANNELS}; the first one publishes.

    @ivar links: of both.
    @ivar receivers: of both.
    @ivar published: when each packet was; its number is its place. For one that had to wait: until when at the latest.
    """

    def __init__(self, bus: Any) -> None:
        self.counters = Counters()
        self.receivers = [Timed("a"), Timed("b")]
        # What the second one counts is not asked for.
        counters = [self.counters, Counters()]
        self.links = [
            bus.attach(receiver, reactor, each) for receiver, each in zip(self.receivers, counters, strict=True)
        ]
        for receiver, link in zip(self.receivers, self.links, strict=True):
            receiver.link = link
        self._outbox = Outbox("a", "life of a", self.links[0], PacketCodec(), self.counters, [])
        self.published: list[tuple[float, float]] = []
        self._loop = LoopingCall(self._publishSome)

    @property
    def isHealthy(self) -> bool:
        return all(link.isHealthy for link in self.links)

    async def start(self, channels: list[str] = CHANNELS) -> Party:
        """Connected, and subscribed."""
        for link in self.links:
            link.start()
        for link, receiver in zip(self.links, self.receivers, strict=True):
            for channel in channels:
                await link.subscribe(channel)
                receiver.listen(channel)
        await eventually(lambda: self.isHealthy, "both nodes are healthy")
        return self

    async def stop(self) -> None:
        for link in self.links:
            await link.stop()

    def publish(self, count: int = 1) -> None:
        """The next numbers, each on the next channel."""
        for _ in range(count):
            number, now, waited = len(self.published), reactor.seconds(), self.counters["bus_queued"]
            self._outbox.publish(CHANNELS[number % len(CHANNELS)], ForAll(str(number), "a"), 2)
            self.published.append((now, now + 2.0 * (self.counters["bus_queued"] - waited)))

    def begin(self) -> None:
        """Publish 1000 packets each second."""
        self._loop.start(0.01)

    def end(self) -> None:
        """Publish no more."""
        self._loop.stop()

    def _publishSome(self) -> None:
        self.publish(10)

    def outcomes(self) -> dict[str, int]:
        return {name: self.counters[f"bus_{name}"] for name in OUTCOMES if self.counters[f"bus_{name}"]}

    async def settled(self, promised: float = 3.0) -> None:
        """Everything works, and everything that was published has come, or is accounted for."""
        await eventually(lambda: self.isHealthy, "both nodes are healthy", promised)
        # What is published before the loss of a connection is noticed does not come.
        async with within(1.0, "a packet on each channel comes"):
            while not await self._aRoundComes():
                pass
        await eventually(lambda: sum(self.outcomes().values()) == len(self.published), "every packet has an outcome")

    async def _aRoundComes(self) -> bool:
        before = len(self.published)
        self.publish(len(CHANNELS))
        last = {b"%d" % number for number in range(before, len(self.published))}
        await pause(0.1)
        return all(last <= {packet for _, packet in receiver.came} for receiver in self.receivers)

    def account(self, moved: bool = False) -> int:
        """
        Nothing came twice, or in a wrong order. What did not come, its receiver knows, exactly, and when that was; and
        it was in an interruption of its own subscription, or its sender has counted it.

        @param moved: channels have moved from one Redis to another, and order is none of the promises then.
        @return: how many did not come, of both nodes.
        """
        assert sum(self.outcomes().values()) == len(self.published)
        lost = sum(count for name, count in self.outcomes().items() if name != "confirmed")
        missing = 0
        for receiver in self.receivers:
            numbers = [int(packet) for _, packet in receiver.came]
            assert len(set(numbers)) == len(numbers)
            for channel in CHANNELS:
                own = [int(packet) for name, packet in receiver.came if name == channel]
                assert moved or own == sorted(own)
            absent = sorted(set(range(len(self.published))) - set(numbers))
            unexplained = [number for number in absent if not self._isInGap(receiver, number)]
            assert len(unexplained) <= lost, (unexplained, self.outcomes(), receiver.gaps)
            missing += len(absent)
            self._isKnown(receiver, absent)
        assert self.counters["bus_unheard"] <= missing
        return missing

    def _isKnown(self, receiver: Timed, absent: list[int]) -> None:
        missed = receiver.missed()
        lost: dict[str, list[int]] = {}
        for number in absent:
            lost.setdefault(CHANNELS[number % len(CHANNELS)], []).append(number)
        assert {channel: each.count for channel, each in missed.items()} == {
            channel: len(numbers) for channel, numbers in lost.items()
        }
        for channel, numbers in lost.items():
            assert missed[channel].since <= self.published[numbers[0]][1]

    def _isInGap(self, receiver: Timed, number: int) -> bool:
        earliest, latest = self.published[number]
        # A packet leaves in the turn after it was published, and is then under way.
        return any(begin - 0.05 <= latest and earliest <= end for begin, end in receiver.gaps)


def onRedis(*urls: str, **options: Any) -> Party:
    """Two nodes on Redis servers."""
    return Party(redisBus(urls, **{**USUAL, **options}))


@pytest.fixture
def other() -> Iterator[FaultyRedis]:
    with running() as redis:
        yield redis


@pytest_twisted.async_yield_fixture
async def parties() -> AsyncIterator[list[Party]]:
    """Those that are to be stopped at the end."""
    found: list[Party] = []
    yield found
    for party in found:
        await party.stop()


@pytest.fixture
def begin(parties: list[Party]) -> Callable[..., Deferred[Party]]:
    """Makes two nodes that are connected."""

    def connect(*urls: str, **options: Any) -> Deferred[Party]:
        party = onRedis(*urls, **options)
        parties.append(party)
        return Deferred.fromCoroutine(party.start())

    return connect


Begin = Callable[..., Deferred[Party]]


class TestDelivery:
    @pytest_twisted.ensureDeferred
    async def test_tenThousand(self, redis: FaultyRedis, begin: Begin) -> None:
        """Ten thousand packets come to both nodes, each channel's in its order."""
        party = await begin(redis.url)
        party.publish(10_000)
        for receiver in party.receivers:
            await eventually(lambda r=receiver: len(r.came) == 10_000, "everything came")  # type: ignore[misc]
        await eventually(lambda: party.outcomes() == {"confirmed": 10_000}, "everything is confirmed")
        assert party.account() == 0
        assert redis.channels() == set(CHANNELS)

    @pytest_twisted.ensureDeferred
    async def test_anyBytes(self, redis: FaultyRedis, begin: Begin) -> None:
        """Packets are bytes, large ones too; C{publishCounted} says how many subscribers there are."""
        party = await begin(redis.url)
        sender, other = party.links
        packets = [b"", b"007", b"\xff\x00\r\n", bytes(range(256)) * 40_000]
        for packet in packets:
            assert await sender.publishCounted("room:1", packet) == 2
        assert await sender.publishCounted("nobody", b"") == 0
        (receiver,) = party.receivers[1:]
        await eventually(lambda: len(receiver.came) == 4, "everything came")
        assert [packet for _, packet in receiver.came] == packets

    @pytest_twisted.ensureDeferred
    async def test_manyChannels(self, redis: FaultyRedis, begin: Begin) -> None:
        """Thousands of subscriptions are restored; those that were left meanwhile are not."""
        party = await begin(redis.url)
        (link, _) = party.links
        names = [f"many:{number}" for number in range(5000)]
        for waiting in [link.subscribe(name) for name in names]:
            await waiting
        redis.command("CLIENT", "KILL", "TYPE", "pubsub")
        for name in names[:1000]:
            await link.unsubscribe(name)
        await party.settled()
        assert redis.channels() == {*CHANNELS, *names[1000:]}


class TestFaults:
    @pytest_twisted.ensureDeferred
    async def test_killedSubscribers(self, redis: FaultyRedis, begin: Begin) -> None:
        """C{CLIENT KILL TYPE pubsub} twenty times under traffic."""
        party = await begin(redis.url)
        party.begin()
        for _ in range(20):
            await pause(0.1)
            redis.command("CLIENT", "KILL", "TYPE", "pubsub")
        await pause(0.2)
        party.end()
        await party.settled()
        assert party.account() > 0
        assert party.counters["bus_gaps"] >= 5
        assert party.counters["bus_reconnects"] >= 5
        assert redis.channels() == set(CHANNELS)

    @pytest_twisted.ensureDeferred
    async def test_killedPublishers(self, redis: FaultyRedis, begin: Begin) -> None:
        """The same with the connections that publish."""
        party = await begin(redis.url)
        party.begin()
        for _ in range(10):
            await pause(0.1)
            redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await pause(0.2)
        party.end()
        await party.settled()
        party.account()
        assert party.counters["bus_gaps"] == 0
        assert party.counters["bus_queued"] > 0

    @pytest_twisted.ensureDeferred
    async def test_killedRedis(self, redis: FaultyRedis, begin: Begin) -> None:
        """SIGKILL under traffic, and back, empty, after two seconds: everything works within three seconds."""
        party = await begin(redis.url)
        party.begin()
        await pause(0.3)
        redis.kill()
        await pause(2.0)
        assert not any(link.isHealthy for link in party.links)
        redis.start()
        async with within(3.5, "everything works"):
            await eventually(lambda: party.isHealthy, "both nodes are healthy", 3.0)
            party.end()
            await party.settled()
        assert party.account() > 0
        assert party.outcomes()["dropped_full"] > 0
        assert party.counters["bus_gaps"] == 1
        assert redis.channels() == set(CHANNELS)

    @pytest_twisted.ensureDeferred
    async def test_restarted(self, redis: FaultyRedis, begin: Begin) -> None:
        """SIGKILL, and back at once: hardly anything is missed, and nobody is left out."""
        party = await begin(redis.url)
        party.begin()
        await pause(0.3)
        redis.kill()
        redis.start()
        await pause(0.5)
        party.end()
        await party.settled()
        party.account()
        assert redis.channels() == set(CHANNELS)

    @pytest_twisted.ensureDeferred
    async def test_frozenRedis(self, redis: FaultyRedis, begin: Begin) -> None:
        """SIGSTOP for several intervals: both connections notice; what was under way is delivered, or not, once."""
        party = await begin(redis.url, **QUICK)
        party.begin()
        await pause(0.3)
        redis.freeze()
        async with within(1.0, "both notice"):
            for role in ("publisher", "subscriber"):
                await eventually(lambda r=role: party.links[1].healthyCount(r) == 0, f"the {role} notices")  # type: ignore[misc]
        await pause(1.0)
        redis.thaw()
        await eventually(lambda: party.isHealthy, "both nodes are healthy", 4.0)
        party.end()
        await party.settled()
        party.account()
        assert party.outcomes()["unconfirmed"] > 0
        assert redis.channels() == set(CHANNELS)

    @pytest_twisted.ensureDeferred
    async def test_pausedClients(self, redis: FaultyRedis, begin: Begin) -> None:
        """A Redis that answers nobody for a while."""
        party = await begin(redis.url, **QUICK)
        party.begin()
        redis.command("CLIENT", "PAUSE", "800")
        await pause(1.0)
        await eventually(lambda: party.isHealthy, "both nodes are healthy", 4.0)
        party.end()
        await party.settled()
        party.account()

    @pytest_twisted.ensureDeferred
    async def test_oneOfTwo(self, redis: FaultyRedis, other: FaultyRedis, begin: Begin) -> None:
        """One of two is killed: its channels move to the other one, and come back some time after it does."""
        party = await begin(redis.url, other.url)
        assert redis.channels() == other.channels() == set(CHANNELS)
        party.begin()
        await pause(0.3)
        redis.kill()
        await pause(0.5)
        assert not party.isHealthy
        before = len(party.published)
        await pause(0.3)
        redis.start()
        await eventually(lambda: party.isHealthy, "both nodes are healthy", 3.0)
        await eventually(lambda: _isUsed(redis), "the channels are back", 4.0)
        await pause(0.3)
        party.end()
        await party.settled()
        party.account(moved=True)
        # All that was published since the other one has taken over came.
        for receiver in party.receivers:
            assert {b"%d" % number for number in range(before, len(party.published))} <= {p for _, p in receiver.came}
        assert party.counters["bus_unheard"] == 0
        assert party.outcomes().keys() <= {"confirmed", "unconfirmed"}
        assert redis.channels() == other.channels() == set(CHANNELS)

    @pytest_twisted.ensureDeferred
    async def test_added(self, redis: FaultyRedis, other: FaultyRedis, begin: Begin) -> None:
        """A Redis that is added under traffic is published on once everything is subscribed there."""
        party = await begin(redis.url)
        party.begin()
        for link in party.links:
            await link.addRedis(other.url)
        assert other.channels() == set(CHANNELS)
        await eventually(lambda: _isUsed(other), "it is published on", 4.0)
        party.end()
        await party.settled()
        assert party.account(moved=True) == 0

    @pytest_twisted.ensureDeferred
    async def test_tooManyClients(self, redis: FaultyRedis, begin: Begin) -> None:
        """A Redis with too many clients is tried until it has room."""
        party = await begin(redis.url)
        redis.command("CONFIG", "SET", "maxclients", "6")
        redis.command("CLIENT", "KILL", "TYPE", "pubsub")
        taken = [socket.create_connection(("127.0.0.1", redis.port), PATIENCE)]
        # Until there is no room left: how much there is depends on how soon Redis forgets a connection that has ended.
        while _isLetIn(taken[-1]):
            taken.append(socket.create_connection(("127.0.0.1", redis.port), PATIENCE))
        await eventually(lambda: _said(party, "max number of clients reached"), "it is said", 3.0)
        for each in taken:
            each.close()
        await party.settled(3.0)
        assert redis.channels() == set(CHANNELS)

    @pytest_twisted.ensureDeferred
    async def test_stoppedUnderTraffic(self, redis: FaultyRedis, parties: list[Party]) -> None:
        """Stopping sends what was published, and leaves nothing at the Redis."""
        party = await onRedis(redis.url).start()
        party.publish(1000)
        await party.stop()
        assert party.outcomes() == {"confirmed": 1000}
        assert redis.command("PUBSUB", "CHANNELS") == []
        assert len(redis.command("CLIENT", "LIST").splitlines()) == 1


class TestLogin:
    """How a node is let in, and what is said if it is not."""

    @pytest_twisted.ensureDeferred
    async def test_password(self, begin: Begin) -> None:
        """A password, without a user, and a database."""
        with running("--requirepass", "s/cret:@") as redis:
            redis.password = "s/cret:@"
            party = await begin(f"redis://:s%2Fcret%3A%40@127.0.0.1:{redis.port}/7")
            party.publish(100)
            await party.settled()
            assert party.account() == 0
            assert redis.command("CLIENT", "LIST").count(" db=7 ") == 4
            await party.stop()

    @pytest_twisted.ensureDeferred
    async def test_user(self, redis: FaultyRedis, begin: Begin) -> None:
        """A user that may do nothing but publish and subscribe."""
        redis.command("ACL", "SETUSER", "sam", "on", ">pass", "allchannels", "-@all", "+publish", "+subscribe")
        redis.command("ACL", "SETUSER", "sam", "+unsubscribe")
        party = await begin(f"redis://sam:pass@127.0.0.1:{redis.port}")
        party.publish(100)
        await pause(1.0)
        await party.settled()
        assert party.account() == 0
        assert party.counters["bus_reconnects"] == 0

    @pytest_twisted.ensureDeferred
    async def test_channelsOfUser(self, redis: FaultyRedis, parties: list[Party]) -> None:
        """A channel that the user may not use harms no other; once it is allowed, it is subscribed by itself."""
        user = ("ACL", "SETUSER", "sam", "on", ">pass", "+@all", "resetchannels", "&room:*", "&csbp-probe:*")
        redis.command(*user)
        party = onRedis(f"redis://sam:pass@127.0.0.1:{redis.port}")
        parties.append(party)
        await party.start()
        link, receiver = party.links[0], party.receivers[0]
        subscribed: list[Any] = []
        link.subscribe("secret").addBoth(subscribed.append)
        await eventually(lambda: receiver.refused, "it is refused")
        ((channel, reason),) = receiver.refused
        assert channel == "secret" and "NOPERM" in str(reason)
        with pytest.raises(BusUnavailable, match="NOPERM"):
            await link.publishCounted("secret", b"1")
        # Subscribed by one command with all the others, it is found among them.
        redis.command("CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(lambda: party.counters["bus_reconnects"] == 1, "it is connected again")
        await eventually(lambda: link.healthyCount("subscriber") == 1, "the others are subscribed")
        assert redis.channels() == set(CHANNELS)
        assert subscribed == [] and not link.isHealthy
        redis.command("ACL", "SETUSER", "sam", "allchannels")
        await eventually(lambda: subscribed == [None], "it is subscribed", 3.0)
        assert link.isHealthy
        assert redis.channels() == {*CHANNELS, "secret"}

    @pytest_twisted.ensureDeferred
    async def test_wrongPassword(self, redis: FaultyRedis, parties: list[Party]) -> None:
        """A wrong password is said, without itself; it is tried until it is right."""
        redis.command("CONFIG", "SET", "requirepass", "right")
        redis.password = "right"
        party = onRedis(f"redis://:hunter2@127.0.0.1:{redis.port}")
        parties.append(party)
        for link in party.links:
            link.start()
        waiting = party.links[0].subscribe("room:1")
        await eventually(lambda: _said(party, "WRONGPASS"), "it is said")
        await pause(0.5)
        assert "hunter2" not in str([receiver.changes for receiver in party.receivers])
        assert [len(receiver.changes) for receiver in party.receivers] == [2, 2]
        redis.command("CONFIG", "SET", "requirepass", "hunter2")
        redis.password = "hunter2"
        await waiting
        await eventually(lambda: party.isHealthy, "both nodes are healthy", 3.0)

    @pytest_twisted.ensureDeferred
    async def test_passwordMissing(self, redis: FaultyRedis, parties: list[Party]) -> None:
        """The same for one that is missing."""
        redis.command("CONFIG", "SET", "requirepass", "right")
        redis.password = "right"
        party = onRedis(redis.url)
        parties.append(party)
        party.links[0].start()
        await eventually(lambda: _said(party, "NOAUTH"), "it is said")
        redis.command("CONFIG", "SET", "requirepass", "")
        await eventually(lambda: party.links[0].isHealthy, "it is healthy", 3.0)


class TestPlaces:
    """Where a Redis may be, and what may be there instead."""

    @pytest_twisted.ensureDeferred
    async def test_unixSocket(self, begin: Begin, tmp_path: Path) -> None:
        """A socket of this machine."""
        path = tmp_path / "a redis.sock"
        with running("--unixsocket", str(path), "--requirepass", "secret"):
            party = await begin(f"unix://:secret@{quote(str(path))}?db=2")
            party.publish(1000)
            await party.settled()
            assert party.account() == 0
            await party.stop()

    # Twisted's own ssl: endpoint.
    @pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
    @pytest_twisted.ensureDeferred
    async def test_tls(self, redis: FaultyRedis, parties: list[Party], tmp_path: Path, monkeypatch: Any) -> None:
        """TLS, with a certificate that is verified: one that nobody vouches for is refused."""
        makeCertificate(tmp_path)
        endpoint = serverFromString(
            reactor, f"ssl:0:interface=127.0.0.1:privateKey={tmp_path}/key.pem:certKey={tmp_path}/cert.pem"
        )
        port = await endpoint.listen(ProxyFactory("127.0.0.1", redis.port))
        number = port.getHost().port
        try:
            party = onRedis(f"rediss://localhost:{number}")
            party.links[0].start()
            await eventually(lambda: _said(party, "certificate verify failed"), "it is refused")
            await party.links[0].stop()
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
            party = await onRedis(f"rediss://localhost:{number}").start()
            party.publish(10_000)
            await party.settled()
            assert party.account() == 0
            await party.stop()
        finally:
            await port.stopListening()

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (lambda data: data, "it is no Redis"),
            (lambda data: b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "it is no Redis"),
            (lambda data: b"", "it has not answered for 0.3 seconds"),
            (lambda data: None, "it closed the connection"),
        ],
    )
    @pytest_twisted.ensureDeferred
    async def test_noRedis(self, redis: FaultyRedis, parties: list[Party], answer: Any, reason: str) -> None:
        """Something that is no Redis is said to be none, and harms nothing; a Redis in its place is found."""
        strangers: set[Stranger] = set()
        factory = Factory.forProtocol(lambda: Stranger(answer, strangers))
        factory.noisy = False
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        number = port.getHost().port
        party = onRedis(redis.url, f"redis://127.0.0.1:{number}", **QUICK)
        parties.append(party)
        for link in party.links:
            link.start()
        await eventually(lambda: _said(party, reason), "it is said")
        await party.links[1].subscribe("room:1")
        assert await party.links[0].publishCounted("room:1", b"1") == 1
        assert not party.isHealthy
        await port.stopListening()
        for stranger in list(strangers):
            stranger.transport.abortConnection()
        with running(port=number):
            await eventually(lambda: party.isHealthy, "both nodes are healthy", 4.0)
            await party.stop()


class Stranger(Protocol):
    """Something else than a Redis."""

    transport: Any

    def __init__(self, answer: Callable[[bytes], bytes | None], all: set[Stranger]) -> None:
        self._answer = answer
        self._all = all

    def connectionMade(self) -> None:
        self._all.add(self)

    def dataReceived(self, data: bytes) -> None:
        answer = self._answer(data)
        if answer is None:
            self.transport.loseConnection()
        else:
            self.transport.write(answer)

    def connectionLost(self, reason: Any = None) -> None:
        self._all.discard(self)


def _isUsed(redis: FaultyRedis) -> bool:
    """Whether packets are published on it. The probes of the nodes are few, and would take half a minute."""
    stats = redis.command("INFO", "commandstats")
    calls = [line for line in stats.splitlines() if line.startswith("cmdstat_publish:")]
    return bool(calls) and int(calls[0].split("calls=")[1].split(",")[0]) > 300


def _isLetIn(connection: socket.socket) -> bool:
    connection.sendall(b"PING\r\n")
    return connection.recv(100).startswith(b"+PONG")


def _said(party: Party, words: str) -> bool:
    return any(words in change.reason for receiver in party.receivers for change in receiver.changes)

"""
Servers that nobody knows of, on a bus that knows no names: Redis says how many heard a question.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.bus.fakeredis import FakeRedis
from twisted_crossws import (
    BusUnavailable,
    CallTimeout,
    IBus,
    Node,
    NoReply,
    NoSuchServer,
    Relay,
    RemoteError,
    Reply,
    ServerLost,
    hubBus,
    memoryBus,
    redisBus,
)
from twisted_crossws.state.counters import Counters
from twisted_crossws.testing import FakePeer
from twisted_crossws.wire.frames import ErrorReply
from twisted_crossws.wire.packets import Bridge, PacketCodec, ServerEvent

BRIDGE = "csbp:server_bridge"


def results(deferred: Deferred[Any]) -> list[Any]:
    """What a Deferred has fired with so far; a failure as its exception."""
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got


class Site:
    """
    Nodes on Redis servers, and a Node.js peer if one comes.

    @ivar redis: the servers, by the host of their URL.
    """

    def __init__(self, clock: Clock, *hosts: str) -> None:
        self.clock = clock
        self.redis = {host: FakeRedis(clock) for host in hosts}
        self.nodes: dict[str, Node] = {}

    def start(self, *names: str) -> None:
        for name in names:
            bus = redisBus([f"redis://{host}" for host in self.redis], endpoints=lambda url: self.redis[url.host])
            self.nodes[name] = Node(name, bus, clock=self.clock)
            self.nodes[name].startService()
        self.advance(3.0)
        assert all(set(node.servers.names()) == set(self.nodes) for node in self.nodes.values())

    def peer(self) -> None:
        """One that nobody knows of hears what is for all."""
        for redis in self.redis.values():
            connected: Any = redis.connect(NothingFactory())
            assert connected.called
            redis.clients[-1].channels.add(BRIDGE.encode())

    def advance(self, seconds: float = 0.0) -> None:
        for _ in range(round(seconds / 0.1)):
            self.clock.advance(0.1)
            self.advance()
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def stop(self) -> None:
        for node in self.nodes.values():
            node.stopService()
        self.advance(2.0)


class Nothing:
    """A protocol that does nothing with what comes."""

    def makeConnection(self, transport: Any) -> None: ...

    def dataReceived(self, data: bytes) -> None: ...

    def connectionLost(self, reason: Any) -> None: ...


class NothingFactory:
    def buildProtocol(self, address: object) -> Nothing:
        return Nothing()


@pytest.fixture(params=[("one",), ("one", "two")])
def site(request: Any, clock: Clock) -> Any:
    site = Site(clock, *request.param)
    yield site
    site.stop()


@pytest.mark.parametrize("names", [("serverA",), ("serverA", "serverB", "serverC")])
class TestNobody:
    """Nothing but servers of ours is on the bus."""

    def test_callOne(self, site: Site, names: tuple[str, ...]) -> None:
        """A call to a name that nobody has fails as soon as Redis has said who heard it."""
        site.start(*names)
        got = results(site.nodes["serverA"].servers.callOne("who", to="nobody"))
        site.advance()
        assert isinstance(got[0], NoSuchServer) and "'nobody'" in str(got[0])

    def test_amongOthers(self, site: Site, names: tuple[str, ...]) -> None:
        """Among several names it is the one that is said; the others are waited for."""
        site.start(*names)
        answer: Deferred[int] = Deferred()
        site.nodes[names[-1]].servers.on("who", lambda message: answer)
        told: list[Reply] = []
        site.nodes["serverA"].servers.emit("who", to=[names[-1], "nobody"], onReply=told.append)
        site.advance()
        assert [(reply.sender, type(reply.error)) for reply in told] == [("nobody", NoSuchServer)]
        answer.callback(1)
        site.advance()
        assert [(reply.sender, reply.payload) for reply in told[1:]] == [(names[-1], 1)]

    def test_relay(self, site: Site, names: tuple[str, ...]) -> None:
        """A client whose question is handed on to it gets an error as its reply."""
        site.start(*names)
        node = site.nodes["serverA"]
        node.authenticate = lambda request: "sam"
        node.clients.on("ask", lambda socket, payload: Relay("nobody", "answer", payload))
        peer = FakePeer(node, site.clock, params={"crossws": 2})
        peer.takeTexts()
        peer.sendEvent("ask", 21, "7")
        site.advance()
        (reply,) = peer.takeFrames()
        assert isinstance(reply, ErrorReply) and (reply.callbackId, reply.code) == ("7", "no_such_server")

    def test_expected(self, site: Site, names: tuple[str, ...]) -> None:
        """A wait for replies of whoever listens ends when all who are there have said that they do not."""
        site.start(*names)
        site.nodes["serverA"].servers.on("who", lambda message: NoReply)
        got = results(site.nodes["serverA"].servers.call("who", expected=1))
        site.advance()
        (replies,) = got
        assert (replies.complete, replies.byServer, replies.unanswered) == (False, {}, 1)
        assert set(replies.errors) == set(names)


class TestSomebody:
    """A Node.js peer may be on the bus, which never says what it is called."""

    def test_callOne(self, site: Site) -> None:
        """Then a name that nobody knows may be its own, and is waited for."""
        site.start("serverA", "serverB")
        site.peer()
        got = results(site.nodes["serverA"].servers.callOne("who", to="nodejs", timeout=2.0))
        site.advance(1.9)
        assert got == []
        site.advance(0.2)
        assert isinstance(got[0], CallTimeout)

    def test_answers(self, site: Site) -> None:
        """Its answer is the reply."""
        site.start("serverA", "serverB")
        site.peer()
        servers = site.nodes["serverA"].servers
        got = results(servers.callOne("who", to="nodejs"))
        site.advance()
        channel, packet = next(iter(site.redis.values())).published[-1]
        assert channel == BRIDGE
        callbackId = PacketCodec().decode(Bridge, packet).data.callbackId
        servers.received(ServerEvent("_Cs_Cb_", "nodejs", 1, callbackId=callbackId, isCallback=True))
        assert got == [1]

    def test_oneOfOursIsAway(self, clock: Clock) -> None:
        """It is not taken for one of ours that has just gone, though the number of receivers is the same."""
        site = Site(clock, "one")
        site.start("serverA", "serverB")
        site.peer()
        (redis,) = site.redis.values()
        redis.drop(*[client for client in redis.subscribers if b"csbp:members:serverB" in client.channels])
        counted = results(site.nodes["serverA"].channels.publish("news", {}))
        got = results(site.nodes["serverA"].servers.callOne("who", to="nodejs", timeout=1.0))
        site.clock.advance(0)
        site.clock.advance(0)
        assert got == [] and counted == [0]
        site.advance(0.9)
        assert got == []
        site.stop()

    def test_expected(self, site: Site) -> None:
        """It is waited for where any reply may end the wait."""
        site.start("serverA", "serverB")
        site.peer()
        got = results(site.nodes["serverA"].servers.call("who", expected=1, timeout=2.0))
        site.advance(1.9)
        assert got == []
        site.advance(0.2)
        assert not got[0].complete


class TestCannotTell:
    def test_notAllowed(self, site: Site) -> None:
        """Where the user may not ask who is subscribed, the time-out has to tell."""
        site.start("serverA")
        for redis in site.redis.values():
            redis.errors["PUBSUB"] = "NOPERM this user has no permissions to run the 'pubsub|numsub' command"
        got = results(site.nodes["serverA"].servers.callOne("who", to="nobody", timeout=1.0))
        site.advance(0.9)
        assert got == []
        site.advance(0.2)
        assert isinstance(got[0], CallTimeout)

    def test_redisGone(self, clock: Clock) -> None:
        """So it is where the Redis goes before it has said so."""
        site = Site(clock, "one")
        site.start("serverA")
        (redis,) = site.redis.values()
        redis.latency = 0.02
        got = results(site.nodes["serverA"].servers.callOne("who", to="nobody", timeout=1.0))
        for _ in range(10):
            if not redis.count("PUBSUB"):
                clock.advance(0.01)
        assert redis.count("PUBSUB") == 1
        redis.kill()
        site.advance(0.9)
        assert got == []
        site.advance(0.2)
        assert isinstance(got[0], CallTimeout)
        site.stop()

    @pytest.mark.parametrize(
        "bus", [memoryBus(), hubBus("/nowhere"), redisBus(["redis://one"], endpoints=lambda url: FakeRedis(Clock()))]
    )
    def test_others(self, clock: Clock, bus: IBus) -> None:
        """Buses that tell names, and a Redis that is not connected, do not count."""
        link = bus.attach(Node(clock=clock)._inbox, clock, Counters())
        (error,) = results(link.hasOtherSubscribers(BRIDGE, []))
        assert isinstance(error, BusUnavailable)


class TestKnown:
    def test_notHeard(self, site: Site) -> None:
        """A server that had announced itself, and that heard nothing of the question, is lost to it at once."""
        site.start("serverA", "serverB")
        site.nodes["serverB"].servers.on("who", lambda message: 1)
        for redis in site.redis.values():
            for client in redis.subscribers:
                if b"csbp:members:serverB" in client.channels:
                    client.channels.clear()
        got = results(site.nodes["serverA"].servers.callOne("who", to="serverB"))
        site.advance()
        assert isinstance(got[0], ServerLost) and "did not hear" in str(got[0])

    def test_noListener(self, site: Site) -> None:
        """One that is there and does not listen says so itself."""
        site.start("serverA", "serverB")
        got = results(site.nodes["serverA"].servers.callOne("who", to="serverB"))
        site.advance()
        assert isinstance(got[0], RemoteError) and got[0].code == "no_listener"

    def test_nobodyHears(self, site: Site) -> None:
        """So it is where a question to several was heard by nobody; those that nobody knows are not there then."""
        site.start("serverA", "serverB")
        for redis in site.redis.values():
            for client in redis.subscribers:
                client.channels.clear()
        got = results(site.nodes["serverA"].servers.call("who", to=["serverB", "nobody"]))
        site.advance()
        errors = {name: type(error) for name, error in got[0].errors.items()}
        assert errors == {"serverB": ServerLost, "nobody": NoSuchServer}

    def test_ended(self, site: Site) -> None:
        """A question that has ended meanwhile is nobody's concern any more."""
        site.start("serverA")
        told: list[Reply] = []
        servers = site.nodes["serverA"].servers
        requestId = servers.emit("who", to="nobody", onReply=told.append)
        assert requestId is not None and servers.cancel(requestId)
        site.advance()
        assert told == [] and not any(redis.count("PUBSUB") for redis in site.redis.values())

    def test_nothingAsked(self, site: Site) -> None:
        """For servers that are known, Redis is not asked who is subscribed."""
        site.start("serverA", "serverB")
        for to in ((), "serverA", "serverB", ["serverA", "serverB"]):
            results(site.nodes["serverA"].servers.call("who", to=to))
        site.advance()
        assert not any(redis.count("PUBSUB") for redis in site.redis.values())

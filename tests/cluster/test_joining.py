"""
The first moments of a node: nobody is let in, and nobody is called, before it hears what they depend on.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from twisted_crossws import BusUnavailable, Config, Node, NodeConfig, RoomsConfig, WebSocketConfig, hubBus
from twisted_crossws.cluster.rollcall import HELLO_TIME, RollCall
from twisted_crossws.testing import FakePeer, MemoryCluster
from twisted_crossws.wire.frames import Event

case = SynchronousTestCase()

#: Seconds that a packet takes, or the confirmation of a subscription.
DELAY = 0.02


def results(deferred: Deferred[Any]) -> list[Any]:
    """What a Deferred has fired with so far; a failure as its exception."""
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got


def payloads(peer: FakePeer, event: str) -> list[Any]:
    """Those of all events of that name that have come since."""
    return [frame.payload for frame in peer.takeFrames() if isinstance(frame, Event) and frame.event == event]


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(["serverA", "serverB"], delay=DELAY)


@pytest.fixture
def warnings() -> Any:
    """The lines of the log from the level of warnings on."""
    lines: list[str] = []

    def see(event: Any) -> None:
        if event["log_level"].name in ("warn", "error"):
            lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(see)
    yield lines
    globalLogPublisher.removeObserver(see)


class TestClients:
    def test_nothingIsMissed(self, cluster: MemoryCluster) -> None:
        """Whoever is let in gets every message from then on: to all, to itself, and to a room of its own."""
        node = cluster.start("serverC")
        node.authenticate = lambda request: "kim"
        sender, number, since = cluster["serverA"].clients, 0, {}

        def joined(_: object) -> None:
            since["room"] = number

        def connected(socket: Any) -> None:
            since["in"] = number
            node.rooms.join("chat", "1", "kim").addCallback(joined)

        node.lifecycle.on("connection", connected)
        kim = cluster.peer("serverC")
        for number in range(150):  # noqa: B007
            sender.broadcast("all", number)
            sender.send("kim", "private", number)
            sender.toRoom("chat", "1", "room", number)
            cluster.advance(0.01)
        cluster.advance(1.0)
        frames = [frame for frame in kim.takeFrames() if isinstance(frame, Event)]
        for event, first in (("all", "in"), ("private", "in"), ("room", "room")):
            got = [frame.payload for frame in frames if frame.event == event]
            assert got[-1] == 149
            assert set(range(since[first] + 1, 150)) <= set(got)

    def test_preset(self) -> None:
        """A room of a namespace that is preset is joined when that is heard, and not before."""
        config = Config(rooms=RoomsConfig(preset=("chat",)), node=NodeConfig(join_timeout=0.5))
        cluster = MemoryCluster(["serverA"], config=config, delay=DELAY)
        cluster.partition("serverB")
        node = cluster.start("serverB")
        node.authenticate = lambda request: "kim"
        joins: list[list[Any]] = []
        node.lifecycle.on("connection", lambda socket: joins.append(results(node.rooms.join("chat", "1", "kim"))))
        kim = cluster.peer("serverB")
        cluster.advance(0.6)
        assert kim.status == 101 and joins == [[]]
        cluster.heal()
        cluster.advance(2 * DELAY)
        assert len(joins[0]) == 1
        cluster["serverA"].clients.toRoom("chat", "1", "said", "hi")
        cluster.advance(0.1)
        assert payloads(kim, "said") == ["hi"]

    def test_letInWhenItHasJoined(self, cluster: MemoryCluster) -> None:
        """Until then they wait at the door, and the node says that it is not ready."""
        node = cluster.start("serverC")
        kim = cluster.peer("serverC")
        cluster.advance(0.5)
        assert (kim.status, kim.isConnected, node.state, node._readiness()[0]) == (None, True, "starting", False)
        cluster.advance(0.1)
        assert (kim.status, node.state, node._readiness()[0]) == (101, "running", True)

    def test_many(self, cluster: MemoryCluster) -> None:
        """Many that wait are let in turn by turn, each once, and one that has left meanwhile is not."""
        cluster.start("serverC")
        peers = [cluster.peer("serverC") for _ in range(120)]
        peers[7].leave()
        cluster.advance(1.0)
        assert [peer.status for peer in peers] == [101] * 7 + [None] + [101] * 112
        assert cluster["serverC"].counters["connections_opened"] == 119

    def test_earlyBytes(self, cluster: MemoryCluster) -> None:
        """What a client sends before it is let in is served afterwards."""
        node = cluster.start("serverC")
        said: list[Any] = []
        node.clients.on("say", lambda socket, payload: said.append(payload))
        kim = cluster.peer("serverC")
        kim.sendEvent("say", 1)
        cluster.advance(1.0)
        kim.sendEvent("say", 2)
        assert said == [1, 2]

    def test_sentAway(self, cluster: MemoryCluster) -> None:
        """If the node stops before that, they are told to try again."""
        node = cluster.start("serverC")
        kim = cluster.peer("serverC")
        stopped = results(node.stopService())
        cluster.advance(2.0)
        assert (kim.status, kim.isConnected, stopped) == (503, False, [None])
        assert cluster.clock("serverC").getDelayedCalls() == []

    def test_sentAwayMeanwhile(self, cluster: MemoryCluster) -> None:
        """If it stops while it lets them in, nobody comes in any more."""
        node = cluster.start("serverC")
        node.authenticate = lambda request: Deferred()
        peers = [cluster.peer("serverC") for _ in range(60)]
        node.whenJoined().addCallback(lambda _: node.stopService())
        cluster.advance(3.0)
        assert {peer.status for peer in peers} == {503}
        assert cluster.clock("serverC").getDelayedCalls() == []

    def test_inTurns(self, clock: Clock) -> None:
        """A node that is stopped between two turns of letting them in lets the rest not in."""
        cluster = MemoryCluster()
        node = cluster.start("serverA")
        peers = [cluster.peer("serverA") for _ in range(60)]
        cluster.advance(0.49)
        node._entrance.open()
        node.stopService()
        cluster.advance(3.0)
        assert {peer.status for peer in peers} == {101, 503}

    def test_neverStarted(self, clock: Clock) -> None:
        """A node that is listened with before it is started cuts them when their time is over."""
        config = Config(websocket=WebSocketConfig(handshake_timeout=2.0), node=NodeConfig(join_timeout=1.0))
        node = Node("serverA", hubBus("/nowhere/hub"), clock=clock, config=config)
        kim = FakePeer(node, clock)
        clock.advance(2.9)
        assert kim.isConnected
        clock.advance(0.2)
        assert (kim.status, kim.isConnected) == (None, False)
        assert node.counters["handshakes_timed_out"] == 1

    def test_alone(self, clock: Clock) -> None:
        """A node on a memory bus joins at once, and lets everyone in at once."""
        node = Node("serverA", clock=clock)
        assert FakePeer(node, clock).status == 101
        node.startService()
        assert (results(node.whenJoined()), results(node.whenOpen()), node.state) == ([None], [None], "running")
        assert FakePeer(node, clock).status == 101
        node.stopService()


class TestBusAway:
    """The node is started, and there is no bus."""

    @pytest.fixture
    def node(self, cluster: MemoryCluster) -> Node:
        cluster.partition("serverC")
        return cluster.start("serverC")

    def test_letInAllTheSame(self, cluster: MemoryCluster, node: Node, warnings: list[str]) -> None:
        """Clients are let in after C{join_timeout}, which the log says; the node joins when the bus is there."""
        joined, kim = results(node.whenJoined()), cluster.peer("serverC")
        cluster.advance(2.9)
        assert (kim.status, warnings) == (None, [])
        cluster.advance(0.2)
        assert (kim.status, joined, node.state) == (101, [], "starting")
        assert [line.partition(". ")[0] for line in warnings] == [
            "serverC has not joined its cluster within 3 seconds, as its bus is away"
        ]
        cluster.advance(10.0)
        cluster.heal()
        cluster.advance(1.0)
        assert (joined, node.state) == ([None], "running")
        cluster["serverA"].clients.broadcast("said", "hi")
        cluster.advance(0.1)
        assert payloads(kim, "said") == ["hi"]

    def test_heard(self, cluster: MemoryCluster, node: Node) -> None:
        """As soon as the bus is there clients get everything, also while the name is still to be claimed."""
        cluster.advance(4.0)
        kim = cluster.peer("serverC")
        cluster.heal()
        cluster.advance(2 * DELAY)
        cluster["serverA"].clients.broadcast("said", "hi")
        cluster.advance(2 * DELAY)
        assert payloads(kim, "said") == ["hi"] and node.state == "starting"

    def test_option(self) -> None:
        """C{join_timeout} is how long clients wait."""
        cluster = MemoryCluster(config=Config(node=NodeConfig(join_timeout=0.2)))
        cluster.partition("serverA")
        cluster.start("serverA")
        kim = cluster.peer("serverA")
        cluster.advance(0.3)
        assert kim.status == 101

    def test_noName(self, warnings: list[str]) -> None:
        """If it is not the bus that is missing, the log says so."""
        cluster = MemoryCluster(config=Config(node=NodeConfig(join_timeout=0.2)))
        cluster.start("serverA")
        cluster.advance(0.3)
        assert "as it has not got its name yet" in warnings[0]


class TestKnowing:
    """Who else is there."""

    def test_othersAreKnown(self, cluster: MemoryCluster) -> None:
        """When the node has joined, it knows all others, and finds their clients."""
        for name in ("serverA", "serverB"):
            cluster.peer(name)
        node = cluster.start("serverC")
        known: list[Any] = []
        found: list[Any] = []

        def joined(_: None) -> None:
            known.append(node.servers.names())
            node.clients.fetch().addCallback(found.append)

        node.whenJoined().addCallback(joined)
        cluster.advance(1.0)
        assert known == [{"serverA", "serverB", "serverC"}]
        assert len(found[0]) == 2 and found[0].missing == set()

    def test_asFastAsTheyAnswer(self, cluster: MemoryCluster) -> None:
        """It waits for no longer than they take to answer."""
        joined = results(cluster.start("serverC").whenJoined())
        cluster.advance(DELAY + 0.5)
        assert joined == []
        cluster.advance(2 * DELAY)
        assert joined == [None]

    def test_frozen(self, cluster: MemoryCluster) -> None:
        """For one that does not answer it does not wait long."""
        cluster.freeze("serverA")
        node = cluster.start("serverC")
        joined = results(node.whenJoined())
        cluster.advance(DELAY + 0.5 + HELLO_TIME - 0.01)
        assert joined == []
        cluster.advance(0.02)
        assert joined == [None]
        assert node.servers.names() == {"serverB", "serverC"}

    def test_together(self) -> None:
        """Those that start at the same time do not wait for each other."""
        cluster = MemoryCluster(delay=DELAY)
        nodes = [cluster.start(f"server{number}") for number in range(8)]
        joined = [results(node.whenJoined()) for node in nodes]
        cluster.advance(DELAY + 0.5 + 3 * DELAY)
        assert joined == [[None]] * 8

    def test_oneAfterTheOther(self) -> None:
        """Nor for one that starts a little later, and is not a member yet."""
        cluster = MemoryCluster(delay=DELAY)
        first = results(cluster.start("serverA").whenJoined())
        cluster.advance(0.3)
        second = results(cluster.start("serverB").whenJoined())
        cluster.advance(0.3)
        assert (first, second) == ([None], [])
        cluster.advance(0.3)
        assert second == [None]

    def test_stoppedMeanwhile(self, cluster: MemoryCluster) -> None:
        """A node that stops while it waits for the answers has not joined, and leaves nothing behind."""
        cluster.freeze("serverA")
        node = cluster.start("serverC")
        joined, opened = results(node.whenJoined()), results(node.whenOpen())
        cluster.advance(0.6)
        node.stopService()
        cluster.advance(2.0)
        assert {type(each) for each in joined + opened} == {CancelledError} and len(joined + opened) == 2
        assert cluster.clock("serverC").getDelayedCalls() == []


class TestRollCall:
    def test_bye(self, clock: Clock) -> None:
        """One that has left is not counted as one that answers."""
        calls = RollCall(clock)
        calls.heard("own")
        calls.heard("other")
        calls.heard("other", isLeaving=True)
        published: Deferred[int] = Deferred()
        done = calls.begin(published)
        published.callback(2)
        case.assertNoResult(done)
        calls.heard("third")
        case.successResultOf(done)
        assert clock.getDelayedCalls() == []

    def test_nobodyCanTell(self, clock: Clock) -> None:
        """If the bus cannot tell how many have heard it, the wait is as long as it may be."""
        done = RollCall(clock).begin(fail(BusUnavailable("away")))
        clock.advance(HELLO_TIME - 0.01)
        case.assertNoResult(done)
        clock.advance(0.02)
        case.successResultOf(done)


class TestCalls:
    """Calls of a node that has not joined yet."""

    @pytest.fixture(autouse=True)
    def listen(self, cluster: MemoryCluster) -> None:
        for name in ("serverA", "serverB"):
            cluster[name].servers.on("who", lambda message, name=name: [name, message.payload])

    def test_theyWait(self, cluster: MemoryCluster) -> None:
        """They are made when it has joined, of whom it knows then, with what was given then."""
        node = cluster.start("serverC")
        node.servers.on("who", lambda message: ["serverC", message.payload])
        payload = ["x"]
        one = results(node.servers.callOne("who", payload, to="serverB"))
        every = results(node.servers.call("who", payload))
        others = results(node.servers.call("who", payload, exceptSelf=True))
        two = results(node.servers.call("who", payload, expected=2))
        payload.append("y")
        cluster.advance(0.4)
        assert one == every == others == two == []
        cluster.advance(0.5)
        assert one == [["serverB", ["x"]]]
        assert every[0].byServer == {f"server{each}": [f"server{each}", ["x"]] for each in "ABC"}
        assert set(others[0].byServer) == {"serverA", "serverB"}
        assert every[0].complete and others[0].complete and len(two) == 1

    def test_eachReplyIsTold(self, cluster: MemoryCluster) -> None:
        """A call with C{onReply} waits as well."""
        node, senders = cluster.start("serverC"), []
        node.servers.emit("who", to=["serverA", "serverB"], onReply=lambda reply: senders.append(reply.sender))
        cluster.advance(1.0)
        assert sorted(map(str, senders)) == ["serverA", "serverB"]

    def test_itself(self, cluster: MemoryCluster) -> None:
        """To call itself a node needs nobody."""
        node = cluster.start("serverC")
        node.servers.on("who", lambda message: "serverC")
        assert results(node.servers.callOne("who", to="serverC")) == ["serverC"]

    def test_inTime(self, cluster: MemoryCluster) -> None:
        """They wait within their own time-out, and then say that nobody was asked."""
        cluster.partition("serverC")
        node = cluster.start("serverC")
        one = results(node.servers.callOne("who", to="serverA", timeout=1.0))
        every = results(node.servers.call("who", timeout=1.0))
        fetched = results(node.clients.fetch(timeout=1.0))
        asked = results(node.clients.request("kim", "who", timeout=1.0))
        cluster.advance(0.9)
        assert one == every == fetched == asked == []
        cluster.advance(0.2)
        assert isinstance(one[0], BusUnavailable) and "has not joined within 1 seconds" in str(one[0])
        assert (every[0].complete, every[0].byServer, every[0].missing) == (False, {}, {"serverC"})
        assert (fetched[0], fetched[0].missing) == ([], {"serverC"})
        assert isinstance(asked[0], BusUnavailable)
        cluster.heal()
        cluster.advance(1.0)
        assert cluster["serverA"].counters["calls_expired"] == 0

    def test_cancelled(self, cluster: MemoryCluster) -> None:
        """One that nobody waits for any more is not made."""
        node, heard = cluster.start("serverC"), []
        cluster["serverA"].servers.on("note", heard.append)
        results(call := node.servers.call("note", to="serverA"))
        call.cancel()
        cluster.advance(1.0)
        assert heard == []

    def test_stopped(self, cluster: MemoryCluster) -> None:
        """If the node stops, they end, and say that they are not complete."""
        node = cluster.start("serverC")
        every = results(node.servers.call("who"))
        node.stopService()
        cluster.advance(2.0)
        assert [each.complete for each in every] == [False]
        (later,) = results(node.servers.call("who", to="serverA"))
        assert isinstance(later.errors["serverA"], BusUnavailable)

    def test_noForm(self, cluster: MemoryCluster) -> None:
        """What the bus has no form for is a mistake at once."""
        node = cluster.start("serverC")
        with pytest.raises(TypeError):
            node.servers.call("who", object(), to="serverA")


class TestAnswers:
    def test_nameOfAnother(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """A node whose name is taken serves nothing that is meant for the one that has it."""
        served: list[str] = []
        cluster["serverB"].servers.on("work", lambda message: served.append("serverB"))
        second = Node("serverB", cluster._bus, clock=cluster.clock("serverB"))
        second.servers.on("work", lambda message: served.append("second"))
        second.startService()
        cluster.advance(DELAY)
        cluster["serverA"].servers.emit("work", to="serverB")
        cluster.advance(3 * DELAY)
        assert served == ["serverB"]
        assert second.counters["events_early"] == 1
        cluster.advance(2.0)

    def test_startedAgain(self, cluster: MemoryCluster) -> None:
        """A node that is stopped and started again joins as if it were for the first time."""
        node = cluster["serverB"]
        node.stopService()
        cluster.advance(2.0)
        node.startService()
        joined, kim = results(node.whenJoined()), cluster.peer("serverB")
        cluster["serverA"].clients.broadcast("said", "hi")
        cluster.advance(0.4)
        assert (joined, kim.status, node.state) == ([], None, "starting")
        cluster.advance(0.4)
        assert (joined, kim.status, node.state) == ([None], 101, "running")
        cluster["serverA"].clients.broadcast("said", "hi again")
        cluster.advance(0.1)
        assert payloads(kim, "said") == ["hi again"]

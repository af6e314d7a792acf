"""
A node that is drained, as its clients, its balancer and other servers see it, on fake transports.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.test_node import connect
from twisted_crossws import Config, Node, NodeConfig, Relay
from twisted_crossws.testing import FakePeer, MemoryCluster
from twisted_crossws.wire.frames import Reply

READYZ = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


def started(clock: Clock, **options: Any) -> Node:
    """A node that runs. The options are those of C{[node]}."""
    node = Node("serverA", clock=clock, config=Config(node=NodeConfig(**options)))
    node.startService()
    clock.advance(0)
    return node


def readiness(node: Node, clock: Clock) -> tuple[int | None, dict[str, Any]]:
    """Status and body of C{/readyz}."""
    peer = FakePeer(node, clock, request=READYZ)
    peer.leave()
    return peer.status, json.loads(peer.transport.value().partition(b"\r\n\r\n")[2])


@pytest.fixture
def node(clock: Clock) -> Node:
    return started(clock)


class TestReadiness:
    def test_course(self, clock: Clock) -> None:
        """C{/readyz} is 200 from when it has joined until it is drained; whenever it is 503 it says why."""
        node = Node("serverA", clock=clock)
        told: list[Any] = []

        def ask() -> None:
            status, body = readiness(node, clock)
            told.append((status, body["status"], node.state))
            assert ("reason" in body) == (status == 503)

        ask()
        node.startService()
        ask()
        peer = FakePeer(node, clock)
        peer.answersClose = False
        node.drain()
        ask()
        stopping = node.stopService()
        ask()
        clock.pump([1.0, 0])
        assert stopping.called
        ask()
        node.startService()
        ask()
        assert told == [
            (503, "starting", "starting"),
            (200, "ready", "running"),
            (503, "draining", "draining"),
            (503, "stopping", "stopping"),
            (503, "stopped", "stopped"),
            (200, "ready", "running"),
        ]

    def test_bus(self) -> None:
        """While the bus is away it is 503, although the node serves; C{/healthz} stays at 200."""
        cluster = MemoryCluster(["a", "b"])
        clock = cluster.clock("a")
        assert readiness(cluster["a"], clock)[0] == 200
        cluster.partition("a")
        status, body = readiness(cluster["a"], clock)
        assert status == 503 and body["status"] == "degraded" and "bus" in body["reason"]
        assert FakePeer(cluster["a"], clock, request=READYZ.replace(b"readyz", b"healthz")).status == 200
        cluster.heal()
        assert readiness(cluster["a"], clock)[0] == 200


class TestClients:
    def test_closed(self, node: Node, clock: Clock) -> None:
        """Clients are closed with 1012 and a hint, one after the other; it is over when they are gone."""
        peers = [connect(node, clock)[0] for _ in range(3)]
        drained = node.drain()
        assert [peer.closeCode for peer in peers].count(1012) == 1
        assert not drained.called
        clock.pump([0.05] * 3)
        assert [peer.closeCode for peer in peers] == [1012] * 3
        assert all(peer.closeReason.startswith("retry-after=") for peer in peers)
        clock.advance(0)
        assert drained.called and node.counters["clients_drained"] == 3
        node.stopService()
        assert clock.getDelayedCalls() == []

    def test_nobodyComesIn(self, node: Node, clock: Clock) -> None:
        """From then on handshakes get 503 with C{Retry-After}: new ones, and those that are being decided."""
        node.authenticate = lambda request: Deferred()
        deciding = FakePeer(node, clock)
        node.drain()
        for peer in (deciding, FakePeer(node, clock)):
            assert peer.status == 503 and b"\r\nRetry-After: 1\r\n" in peer.transport.value()

    def test_answered(self, node: Node, clock: Clock) -> None:
        """A client that waits for an answer gets it, and what it asks meanwhile, before it is closed."""
        answer: Deferred[str] = Deferred()
        node.clients.on("slow", lambda socket, payload: answer)
        node.clients.on("fast", lambda socket, payload: payload)
        peer, _ = connect(node, clock)
        peer.sendEvent("slow", None, "1")
        drained = node.drain()
        clock.pump([0.1] * 50)
        peer.sendEvent("fast", "x", "2")
        assert peer.takeFrames() == [Reply("2", "x")] and peer.closeCode is None
        answer.callback("done")
        assert peer.closeCode is None
        clock.advance(0)
        assert peer.takeFrames() == [Reply("1", "done")] and peer.closeCode == 1012
        clock.advance(0)
        assert drained.called

    def test_answeredInTurn(self, node: Node, clock: Clock) -> None:
        """An answer that comes while another event is read goes before the goodbye, as does that event's."""
        answer: Deferred[str] = Deferred()
        node.clients.on("slow", lambda socket, payload: answer)

        @node.clients.on("go")
        def go(socket: Any, payload: Any) -> str:
            answer.callback("done")
            return "gone"

        peer, _ = connect(node, clock)
        peer.sendEvent("slow", None, "1")
        node.drain()
        clock.advance(1)
        peer.sendEvent("go", None, "2")
        assert peer.takeFrames() == [Reply("1", "done"), Reply("2", "gone")]
        assert peer.closeCode == 1012

    def test_withoutAnAnswer(self, node: Node, clock: Clock) -> None:
        """Events without a reply are worked on to the end, too."""
        work: Deferred[None] = Deferred()
        node.clients.on("work", lambda socket, payload: work)
        peer, _ = connect(node, clock)
        peer.sendEvent("work")
        node.drain()
        clock.advance(1)
        assert peer.closeCode is None
        work.callback(None)
        clock.advance(0)
        assert peer.closeCode == 1012

    @pytest.mark.parametrize("answers", [True, False])
    def test_asked(self, node: Node, clock: Clock, answers: bool) -> None:
        """A client that was asked something is closed when it has answered, or its time is up."""
        peer, socket = connect(node, clock, params={"crossws": 2})
        replies: list[Any] = []
        asked = socket.call("how are you", timeout=3.0).addCallbacks(replies.append, lambda failure: None)
        (request,) = peer.takeFrames()
        node.drain()
        clock.pump([0.5] * 5)
        assert peer.closeCode is None and not asked.called
        if answers:
            peer.sendAnswer(request.ackId, "fine")  # type: ignore[union-attr]
        else:
            clock.pump([0.5, 0])
        assert peer.closeCode == 1012 and replies == (["fine"] if answers else [])

    def test_deadline(self, clock: Clock) -> None:
        """A listener that never answers holds it up until the deadline, and no longer."""
        node = started(clock, stop_deadline=6.0)
        node.clients.on("never", lambda socket, payload: Deferred())
        peer, _ = connect(node, clock)
        peer.sendEvent("never", None, "1")
        drained = node.drain()
        clock.pump([0.1] * 39)
        assert peer.closeCode is None and not drained.called
        clock.advance(0.2)
        assert peer.closeCode == 1012 and drained.called
        assert node.counters["clients_drained_unanswered"] == 1

    def test_noAnswerToClose(self, node: Node, clock: Clock) -> None:
        """A client that does not answer its close frame is cut after three seconds."""
        peer, _ = connect(node, clock)
        peer.answersClose = False
        drained = node.drain()
        clock.pump([2.9, 0])
        assert not drained.called
        clock.pump([0.1, 0])
        assert drained.called and not peer.isConnected

    def test_atOnce(self, clock: Clock) -> None:
        """With no time to spread them over they all go at once."""
        node = started(clock, drain_seconds=0.0)
        peers = [connect(node, clock)[0] for _ in range(5)]
        node.drain()
        assert [peer.closeCode for peer in peers] == [1012] * 5

    def test_lastMessages(self, node: Node, clock: Clock) -> None:
        """Who is still here is sent to like anybody."""
        peers = [connect(node, clock)[0] for _ in range(2)]
        node.drain()
        assert node.clients.broadcast("bye") == 1
        assert sorted(len(peer.takeTexts()) for peer in peers) == [0, 1]


class TestCourse:
    def test_event(self, node: Node, clock: Clock) -> None:
        """Listeners of C{draining} are told first, once: nobody is closed yet, and nobody comes in any more."""
        peer, socket = connect(node, clock)
        told: list[Any] = []
        node.lifecycle.on(
            "draining", lambda: told.append((node.state, socket.isOpen, FakePeer(node, clock).status, node.drain()))
        )
        node.drain()
        node.drain()
        assert [entry[:3] for entry in told] == [("draining", True, 503)]
        clock.advance(0.1)
        assert told[0][3].called

    def test_twice(self, node: Node, clock: Clock) -> None:
        """Whoever asks again is told of the same course, also when it is over."""
        peer, _ = connect(node, clock)
        first, second = node.drain(), node.drain()
        assert first is not second
        clock.advance(0.1)
        assert first.called and second.called and node.drain().called
        assert node.counters["clients_drained"] == 1

    def test_stopped(self, node: Node, clock: Clock) -> None:
        """A node that is stopped meanwhile closes the rest with 1001, as ever; who waits for the draining is told."""
        peers = [connect(node, clock)[0] for _ in range(2)]
        drained = node.drain()
        stopped = node.stopService()
        assert drained.called
        assert sorted(peer.closeCode or 0 for peer in peers) == [1001, 1012]
        clock.advance(0)
        assert stopped.called and clock.getDelayedCalls() == []

    def test_stoppedInAListener(self, node: Node, clock: Clock) -> None:
        """So it may be by a listener of C{draining}."""
        peer, _ = connect(node, clock)
        node.lifecycle.on("draining", node.stopService)
        assert node.drain().called
        assert peer.closeCode == 1001

    def test_stoppingAlready(self, node: Node, clock: Clock) -> None:
        """A node that stops is not drained any more: that is over when it has stopped."""
        peer, _ = connect(node, clock)
        peer.answersClose = False
        told: list[str] = []
        node.lifecycle.on("draining", lambda: told.append("draining"))
        node.stopService()
        drained = node.drain()
        assert not drained.called and peer.closeCode == 1001
        clock.pump([1.0, 0])
        assert drained.called and told == [] and node.state == "stopped"

    def test_again(self, node: Node, clock: Clock) -> None:
        """A node that was drained, stopped and started again serves as before, and can be drained again."""
        for _ in range(2):
            peer, _ = connect(node, clock)
            drained = node.drain()
            clock.advance(0)
            assert drained.called and peer.closeCode == 1012
            node.stopService()
            clock.advance(0)
            node.startService()
            assert node.state == "running"

    def test_startedMeanwhile(self, clock: Clock) -> None:
        """A node that is started while it is drained keeps the clients that it has, and lets others in."""
        node = Node("serverA", clock=clock)
        peers = [connect(node, clock)[0] for _ in range(3)]
        drained = node.drain()
        node.startService()
        clock.pump([0.5] * 10)
        assert drained.called and node.state == "running"
        assert [peer.closeCode for peer in peers].count(None) == 2
        assert FakePeer(node, clock).status == 101

    def test_withoutStart(self, clock: Clock) -> None:
        """A node that was never started drains its clients all the same."""
        node = Node("serverA", clock=clock)
        peer, _ = connect(node, clock)
        drained = node.drain()
        clock.advance(0)
        assert peer.closeCode == 1012 and drained.called


class TestServers:
    @pytest.fixture
    def cluster(self) -> MemoryCluster:
        return MemoryCluster(["a", "b"])

    def test_served(self, cluster: MemoryCluster) -> None:
        """A node that is drained serves other servers as before, and stays in the cluster."""
        cluster["a"].servers.on("ask", lambda message: "served")
        cluster["a"].drain()
        asked = cluster["b"].servers.callOne("ask", to="a")
        cluster.advance(0.1)
        replies: list[Any] = []
        asked.addCallback(replies.append)
        assert replies == ["served"]
        info = cluster["b"].servers.info("a")
        assert info is not None and info.state == "draining"

    def test_asked(self, cluster: MemoryCluster) -> None:
        """What other servers have asked is answered before it is over; what they ask later does not count."""
        answers = [Deferred[str](), Deferred[str]()]
        waiting = iter(answers)
        cluster["a"].servers.on("ask", lambda message: next(waiting))
        replies: list[Any] = []
        cluster["b"].servers.callOne("ask", to="a", timeout=60).addCallback(replies.append)
        cluster.advance(0.1)
        drained = cluster["a"].drain()
        cluster["b"].servers.callOne("ask", to="a", timeout=60).addErrback(lambda failure: None)
        cluster.advance(1.0)
        assert not drained.called
        answers[0].callback("late")
        cluster.advance(0.1)
        assert drained.called and replies == ["late"]

    def test_events(self, cluster: MemoryCluster) -> None:
        """An event between servers, which nobody waits for, holds nothing up."""
        work: Deferred[None] = Deferred()
        cluster["a"].servers.on("news", lambda message: work)
        cluster["b"].servers.emit("news", to="a")
        cluster.advance(0.1)
        assert cluster["a"].drain().called

    def test_forgotten(self, cluster: MemoryCluster) -> None:
        """Nor does a question whose answer the listener has forgotten: it can never come."""
        cluster["a"].servers.on("ask", lambda message: Deferred())
        cluster["b"].servers.callOne("ask", to="a", timeout=60).addErrback(lambda failure: None)
        cluster.advance(0.1)
        assert cluster["a"].drain().called

    def test_ownCalls(self, cluster: MemoryCluster) -> None:
        """Its own calls are waited for until they have their replies, or their time is up."""
        answer: Deferred[str] = Deferred()
        cluster["b"].servers.on("ask", lambda message: answer)
        replies: list[Any] = []
        cluster["a"].servers.callOne("ask", to="b", timeout=60).addCallback(replies.append)
        drained = cluster["a"].drain()
        cluster.advance(1.0)
        assert not drained.called
        answer.callback("done")
        cluster.advance(0.1)
        assert drained.called and replies == ["done"]

    @pytest.mark.parametrize("socketId", ["x", None])
    def test_relayed(self, cluster: MemoryCluster, socketId: str | None) -> None:
        """A client whose question another server answers waits for that answer, too, bound or not."""
        answer: Deferred[str] = Deferred()
        cluster["b"].servers.on("ask", lambda message: answer)
        cluster["a"].clients.on("ask", lambda socket, payload: Relay("b", "ask"))
        cluster["a"].clients.on("wait", lambda socket, payload: waiting)
        cluster["a"].authenticate = lambda request: socketId
        waiting: Deferred[None] = Deferred()
        peer = cluster.peer("a")
        peer.sendEvent("wait")
        cluster["a"].drain()
        peer.sendEvent("ask", None, "1")
        waiting.callback(None)
        cluster.advance(1.0)
        assert peer.closeCode is None
        answer.callback("done")
        cluster.advance(0.1)
        assert peer.takeFrames() == [Reply("1", "done")] and peer.closeCode == 1012

    def test_relayedBefore(self, cluster: MemoryCluster) -> None:
        """What was relayed before is answered past this node: so it is waited for as long as it may take."""
        answer: Deferred[str] = Deferred()
        cluster["b"].servers.on("ask", lambda message: answer)
        cluster["a"].clients.on("ask", lambda socket, payload: Relay("b", "ask"))
        cluster["a"].authenticate = lambda request: "x"
        peer = cluster.peer("a")
        peer.sendEvent("ask", None, "1")
        drained = cluster["a"].drain()
        cluster.advance(1.0)
        answer.callback("done")
        cluster.advance(3.9)
        assert peer.takeFrames() == [Reply("1", "done")] and peer.closeCode is None
        cluster.advance(0.2)
        assert peer.closeCode == 1012 and drained.called

    def test_relayedOfTheGone(self, cluster: MemoryCluster) -> None:
        """What was relayed for a client that is gone is waited for by nobody."""
        cluster["b"].servers.on("ask", lambda message: "done")
        cluster["a"].clients.on("ask", lambda socket, payload: Relay("b", "ask"))
        cluster["a"].authenticate = lambda request: "x"
        peer = cluster.peer("a")
        peer.sendEvent("ask", None, "1")
        cluster.advance(0.1)
        peer.leave()
        assert cluster["a"].drain().called

    def test_relayedAfterwards(self, cluster: MemoryCluster) -> None:
        """A node that is started again leaves it to others to answer its clients directly, as before."""
        cluster["b"].servers.on("ask", lambda message: "done")
        cluster["a"].clients.on("ask", lambda socket, payload: Relay("b", "ask"))
        cluster["a"].authenticate = lambda request: "x"
        cluster["a"].drain()
        cluster["a"].stopService()
        cluster.advance(2.0)
        cluster["a"].startService()
        cluster.advance(2.0)
        peer = cluster.peer("a")
        peer.sendEvent("ask", None, "1")
        cluster.advance(0.1)
        assert peer.takeFrames() == [Reply("1", "done")]
        assert cluster["a"].counters["replies_sent"] == 0

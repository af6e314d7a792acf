"""
Questions to clients, wherever they are connected.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twisted_crossws import (
    BusUnavailable,
    CallTimeout,
    CannotAnswer,
    ClientReplies,
    Node,
    NotConnected,
    RemoteError,
)
from twisted_crossws.state import asking
from twisted_crossws.testing import FakePeer, MemoryCluster
from twisted_crossws.wire.frames import Request

NAMES = ("serverA", "serverB", "serverC")


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(NAMES)


def come(
    cluster: MemoryCluster, name: str, socketId: str | None, room: tuple[str, str] | None = None, version: int = 2
) -> FakePeer:
    """A client of that node that speaks this version, in a room if there is one."""
    node = cluster[name]
    node.authenticate = lambda request: socketId
    peer = cluster.peer(name, params={"crossws": version})
    peer.takeTexts()
    if room is not None:
        assert socketId is not None
        node.rooms.join(*room, socketId)
    return peer


def asked(cluster: MemoryCluster, peer: FakePeer) -> Request:
    """The request that the client has got."""
    cluster.advance()
    (request,) = peer.takeFrames()
    assert isinstance(request, Request)
    return request


def watch(waiting: Deferred[Any]) -> list[Any]:
    """What comes of it: a failure's exception, or the result."""
    results: list[Any] = []
    waiting.addBoth(lambda result: results.append(result.value if isinstance(result, Failure) else result))
    return results


class TestRequest:
    @pytest.mark.parametrize("where", ["serverA", "serverB"])
    def test_answer(self, cluster: MemoryCluster, where: str) -> None:
        """Whoever asks gets what the client answers, and nothing but that."""
        peer, other = come(cluster, where, "kim"), come(cluster, "serverC", "sam")
        results = watch(cluster["serverA"].clients.request("kim", "where", {"exact": True}))
        request = asked(cluster, peer)
        assert (request.event, request.payload) == ("where", {"exact": True})
        assert not results
        peer.sendAnswer(request.ackId, {"x": [1, 2.5, None]})
        cluster.advance()
        assert results == [{"x": [1, 2.5, None]}]
        assert other.takeFrames() == []
        assert cluster[where].counters["requests_sent"] == 1

    @pytest.mark.parametrize("where", ["serverA", "serverB"])
    @pytest.mark.parametrize("answer", [None, 0, "", [], False])
    def test_emptyAnswer(self, cluster: MemoryCluster, where: str, answer: Any) -> None:
        """An answer of nothing is an answer."""
        peer = come(cluster, where, "kim")
        results = watch(cluster["serverA"].clients.request("kim", "where"))
        peer.sendAnswer(asked(cluster, peer).ackId, answer)
        cluster.advance()
        assert results == [answer]

    @pytest.mark.parametrize("where", ["serverA", "serverB"])
    def test_error(self, cluster: MemoryCluster, where: str) -> None:
        """A client may answer with an error."""
        peer = come(cluster, where, "kim")
        results = watch(cluster["serverA"].clients.request("kim", "where"))
        peer.sendErrorAnswer(asked(cluster, peer).ackId, "lost", "I do not know.")
        cluster.advance()
        assert isinstance(results[0], RemoteError)
        assert (results[0].code, results[0].message) == ("lost", "I do not know.")

    @pytest.mark.parametrize("where", ["serverA", "serverB"])
    def test_timeout(self, cluster: MemoryCluster, where: str) -> None:
        """Who does not answer is waited for as long as was said, and a late answer is counted, not heard."""
        peer = come(cluster, where, "kim")
        results = watch(cluster["serverA"].clients.request("kim", "where", timeout=2.0))
        request = asked(cluster, peer)
        cluster.advance(1.9)
        assert not results
        cluster.advance(0.1)
        assert isinstance(results[0], CallTimeout)
        peer.sendAnswer(request.ackId, 1)
        cluster.advance()
        assert len(results) == 1
        assert cluster[where].counters["answers_late"] == cluster[where].counters["requests_timed_out"] == 1
        assert [cluster[name].servers.openCalls() for name in NAMES] == [set()] * 3

    @pytest.mark.parametrize("where", ["serverA", "serverB"])
    def test_answerAtTheLastMoment(self, cluster: MemoryCluster, where: str) -> None:
        """All of the time is the client's."""
        peer = come(cluster, where, "kim")
        results = watch(cluster["serverA"].clients.request("kim", "where", timeout=2.0))
        request = asked(cluster, peer)
        cluster.advance(1.99)
        peer.sendAnswer(request.ackId, 1)
        cluster.advance()
        assert results == [1]

    @pytest.mark.parametrize("where", ["serverA", "serverB"])
    def test_clientLeaves(self, cluster: MemoryCluster, where: str) -> None:
        """One that goes before it answers is not waited for."""
        peer = come(cluster, where, "kim")
        results = watch(cluster["serverA"].clients.request("kim", "where", timeout=60.0))
        asked(cluster, peer)
        peer.leave()
        cluster.advance()
        assert isinstance(results[0], NotConnected)

    def test_nobody(self, cluster: MemoryCluster) -> None:
        """There is no such client: that is known as soon as all servers have said so."""
        cluster.delay(0.1)
        results = watch(cluster["serverA"].clients.request("nobody", "where", timeout=60.0))
        cluster.advance(0.19)
        assert not results
        cluster.advance(0.02)
        assert isinstance(results[0], NotConnected) and "'nobody'" in str(results[0])

    def test_nobodyAlone(self, clock: Clock) -> None:
        """A single node knows it at once, and asks nobody."""
        node = Node("serverA", clock=clock)
        (fault,) = watch(node.clients.request("nobody", "where"))
        assert isinstance(fault, NotConnected)
        assert node.counters["bus_packets_published"] == 0

    @pytest.mark.parametrize("where", ["serverA", "serverB"])
    def test_versionOne(self, cluster: MemoryCluster, where: str) -> None:
        """A client that does not speak version 2 is not asked, and that is an error of its own."""
        peer = come(cluster, where, "kim", version=1)
        results = watch(cluster["serverA"].clients.request("kim", "where", timeout=60.0))
        cluster.advance()
        assert isinstance(results[0], CannotAnswer) and "version 2" in str(results[0])
        assert peer.takeFrames() == []

    def test_serverDies(self, cluster: MemoryCluster) -> None:
        """Its server dies, and the client is gone with it, long before the time-out."""
        peer = come(cluster, "serverB", "kim")
        results = watch(cluster["serverA"].clients.request("kim", "where", timeout=60.0))
        asked(cluster, peer)
        cluster.kill("serverB")
        cluster.advance(7.0)
        assert isinstance(results[0], NotConnected) and "serverB" in str(results[0])

    def test_otherServerDies(self, cluster: MemoryCluster) -> None:
        """Another one's death harms nobody."""
        peer = come(cluster, "serverB", "kim")
        cluster.kill("serverC")
        results = watch(cluster["serverA"].clients.request("kim", "where", timeout=60.0))
        request = asked(cluster, peer)
        cluster.advance(7.0)
        assert not results
        peer.sendAnswer(request.ackId, 1)
        cluster.advance()
        assert results == [1]

    def test_otherServerFrozen(self, cluster: MemoryCluster) -> None:
        """The answer does not wait for servers that have nothing to say."""
        peer = come(cluster, "serverB", "kim")
        cluster.freeze("serverC")
        results = watch(cluster["serverA"].clients.request("kim", "where", timeout=60.0))
        peer.sendAnswer(asked(cluster, peer).ackId, 1)
        cluster.advance()
        assert results == [1]

    def test_serverFrozen(self, cluster: MemoryCluster) -> None:
        """A question that reaches its server too late is not asked any more."""
        peer = come(cluster, "serverB", "kim")
        cluster.freeze("serverB")
        results = watch(cluster["serverA"].clients.request("kim", "where", timeout=2.0))
        cluster.advance(2.5)
        assert isinstance(results[0], CallTimeout)
        cluster.thaw("serverB")
        assert peer.takeFrames() == []
        assert cluster["serverB"].counters["calls_expired"] == 1

    def test_busAway(self, cluster: MemoryCluster) -> None:
        """Where the bus is away, a client elsewhere cannot be asked; one of this node can."""
        here, _ = come(cluster, "serverA", "sam"), come(cluster, "serverB", "kim")
        cluster.partition("serverA")
        elsewhere = watch(cluster["serverA"].clients.request("kim", "where", timeout=60.0))
        results = watch(cluster["serverA"].clients.request("sam", "where"))
        here.sendAnswer(asked(cluster, here).ackId, 1)
        cluster.advance()
        assert isinstance(elsewhere[0], BusUnavailable)
        assert results == [1]

    @pytest.mark.parametrize("where", ["serverA", "serverB"])
    def test_cancelled(self, cluster: MemoryCluster, where: str) -> None:
        """Cancelling ends the wait, and what the client says then is late."""
        peer = come(cluster, where, "kim")
        waiting = cluster["serverA"].clients.request("kim", "where")
        results = watch(waiting)
        request = asked(cluster, peer)
        waiting.cancel()
        assert isinstance(results[0], CancelledError)
        peer.sendAnswer(request.ackId, 1)
        cluster.advance(10.0)
        assert len(results) == 1

    def test_otherClientAnswers(self, cluster: MemoryCluster) -> None:
        """An answer counts only from the client that was asked."""
        kim, eve = come(cluster, "serverB", "kim"), come(cluster, "serverB", "eve")
        results = watch(cluster["serverA"].clients.request("kim", "where"))
        request = asked(cluster, kim)
        eve.sendAnswer(request.ackId, "false")
        cluster.advance()
        assert not results
        kim.sendAnswer(request.ackId, "true")
        kim.sendAnswer(request.ackId, "again")
        cluster.advance()
        assert results == ["true"]
        assert cluster["serverB"].counters["answers_late"] == 2

    def test_newerConnection(self, cluster: MemoryCluster) -> None:
        """What the next connection of a client says to the question of the one before is late."""
        older = come(cluster, "serverB", "kim")
        results = watch(cluster["serverA"].clients.request("kim", "where"))
        request = asked(cluster, older)
        newer = come(cluster, "serverB", "kim")
        newer.sendAnswer(request.ackId, "late")
        cluster.advance()
        assert isinstance(results[0], NotConnected)
        assert cluster["serverB"].counters["answers_late"] == 1

    def test_manyAtOnce(self, cluster: MemoryCluster) -> None:
        """Questions of several servers to one client are not mixed up, in whatever order they are answered."""
        peer = come(cluster, "serverB", "kim")
        results = {name: watch(cluster[name].clients.request("kim", "who", name)) for name in NAMES}
        cluster.advance()
        requests = [frame for frame in peer.takeFrames() if isinstance(frame, Request)]
        for request in reversed(requests):
            peer.sendAnswer(request.ackId, request.payload)
        cluster.advance()
        assert results == {name: [name] for name in NAMES}

    def test_tooMany(self, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client that leaves too much unanswered is asked no more, until it answers."""
        monkeypatch.setattr(asking, "MAX_UNANSWERED", 3)
        peer = come(cluster, "serverB", "kim")
        for _ in range(3):
            watch(cluster["serverA"].clients.request("kim", "where"))
        results = watch(cluster["serverA"].clients.request("kim", "where"))
        cluster.advance()
        assert isinstance(results[0], CannotAnswer) and "3 requests" in str(results[0])
        first, *_ = (frame for frame in peer.takeFrames() if isinstance(frame, Request))
        peer.sendAnswer(first.ackId)
        results = watch(cluster["serverA"].clients.request("kim", "where"))
        cluster.advance()
        assert not results

    def test_badArguments(self, cluster: MemoryCluster) -> None:
        """They are said to the caller, and nobody is asked."""
        clients = cluster["serverA"].clients
        come(cluster, "serverB", "kim")
        for bad in (("", "where"), (7, "where"), ("kim", ""), ("kim", "where", object())):
            with pytest.raises(TypeError):
                clients.request(*bad)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="timeout"):
            clients.request("kim", "where", timeout=-1.0)
        assert cluster["serverA"].counters["calls_sent"] == 0

    def test_socketCall(self, cluster: MemoryCluster) -> None:
        """A socket of this node can be asked without a name, bound or not."""
        peer = come(cluster, "serverA", None)
        (socket,) = cluster["serverA"]._everyone
        results = watch(socket.call("where", timeout=2.0))
        peer.sendAnswer(asked(cluster, peer).ackId, "here")
        assert results == ["here"]


class TestRoom:
    ROOM = ("chat", "1")

    def ask(self, cluster: MemoryCluster, timeout: float = 2.0) -> list[ClientReplies]:
        return watch(cluster["serverA"].clients.requestRoom("chat", "1", "where", timeout=timeout))

    def test_answers(self, cluster: MemoryCluster) -> None:
        """Everyone in the room is asked, and the answers come when all are there."""
        peers = {f"u-{name}": come(cluster, name, f"u-{name}", self.ROOM) for name in NAMES}
        outside = come(cluster, "serverB", "eve")
        results = self.ask(cluster)
        for socketId, peer in peers.items():
            cluster.advance()
            assert not results
            peer.sendAnswer(asked(cluster, peer).ackId, socketId)
        cluster.advance()
        assert results[0].answers == {f"u-{name}": f"u-{name}" for name in NAMES}
        assert results[0] == ClientReplies(results[0].answers) and results[0].complete
        assert outside.takeFrames() == []

    def test_oneFrame(self, cluster: MemoryCluster) -> None:
        """The frame is encoded once, so all of them get the same."""
        peers = [come(cluster, name, f"u-{name}", self.ROOM) for name in NAMES]
        self.ask(cluster)
        cluster.advance()
        assert len({text for peer in peers for text in peer.takeTexts()}) == 1

    def test_empty(self, cluster: MemoryCluster) -> None:
        """A room without anybody has nothing to say, at once."""
        results = self.ask(cluster)
        cluster.advance()
        assert results == [ClientReplies()] and results[0].complete

    def test_each(self, cluster: MemoryCluster) -> None:
        """It is told of each one what became of it."""
        peers = {name: come(cluster, "serverB", name, self.ROOM) for name in ("good", "bad", "silent", "gone")}
        come(cluster, "serverC", "old", self.ROOM, version=1)
        results = self.ask(cluster)
        ids = {name: asked(cluster, peer).ackId for name, peer in peers.items()}
        peers["good"].sendAnswer(ids["good"], None)
        peers["bad"].sendErrorAnswer(ids["bad"], "no", "No.")
        peers["gone"].leave()
        cluster.advance(1.9)
        assert not results
        cluster.advance(0.1)
        (found,) = results
        assert found.answers == {"good": None}
        assert {name: type(error) for name, error in found.errors.items()} == {"bad": RemoteError, "old": CannotAnswer}
        assert (found.unanswered, found.left, found.missing) == ({"silent"}, {"gone"}, frozenset())
        assert not found.complete

    def test_answersUntilTheEnd(self, cluster: MemoryCluster) -> None:
        """What has come counts, although others on the same server never answer."""
        cluster.delay(0.01)
        peers = [come(cluster, "serverB", f"u{number}", self.ROOM) for number in range(3)]
        results = self.ask(cluster)
        cluster.advance(0.05)
        ids = [asked(cluster, peer).ackId for peer in peers]
        peers[0].sendAnswer(ids[0], 0)
        cluster.advance(1.9)
        peers[1].sendAnswer(ids[1], 1)
        cluster.advance(0.1)
        assert results[0].answers == {"u0": 0, "u1": 1}
        assert results[0].unanswered == {"u2"}
        assert results[0].missing == frozenset()
        cluster.advance(0.1)
        assert [cluster[name].servers.openCalls() for name in NAMES] == [set()] * 3
        assert cluster["serverA"].counters["replies_late"] == 0

    def test_serverDies(self, cluster: MemoryCluster) -> None:
        """A server dies: what its clients had answered is kept, the others of it have left, and nobody waits."""
        peers = [come(cluster, "serverB", f"u{number}", self.ROOM) for number in range(2)]
        results = self.ask(cluster, 60.0)
        peers[0].sendAnswer(asked(cluster, peers[0]).ackId, "yes")
        cluster.advance()
        cluster.kill("serverB")
        cluster.advance(7.0)
        assert results[0].answers == {"u0": "yes"}
        assert (results[0].left, results[0].unanswered, results[0].missing) == ({"u1"}, frozenset(), {"serverB"})

    def test_serverFrozen(self, cluster: MemoryCluster) -> None:
        """A server that says nothing is missing when time is up."""
        peer = come(cluster, "serverB", "kim", self.ROOM)
        cluster.freeze("serverC")
        results = self.ask(cluster)
        peer.sendAnswer(asked(cluster, peer).ackId, 1)
        cluster.advance(1.9)
        assert not results
        cluster.advance(0.1)
        assert (results[0].answers, results[0].missing) == ({"kim": 1}, {"serverC"})

    def test_withoutBus(self, cluster: MemoryCluster) -> None:
        """Where the bus is away, those of this node answer, and the other servers are missing."""
        peer = come(cluster, "serverA", "sam", self.ROOM)
        cluster.partition("serverA")
        results = self.ask(cluster)
        peer.sendAnswer(asked(cluster, peer).ackId, 1)
        cluster.advance()
        assert (results[0].answers, results[0].missing) == ({"sam": 1}, {"serverB", "serverC"})

    def test_onTwoServers(self, cluster: MemoryCluster) -> None:
        """Who has come to one server, and has not left the other, has answered when one of the two has."""
        stale, real = (come(cluster, name, "kim", self.ROOM) for name in ("serverB", "serverC"))
        results = self.ask(cluster)
        asked(cluster, stale)
        real.sendAnswer(asked(cluster, real).ackId, 1)
        cluster.advance(2.0)
        assert results[0] == ClientReplies({"kim": 1})

    def test_large(self, cluster: MemoryCluster) -> None:
        """Answers that together are larger than a packet may be come all the same."""
        peers = [come(cluster, "serverB", f"u{number}", self.ROOM) for number in range(20)]
        results = self.ask(cluster)
        ids = [asked(cluster, peer).ackId for peer in peers]
        for peer, ackId in zip(peers, ids, strict=True):
            peer.sendAnswer(ackId, "x" * 1_000_000)
        cluster.advance()
        assert len(results[0].answers) == 20 and results[0].complete

    def test_cancelled(self, cluster: MemoryCluster) -> None:
        """Cancelling ends the wait, and leaves nothing behind when the time of the question is over."""
        come(cluster, "serverB", "kim", self.ROOM)
        waiting = cluster["serverA"].clients.requestRoom("chat", "1", "where")
        results = watch(waiting)
        cluster.advance()
        waiting.cancel()
        assert isinstance(results[0], CancelledError)
        cluster.advance(6.0)
        assert [len(cluster[name].clients._pages) for name in NAMES] == [0, 0, 0]

    def test_badArguments(self, cluster: MemoryCluster) -> None:
        """They are said to the caller."""
        ask = cluster["serverA"].clients.requestRoom
        for bad in (("chat", "", "e"), (7, "1", "e"), ("chat", "1", ""), ("chat", "1", "e", object())):
            with pytest.raises(TypeError):
                ask(*bad)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="broadcast"):
            ask("broadcast", "1", "e")


class TestStopping:
    def test_asked(self, cluster: MemoryCluster) -> None:
        """A server that stops says goodbye, and its clients are gone for whoever has asked them."""
        peer = come(cluster, "serverB", "kim", ("chat", "1"))
        results = watch(cluster["serverA"].clients.request("kim", "where", timeout=60.0))
        room = watch(cluster["serverA"].clients.requestRoom("chat", "1", "where", timeout=60.0))
        cluster.advance()
        assert len(peer.takeFrames()) == 2
        cluster["serverB"].stopService()
        cluster.advance(2.0)
        assert isinstance(results[0], NotConnected)
        assert room[0].left == {"kim"}
        assert not cluster.clock("serverB").getDelayedCalls()

    def test_asking(self, cluster: MemoryCluster) -> None:
        """A server that stops while it waits ends its waits, and leaves no timer behind."""
        come(cluster, "serverB", "kim", ("chat", "1"))
        waits = [
            watch(cluster["serverA"].clients.request("kim", "where", timeout=60.0)),
            watch(cluster["serverA"].clients.requestRoom("chat", "1", "where", timeout=60.0)),
        ]
        cluster.advance()
        cluster["serverA"].stopService()
        cluster.advance(2.0)
        assert all(waits)
        assert not cluster.clock("serverA").getDelayedCalls()


_deeds = st.lists(
    st.tuples(
        st.sampled_from(["answer", "fail", "leave", "wait", "kill", "freeze"]), st.integers(0, 5), st.floats(0, 1.5)
    ),
    max_size=10,
)


@settings(max_examples=60, deadline=None)
@given(_deeds, st.floats(0, 0.2))
def test_everyoneIsToldOfOnce(deeds: list[tuple[str, int, float]], latency: float) -> None:
    """
    Whatever clients and servers do: it ends in time, everyone who was asked is in exactly one of the results, what
    says that it answered did, and nothing is left behind.
    """
    cluster = MemoryCluster(NAMES)
    peers = [come(cluster, NAMES[number % 3], f"u{number}", ("chat", "1")) for number in range(6)]
    cluster.delay(latency)
    results = watch(cluster["serverA"].clients.requestRoom("chat", "1", "where", timeout=3.0))
    cluster.advance(0.5)
    ids = {number: frame.ackId for number, peer in enumerate(peers) for frame in peer.takeFrames() if _isRequest(frame)}
    said: dict[str, str] = {}
    for deed, number, seconds in deeds:
        name = NAMES[number % 3]
        if deed in ("answer", "fail", "leave") and peers[number].isConnected and name in cluster._nodes:
            if deed == "answer":
                peers[number].sendAnswer(ids[number], number)
            elif deed == "fail":
                peers[number].sendErrorAnswer(ids[number], "no")
            else:
                peers[number].leave()
            said.setdefault(f"u{number}", deed)
        elif deed == "kill" and name != "serverA" and name in cluster._nodes:
            cluster.kill(name)
        elif deed == "freeze" and name != "serverA" and name in cluster._nodes:
            cluster.freeze(name)
        cluster.advance(seconds)
    cluster.advance(3.0)
    (found,) = results
    groups = [set(found.answers), set(found.errors), set(found.unanswered), set(found.left)]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert set.union(*groups) == {f"u{number}" for number in range(6)}
    assert all(
        said[socketId] == "answer" and found.answers[socketId] == int(socketId[1:]) for socketId in found.answers
    )
    assert all(said[socketId] == "fail" for socketId in found.errors)
    assert len(cluster["serverA"].clients._pages) == 0


def _isRequest(frame: object) -> bool:
    return isinstance(frame, Request)


def test_notConfusedWithEvents(cluster: MemoryCluster) -> None:
    """A frame with an event is an event, whatever else is in it."""
    peer = come(cluster, "serverA", "kim")
    results = watch(cluster["serverA"].clients.request("kim", "where"))
    request = asked(cluster, peer)
    heard: list[Any] = []
    cluster["serverA"].clients.on("said", lambda socket, payload: heard.append(payload))
    peer.sendText(f'{{"event": "said", "payload": 1, "ackId": "{request.ackId}"}}')
    assert heard == [1] and not results


class TestNoise:
    def test_flooding(self, clock: Clock) -> None:
        """Answers to what nobody has asked are noise, which is limited."""
        node = Node("serverA", clock=clock)
        peer = FakePeer(node, clock, params={"crossws": 2})
        for number in range(3000):
            peer.sendAnswer(str(number))
        assert peer.closeCode == 1008
        assert node.counters["answers_late"] > 300
        assert node.counters["frames_malformed"] == 0

    def test_answersAreNone(self, clock: Clock) -> None:
        """Those that are waited for are no noise, however many they are."""
        node = Node("serverA", clock=clock)
        peer = FakePeer(node, clock, params={"crossws": 2})
        (socket,) = node._everyone
        results: list[Any] = []
        for _ in range(1000):
            peer.takeTexts()
            socket.call("where").addCallback(results.append)
            (request,) = peer.takeFrames()
            assert isinstance(request, Request)
            peer.sendAnswer(request.ackId, 1)
        assert results == [1] * 1000
        assert peer.closeCode is None

    def test_versionOne(self, clock: Clock) -> None:
        """From a client that does not speak version 2 such a frame is malformed."""
        node = Node("serverA", clock=clock)
        FakePeer(node, clock).sendAnswer("1")
        assert (node.counters["frames_malformed"], node.counters["answers_late"]) == (1, 0)

    @pytest.mark.parametrize("text", ["{", "7", '{"ackId": 7}', '{"payload": 1}'])
    def test_neither(self, clock: Clock, text: str) -> None:
        """What is neither an event nor an answer is malformed, from whoever it comes."""
        node = Node("serverA", clock=clock)
        FakePeer(node, clock, params={"crossws": "2"}).sendText(text)
        assert (node.counters["frames_malformed"], node.counters["answers_late"]) == (1, 0)


def test_repliesAreNotLate(cluster: MemoryCluster) -> None:
    """That other servers say after the answer that they have no such client is as it should be, and is not counted."""
    peer = come(cluster, "serverB", "kim")
    cluster.freeze("serverC")
    results = watch(cluster["serverA"].clients.request("kim", "where"))
    peer.sendAnswer(asked(cluster, peer).ackId, 1)
    cluster.advance()
    assert results == [1]
    cluster.thaw("serverC")
    assert cluster["serverA"].counters["replies_late"] == 0

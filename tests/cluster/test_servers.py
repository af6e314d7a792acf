"""
Servers that call each other: on a memory bus, and a node itself without it.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from twisted_crossws import (
    CallTimeout,
    Node,
    NoReply,
    NoSuchServer,
    Relay,
    RemoteError,
    Replies,
    Reply,
    ReplyError,
    ServerMessage,
    memoryBus,
)
from twisted_crossws.testing import FakePeer, MemoryCluster
from twisted_crossws.wire.frames import ErrorReply
from twisted_crossws.wire.frames import Reply as ReplyFrame
from twisted_crossws.wire.packets import Bridge, PacketCodec, ServerEvent


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(["serverA", "serverB", "serverC"])


def results(deferred: Deferred[Any]) -> list[Any]:
    """What a Deferred has fired with so far; a failure as its exception."""
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got


class TestOneOfMany:
    """What is for one server is read by that one."""

    def received(self, cluster: MemoryCluster) -> list[int]:
        return [cluster[name].counters["bus_packets_received"] for name in ("serverA", "serverB", "serverC")]

    def test_call(self, cluster: MemoryCluster) -> None:
        """A question to one, and its reply, come to these two alone."""
        cluster["serverB"].servers.on("double", lambda message: 2 * message.payload)
        before = self.received(cluster)
        got = results(cluster["serverA"].servers.callOne("double", 4, to="serverB"))
        cluster.advance()
        assert got == [8]
        assert [now - then for now, then in zip(self.received(cluster), before, strict=True)] == [1, 1, 0]

    def test_order(self, cluster: MemoryCluster) -> None:
        """What is for one does not overtake what is for all."""
        heard: list[Any] = []
        cluster["serverB"].servers.on("news", lambda message: heard.append(message.payload))
        for number in range(6):
            cluster["serverA"].servers.emit("news", number, to=("serverB",) if number % 2 else ())
        cluster.advance()
        assert heard == [0, 1, 2, 3, 4, 5]


class TestOneNode:
    """A node without a bus to speak of serves itself."""

    @pytest.fixture
    def node(self, clock: Clock) -> Node:
        return Node("serverA", clock=clock)

    @pytest.mark.parametrize("to", [(), "serverA", ["serverA"], ["serverA", "serverA"]])
    def test_callsItself(self, node: Node, clock: Clock, to: Any) -> None:
        """A call from a node to itself replies, by name or as one of all."""
        asked: list[ServerMessage] = []

        @node.servers.on("match")
        def match(message: ServerMessage) -> dict[str, Any]:
            asked.append(message)
            return {"table": message.payload["level"]}

        (replies,) = results(node.servers.call("match", {"level": 3}, to=to))
        assert replies.complete and replies.byServer == {"serverA": {"table": 3}}
        assert (asked[0].sender, asked[0].event, asked[0].payload) == ("serverA", "match", {"level": 3})
        assert asked[0].requestId is not None
        assert clock.getDelayedCalls() == []

    def test_copies(self, node: Node) -> None:
        """Payload and reply are copies: what one side changes, the other does not see."""
        kept: list[Any] = []

        @node.servers.on("keep")
        def keep(message: ServerMessage) -> Any:
            kept.append(message.payload)
            return message.payload

        mine = {"list": [1]}
        (reply,) = results(node.servers.callOne("keep", mine, to="serverA"))
        assert reply == kept[0] == mine
        assert reply is not kept[0] and kept[0] is not mine and kept[0]["list"] is not mine["list"]

    def test_async(self, node: Node) -> None:
        """A listener may take its time."""
        answer: Deferred[int] = Deferred()

        @node.servers.on("slow")
        async def slow(message: ServerMessage) -> int:
            return await answer

        got = results(node.servers.callOne("slow", to="serverA"))
        assert got == []
        answer.callback(7)
        assert got == [7]

    def test_emit(self, node: Node) -> None:
        """An event that wants no reply says so to its listener."""
        heard: list[ServerMessage] = []
        node.servers.on("news", heard.append)
        assert node.servers.emit("news", 1) is None
        node.servers.emit("news", 2, exceptSelf=True)
        node.servers.emit("news", 3, to="serverA")
        assert [(message.payload, message.requestId) for message in heard] == [(1, None), (3, None)]

    def test_nobodyToAsk(self, node: Node) -> None:
        """A call that leaves nobody to ask ends at once, with nothing."""
        (replies,) = results(node.servers.call("match", exceptSelf=True))
        assert replies.complete and replies.byServer == {}

    def test_noListener(self, node: Node) -> None:
        """A server where nobody listens says so."""
        (error,) = results(node.servers.callOne("nothing", to="serverA"))
        assert isinstance(error, RemoteError) and error.code == "no_listener"

    def test_timeout(self, node: Node, clock: Clock) -> None:
        """A call that times out does not raise: what came is there. C{callOne} fails with L{CallTimeout}."""
        node.servers.on("never", lambda message: Deferred())
        many = results(node.servers.call("never", timeout=2.0))
        one = results(node.servers.callOne("never", to="serverA", timeout=2.0))
        clock.advance(1.9)
        assert many == one == []
        clock.advance(0.1)
        (replies,) = many
        assert not replies.complete
        assert (replies.missing, replies.unanswered) == (frozenset({"serverA"}), 1)
        assert isinstance(one[0], CallTimeout)
        assert node.counters["calls_timed_out"] == 2
        assert clock.getDelayedCalls() == []

    def test_lateReply(self, node: Node, clock: Clock) -> None:
        """A reply that comes late is counted, and changes nothing."""
        answer: Deferred[int] = Deferred()
        node.servers.on("late", lambda message: answer)
        got = results(node.servers.call("late", timeout=1.0))
        clock.advance(1.0)
        answer.callback(1)
        assert got[0].byServer == {}
        assert node.counters["replies_late"] == 1

    def test_failingListener(self, node: Node, logged: list[Any]) -> None:
        """A listener that fails is logged, and its caller gets an error that tells nothing of it."""
        node.servers.on("fails", lambda message: {}["secret"])
        (error,) = results(node.servers.callOne("fails", to="serverA"))
        assert isinstance(error, RemoteError) and error.code == "internal_error" and "secret" not in str(error)
        assert logged.pop().check(KeyError)

    def test_unencodable(self, node: Node, clock: Clock, logged: list[Any]) -> None:
        """A payload that has no form on the bus is the caller's mistake, and a reply that has none the listener's."""
        with pytest.raises(TypeError):
            node.servers.call("x", object(), to="serverA")
        assert clock.getDelayedCalls() == []
        node.servers.on("bad", lambda message: object())
        (error,) = results(node.servers.callOne("bad", to="serverA"))
        assert error.code == "internal_error"
        assert logged.pop().check(TypeError)

    @pytest.mark.parametrize("event", ["", None, 7])
    def test_badEvent(self, node: Node, event: Any) -> None:
        """An event that is not a non-empty string is a C{TypeError}."""
        for method in (node.servers.emit, node.servers.call, node.servers.on):
            with pytest.raises(TypeError):
                method(event)

    def test_badName(self, node: Node) -> None:
        """C{callOne} asks one server."""
        with pytest.raises(TypeError, match="one server"):
            node.servers.callOne("x")


class TestSeveralNodes:
    def listen(self, cluster: MemoryCluster, *names: str) -> None:
        for name in names:
            cluster[name].servers.on("who", lambda message, name=name: f"{name} to {message.sender}")

    def test_all(self, cluster: MemoryCluster) -> None:
        """A call to all is answered by every node, the caller included."""
        self.listen(cluster, "serverA", "serverB", "serverC")
        got = results(cluster["serverA"].servers.call("who"))
        cluster.advance()
        (replies,) = got
        assert replies.complete
        assert replies.byServer == {name: f"{name} to serverA" for name in ("serverA", "serverB", "serverC")}

    def test_exceptSelf(self, cluster: MemoryCluster) -> None:
        """With C{exceptSelf}, by all others."""
        self.listen(cluster, "serverA", "serverB", "serverC")
        got = results(cluster["serverA"].servers.call("who", exceptSelf=True))
        cluster.advance()
        assert set(got[0].byServer) == {"serverB", "serverC"} and got[0].complete

    def test_some(self, cluster: MemoryCluster) -> None:
        """A call to names is answered by these, and no other runs its listener."""
        self.listen(cluster, "serverA", "serverB", "serverC")
        got = results(cluster["serverA"].servers.call("who", to=["serverC"]))
        cluster.advance()
        assert got[0].byServer == {"serverC": "serverC to serverA"}

    def test_expected(self, cluster: MemoryCluster) -> None:
        """C{expected} replies end the wait; later ones are counted."""
        self.listen(cluster, "serverA", "serverB", "serverC")
        got = results(cluster["serverA"].servers.call("who", expected=1))
        assert got[0].byServer == {"serverA": "serverA to serverA"} and got[0].complete
        cluster.advance()
        assert cluster["serverA"].counters["replies_late"] == 2

    def test_expectedOfThoseWhoListen(self, cluster: MemoryCluster) -> None:
        """That a server does not listen, or declines, is no reply: "who has it?" waits for who has it."""
        cluster["serverA"].servers.on("who", lambda message: NoReply)
        self.listen(cluster, "serverC")
        told: list[Reply] = []
        servers = cluster["serverA"].servers
        got = results(servers.call("who", expected=1))
        servers.emit("who", expected=1, onReply=told.append)
        assert got == []
        cluster.advance()
        assert got[0].complete and got[0].byServer == {"serverC": "serverC to serverA"}
        assert [(reply.ok, reply.sender, reply.remaining) for reply in told] == [
            (False, "serverA", 1),
            (False, "serverB", 1),
            (True, "serverC", 0),
        ]

    def test_expectedFailure(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """A listener that fails has answered."""
        cluster["serverB"].servers.on("who", lambda message: 1 / 0)
        got = results(cluster["serverA"].servers.call("who", expected=1))
        cluster.advance()
        assert got[0].complete and got[0].errors["serverB"].code == "internal_error"
        logged.clear()

    def test_expectedOfNames(self, cluster: MemoryCluster) -> None:
        """Of those that are named nobody else can answer, so the wait ends when they have said that they will not."""
        self.listen(cluster, "serverA")
        got = results(cluster["serverA"].servers.call("who", to=["serverB", "serverC"], expected=1))
        cluster.advance()
        (replies,) = got
        assert (replies.complete, replies.byServer, replies.unanswered) == (False, {}, 1)
        assert {error.code for error in replies.errors.values()} == {"no_listener"}

    def test_expectedAndLost(self, cluster: MemoryCluster) -> None:
        """A server that is lost meanwhile is no reply either: the others may still give it."""
        answer: Deferred[int] = Deferred()
        cluster["serverA"].servers.on("who", lambda message: NoReply)
        for name in ("serverB", "serverC"):
            cluster[name].servers.on("who", lambda message: answer)
        got = results(cluster["serverA"].servers.call("who", expected=1, timeout=100.0))
        cluster.kill("serverB")
        cluster.advance(10.0)
        assert got == []
        answer.callback(7)
        cluster.advance()
        assert got[0].complete and got[0].byServer == {"serverC": 7}

    def test_expectedByStrangers(self, cluster: MemoryCluster) -> None:
        """Where a peer may listen that nobody knows of, it is waited for."""
        servers = cluster["serverA"].servers
        told: list[Reply] = []
        requestId = servers.emit("who", onReply=told.append, expected=1)
        cluster.advance()
        servers.received(ServerEvent("_Cs_Cb_", "nodejs", 1, callbackId=requestId, isCallback=True))
        assert [(reply.ok, reply.sender) for reply in told][-1] == (True, "nodejs")
        assert len(told) == 4

    def test_declined(self, cluster: MemoryCluster) -> None:
        """A server whose listeners decline is as one that does not listen."""
        cluster["serverB"].servers.on("who", lambda message: NoReply)
        got = results(cluster["serverA"].servers.callOne("who", to="serverB"))
        cluster.advance()
        assert isinstance(got[0], RemoteError) and got[0].code == "no_listener"

    def test_repliesToOthers(self, cluster: MemoryCluster) -> None:
        """Every server hears every reply; those to what others have asked are not late."""
        self.listen(cluster, "serverB")
        cluster["serverA"].servers.callOne("who", to="serverB")
        cluster.advance()
        assert cluster["serverC"].counters["replies_late"] == 0

    def test_partial(self, cluster: MemoryCluster) -> None:
        """When time runs out, the replies say what came, and who is missing."""
        self.listen(cluster, "serverA", "serverB")
        cluster["serverC"].servers.on("who", lambda message: Deferred())
        got = results(cluster["serverA"].servers.call("who", timeout=1.0))
        cluster.advance(1.0)
        (replies,) = got
        assert set(replies.byServer) == {"serverA", "serverB"}
        assert (replies.complete, replies.missing, replies.unanswered) == (False, {"serverC"}, 1)

    def test_onReply(self, cluster: MemoryCluster) -> None:
        """C{onReply} is called for each reply, and once more when time runs out."""
        self.listen(cluster, "serverA", "serverB")
        cluster["serverC"].servers.on("who", lambda message: Deferred())
        told: list[Reply] = []
        requestId = cluster["serverA"].servers.emit("who", onReply=told.append, timeout=1.0)
        cluster.advance(1.0)
        cluster.advance(10.0)
        assert [(reply.ok, reply.sender, reply.remaining) for reply in told] == [
            (True, "serverA", 2),
            (True, "serverB", 1),
            (False, None, 1),
        ]
        assert told[-1].missing == {"serverC"}
        assert {reply.requestId for reply in told} == {requestId}

    def test_failingOnReply(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """One that fails is logged, and called again for the next reply."""
        self.listen(cluster, "serverA", "serverB", "serverC")
        told: list[Any] = []
        cluster["serverA"].servers.emit("who", onReply=lambda reply: told.append(reply) or 1 / 0)
        cluster.advance()
        assert len(told) == len(logged) == 3
        logged.clear()

    def test_cancel(self, cluster: MemoryCluster) -> None:
        """A cancelled request is told nothing more, and cancelling it again is C{False}."""
        self.listen(cluster, "serverB")
        told: list[Reply] = []
        servers = cluster["serverA"].servers
        before = len(cluster.clock("serverA").getDelayedCalls())
        requestId = servers.emit("who", to="serverB", onReply=told.append)
        assert requestId is not None
        assert servers.cancel(requestId) is True
        assert servers.cancel(requestId) is False
        cluster.advance(10)
        assert told == []
        assert len(cluster.clock("serverA").getDelayedCalls()) == before

    def test_cancelDeferred(self, cluster: MemoryCluster) -> None:
        """Cancelling the Deferred forgets the call."""
        cluster["serverB"].servers.on("who", lambda message: Deferred())
        before = len(cluster.clock("serverA").getDelayedCalls())
        calling = cluster["serverA"].servers.call("who", to="serverB")
        got = results(calling)
        calling.cancel()
        assert [type(each) for each in got] == [CancelledError]
        cluster.advance()
        assert len(cluster.clock("serverA").getDelayedCalls()) == before

    def test_remoteErrors(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """What fails elsewhere comes as an error, by the name of who failed."""

        @cluster["serverB"].servers.on("who")
        def refuses(message: ServerMessage) -> None:
            raise ReplyError("busy", "Come back later.")

        cluster["serverC"].servers.on("who", lambda message: 1 / 0)
        got = results(cluster["serverA"].servers.call("who", to=["serverB", "serverC"]))
        cluster.advance()
        errors = got[0].errors
        assert got[0].complete and got[0].byServer == {}
        assert (errors["serverB"].code, errors["serverB"].message) == ("busy", "Come back later.")
        assert errors["serverC"].code == "internal_error"
        assert logged.pop().check(ZeroDivisionError)

    def test_expired(self, cluster: MemoryCluster) -> None:
        """A server that gets to a request after its deadline does not run it."""
        ran: list[Any] = []
        cluster["serverB"].servers.on("who", ran.append)
        late = ServerEvent("who", "serverA", 1, ["serverB"], "id-1", deadline=1000.0)
        cluster.advance(1.5)
        cluster["serverB"].servers.received(late)
        assert ran == []
        assert cluster["serverB"].counters["calls_expired"] == 1

    def test_stopEndsCalls(self, cluster: MemoryCluster) -> None:
        """When a node stops, its open calls end with what came."""
        cluster["serverB"].servers.on("who", lambda message: Deferred())
        got = results(cluster["serverA"].servers.call("who", to="serverB", timeout=100.0))
        cluster.advance()
        cluster.stop()
        assert isinstance(got[0], Replies) and not got[0].complete
        assert cluster.clock("serverA").getDelayedCalls() == []

    def test_thousandAtOnce(self, cluster: MemoryCluster) -> None:
        """Each of many concurrent calls of one event gets its own reply."""
        cluster["serverB"].servers.on("double", lambda message: message.payload * 2)
        got = [results(cluster["serverA"].servers.callOne("double", n, to="serverB")) for n in range(1000)]
        cluster.advance()
        assert got == [[n * 2] for n in range(1000)]


class TestNodeJsPeers:
    """A peer that knows nothing of our keys."""

    def test_failuresAreNotReplies(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """It would take an error for a reply of nothing, so it gets none, and waits as it would for its own kind."""
        cluster["serverB"].servers.on("fails", lambda message: 1 / 0)
        before = cluster["serverB"].counters["bus_packets_published"]
        for event in ("fails", "nothing"):
            cluster["serverB"].servers.received(ServerEvent(event, "nodejs", None, [], "erverA-x-1"))
        assert cluster["serverB"].counters["bus_packets_published"] == before
        logged.clear()

    def test_itsReplies(self, cluster: MemoryCluster) -> None:
        """Its reply needs no more than the wire says; one without a payload is C{None}."""
        servers = cluster["serverA"].servers
        told: list[Reply] = []
        requestId = servers.emit("who", to="nodejs", onReply=told.append)
        servers.received(ServerEvent("_Cs_Cb_", "nodejs", callbackId=requestId, isCallback=True))
        assert [(reply.ok, reply.sender, reply.payload) for reply in told] == [(True, "nodejs", None)]

    @pytest.mark.parametrize(("expected", "remaining"), [(None, [2, 2, 2, 1, 0]), (4, [3, 2, 1, 0])])
    def test_unasked(self, cluster: MemoryCluster, expected: int | None, remaining: list[int]) -> None:
        """
        What comes from one that was not asked by name is a reply, and does not end the wait for those that were,
        however often it comes; with C{expected} it counts like any other.
        """
        for name in ("serverA", "serverB", "serverC"):
            cluster[name].servers.on("who", lambda message: message.payload)
        told: list[Reply] = []
        servers = cluster["serverA"].servers
        requestId = servers.emit("who", onReply=told.append, expected=expected)
        for _ in range(2):
            servers.received(ServerEvent("_Cs_Cb_", "nodejs", 1, callbackId=requestId, isCallback=True))
        cluster.advance()
        assert [reply.remaining for reply in told] == remaining
        assert [reply.sender for reply in told][:3] == ["serverA", "nodejs", "nodejs"]

    def test_replyWithoutId(self, cluster: MemoryCluster) -> None:
        """A reply to nothing is counted and dropped."""
        cluster["serverA"].servers.received(ServerEvent("_Cs_Cb_", "nodejs", isCallback=True))
        assert cluster["serverA"].counters["replies_late"] == 1

    def test_itsEvents(self, cluster: MemoryCluster) -> None:
        """Its events need no payload and no list of targets."""
        heard: list[ServerMessage] = []
        cluster["serverA"].servers.on("news", heard.append)
        packet = PacketCodec().encode({"data": {"event": "news", "senderServer": "nodejs"}})
        assert PacketCodec().decode(Bridge, packet)
        cluster["serverA"].servers.received(PacketCodec().decode(Bridge, packet).data)
        assert [(message.sender, message.payload) for message in heard] == [("nodejs", None)]


class TestKnownNames:
    """On a bus that can tell who is there."""

    @pytest.fixture
    def nodes(self, clock: Clock) -> list[Node]:
        bus = memoryBus()
        nodes = [Node(name, bus, clock=clock) for name in ("serverA", "serverB")]
        for node in nodes:
            node.startService()
        return nodes

    def test_noSuchServer(self, nodes: list[Node], clock: Clock) -> None:
        """A name that nobody has fails at once."""
        nodes[1].servers.on("who", lambda message: message.sender)
        servers = nodes[0].servers
        (error,) = results(servers.callOne("who", to="nobody"))
        assert isinstance(error, NoSuchServer) and "'nobody'" in str(error)
        got = results(servers.call("who", to=["serverB", "nobody"]))
        clock.advance(0)
        clock.advance(0)
        assert isinstance(got[0].errors["nobody"], NoSuchServer)
        assert got[0].byServer == {"serverB": "serverA"}
        assert (got[0].complete, got[0].missing) == (False, {"nobody"})

    def test_relayToNobody(self, nodes: list[Node], clock: Clock) -> None:
        """A client whose question goes there gets an error as its reply."""
        nodes[0].clients.on("ask", lambda socket, payload: Relay("nobody", "answer", payload))
        peer = FakePeer(nodes[0], clock, params={"crossws": 2})
        peer.takeTexts()
        peer.sendEvent("ask", 21, "7")
        (reply,) = peer.takeFrames()
        assert isinstance(reply, ErrorReply) and reply.code == "no_such_server"

    def test_nobodyLeft(self, nodes: list[Node], clock: Clock) -> None:
        """A wait for C{expected} replies ends when all have said that they do not listen, or too few listen."""
        early = results(nodes[0].servers.call("who", expected=1))
        clock.advance(0)
        clock.advance(0)
        assert not early[0].complete and (early[0].unanswered, early[0].missing) == (1, frozenset())
        nodes[1].servers.on("who", lambda message: message.sender)
        few = results(nodes[0].servers.call("who", expected=6))
        clock.advance(0)
        clock.advance(0)
        assert (few[0].complete, few[0].byServer, few[0].unanswered) == (False, {"serverB": "serverA"}, 5)


class TestRelay:
    def ask(self, cluster: MemoryCluster, *, bound: bool, version: int = 2, to: str = "serverB") -> FakePeer:
        """A client of serverA whose question is relayed."""
        node = cluster["serverA"]
        node.clients.on("ask", lambda socket, payload: Relay(to, "answer", payload))
        node.authenticate = (lambda request: "u1") if bound else None
        peer = cluster.peer("serverA", params={"crossws": version})
        peer.takeTexts()
        peer.sendEvent("ask", 21, "7")
        cluster.advance()
        return peer

    @pytest.mark.parametrize("bound", [True, False])
    @pytest.mark.parametrize("to", ["serverA", "serverB"])
    def test_answer(self, cluster: MemoryCluster, bound: bool, to: str) -> None:
        """The named server's listener answers the client, bound or not, once."""
        cluster[to].servers.on("answer", lambda message: message.payload * 2)
        peer = self.ask(cluster, bound=bound, to=to)
        assert peer.takeFrames() == [ReplyFrame("7", 42)]

    def test_directly(self, cluster: MemoryCluster) -> None:
        """The answer finds a bound client even if the relaying node knows nothing of the request any more."""
        answer: Deferred[int] = Deferred()
        cluster["serverB"].servers.on("answer", lambda message: answer)
        peer = self.ask(cluster, bound=True)
        cluster["serverA"].servers.stop()
        answer.callback(1)
        cluster.advance()
        assert peer.takeFrames() == [ReplyFrame("7", 1)]

    @pytest.mark.parametrize("bound", [True, False])
    def test_failure(self, cluster: MemoryCluster, bound: bool, logged: list[Any]) -> None:
        """A server that fails to answer is an error reply, to clients that read these."""
        cluster["serverB"].servers.on("answer", lambda message: 1 / 0)
        assert [type(frame) for frame in self.ask(cluster, bound=bound).takeFrames()] == [ErrorReply]
        assert self.ask(cluster, bound=bound, version=1).takeFrames() == []
        logged.clear()

    @pytest.mark.parametrize("bound", [True, False])
    @pytest.mark.parametrize("to", ["serverA", "serverB"])
    def test_answerWithoutForm(self, cluster: MemoryCluster, bound: bool, to: str, logged: list[Any]) -> None:
        """So is an answer that the bus has a form for, and JSON has not; it is logged."""
        cluster[to].servers.on("answer", lambda message: {None: 1})
        (reply,) = self.ask(cluster, bound=bound, to=to).takeFrames()
        assert isinstance(reply, ErrorReply) and (reply.callbackId, reply.code) == ("7", "internal_error")
        assert self.ask(cluster, bound=bound, version=1, to=to).takeFrames() == []
        assert [failure.type for failure in logged] == [TypeError] * 2
        logged.clear()

    @pytest.mark.parametrize("bound", [True, False])
    def test_lost(self, cluster: MemoryCluster, bound: bool) -> None:
        """So is a server that is gone, before or after it was asked."""
        cluster["serverB"].servers.on("answer", lambda message: Deferred())
        peer = self.ask(cluster, bound=bound)
        cluster.kill("serverB")
        cluster.advance(6.0)
        (reply,) = peer.takeFrames()
        assert isinstance(reply, ErrorReply) and reply.code == "server_lost"
        peer.sendEvent("ask", 21, "8")
        (reply,) = peer.takeFrames()
        assert isinstance(reply, ErrorReply) and reply.code == "server_lost"

    @pytest.mark.parametrize("bound", [True, False])
    def test_noBus(self, cluster: MemoryCluster, bound: bool) -> None:
        """So is a bus that is away."""
        cluster.partition("serverA")
        (reply,) = self.ask(cluster, bound=bound).takeFrames()
        assert isinstance(reply, ErrorReply) and reply.code == "bus_unavailable"

    def test_answeredDirectly(self, cluster: MemoryCluster) -> None:
        """A question that was answered past the relaying node leaves nothing there, and was no failure."""
        cluster["serverB"].servers.on("answer", lambda message: message.payload)
        self.ask(cluster, bound=True)
        cluster.advance(10.0)
        assert cluster["serverA"].counters["calls_timed_out"] == 0

    def test_notWanted(self, cluster: MemoryCluster) -> None:
        """A question that wants no reply is handed on all the same."""
        heard: list[ServerMessage] = []
        cluster["serverB"].servers.on("answer", heard.append)
        cluster["serverA"].clients.on("tell", lambda socket, payload: Relay("serverB", "answer", payload))
        cluster.peer("serverA").sendEvent("tell", "x")
        cluster.advance()
        assert [(message.payload, message.requestId) for message in heard] == [("x", None)]

    def test_withoutForm(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """A payload that has no form on the bus is a failure of the listener that returned the relay."""
        cluster["serverA"].clients.on("ask", lambda socket, payload: Relay("serverB", "answer", object()))
        peer = cluster.peer("serverA", params={"crossws": 2})
        peer.takeTexts()
        peer.sendEvent("ask", None, "7")
        assert [type(frame) for frame in peer.takeFrames()] == [ErrorReply]
        assert logged.pop().check(TypeError)

"""
Values that JavaScript writes and Python's libraries refuse or take too literally: through whole nodes, in either
direction, to clients and to other servers.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.clientfakes import Rig, faultOf
from twisted_crossws import BusConfig, Config, Node, Relay, RemoteError, WebSocketConfig
from twisted_crossws.testing import FakePeer, MemoryCluster
from twisted_crossws.wire.frames import ErrorReply
from twisted_crossws.wire.packets import MAX_PACKET_SIZE


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


#: What JavaScript writes, and what it reads of it when it comes back.
WRITTEN = [
    ("100000000000000000000", 1e20),
    ('{"a":[1,{"b":18446744073709551616}]}', {"a": [1, {"b": 2.0**64}]}),
    ("9223372036854775808", 2.0**63),
    ("9007199254740993", 2**53 + 1),
    ('"\\ud83d"', "\ufffd"),
    ('{"\\udc00":"\\ud83d\\ude00"}', {"\ufffd": "\U0001f600"}),
]

BEYOND = [(deep(1001), "too_deep"), (deep(100_000), "too_deep"), ("1e400", "too_large"), ("9" * 400, "too_large")]


@pytest.fixture(params=[True, False], ids=["fast", "ordinary"])
def node(request: pytest.FixtureRequest, clock: Clock) -> Node:
    node = Node("serverA", clock=clock, config=Config(websocket=WebSocketConfig(fast_path=request.param)))
    node.clients.on("echo", lambda socket, payload: payload)
    return node


def ask(peer: FakePeer, payload: str) -> str:
    peer.takeTexts()
    peer.sendText('{"event":"echo","payload":' + payload + ',"callbackId":"7"}')
    (text,) = peer.takeTexts()
    return text


class TestClients:
    @pytest.mark.parametrize(("payload", "back"), WRITTEN, ids=[written for written, _ in WRITTEN])
    def test_echo(self, node: Node, clock: Clock, payload: str, back: object) -> None:
        """What JavaScript writes is heard, and comes back as what it is there."""
        text = ask(FakePeer(node, clock), payload)
        assert repr(json.loads(text)) == repr({"payload": back, "callbackId": "7"})
        assert node.counters["frames_malformed"] == 0

    def test_deep(self, node: Node, clock: Clock) -> None:
        """A thousand levels are heard, and answered with; they can be passed on to everybody."""
        node.clients.on("shout", lambda socket, payload: node.clients.broadcast("said", payload))
        peer = FakePeer(node, clock)
        assert ask(peer, deep(1000)) == '{"payload":' + deep(1000) + ',"callbackId":"7"}'
        peer.sendText('{"event":"shout","payload":' + deep(1000) + "}")
        assert peer.takeTexts() == ['{"event":"said","payload":' + deep(1000) + "}"]

    @pytest.mark.parametrize(("payload", "code"), BEYOND, ids=range(len(BEYOND)))
    def test_beyond(self, node: Node, clock: Clock, payload: str, code: str) -> None:
        """What is beyond a limit is an error at once, not a time-out, for who asked and speaks version 2."""
        peer = FakePeer(node, clock, params={"crossws": 2})
        text = ask(peer, payload)
        assert json.loads(text)["error"]["code"] == code and json.loads(text)["callbackId"] == "7"
        assert node.counters["frames_malformed"] == 1
        assert ask(peer, "1") == '{"payload":1,"callbackId":"7"}'

    @pytest.mark.parametrize(("payload", "code"), BEYOND, ids=range(len(BEYOND)))
    @pytest.mark.parametrize(("version", "asks"), [(1, True), (2, False)])
    def test_nobodyToTell(self, node: Node, clock: Clock, payload: str, code: str, version: int, asks: bool) -> None:
        """Others are told nothing: an older client would take it for a reply, and who has not asked wants none."""
        peer = FakePeer(node, clock, params={"crossws": version})
        peer.takeTexts()
        peer.sendText('{"event":"echo","payload":' + payload + (',"callbackId":"7"}' if asks else "}"))
        assert peer.takeTexts() == []
        assert node.counters["frames_malformed"] == 1 and peer.isConnected

    def test_manyBeyond(self, node: Node, clock: Clock) -> None:
        """They are held to the limit of what is no event."""
        peer = FakePeer(node, clock, params={"crossws": 2})
        for _ in range(2001):
            peer.sendText('{"event":"echo","payload":1e999,"callbackId":"7"}')
        assert peer.closeCode == 1008
        assert len(peer.takeTexts()) == 2001  # With the greeting.

    @pytest.mark.parametrize(("result", "code"), [(nested(1001), "too_deep"), ("\ud800", "internal_error")])
    def test_result(self, node: Node, clock: Clock, result: object, code: str, logged: list[Any]) -> None:
        """A listener's result that cannot be sent is an error reply, too; what is too deep is called so."""
        node.clients.on("make", lambda socket, payload: result)
        peer = FakePeer(node, clock, params={"crossws": 2})
        peer.takeTexts()
        peer.sendEvent("make", None, "7")
        (reply,) = peer.takeFrames()
        assert isinstance(reply, ErrorReply) and reply.code == code
        assert logged.pop().check(TypeError)

    @pytest.mark.parametrize("payload", ["\ud800", {"a": ["\udfff"]}, nested(1001)])
    def test_send(self, node: Node, clock: Clock, payload: object) -> None:
        """What has no form is the caller's mistake, whichever way it is sent, and nobody gets anything."""
        sockets: list[Any] = []
        node.lifecycle.on("connection", sockets.append)
        peer = FakePeer(node, clock, params={"crossws": 2})
        peer.takeTexts()
        node.sockets.bind("u1", sockets[0])
        for send in (
            lambda: node.clients.send("u1", "e", payload),
            lambda: node.clients.sendMany(["u1"], "e", payload),
            lambda: node.clients.broadcast("e", payload),
            lambda: node.clients.toRoom("ns", "r", "e", payload),
            lambda: node.clients.volatile.broadcast("e", payload),
            lambda: node.clients.request("u1", "e", payload),
            lambda: sockets[0].send("e", payload),
            lambda: sockets[0].call("e", payload),
            lambda: node.clients.broadcast("\ud800"),
        ):
            with pytest.raises(TypeError):
                send()
        assert peer.takeTexts() == []

    def test_answer(self, node: Node, clock: Clock) -> None:
        """An answer to a request of the server may hold the same; one that is beyond a limit fails the request."""
        sockets: list[Any] = []
        node.lifecycle.on("connection", sockets.append)
        peer = FakePeer(node, clock, params={"crossws": 2})
        got: list[Any] = []
        for payload in ("100000000000000000000", deep(1001), "1e400"):
            peer.takeTexts()
            sockets[0].call("where").addCallbacks(got.append, lambda failure: got.append(failure.value))
            ackId = json.loads(peer.takeTexts()[0])["ackId"]
            peer.sendText('{"ackId":"' + ackId + '","payload":' + payload + "}")
        assert repr(got[0]) == "1e+20"
        assert [(type(error), error.code) for error in got[1:]] == [
            (RemoteError, "too_deep"),
            (RemoteError, "too_large"),
        ]


class TestConnector:
    @pytest.mark.parametrize(("payload", "read"), WRITTEN, ids=[written for written, _ in WRITTEN])
    def test_event(self, payload: str, read: object) -> None:
        """The client hears the same, as servers in JavaScript write it."""
        rig, heard = Rig(), list[Any]()
        server = rig.connected()
        rig.client.on("said", heard.append)
        server.sendText(('{"event":"said","payload":' + payload + "}").encode())
        assert repr(heard) == repr([read])

    @pytest.mark.parametrize(("payload", "code"), BEYOND, ids=range(len(BEYOND)))
    def test_reply(self, payload: str, code: str) -> None:
        """A reply that is beyond a limit ends the call at once."""
        rig = Rig()
        server = rig.connected()
        reply = rig.client.call("ask")
        server.sendText(
            ('{"payload":' + payload + ',"callbackId":"' + server.events()[-1]["callbackId"] + '"}').encode()
        )
        fault = faultOf(reply)
        assert isinstance(fault, RemoteError) and fault.code == code

    @pytest.mark.parametrize(("payload", "code"), BEYOND, ids=range(len(BEYOND)))
    def test_request(self, payload: str, code: str) -> None:
        """A request that is beyond a limit is answered so."""
        rig = Rig()
        server = rig.connected()
        server.sendText(('{"event":"ask","payload":' + payload + ',"ackId":"a-1"}').encode())
        (answer,) = server.events()
        assert (answer["ackId"], answer["error"]["code"]) == ("a-1", code)

    def test_requestWhileClosing(self) -> None:
        """One that comes while the client closes is not answered."""
        rig = Rig()
        server = rig.connected()
        rig.client.close()
        server.sendText(b'{"event":"ask","payload":1e400,"ackId":"a-1"}')
        assert server.events() == []

    def test_tooDeep(self, logged: list[Any]) -> None:
        """A payload that no server would take is refused at once; so is an answer."""
        rig = Rig()
        server = rig.connected()
        for method in (rig.client.emit, rig.client.call):
            for payload in (nested(1001), "\ud800"):
                with pytest.raises(TypeError):
                    method("say", payload)
        rig.client.on("ask", lambda payload: nested(1001))
        server.sendText(b'{"event":"ask","payload":1,"ackId":"a-1"}')
        assert [answer["error"]["code"] for answer in server.events()] == ["too_deep"]
        assert logged.pop().check(TypeError)
        rig.client.call("say", nested(1000))
        assert server.texts()[-1].count(b"[") == 1000


@pytest.fixture(params=[True, False], ids=["MessagePack", "JSON"])
def cluster(request: pytest.FixtureRequest) -> MemoryCluster:
    return MemoryCluster(["serverA", "serverB"], config=Config(bus=BusConfig(compression=request.param)))


def results(deferred: Deferred[Any]) -> list[Any]:
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got


class TestServers:
    @pytest.mark.parametrize("to", ["serverA", "serverB"])
    @pytest.mark.parametrize("payload", [1e20, {"a": -(2**63)}, 2**63 - 1, "\ufffd"])
    def test_values(self, cluster: MemoryCluster, payload: object, to: str) -> None:
        """What came from a client goes to another server and back, whichever the encoding of the bus."""
        cluster[to].servers.on("echo", lambda message: message.payload)
        got = results(cluster["serverA"].servers.callOne("echo", payload, to=to))
        cluster.advance()
        assert repr(got) == repr([payload])

    @pytest.mark.parametrize("to", ["serverA", "serverB"])
    def test_deep(self, cluster: MemoryCluster, to: str) -> None:
        """A thousand levels go there and back."""
        cluster[to].servers.on("echo", lambda message: [message.payload[0]])
        got = results(cluster["serverA"].servers.callOne("echo", nested(1000), to=to))
        cluster.advance()
        levels, value = 0, got[0]
        while value:
            levels, value = levels + 1, value[0]
        assert levels == 999

    @pytest.mark.parametrize("to", ["serverA", "serverB"])
    def test_tooDeep(self, cluster: MemoryCluster, to: str, logged: list[Any]) -> None:
        """What is deeper is the caller's mistake, and as a result of a listener an error reply at once."""
        with pytest.raises(TypeError):
            cluster["serverA"].servers.callOne("echo", nested(1100), to=to)
        cluster[to].servers.on("make", lambda message: nested(1100))
        got = results(cluster["serverA"].servers.callOne("make", to=to))
        cluster.advance()
        assert [type(error) for error in got] == [RemoteError] and got[0].code == "too_deep"
        assert logged.pop().check(TypeError)

    def test_tooLarge(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """What is larger than others read is told at once to whoever sends it; as a result, to whoever asked."""
        large = "x" * MAX_PACKET_SIZE
        with pytest.raises(TypeError, match="bytes"):
            cluster["serverA"].servers.callOne("echo", large, to="serverB")
        with pytest.raises(TypeError, match="bytes"):
            cluster["serverA"].clients.broadcast("e", large)
        cluster["serverB"].servers.on("make", lambda message: large)
        got = results(cluster["serverA"].servers.callOne("make", to="serverB"))
        cluster.advance()
        assert [type(error) for error in got] == [RemoteError] and got[0].code == "too_large"
        assert logged.pop().check(TypeError)

    def test_relayed(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """A client whose question was handed on is told so, too."""
        cluster["serverB"].servers.on("make", lambda message: nested(1100))
        node = cluster["serverA"]
        node.clients.on("make", lambda socket, payload: Relay("serverB", "make"))
        node.clients.on("echo", lambda socket, payload: Relay("serverB", "echo", nested(1100)))
        peer = cluster.peer("serverA", params={"crossws": 2})
        peer.takeTexts()
        for event in ("make", "echo"):
            peer.sendEvent(event, None, event)
            cluster.advance()
        replies = peer.takeFrames()
        assert [(type(reply), reply.code) for reply in replies] == 2 * [(ErrorReply, "too_deep")]  # type: ignore[union-attr]
        assert len(logged) == 2
        logged.clear()

    @pytest.mark.parametrize(
        ("payload", "back"),
        [(deep(1000), deep(1000)), ("100000000000000000000", "1e20"), ('"\\ud800"', '"\ufffd"'), ("1e-7", "1e-7")],
        ids=range(4),
    )
    def test_handedOn(self, cluster: MemoryCluster, payload: str, back: str) -> None:
        """What a client sends reaches the server that is to answer it, and what that says comes back to the client."""
        cluster["serverB"].servers.on("echo", lambda message: message.payload)
        cluster["serverA"].clients.on("echo", lambda socket, payload: Relay("serverB", "echo", payload))
        for socketId in (None, "u1"):
            cluster["serverA"].authenticate = lambda request, socketId=socketId: socketId
            peer = cluster.peer("serverA")
            peer.sendText('{"event":"echo","payload":' + payload + ',"callbackId":"7"}')
            cluster.advance()
            assert peer.takeTexts() == ['{"payload":' + back + ',"callbackId":"7"}']

    @pytest.mark.parametrize(
        ("payload", "says"),
        [
            ("100000000000000000000", "1e+20"),
            ('"\\ud800"', "'\\ufffd'"),
            (deep(1001), "too_deep: It is nested deeper than 1000 levels."),
            ("1e400", "too_large: It holds a number beyond what a double can hold."),
        ],
        ids=range(4),
    )
    def test_asked(self, cluster: MemoryCluster, payload: str, says: str) -> None:
        """What a client answers reaches the server that has asked, and so does that it was beyond a limit."""
        cluster["serverB"].authenticate = lambda request: "u1"
        peer = cluster.peer("serverB", params={"crossws": 2})
        peer.takeTexts()
        got = results(cluster["serverA"].clients.request("u1", "where"))
        cluster.advance()
        ackId = json.loads(peer.takeTexts()[0])["ackId"]
        peer.sendText('{"ackId":"' + ackId + '","payload":' + payload + "}")
        cluster.advance()
        assert [str(each) if isinstance(each, RemoteError) else ascii(each) for each in got] == [says]


class TestJSONBus:
    """What servers in JavaScript publish as JSON."""

    @pytest.fixture
    def cluster(self) -> MemoryCluster:
        return MemoryCluster(["serverA", "serverB"], config=Config(bus=BusConfig(compression=False)))

    def publish(self, cluster: MemoryCluster, channel: str, packet: str) -> None:
        node = cluster["serverA"]
        node._link.publish(channel, packet.encode(), 0)
        cluster.advance()

    @pytest.mark.parametrize(("payload", "read"), WRITTEN, ids=[written for written, _ in WRITTEN])
    def test_values(self, cluster: MemoryCluster, payload: str, read: object) -> None:
        """Events between servers, and the application's own packets, hold what it has meant."""
        heard: list[Any] = []
        node = cluster["serverB"]
        node.servers.on("e", lambda message: heard.append(message.payload))
        node.channels.subscribe("mine")
        node.channels.onMessage(lambda channel, mapping: heard.append(mapping["v"]))
        event = '{"event":"e","senderServer":"node","payload":' + payload + ',"targetServer":[]}'
        self.publish(cluster, "csbp:server_bridge", '{"data":' + event + "}")
        self.publish(cluster, "mine", '{"v":' + payload + "}")
        assert repr(heard) == repr([read, read])

    def test_addressed(self, cluster: MemoryCluster) -> None:
        """A half pair in what a frame is addressed by does not lose the frame."""
        peer = cluster.peer("serverB")
        frame = json.dumps('{"event":"e","payload":"\\ud800"}')
        self.publish(cluster, "ws:broadcast", '{"data":' + frame + ',"senderServer":"\\ud800"}')
        assert peer.takeTexts() == ['{"event":"e","payload":"\\ud800"}']

    def test_question(self, cluster: MemoryCluster) -> None:
        """A question that is beyond a limit is answered so, to servers that know errors."""
        cluster["serverB"].servers.on("e", lambda message: "never")
        got = results(cluster["serverA"].servers.callOne("e", 10**400, to="serverB"))
        cluster.advance()
        assert [error.code for error in got] == ["too_large"]

    def test_reply(self, cluster: MemoryCluster) -> None:
        """A reply that is beyond a limit is that error."""
        cluster["serverB"].servers.on("e", lambda message: 10**400)
        got = results(cluster["serverA"].servers.callOne("e", 1, to="serverB"))
        cluster.advance()
        assert [error.code for error in got] == ["too_large"]

    @pytest.mark.parametrize("value", ["1" + "0" * 400, "1e400", deep(5000)], ids=len)
    def test_oversized(self, cluster: MemoryCluster, value: str) -> None:
        """What nobody can be told of is counted, and dropped."""
        node = cluster["serverB"]
        node.channels.subscribe("mine")
        self.publish(cluster, "mine", '{"v":' + value + "}")
        assert node.counters["bus_packets_oversized"] == 1

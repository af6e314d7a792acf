"""
A mixed cluster: two nodes of ours and a server of the Node.js cluster on one Redis, in both encodings.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString

from tests.integration.cluster import Puppet, startPuppets
from tests.integration.nodepeer import NodePeer, fetchPackages
from tests.integration.process import PATIENCE, pause, reactor
from tests.integration.redis import FaultyRedis
from twisted_crossws import (
    BusConfig,
    ChannelsConfig,
    Config,
    Connector,
    Node,
    NotConnected,
    Relay,
    Reply,
    RoomsConfig,
    ServerMessage,
    redisBus,
)

pytestmark = pytest.mark.integration

both = pytest.mark.parametrize("compression", [True, False], ids=["MessagePack", "JSON"])

#: What every encoding carries in both directions.
VALUES: list[Any] = [
    None,
    True,
    [],
    {},
    {"nested": {"map": {"with": [{"list": [[]]}]}}},
    {"": "empty key", "ключ": "knives 🔪", "new\nline": '\u2028 \u0000 \\ "'},
    [0, -1, 127, 128, 255, 256, 65535, 65536, 2**31, 2**32, 5_000_000_000, 2**53, -(2**31) - 1, -(2**53)],
    [1.5, -0.001, 1e-300, 1.7976931348623157e-10, 0.1],
    "x" * 100_000,
    list(range(1000)),
]

#: What MessagePack carries beyond that.
BINARY_VALUES: list[Any] = [
    b"",
    b"\x00\xff" * 300,
    datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC),
    datetime(2300, 1, 1, tzinfo=UTC),
]


@dataclass
class Mixed:
    """
    Two nodes of ours in this process, each with a client in the room C{("chat", "1")}, and a peer that believes to have
    the sockets 7 (in that room) and 8.

    @ivar heard: what listeners of the event C{news} were called with, by server.
    """

    serverA: Node
    serverB: Node
    peer: NodePeer
    urls: list[str]
    clients: dict[str, Connector]
    heard: dict[str, list[ServerMessage]]

    def receives(self, client: str, event: str) -> Deferred[Any]:
        """
        @return: fires with the payload when that client next gets this event.
        """
        received: Deferred[Any] = Deferred()
        self.clients[client].once(event, received.callback)
        return received.addTimeout(PATIENCE, reactor)

    def hears(self, server: Node) -> Deferred[ServerMessage]:
        """
        @return: fires when that server next gets the event C{news}.
        """
        heard: Deferred[ServerMessage] = Deferred()
        server.servers.once("news", lambda message: heard.callback(message))
        return heard.addTimeout(PATIENCE, reactor)


@pytest.fixture(scope="session")
def packages() -> Path:
    """Those of the peer. Where they cannot be had, the test is skipped."""
    try:
        return fetchPackages()
    except LookupError as fault:
        pytest.skip(fault.args[0])


@pytest.fixture
def compression() -> bool:
    """Of those tests that do not care."""
    return True


async def startNode(name: str, redis: FaultyRedis, compression: bool) -> tuple[Node, str, Any]:
    config = Config(
        bus=BusConfig(compression=compression),
        rooms=RoomsConfig(preset=("chat",)),
        channels=ChannelsConfig(subscribe=("mychan",)),
    )
    node = Node(name, redisBus([redis.url]), config=config, authenticate=lambda request: request.params.get("id"))
    node.servers.on("who", lambda message: name)
    node.servers.on("echo", lambda message: message.payload)
    node.servers.on("fails", lambda message: {}["nothing"])
    node.clients.on("echo", lambda socket, payload: payload)
    node.startService()
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(node.webSocketFactory())
    return node, f"ws://127.0.0.1:{port.getHost().port}/", port


@pytest_twisted.async_yield_fixture
async def mixed(packages: Path, redis: FaultyRedis, compression: bool) -> AsyncIterator[Mixed]:
    nodes, urls, ports = zip(
        *[await startNode(name, redis, compression) for name in ("serverA", "serverB")], strict=True
    )
    channels = {"namespaces": ("chat",), "channels": ("mychan", "other")}
    peer = await NodePeer.run(packages, "peerC", redis.url, compression=compression, **channels)
    await peer.do("sockets", rooms={"7": [["chat", "1"]], "8": []})
    await peer.do("answer", event="who", reply="peerC")
    await peer.do("answer", event="echo", echo=True)
    clients, heard = {}, {}
    for node, url, socketId in zip(nodes, urls, ("1", "2"), strict=True):
        await node.whenJoined()
        await node.servers.whenServers(2)
        clients[socketId] = Connector(url, params={"id": socketId})
        await clients[socketId].connect()
        await node.rooms.join("chat", "1", socketId)
        heard[node.serverName] = []
        node.servers.on("news", heard[node.serverName].append)
    yield Mixed(*nodes, peer, list(urls), clients, heard)
    for client in clients.values():
        await client.close()
    for node, port in zip(nodes, ports, strict=True):
        await port.stopListening()
        await node.stopService()
    await peer.finish()


@both
class TestFromUs:
    @pytest_twisted.ensureDeferred
    async def test_events(self, mixed: Mixed) -> None:
        """An event to all or by name reaches the peer as one of its own kind would; another's does not concern it."""
        emit = mixed.serverA.servers.emit
        emit("news", {"n": 1})
        emit("news", {"n": 2}, to=["serverB"])
        emit("news", {"n": 3}, to=["peerC", "serverB"])
        emit("news", to="peerC")
        expected = {"event": "news", "senderServer": "serverA"}
        assert await mixed.peer.hears("heard") == {**expected, "payload": {"n": 1}, "targetServer": []}
        assert await mixed.peer.hears("heard") == {
            **expected,
            "payload": {"n": 3},
            "targetServer": ["peerC", "serverB"],
        }
        assert await mixed.peer.hears("heard") == {**expected, "payload": None, "targetServer": ["peerC"]}
        assert [message.payload for message in mixed.heard["serverB"]] == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert [message.payload for message in mixed.heard["serverA"]] == [{"n": 1}]

    @pytest_twisted.ensureDeferred
    async def test_callByName(self, mixed: Mixed) -> None:
        """A call by name has the peer's reply, alone or beside that of another node."""
        servers = mixed.serverA.servers
        assert await servers.callOne("echo", {"x": [1]}, to="peerC") == {"x": [1]}
        replies = await servers.call("who", to=["peerC", "serverB"])
        assert replies.complete and replies.byServer == {"peerC": "peerC", "serverB": "serverB"}

    @pytest_twisted.ensureDeferred
    async def test_callAll(self, mixed: Mixed) -> None:
        """A call to all waits for the nodes that are known, and with C{expected} for the peer as well."""
        servers = mixed.serverA.servers
        replies = await servers.call("who", expected=3)
        assert replies.complete
        assert replies.byServer == {"serverA": "serverA", "serverB": "serverB", "peerC": "peerC"}
        replies = await servers.call("who", expected=2, exceptSelf=True)
        assert replies.byServer == {"serverB": "serverB", "peerC": "peerC"}
        assert servers.names() == {"serverA", "serverB"}
        replies = await servers.call("who")
        assert replies.complete and {"serverA", "serverB"} <= set(replies.byServer)

    @pytest_twisted.ensureDeferred
    async def test_onReply(self, mixed: Mixed) -> None:
        """Replies come one by one, and once more when time has run out for a peer that does not answer."""
        told: list[Reply] = []
        done: Deferred[None] = Deferred()

        def onReply(reply: Reply) -> None:
            told.append(reply)
            if reply.sender is None:
                done.callback(None)

        servers = mixed.serverA.servers
        servers.emit("who", to=["peerC", "serverB", "nobody"], onReply=onReply, timeout=0.5)
        await done
        assert {reply.sender for reply in told[:-1]} == {"peerC", "serverB"}
        assert (told[-1].missing, told[-1].remaining) == ({"nobody"}, 1)
        replies = await servers.call("unanswered", to="peerC", timeout=0.2)
        assert (replies.complete, replies.missing) == (False, {"peerC"})

    @pytest_twisted.ensureDeferred
    async def test_frames(self, mixed: Mixed) -> None:
        """To one, to several, to a room but for some, to everyone: its sockets get the frame, whole and once."""
        clients, payload = mixed.serverA.clients, {"msg": "ü"}
        frame = {"event": "say", "payload": payload}
        for send, to in [
            (lambda: clients.send("8", "say", payload), ["8"]),
            (lambda: clients.sendMany(["7", "8", "2", "nobody"], "say", payload), ["7", "8"]),
            (lambda: clients.toRoom("chat", "1", "say", payload), ["7"]),
            (lambda: clients.broadcast("say", payload), ["7", "8"]),
        ]:
            send()
            got = await mixed.peer.hears("frame")
            assert (json.loads(got["text"]), got["to"]) == (frame, to)
        received = mixed.receives("2", "last")
        clients.toRoom("chat", "1", "say", payload, exclude=["7", "1"])
        clients.toRoom("chat", "2", "say", payload)
        clients.broadcast("last")
        assert json.loads((await mixed.peer.hears("frame"))["text"]) == {"event": "last", "payload": None}
        assert await received is None

    @pytest_twisted.ensureDeferred
    async def test_volatile(self, mixed: Mixed) -> None:
        """The peer takes volatile messages for ordinary ones."""
        volatile = mixed.serverA.clients.volatile
        for send, to in [
            (lambda: volatile.send("8", "say", 1), ["8"]),
            (lambda: volatile.sendMany(["7", "nobody"], "say", 1), ["7"]),
            (lambda: volatile.toRoom("chat", "1", "say", 1), ["7"]),
            (lambda: volatile.broadcast("say", 1), ["7", "8"]),
        ]:
            send()
            assert (await mixed.peer.hears("frame"))["to"] == to

    @pytest_twisted.ensureDeferred
    async def test_remoteSockets(self, mixed: Mixed) -> None:
        """What is asked about clients does not wait for the peer, which knows nothing of it and goes on as before."""
        clients, began = mixed.serverA.clients, reactor.seconds()
        mixed.clients["2"].on("where", lambda payload: [payload])
        found = await clients.fetch(("chat", "1"), timeout=60.0)
        assert {each.socketId: each.server for each in found} == {"1": "serverA", "2": "serverB"}
        assert found.missing == frozenset()
        assert await clients.joinAll([("game", "7")], of=("chat", "1"), timeout=60.0) == 2
        assert await clients.request("2", "where", {"x": 1.5}, timeout=60.0) == [{"x": 1.5}]
        replies = await clients.requestRoom("game", "7", "where", 3, timeout=60.0)
        assert replies.complete and replies.answers == {"1": None, "2": [3]}
        with pytest.raises(NotConnected):
            await clients.request("8", "where", timeout=60.0)
        assert await clients.disconnectAll(of="2", code=4010, timeout=60.0) == 1
        assert reactor.seconds() - began < 10.0
        assert await mixed.serverA.servers.callOne("who", to="peerC") == "peerC"

    @pytest_twisted.ensureDeferred
    async def test_relay(self, mixed: Mixed) -> None:
        """A client's question that is handed on to the peer is answered, though the peer knows nothing of relays."""
        mixed.serverA.clients.on("ask", lambda socket, payload: Relay("peerC", "echo", payload))
        assert await mixed.clients["1"].call("ask", {"deep": [None]}) == {"deep": [None]}
        mixed.serverA.clients.on("askB", lambda socket, payload: Relay("serverB", "echo", payload))
        assert await mixed.clients["1"].call("askB", 7) == 7
        unbound = Connector(mixed.urls[0])
        await unbound.connect()
        assert await unbound.call("ask", "nobody in particular") == "nobody in particular"
        await unbound.close()

    @pytest_twisted.ensureDeferred
    async def test_channel(self, mixed: Mixed) -> None:
        """A map on a channel of the application's own arrives as it is, and only where it is subscribed."""
        assert await mixed.serverA.channels.publish("mychan", {"hello": ["world", 1.5]}) == 3
        assert await mixed.serverA.channels.publish("other", {"only": "peer"}) == 1
        assert await mixed.peer.hears("saw", channel="mychan") == {
            "channel": "mychan",
            "packet": {"hello": ["world", 1.5]},
        }
        assert (await mixed.peer.hears("saw", channel="other"))["packet"] == {"only": "peer"}


@both
class TestFromThePeer:
    @pytest_twisted.ensureDeferred
    async def test_events(self, mixed: Mixed) -> None:
        """An event to all or by name is heard, by those whom it is for."""
        heard = [mixed.hears(mixed.serverA), mixed.hears(mixed.serverB)]
        await mixed.peer.do("emit", event="news", payload={"n": 1})
        for each in heard:
            message = await each
            assert (message.event, message.payload, message.sender) == ("news", {"n": 1}, "peerC")
            assert message.requestId is None
        heard = [mixed.hears(mixed.serverA)]
        await mixed.peer.do("emit", event="news", payload={"n": 2}, to=["serverB", "serverX"])
        await mixed.peer.do("emit", event="news", payload={"n": 3}, to=["serverA"])
        assert (await heard[0]).payload == {"n": 3}
        assert [message.payload for message in mixed.heard["serverB"]] == [{"n": 1}, {"n": 2}]

    @pytest_twisted.ensureDeferred
    async def test_callAll(self, mixed: Mixed) -> None:
        """A call to all has a reply of each of ours, with the keys that it knows, and no other."""
        replies = await mixed.peer.do("call", event="who", expected=2)
        callbackId = replies[0]["callbackId"]
        common = {"event": "_Cs_Cb_", "targetServer": [], "callbackId": callbackId, "isCallback": True}
        assert sorted(replies, key=lambda reply: str(reply["senderServer"])) == [
            {**common, "senderServer": name, "payload": name} for name in ("serverA", "serverB")
        ]

    @pytest_twisted.ensureDeferred
    async def test_callByName(self, mixed: Mixed) -> None:
        """A call by name has one reply, also one that is null, and one that takes its time."""

        @mixed.serverB.servers.on("slow")
        async def slow(message: ServerMessage) -> None:
            await pause(0.1)

        (reply,) = await mixed.peer.do("call", event="echo", payload={"a": None}, to=["serverB"])
        assert (reply["senderServer"], reply["payload"]) == ("serverB", {"a": None})
        (reply,) = await mixed.peer.do("call", event="slow", to=["serverB"])
        assert reply["payload"] is None

    @pytest_twisted.ensureDeferred
    async def test_failures(self, mixed: Mixed, logged: list[Any]) -> None:
        """Where a listener fails or there is none, the peer waits as it would for its own kind: it knows no errors."""
        for event in ("fails", "nothing"):
            assert await mixed.peer.do("call", event=event, to=["serverA"], timeout=0.2) == []
        assert logged.pop().check(KeyError)

    @pytest_twisted.ensureDeferred
    async def test_frames(self, mixed: Mixed) -> None:
        """What it sends to one, to several, to a room but for some, or to everyone reaches clients of ours, once."""
        got: dict[str, list[Any]] = {"1": [], "2": []}
        for name, client in mixed.clients.items():
            client.on("say", got[name].append)
        ended = [mixed.receives("1", "last"), mixed.receives("2", "last")]
        room = {"namespace": "chat", "roomId": "1", "event": "say"}
        await mixed.peer.do("send", socketId="2", event="say", payload="one")
        await mixed.peer.do("sendMany", socketIds=["1", "2", "7"], event="say", payload="many")
        await mixed.peer.do("toRoom", **room, payload="room")
        await mixed.peer.do("toRoom", **room, payload="but 2", exclude=["2", "7"])
        await mixed.peer.do("toRoom", **{**room, "roomId": "2"}, payload="another room")
        await mixed.peer.do("broadcast", event="say", payload="all")
        await mixed.peer.do("broadcast", event="last")
        for each in ended:
            await each
        # One sender's order holds on a channel, and not from one channel to another.
        assert sorted(got["1"]) == ["all", "but 2", "many", "room"]
        assert sorted(got["2"]) == ["all", "many", "one", "room"]

    @pytest_twisted.ensureDeferred
    async def test_channel(self, mixed: Mixed) -> None:
        """A map on a channel of its own arrives as it is; one that is signed as this node's is not handed to it."""
        got: list[Any] = []
        last: Deferred[None] = Deferred()

        def received(channel: str, mapping: dict[str, Any]) -> None:
            got.append((channel, mapping))
            if "last" in mapping:
                last.callback(None)

        mixed.serverA.channels.onMessage(received)
        await mixed.peer.do("publish", channel="mychan", map={"hello": {"deep": [1]}})
        await mixed.peer.do("publish", channel="mychan", map={"senderServer": "serverA"})
        await mixed.peer.do("publish", channel="other", map={"not": "subscribed"})
        await mixed.peer.do("publish", channel="mychan", map={"last": True})
        await last
        assert got == [("mychan", {"hello": {"deep": [1]}}), ("mychan", {"last": True})]


@both
class TestValues:
    @pytest_twisted.ensureDeferred
    async def test_there(self, mixed: Mixed, compression: bool) -> None:
        """What we ask the peer comes back as it was."""
        for value in VALUES + BINARY_VALUES * compression:
            assert await mixed.serverA.servers.callOne("echo", value, to="peerC") == value

    @pytest_twisted.ensureDeferred
    async def test_back(self, mixed: Mixed, compression: bool) -> None:
        """So does what the peer asks us."""
        for value in VALUES + BINARY_VALUES * compression:
            (reply,) = await mixed.peer.do("call", event="echo", payload=value, to=["serverB"])
            assert reply["payload"] == value

    @pytest_twisted.ensureDeferred
    async def test_types(self, mixed: Mixed, compression: bool) -> None:
        """Types are kept where both sides have them; keys of maps become strings, and whole floats numbers."""
        echo = mixed.serverA.servers.callOne
        assert await echo("echo", {"map": {1: "x"}}, to="peerC") == {"map": {"1": "x"}}
        kept = [1.5, 2**53, "1", True]
        assert [type(value) for value in await echo("echo", kept, to="peerC")] == [float, int, str, bool]
        assert [type(value) for value in await echo("echo", [3.0], to="peerC")] == [int]
        if compression:
            mapping = {"bytes": b"\x00\x01", "at": BINARY_VALUES[2]}
            await mixed.serverA.channels.publish("mychan", mapping)
            assert (await mixed.peer.hears("saw", channel="mychan"))["packet"] == mapping

    @pytest_twisted.ensureDeferred
    async def test_large(self, mixed: Mixed) -> None:
        """A packet of a megabyte goes both ways."""
        value = ["ü" * 500_000]
        assert await mixed.serverA.servers.callOne("echo", value, to="peerC") == value


class TestWire:
    @both
    @pytest_twisted.ensureDeferred
    async def test_nothingElse(self, mixed: Mixed, compression: bool) -> None:
        """Whatever we do, on the peer's channels there is nothing that the wire does not describe."""
        node, peer = mixed.serverA, mixed.peer
        node.clients.on("ask", lambda socket, payload: Relay(payload, "echo", payload))
        for name in ("serverB", "peerC"):
            await mixed.clients["1"].call("ask", name)
        node.servers.emit("news", 1)
        await node.servers.call("who", expected=3)
        await node.servers.call("nothing", to=["serverB"])
        await peer.do("call", event="who", expected=2)
        node.clients.send("8", "say", 1)
        node.clients.sendMany(["7", "8"], "say", 1)
        node.clients.toRoom("chat", "1", "say", 1, exclude=["1"])
        await node.channels.publish("mychan", {"x": 1})
        node.clients.broadcast("last")
        await peer.hears("frame", text='{"event":"last","payload":null}')
        kinds = [describe(channel, packet) for channel, packet in peer.saw()]
        assert set(kinds) == {
            # An error is for the server that asked alone, and on the channel of that one.
            *("event", "request", "reply", "relayed request", "relayed reply"),
            *("one", "many", "room", "all", "custom"),
        }

    @pytest_twisted.ensureDeferred
    async def test_foreignPackets(self, mixed: Mixed) -> None:
        """
        What is no packet, from a peer that is broken or set otherwise, is counted and dropped, and the next proper one
        is served.
        """
        broken = [
            *[b"", b"\xc1", b"\x81\xa4data", b'{"data":{"event":"who"', b"\xff" * 10, b"\x91" * 10_000],
            *[b"\x01", b"\xc0", b"\xa1x", b"\x90", b"\x80", b"\x81\xa4data\x80", b"\x81\xa4data\x81\xa5event\x01"],
        ]
        channels = ("csbp:server_bridge", "ws:private_socket", "ws:broadcast", "ws:chat", "csbp:members")
        before = dict(mixed.serverA.counters)
        for channel in channels:
            for each in broken:
                await mixed.peer.do("publishBytes", channel=channel, bytes=each)
        (reply,) = await mixed.peer.do("call", event="who", to=["serverA"])
        assert reply["payload"] == "serverA"
        after = mixed.serverA.counters
        dropped = {name: after[name] - before[name] for name in _UNREADABLE}
        assert sum(dropped.values()) == len(channels) * len(broken)
        # The peer of the test is not made for this.
        del mixed.peer.told[:]


#: Why a packet was dropped: it is no packet, no such packet, or nested too deep.
_UNREADABLE = ("bus_packets_unreadable", "bus_packets_malformed", "bus_packets_oversized")


def describe(channel: str, packet: dict[str, Any]) -> str:
    """
    What a packet is, in the words of the wire; an C{AssertionError} if it is nothing of that. Those of our
    nodes have a number, and may have other keys that are reserved for us.
    """
    if channel == "mychan":
        assert packet == {"x": 1}
        return "custom"
    sender = packet["data"]["senderServer"] if channel == "csbp:server_bridge" else packet["senderServer"]
    if sender.startswith("server"):
        assert isinstance(packet.pop("number"), int) and isinstance(packet.pop("incarnation"), str)
        packet.pop("connection", None)
    if channel == "csbp:server_bridge":
        assert set(packet) == {"data"}
        return describeEvent(packet["data"])
    frame = json.loads(packet["data"])
    assert isinstance(packet["senderServer"], str)
    if channel == "ws:broadcast":
        assert set(packet) == {"data", "senderServer"} and set(frame) == {"event", "payload"}
        return "all"
    if channel == "ws:chat":
        assert set(packet) == {"data", "roomNamespace", "roomId", "senderServer", "excludeSocketIds"}
        assert set(frame) == {"event", "payload"} and isinstance(packet["excludeSocketIds"], list)
        return "room"
    assert channel == "ws:private_socket"
    if "socketIds" in packet:
        assert set(packet) == {"data", "socketIds", "senderServer"} and set(frame) == {"event", "payload"}
        return "many"
    assert set(packet) == {"data", "socketId", "senderServer"} and isinstance(packet["socketId"], str)
    if set(frame) == {"callbackId", "payload"}:
        return "relayed reply"
    assert set(frame) == {"event", "payload"}
    return "one"


def describeEvent(event: dict[str, Any]) -> str:
    """As L{describe}, for what is on the bridge. Keys that are reserved for us may be there."""
    common = {"event", "senderServer", "targetServer"}
    keys = set(event)
    assert isinstance(event["event"], str) and isinstance(event["senderServer"], str)
    assert all(isinstance(name, str) for name in event["targetServer"])
    if "callbackId" not in keys:
        assert keys - {"payload"} == common
        return "event"
    assert 1 <= len(event["callbackId"]) <= 64
    if "isCallback" in keys:
        assert event["event"] == "_Cs_Cb_" and event["isCallback"] is True and event["targetServer"] == []
        assert keys - {"payload", "error"} == common | {"callbackId", "isCallback"}
        return "error" if "error" in keys else "reply"
    assert keys - {"payload", "deadline", "replyTo"} == common | {"callbackId"}
    return "relayed request" if "replyTo" in keys else "request"


@both
class TestClients:
    @pytest_twisted.ensureDeferred
    async def test_client(self, mixed: Mixed) -> None:
        """A JavaScript client at a node of ours: events, replies, heartbeats, messages of ours and of the peer."""
        do, hears = mixed.peer.do, mixed.peer.hears
        await do("open", client="sam", url=mixed.urls[1] + "some/path?id=sam&name=Sam%20Doe&tag=a&tag=b")
        socket = mixed.serverB.sockets.get("sam")
        assert socket is not None
        assert socket.request.params == {"id": "sam", "name": "Sam Doe", "tag": ["a", "b"]}
        assert await do("ask", client="sam", event="echo", payload={"x": [1, "ü"]}) == {"x": [1, "ü"]}
        said: Deferred[Any] = Deferred()
        mixed.serverB.clients.once("say", lambda socket, payload: said.callback((socket.socketId, payload)))
        await do("say", client="sam", event="say", payload="hi")
        assert await said == ("sam", "hi")
        await do("beat", client="sam")
        await mixed.serverB.rooms.join("chat", "9", "sam")
        mixed.serverA.clients.send("sam", "a", 1)
        assert await hears("client") == {"name": "sam", "event": "a", "payload": 1}
        mixed.serverA.clients.toRoom("chat", "9", "b", 2)
        assert await hears("client") == {"name": "sam", "event": "b", "payload": 2}
        await do("toRoom", namespace="chat", roomId="9", event="c", payload=3)
        assert await hears("client") == {"name": "sam", "event": "c", "payload": 3}
        mixed.serverB.clients.on("ask", lambda socket, payload: Relay("peerC", "echo", payload))
        assert await do("ask", client="sam", event="ask", payload="to the peer") == "to the peer"
        mixed.serverB.clients.on("askA", lambda socket, payload: Relay("serverA", "echo", payload))
        assert await do("ask", client="sam", event="askA", payload="to serverA") == "to serverA"
        closed: Deferred[int] = Deferred()
        mixed.serverB.lifecycle.once("close", lambda socket, code, reason: closed.callback(code))
        await do("leave", client="sam")
        assert await closed == 4001
        assert (await hears("client"))["closed"] == 4001


@both
class TestProcesses:
    """The same, in brief, with nodes as they are run."""

    @pytest_twisted.ensureDeferred
    async def test_mixed(self, packages: Path, redis: FaultyRedis, compression: bool, tmp_path: Path) -> None:
        """Two processes of C{twistd crossws} and the peer: every kind of send and call, in both directions."""
        peer = await NodePeer.run(packages, "peerC", redis.url, compression=compression, namespaces=("chat",))
        await peer.do("sockets", rooms={"7": [["chat", "1"]], "8": []})
        await peer.do("answer", event="echo", echo=True)
        bus = f"compression = {str(compression).lower()}"
        puppets = await startPuppets(tmp_path, redis, ["serverA", "serverB"], bus=bus)
        one, two = puppets
        for puppet in puppets:
            await puppet.do("rooms.join", "chat", "1", puppet.clientId)
        assert await one.do("servers.callOne", "echo", {"x": 1}, to="peerC") == {"x": 1}
        replies = await one.do("servers.call", "echo", 7, expected=3)
        assert replies["complete"] and replies["byServer"] == {"serverA": 7, "serverB": 7, "peerC": 7}
        assert await one.client.call("relay", {"to": "peerC", "event": "echo", "payload": "x"}) == "x"
        replies = await peer.do("call", event="who", expected=2)
        assert {reply["payload"] for reply in replies} == {"serverA", "serverB"}
        await one.do("clients.send", "8", "say", "one")
        assert (await peer.hears("frame"))["to"] == ["8"]
        await one.do("clients.sendMany", ["7", "8"], "say", "many")
        assert (await peer.hears("frame"))["to"] == ["7", "8"]
        for sender in (one, peer):
            await checkFrames(sender, one, two)
        for puppet in puppets:
            await puppet.stop()
        await peer.finish()


async def checkFrames(sender: Puppet | NodePeer, one: Puppet, two: Puppet) -> None:
    """To one, to several, to the room but for one, and to everyone, from either kind of server."""
    got: dict[str, list[Any]] = {"one": [], "two": []}
    ended: list[Deferred[Any]] = []
    for name, puppet in (("one", one), ("two", two)):
        puppet.client.off("say")
        puppet.client.on("say", got[name].append)
        ended.append(puppet.receives("last"))
    if isinstance(sender, NodePeer):
        await sender.do("send", socketId=two.clientId, event="say", payload=1)
        await sender.do("sendMany", socketIds=[one.clientId, two.clientId], event="say", payload=2)
        await sender.do("toRoom", namespace="chat", roomId="1", event="say", payload=3, exclude=[one.clientId])
        await sender.do("broadcast", event="say", payload=4)
        await sender.do("broadcast", event="last")
    else:
        await sender.do("clients.send", two.clientId, "say", 1)
        await sender.do("clients.sendMany", [one.clientId, two.clientId], "say", 2)
        await sender.do("clients.toRoom", "chat", "1", "say", 3, exclude=[one.clientId])
        await sender.do("clients.broadcast", "say", 4)
        await sender.do("clients.broadcast", "last")
    for each in ended:
        await each
    assert (sorted(got["one"]), sorted(got["two"])) == ([2, 4], [1, 2, 3, 4])

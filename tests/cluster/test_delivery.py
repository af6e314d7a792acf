"""
Messages to clients, on this node and on others.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from twisted_crossws import Config, Joined, Node, RoomsConfig
from twisted_crossws.testing import FakePeer, MemoryCluster
from twisted_crossws.wire.frames import Event
from twisted_crossws.wire.packets import PacketCodec


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(["serverA", "serverB"])


def join(cluster: MemoryCluster, name: str, socketId: str, room: str | None = None) -> FakePeer:
    """A client of that node with this id, in a room if there is one."""
    node = cluster[name]
    node.authenticate = lambda request: socketId
    peer = cluster.peer(name)
    if room is not None:
        node.rooms.join("chat", room, socketId)
    return peer


def came(cluster: MemoryCluster, *peers: FakePeer) -> list[list[Any]]:
    """What each has got, once everything has arrived."""
    cluster.advance()
    return [[frame.payload for frame in peer.takeFrames() if isinstance(frame, Event)] for peer in peers]


def test_send(cluster: MemoryCluster) -> None:
    """One client gets it, wherever it is; the number is that of local sockets."""
    a, b = join(cluster, "serverA", "u1"), join(cluster, "serverB", "u2")
    clients = cluster["serverA"].clients
    assert clients.send("u1", "hi", 1) == 1
    assert clients.send("u2", "hi", 2) == 0
    assert clients.send("nobody", "hi", 3) == 0
    assert came(cluster, a, b) == [[1], [2]]
    assert cluster["serverA"].counters["messages_sent"] == cluster["serverB"].counters["messages_sent"] == 1


def test_sendAlone(clock: Clock) -> None:
    """A node that is certainly alone asks nobody else."""
    node = Node("serverA", clock=clock)
    node.startService()
    assert node.clients.send("nobody", "hi") == 0
    assert node.counters["bus_packets_published"] == 0


def test_sendMany(cluster: MemoryCluster) -> None:
    """Several get it, each once, however often they are named."""
    a, b, c = (join(cluster, *where) for where in (("serverA", "u1"), ("serverB", "u2"), ("serverB", "u3")))
    assert cluster["serverA"].clients.sendMany(["u1", "u2", "u1", "u2", "nobody"], "hi", 1) == 1
    assert came(cluster, a, b, c) == [[1], [1], []]
    assert cluster["serverA"].clients.sendMany(["u1"], "hi", 2) == 1
    assert came(cluster, a) == [[2]]


def test_toRoom(cluster: MemoryCluster) -> None:
    """Everyone in the room gets it on every node, and nobody else."""
    a, b = join(cluster, "serverA", "u1", "1"), join(cluster, "serverB", "u2", "1")
    other = join(cluster, "serverB", "u3", "2")
    assert cluster["serverA"].clients.toRoom("chat", "1", "say", "x") == 1
    assert came(cluster, a, b, other) == [["x"], ["x"], []]


def test_exclude(cluster: MemoryCluster) -> None:
    """Who is excluded does not, on any node."""
    peers = [join(cluster, f"server{'AB'[n % 2]}", f"u{n}", "1") for n in range(4)]
    assert cluster["serverA"].clients.toRoom("chat", "1", "say", "x", exclude=["u0", "u1"]) == 1
    assert came(cluster, *peers) == [[], [], ["x"], ["x"]]
    with pytest.raises(TypeError, match="several"):
        cluster["serverA"].clients.toRoom("chat", "1", "say", exclude="u0")


def test_localOnly(cluster: MemoryCluster) -> None:
    """C{localOnly} stays on this node."""
    a, b = join(cluster, "serverA", "u1", "1"), join(cluster, "serverB", "u2", "1")
    cluster["serverA"].clients.toRoom("chat", "1", "say", 1, localOnly=True)
    cluster["serverA"].clients.broadcast("say", 2, localOnly=True)
    assert came(cluster, a, b) == [[1, 2], []]


def test_destroy(cluster: MemoryCluster) -> None:
    """C{destroy} removes the room after the message."""
    a = join(cluster, "serverA", "u1", "1")
    assert cluster["serverA"].clients.toRoom("chat", "1", "bye", "x", destroy=True) == 1
    assert cluster["serverA"].rooms.members("chat", "1") == frozenset()
    assert cluster["serverA"].clients.toRoom("chat", "1", "bye", "y") == 0
    assert came(cluster, a) == [["x"]]


def test_broadcast(cluster: MemoryCluster) -> None:
    """Every client gets it, bound or not."""
    cluster["serverA"].authenticate = cluster["serverB"].authenticate = None
    peers = [cluster.peer("serverA"), cluster.peer("serverB"), join(cluster, "serverB", "u1")]
    assert cluster["serverA"].clients.broadcast("say", "x") == 1
    assert came(cluster, *peers) == [["x"]] * 3


@pytest.mark.parametrize("event", ["", None, 7])
def test_badEvent(cluster: MemoryCluster, event: Any) -> None:
    """An event that is not a non-empty string is a C{TypeError}, before anything is sent."""
    peer = join(cluster, "serverA", "u1", "1")
    clients = cluster["serverA"].clients
    for send in (
        lambda: clients.send("u1", event),
        lambda: clients.sendMany(["u1"], event),
        lambda: clients.toRoom("chat", "1", event),
        lambda: clients.broadcast(event),
    ):
        with pytest.raises(TypeError):
            send()
    assert came(cluster, peer) == [[]]


def test_encodedOnce(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is encoded once, however many receive it."""
    from twisted_crossws.cluster import delivery

    encoded: list[Any] = []
    encode = delivery.encodeEvent
    monkeypatch.setattr(delivery, "encodeEvent", lambda *args: encoded.append(args) or encode(*args))
    node = Node("serverA", clock=clock)
    peers = [FakePeer(node, clock) for _ in range(10)]
    assert node.clients.broadcast("say", {"a": 1}) == 10
    assert len(encoded) == 1
    assert all(len(peer.takeTexts()) == 1 for peer in peers)


class TestRooms:
    def test_subscribedWhileUsed(self, cluster: MemoryCluster) -> None:
        """A namespace is heard while it has a member on this node: the others' packets cost nothing otherwise."""
        node = cluster["serverB"]

        def heard() -> int:
            before = node.counters["bus_packets_received"]
            cluster["serverA"].clients.toRoom("chat", "1", "say")
            cluster.advance()
            return node.counters["bus_packets_received"] - before

        assert heard() == 0
        join(cluster, "serverB", "u1", "1")
        node.rooms.join("chat", "2", "u1")
        assert heard() == 1
        node.rooms.leave("chat", "1", "u1")
        assert heard() == 1
        node.rooms.leave("chat", "2", "u1")
        cluster.advance(1.0)
        assert heard() == 0

    def test_preset(self) -> None:
        """A preset namespace is heard always."""
        cluster = MemoryCluster(["serverA", "serverB"], config=Config(rooms=RoomsConfig(preset=("chat",))))
        join(cluster, "serverB", "u1", "1")
        cluster["serverB"].rooms.leave("chat", "1", "u1")
        cluster.advance(1.0)
        before = cluster["serverB"].counters["bus_packets_received"]
        cluster["serverA"].clients.toRoom("chat", "1", "say")
        cluster.advance()
        assert cluster["serverB"].counters["bus_packets_received"] == before + 1

    def test_noAutoUnsubscribe(self) -> None:
        """Without C{auto_unsubscribe} one that was joined stays heard."""
        cluster = MemoryCluster(["serverA", "serverB"], config=Config(rooms=RoomsConfig(auto_unsubscribe=False)))
        join(cluster, "serverB", "u1", "1")
        cluster["serverB"].rooms.leave("chat", "1", "u1")
        cluster.advance(1.0)
        before = cluster["serverB"].counters["bus_packets_received"]
        cluster["serverA"].clients.toRoom("chat", "1", "say")
        cluster.advance()
        assert cluster["serverB"].counters["bus_packets_received"] == before + 1

    def test_joinFires(self, cluster: MemoryCluster) -> None:
        """C{join} fires when nothing sent later is missed, and says so."""
        fired: list[Joined] = []
        peer = join(cluster, "serverB", "u1")
        cluster["serverB"].rooms.join("chat", "1", "u1").addCallback(fired.append)
        cluster["serverB"].rooms.join("chat", "2", "u1").addCallback(fired.append)
        cluster.advance()
        assert fired == [Joined(True), Joined(True)]
        cluster["serverA"].clients.toRoom("chat", "1", "say", "x")
        assert came(cluster, peer) == [["x"]]

    def test_remove(self, cluster: MemoryCluster) -> None:
        """C{remove} takes everyone out, and the namespace is left with its last room."""
        rooms = cluster["serverA"].rooms
        for socketId in ("u1", "u2"):
            join(cluster, "serverA", socketId, "1")
        rooms.join("chat", "2", "u1")
        rooms.remove("chat", "1")
        rooms.remove("chat", "nothing")
        assert (rooms.count("chat"), rooms.ids("chat")) == (1, {"2"})
        assert (rooms.roomCount("chat"), rooms.isMember("u1", "chat", "2")) == (1, True)

    @pytest.mark.parametrize(
        "bad", [("", "1", "u"), ("chat", "", "u"), ("chat", "1", ""), (None, "1", "u"), ("chat", 1, "u")]
    )
    def test_badNames(self, cluster: MemoryCluster, bad: Any) -> None:
        """Names are non-empty strings."""
        with pytest.raises(TypeError):
            cluster["serverA"].rooms.join(*bad)

    @pytest.mark.parametrize("namespace", ["broadcast", "private_socket", "ws:broadcast"])
    def test_takenNames(self, cluster: MemoryCluster, namespace: str) -> None:
        """A namespace whose channel carries something else is refused, and nothing is joined."""
        with pytest.raises(ValueError, match="taken"):
            cluster["serverA"].rooms.join(namespace, "1", "u1")
        assert cluster["serverA"].rooms.joined("u1") == {}

    @pytest.mark.parametrize("namespace", ["", "broadcast", "ws:private_socket"])
    def test_takenNamesOfMessages(self, cluster: MemoryCluster, namespace: str) -> None:
        """Nothing can be sent to such a namespace either, by a node that is alone no more than by another."""
        for node in (Node("alone", clock=Clock()), cluster["serverA"]):
            with pytest.raises(ValueError, match="taken"):
                node.clients.toRoom(namespace, "1", "say")

    def test_unboundLeaves(self, cluster: MemoryCluster) -> None:
        """Unbinding leaves all rooms, and the socket stays open."""
        peer = join(cluster, "serverA", "u1", "1")
        cluster["serverA"].sockets.unbind("u1")
        assert cluster["serverA"].rooms.joined("u1") == {}
        assert peer.isConnected and cluster["serverA"].clients.count() == 0


class TestChannels:
    def test_messages(self, cluster: MemoryCluster) -> None:
        """Who is subscribed gets the map, with its channel; the number is that of subscribers."""
        came: list[Any] = []
        counts: list[int] = []
        channels = cluster["serverB"].channels
        channels.onMessage(lambda channel, mapping: came.append((channel, mapping)))
        channels.subscribe("mine")
        cluster["serverA"].channels.publish("mine", {"a": [1]}).addCallback(counts.append)
        cluster["serverA"].channels.publish("other", {"a": [2]}).addCallback(counts.append)
        cluster.advance()
        assert came == [("mine", {"a": [1]})]
        assert counts == [1, 0]
        channels.unsubscribe("mine")
        channels.unsubscribe("never subscribed")
        cluster["serverA"].channels.publish("mine", {"a": [3]})
        cluster.advance()
        assert len(came) == 1

    def test_ownMessages(self, cluster: MemoryCluster) -> None:
        """A node hears itself, unless the map says that it is from this node."""
        came: list[Any] = []
        channels = cluster["serverA"].channels
        channels.onMessage(lambda channel, mapping: came.append(mapping))
        channels.subscribe("mine")
        channels.publish("mine", {"a": 1})
        channels.publish("mine", {"a": 2, "senderServer": "serverA"})
        channels.publish("mine", {"a": 3, "senderServer": "serverB"})
        cluster.advance()
        assert [mapping["a"] for mapping in came] == [1, 3]

    def test_listeners(self, cluster: MemoryCluster, logged: list[Any]) -> None:
        """One that fails is logged and harms no other; they can be removed, one or all."""
        came: list[Any] = []
        channels = cluster["serverA"].channels
        failing = channels.onMessage(lambda channel, mapping: 1 / 0)
        channels.onMessage(lambda channel, mapping: came.append(mapping))
        channels.subscribe("mine")

        def publish() -> int:
            channels.publish("mine", {})
            cluster.advance()
            return len(came)

        assert publish() == 1
        assert logged.pop().check(ZeroDivisionError)
        channels.removeListener(failing)
        assert publish() == 2 and logged == []
        channels.removeListener()
        assert publish() == 2
        with pytest.raises(TypeError):
            channels.onMessage(None)  # type: ignore[arg-type]

    @pytest.mark.parametrize("channel", ["csbp:server_bridge", "ws:chat", "csbp:x"])
    def test_reserved(self, cluster: MemoryCluster, channel: str) -> None:
        """The cluster's own channels are not the application's."""
        channels = cluster["serverA"].channels
        for use in (channels.subscribe, channels.unsubscribe, lambda channel: channels.publish(channel, {})):
            with pytest.raises(ValueError, match="cluster's own"):
                use(channel)
            with pytest.raises(TypeError):
                use("")

    @pytest.mark.parametrize("mapping", [[1], "x", None, {"x": object()}])
    def test_noMapping(self, cluster: MemoryCluster, mapping: Any) -> None:
        """What is published is a mapping that the bus has a form for."""
        with pytest.raises(TypeError):
            cluster["serverA"].channels.publish("mine", mapping)

    def test_complaints(self, cluster: MemoryCluster) -> None:
        """The log tells of them once a minute for each cause, with channel and sender."""
        malformed = PacketCodec().encode({"data": 7, "senderServer": "serverX"})

        def said(packet: bytes) -> list[str]:
            with capturedLogs() as events:
                cluster["serverA"]._link.publish("ws:broadcast", packet)
                cluster.advance()
            return [str(formatEvent(event)) for event in events if event["log_level"] is LogLevel.warn]

        first = said(malformed)
        assert len(first) == 2  # Both nodes hear it.
        assert all("ws:broadcast" in each and "serverX" in each for each in first)
        assert said(malformed) == []
        assert len(said(b"\xc1")) == 2
        cluster.advance(60.0)
        assert len(said(malformed)) == 2

    def test_malformedPackets(self, cluster: MemoryCluster) -> None:
        """A packet that is not what its channel carries is counted and dropped, and the next one is read."""
        node = cluster["serverB"]
        node.channels.subscribe("mine")
        peer = join(cluster, "serverB", "u1", "1")
        unreadable = (b"", b"\xc1", PacketCodec(False).encode({"data": {}}))
        malformed = (b"\x5b", PacketCodec().encode({"data": 7}), PacketCodec().encode({"data": {"senderServer": "x"}}))
        for channel in ("csbp:server_bridge", "csbp:members", "ws:private_socket", "ws:broadcast", "ws:chat", "mine"):
            for packet in (*unreadable, *malformed):
                cluster["serverA"]._link.publish(channel, packet)
        cluster["serverA"].clients.toRoom("chat", "1", "say", "x")
        assert came(cluster, peer) == [["x"]]
        assert node.counters["bus_packets_unreadable"] == 18
        # The two for "mine" that are maps are the application's affair.
        assert node.counters["bus_packets_malformed"] == 16

"""
Volatile messages: who has not taken what was sent before is skipped, here and on other nodes.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from twisted_crossws import Node
from twisted_crossws.bus.memory import memoryBus
from twisted_crossws.testing import FakePeer, MemoryCluster
from twisted_crossws.wire.frames import Event
from twisted_crossws.wire.packets import ForAll, ForRoom, ForSockets, PacketCodec

ROOM = ("chat", "1")


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(["serverA", "serverB"])


def come(cluster: MemoryCluster, name: str, socketId: str) -> FakePeer:
    node = cluster[name]
    node.authenticate = lambda request: socketId
    peer = cluster.peer(name)
    node.rooms.join(*ROOM, socketId)
    return peer


def stall(cluster: MemoryCluster, peer: FakePeer) -> None:
    """The client reads no more, and something waits for it already."""
    peer.transport.isStalled = True
    for name in ("serverA", "serverB"):
        cluster[name].clients.broadcast("before", localOnly=True)
    cluster.advance()


SENDING = {
    "send": lambda clients: clients.send("kim", "tick", 1),
    "sendMany": lambda clients: clients.sendMany(["kim", "nobody"], "tick", 1),
    "toRoom": lambda clients: clients.toRoom(*ROOM, "tick", 1),
    "broadcast": lambda clients: clients.broadcast("tick", 1),
}


@pytest.mark.parametrize("how", SENDING)
@pytest.mark.parametrize("where", ["serverA", "serverB"])
class TestSending:
    def test_taken(self, cluster: MemoryCluster, how: str, where: str) -> None:
        """Who takes what it is sent gets it, wherever it is; the number is that of local sockets."""
        peer = come(cluster, where, "kim")
        assert SENDING[how](cluster["serverA"].clients.volatile) == (where == "serverA")
        cluster.advance()
        assert peer.takeFrames() == [Event("tick", 1)]
        assert cluster[where].counters["messages_volatile_skipped"] == 0

    def test_skipped(self, cluster: MemoryCluster, how: str, where: str) -> None:
        """Who does not read is skipped and that is counted on its node; what is not volatile is queued for it."""
        peer = come(cluster, where, "kim")
        stall(cluster, peer)
        peer.takeTexts()
        assert SENDING[how](cluster["serverA"].clients.volatile) == 0
        cluster.advance()
        assert peer.takeFrames() == []
        assert cluster[where].counters["messages_volatile_skipped"] == 1
        assert cluster[where].counters["messages_skipped"] == 0
        SENDING[how](cluster["serverA"].clients)
        cluster.advance()
        assert peer.takeFrames() == [Event("tick", 1)]

    def test_again(self, cluster: MemoryCluster, how: str, where: str) -> None:
        """Who has caught up is sent to again."""
        peer = come(cluster, where, "kim")
        stall(cluster, peer)
        peer.takeTexts()
        peer.transport.isStalled = False
        peer.transport.read()
        SENDING[how](cluster["serverA"].clients.volatile)
        cluster.advance()
        assert peer.takeFrames() == [Event("tick", 1)]


def test_onlyWhoIsBehind(cluster: MemoryCluster) -> None:
    """Of many, those that are behind are left out, and no others."""
    peers = [come(cluster, name, f"{name}-{number}") for name in ("serverA", "serverB") for number in range(3)]
    for peer in (peers[1], peers[5]):
        peer.transport.isStalled = True
    cluster["serverA"].clients.broadcast("before")
    cluster.advance()
    for peer in peers:
        peer.takeTexts()
    assert cluster["serverA"].clients.volatile.toRoom(*ROOM, "tick", exclude=["serverA-0"]) == 1
    cluster.advance()
    assert [len(peer.takeTexts()) for peer in peers] == [0, 0, 1, 1, 1, 0]
    counted = [cluster[name].counters["messages_volatile_skipped"] for name in ("serverA", "serverB")]
    assert counted == [1, 1]


def test_isBehind(clock: Clock) -> None:
    """A socket says of itself whether it is behind."""
    node = Node("serverA", clock=clock)
    peer = FakePeer(node, clock)
    (socket,) = node._everyone
    assert not socket.isBehind
    peer.transport.isStalled = True
    socket.send("hi")
    assert socket.isBehind
    peer.transport.read()
    assert not socket.isBehind


@pytest.mark.parametrize("how", SENDING)
def test_packets(clock: Clock, how: str) -> None:
    """Volatile packets say so by a key more, that others have not."""
    bus = memoryBus()
    node, other = (Node(name, bus, clock=clock) for name in ("serverA", "serverB"))
    packets: list[dict[str, Any]] = []
    other._inbox.packetReceived = lambda channel, packet: packets.append(PacketCodec().decode(dict, packet))
    for each in (node, other):
        each.startService()
    FakePeer(other, clock, socketId="kim")
    other.rooms.join(*ROOM, "kim")
    clock.pump([1.0])
    packets.clear()
    SENDING[how](node.clients)
    SENDING[how](node.clients.volatile)
    clock.advance(0)
    plain, volatile = packets
    assert "volatile" not in plain
    assert volatile == {**plain, "volatile": True, "number": plain["number"] + 1}


@pytest.mark.parametrize("value", [False, None, "yes", {}])
@pytest.mark.parametrize("kind", [ForSockets, ForAll, ForRoom])
def test_otherValues(kind: Any, value: Any) -> None:
    """What a peer means by another value of that key is its own affair: the packet is an ordinary one."""
    about = {"data": "{}", "roomNamespace": "chat", "roomId": "1", "senderServer": "peer", "volatile": value}
    codec = PacketCodec()
    assert codec.decode(kind, codec.encode(about)).volatile is not True

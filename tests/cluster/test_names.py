"""
What is no name, wherever one is wanted by which clients and rooms are addressed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from tests.cluster.test_delivery import came, join
from twisted_crossws.testing import FakePeer, MemoryCluster


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(["serverA", "serverB"])


class Name(StrEnum):
    """Strings of an application's own kind."""

    KIM = "u1"
    SAM = "u2"
    CHAT = "chat"
    ROOM = "1"


@pytest.mark.parametrize("wrong", [5, None, b"u1", ("u1",), "", 1.5])
class TestWrongNames:
    """What is no name reaches nobody, so it is the caller's mistake, and is said to be before anything is sent."""

    @pytest.fixture
    def peers(self, cluster: MemoryCluster) -> list[FakePeer]:
        return [join(cluster, "serverA", "u1", "1"), join(cluster, "serverB", "u2", "1")]

    def test_sockets(self, cluster: MemoryCluster, peers: list[FakePeer], wrong: Any) -> None:
        """A C{socketId}, wherever one is wanted, and each of several."""
        node = cluster["serverA"]
        for clients in (node.clients, node.clients.volatile):
            for call in (
                lambda clients=clients: clients.send(wrong, "hi"),
                lambda clients=clients: clients.sendMany(["u1", wrong], "hi"),
                lambda clients=clients: clients.toRoom("chat", "1", "hi", exclude=["u1", wrong]),
            ):
                with pytest.raises(TypeError, match="socketId must be a non-empty string"):
                    call()
        socket = node.sockets.get("u1")
        assert socket is not None
        for other in (
            lambda: node.clients.request(wrong, "hi"),
            lambda: node.sockets.bind(wrong, socket),
            lambda: node.sockets.unbind(wrong),
            lambda: node.rooms.join("chat", "1", wrong),
            lambda: node.rooms.leave("chat", "1", wrong),
        ):
            with pytest.raises(TypeError, match="socketId must be a non-empty string"):
                other()
        assert came(cluster, *peers) == [[], []]
        assert node.sockets.get("u1") is socket and node.rooms.count("chat") == 1

    def test_rooms(self, cluster: MemoryCluster, peers: list[FakePeer], wrong: Any) -> None:
        """A namespace and the id of a room."""
        node = cluster["serverA"]
        for room in (("chat", wrong), (wrong, "1")):
            for localOnly in (True, False):
                # An empty namespace is a ValueError there, as one whose channel is taken.
                with pytest.raises((TypeError, ValueError) if room[0] == "" else TypeError):
                    node.clients.toRoom(*room, "hi", localOnly=localOnly)
            for call in (
                lambda room=room: node.rooms.join(*room, "u1"),
                lambda room=room: node.rooms.leave(*room, "u1"),
                lambda room=room: node.rooms.remove(*room),
            ):
                with pytest.raises(TypeError, match="non-empty strings"):
                    call()
        assert came(cluster, *peers) == [[], []]

    def test_servers(self, cluster: MemoryCluster, peers: list[FakePeer], wrong: Any) -> None:
        """The name of a server: alone, among others, and where a question is handed on to it."""
        servers = cluster["serverA"].servers
        before = cluster["serverB"].counters["bus_packets_received"]
        for to in ([wrong], ["serverB", wrong]):
            for call in (servers.emit, servers.call):
                with pytest.raises(TypeError, match="name must be a non-empty string"):
                    call("e", to=to)
        with pytest.raises(TypeError):
            servers.callOne("e", to=wrong)
        assert cluster["serverB"].counters["bus_packets_received"] == before

    def test_events(self, cluster: MemoryCluster, peers: list[FakePeer], wrong: Any) -> None:
        """An event's name."""
        clients = cluster["serverA"].clients
        for call in (
            lambda: clients.send("u1", wrong),
            lambda: clients.sendMany(["u1"], wrong),
            lambda: clients.toRoom("chat", "1", wrong),
            lambda: clients.broadcast(wrong),
        ):
            with pytest.raises(TypeError, match="event must be a non-empty string"):
                call()
        assert came(cluster, *peers) == [[], []]


def test_oneString(cluster: MemoryCluster) -> None:
    """One string is not several."""
    with pytest.raises(TypeError, match="not one string"):
        cluster["serverA"].clients.sendMany("u1", "hi")


def test_kindOfString(cluster: MemoryCluster) -> None:
    """A kind of string is one."""
    a, b = join(cluster, "serverA", "u1", "1"), join(cluster, "serverB", "u2", "1")
    clients = cluster["serverA"].clients
    assert clients.send(Name.KIM, "hi", 1) == 1
    assert clients.sendMany([Name.SAM, Name.KIM], "hi", 2) == 1
    assert clients.toRoom(Name.CHAT, Name.ROOM, "hi", 3, exclude=[Name.SAM]) == 1
    assert came(cluster, a, b) == [[1, 2, 3], [2]]

"""
Rooms of a node: what is told of them, and whose membership it is.
"""

from __future__ import annotations

import pytest

from twisted_crossws.testing import FakePeer, MemoryCluster


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(["serverA", "serverB"])


def come(cluster: MemoryCluster, name: str, socketId: str) -> FakePeer:
    """A client of that node that bears this id."""
    cluster[name].authenticate = lambda request: socketId
    return cluster.peer(name)


class TestCounting:
    def test_notExact(self, cluster: MemoryCluster) -> None:
        """
        C{exact=False} is about the beginnings of room ids: without one, all rooms of the namespace are meant, and not
        those of other namespaces whose names begin alike.
        """
        rooms = cluster["serverA"].rooms
        for socketId in ("sam", "kim"):
            come(cluster, "serverA", socketId)
            rooms.join("chat", "red", socketId)
        rooms.join("chat", "green", "sam")
        rooms.join("chat2", "red", "kim")
        assert rooms.count("chat", exact=False) == rooms.count("chat") == 3
        assert (rooms.count("chat", "r", exact=False), rooms.count("cha", exact=False)) == (2, 0)
        assert rooms.members("chat", exact=False) == rooms.members("chat") == {"sam", "kim"}
        assert (rooms.members("chat", "g", exact=False), rooms.members("cha", exact=False)) == ({"sam"}, frozenset())
        assert rooms.ids("cha", exact=False) == {"red", "green"}
        assert rooms.roomCount("cha", exact=False) == 3

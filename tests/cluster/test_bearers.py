"""
One C{socketId} that several sockets of the cluster bear: whatever is addressed to it reaches all that are open.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from twisted_crossws import BusUnavailable, CallTimeout, CannotAnswer, Node, NotConnected, Relay, RemoteError
from twisted_crossws.testing import FakePeer, MemoryCluster
from twisted_crossws.wire.frames import Event, Reply, Request
from twisted_crossws.wire.packets import ForSockets, PacketCodec

NAMES = ("serverA", "serverB", "serverC")


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(NAMES)


def come(cluster: MemoryCluster, name: str, socketId: str = "sam", version: int = 2) -> FakePeer:
    """A client of that node that bears this id."""
    cluster[name].authenticate = lambda request: socketId
    peer = cluster.peer(name, params={"crossws": version})
    peer.takeTexts()
    return peer


def closing(cluster: MemoryCluster, name: str) -> FakePeer:
    """As L{come}, of one that is being closed, and does not answer that."""
    peer = come(cluster, name)
    peer.answersClose = False
    socket = cluster[name].sockets.get("sam")
    assert socket is not None
    socket.close()
    assert cluster[name].sockets.get("sam") is socket
    return peer


def came(cluster: MemoryCluster, *peers: FakePeer) -> list[list[Any]]:
    """What each has got, once everything has arrived."""
    cluster.advance()
    return [[frame.payload for frame in peer.takeFrames() if isinstance(frame, Event)] for peer in peers]


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


class TestMessages:
    @pytest.mark.parametrize("sender", NAMES)
    def test_send(self, cluster: MemoryCluster, sender: str) -> None:
        """Each of them gets a message once, whichever server sends it; the number is that of the sender's own."""
        peers = [come(cluster, name) for name in ("serverA", "serverB")]
        assert cluster[sender].clients.send("sam", "hi", 1) == (sender != "serverC")
        assert came(cluster, *peers) == [[1], [1]]

    @pytest.mark.parametrize("sender", NAMES)
    def test_sendMany(self, cluster: MemoryCluster, sender: str) -> None:
        """The same for several ids, of which some have a socket on one server, and some on two."""
        peers = [come(cluster, "serverA"), come(cluster, "serverB"), come(cluster, "serverB", "kim")]
        written = cluster[sender].clients.sendMany(["sam", "kim", "sam"], "hi", 1)
        assert written == {"serverA": 1, "serverB": 2, "serverC": 0}[sender]
        assert came(cluster, *peers) == [[1], [1], [1]]

    def test_volatile(self, cluster: MemoryCluster) -> None:
        """And for what is volatile."""
        peers = [come(cluster, name) for name in ("serverA", "serverB")]
        cluster["serverA"].clients.volatile.send("sam", "hi", 1)
        cluster["serverA"].clients.volatile.sendMany(["sam"], "hi", 2)
        assert came(cluster, *peers) == [[1, 2], [1, 2]]

    def test_closing(self, cluster: MemoryCluster) -> None:
        """A local socket that is closing keeps nothing from the one that its client has come back with elsewhere."""
        closing(cluster, "serverA")
        peer = come(cluster, "serverB")
        assert cluster["serverA"].clients.send("sam", "hi", 1) == 0
        assert cluster["serverA"].clients.sendMany(["sam"], "hi", 2) == 0
        assert came(cluster, peer) == [[1, 2]]

    def test_alone(self, clock: Clock) -> None:
        """A node that is certainly alone publishes nothing for all that."""
        node = Node("serverA", clock=clock, authenticate=lambda request: "sam")
        node.startService()
        FakePeer(node, clock)
        assert (node.clients.send("sam", "hi"), node.clients.sendMany(["sam", "kim"], "hi")) == (1, 1)
        assert node.counters["bus_packets_published"] == 0

    def test_nobody(self, cluster: MemoryCluster) -> None:
        """What is sent to no id at all is not published either."""
        published = cluster["serverA"].counters["bus_packets_published"]
        assert cluster["serverA"].clients.sendMany([], "hi") == 0
        assert cluster["serverA"].counters["bus_packets_published"] == published


class TestOrders:
    @pytest.mark.parametrize("sender", NAMES)
    def test_disconnect(self, cluster: MemoryCluster, sender: str) -> None:
        """A ban closes all of them."""
        peers = [come(cluster, name) for name in ("serverA", "serverB")]
        results = watch(cluster[sender].clients.disconnectAll(of="sam", code=4010, reason="banned"))
        cluster.advance()
        assert (results, results[0].missing) == ([2], frozenset())
        assert [(peer.closeCode, peer.closeReason) for peer in peers] == [(4010, "banned")] * 2

    def test_rooms(self, cluster: MemoryCluster) -> None:
        """All of them join and leave, also if the one here is closing."""
        closing(cluster, "serverA")
        for name in ("serverB", "serverC"):
            come(cluster, name)
        results = watch(cluster["serverA"].clients.joinAll([("chat", "1")], of="sam"))
        cluster.advance()
        assert [cluster[name].rooms.isMember("sam", "chat", "1") for name in NAMES] == [False, True, True]
        left = watch(cluster["serverB"].clients.leaveAll([("chat", "1")], of="sam"))
        cluster.advance()
        assert [cluster[name].rooms.isMember("sam", "chat", "1") for name in NAMES] == [False] * 3
        assert results == left == [2]


class TestRelays:
    """An answer of another server to a client's question."""

    def ask(self, cluster: MemoryCluster) -> FakePeer:
        """A client of serverA has asked what serverC is to answer, which takes a second."""
        asking, answering = cluster["serverA"], cluster["serverC"]
        asking.clients.on("ask", lambda socket, payload: Relay("serverC", "ask", payload))
        later = cluster.clock("serverC")
        answering.servers.on("ask", lambda message: deferLater(later, 1.0, lambda: message.payload))  # type: ignore[arg-type]
        peer = come(cluster, "serverA")
        peer.sendEvent("ask", "secret", callbackId="1")
        cluster.advance(0.5)
        return peer

    def test_next(self, cluster: MemoryCluster) -> None:
        """Who bears the id next on that server does not get it."""
        self.ask(cluster).leave()
        cluster.advance()
        peer = come(cluster, "serverA")
        cluster.advance(1.0)
        assert peer.takeFrames() == []
        assert cluster["serverA"].counters["replies_undeliverable"] == 1

    def test_moved(self, cluster: MemoryCluster) -> None:
        """A client that has come to another server meanwhile, as its own has died, gets it there."""
        self.ask(cluster)
        cluster.kill("serverA")
        peer = come(cluster, "serverB")
        cluster.advance(1.0)
        assert peer.takeFrames() == [Reply("1", "secret")]

    def test_again(self, cluster: MemoryCluster) -> None:
        """The next bearer gets the answers to its own questions, whatever ids they have."""
        self.ask(cluster).leave()
        cluster.advance()
        peer = come(cluster, "serverA")
        peer.sendEvent("ask", "own", callbackId="1")
        cluster.advance(2.0)
        assert peer.takeFrames() == [Reply("1", "own")]

    def test_olderServer(self, cluster: MemoryCluster) -> None:
        """A server of a version that knows only the id still gets through."""
        peer = come(cluster, "serverA")
        packet = ForSockets('{"payload":1,"callbackId":"1"}', socketId="sam", senderServer="serverX")
        cluster["serverA"]._inbox.packetReceived("ws:private_socket", PacketCodec().encode(packet))
        assert peer.takeFrames() == [Reply("1", 1)]


class TestRequests:
    @pytest.mark.parametrize("sender", NAMES)
    @pytest.mark.parametrize("first", [0, 1])
    def test_first(self, cluster: MemoryCluster, sender: str, first: int) -> None:
        """All of them are asked, and the first one that answers is heard; what the other one says later is dropped."""
        peers = [come(cluster, name) for name in ("serverA", "serverB")]
        results = watch(cluster[sender].clients.request("sam", "where"))
        requests = [asked(cluster, peer) for peer in peers]
        assert not results
        peers[first].sendAnswer(requests[first].ackId, first)
        cluster.advance()
        peers[1 - first].sendErrorAnswer(requests[1 - first].ackId, "late")
        cluster.advance()
        assert results == [first]
        cluster.advance(6.0)
        assert [cluster[name].servers.openCalls() for name in NAMES] == [set()] * 3

    def test_error(self, cluster: MemoryCluster) -> None:
        """An error that one of them answers is an answer."""
        peers = [come(cluster, name) for name in ("serverA", "serverB")]
        results = watch(cluster["serverA"].clients.request("sam", "where"))
        peers[1].sendErrorAnswer(asked(cluster, peers[1]).ackId, "lost")
        cluster.advance()
        assert isinstance(results[0], RemoteError)

    def test_oneCannot(self, cluster: MemoryCluster) -> None:
        """One that cannot answer, or goes, does not end the wait for the other."""
        come(cluster, "serverA", version=1)
        going, peer = come(cluster, "serverB"), come(cluster, "serverC")
        results = watch(cluster["serverA"].clients.request("sam", "where"))
        request = asked(cluster, peer)
        going.leave()
        cluster.advance()
        assert not results
        peer.sendAnswer(request.ackId, "here")
        cluster.advance()
        assert results == ["here"]

    def test_noneCan(self, cluster: MemoryCluster) -> None:
        """If none of them can, the question ends with why, and at once."""
        come(cluster, "serverA", version=1)
        results = watch(cluster["serverA"].clients.request("sam", "where"))
        cluster.advance()
        assert isinstance(results[0], CannotAnswer)

    def test_closing(self, cluster: MemoryCluster) -> None:
        """A local socket that is closing is not asked, and the one elsewhere is."""
        closing(cluster, "serverA")
        peer = come(cluster, "serverB")
        results = watch(cluster["serverA"].clients.request("sam", "where"))
        peer.sendAnswer(asked(cluster, peer).ackId, "here")
        cluster.advance()
        assert results == ["here"]

    def test_closingAlone(self, clock: Clock) -> None:
        """Where no other node is, a socket that is closing is nobody to ask."""
        node = Node("serverA", clock=clock, authenticate=lambda request: "sam")
        node.startService()
        peer = FakePeer(node, clock, params={"crossws": 2})
        peer.answersClose = False
        socket = node.sockets.get("sam")
        assert socket is not None
        socket.close()
        results = watch(node.clients.request("sam", "where"))
        assert isinstance(results[0], NotConnected)

    def test_withoutBus(self, cluster: MemoryCluster) -> None:
        """While the bus is away, the one here is asked all the same; what becomes of it is told as it is."""
        peer = come(cluster, "serverA")
        cluster.partition("serverA")
        clients = cluster["serverA"].clients
        results = watch(clients.request("sam", "where"))
        peer.sendAnswer(asked(cluster, peer).ackId, "here")
        assert results == ["here"]
        late = watch(clients.request("sam", "where", timeout=2.0))
        cluster.advance(2.0)
        assert isinstance(late[0], CallTimeout)
        left = watch(clients.request("sam", "where"))
        peer.leave()
        cluster.advance()
        assert isinstance(left[0], NotConnected)
        nobody = watch(clients.request("sam", "where"))
        cluster.advance()
        assert isinstance(nobody[0], BusUnavailable)

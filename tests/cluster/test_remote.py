"""
The sockets of the whole cluster: who is there, into which rooms with them, and out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twisted_crossws import Affected, BusConfig, Config, Node, RemoteSocket, RemoteSockets
from twisted_crossws.cluster import here, pages
from twisted_crossws.testing import FakePeer, MemoryCluster
from twisted_crossws.wire.frames import ErrorReply, Event
from twisted_crossws.wire.packets import MAX_PACKET_SIZE, PacketCodec
from twisted_crossws.wire.remote import DISCONNECT, FETCH, JOIN, LEAVE, MORE, REQUEST

NAMES = ("serverA", "serverB", "serverC")


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(NAMES)


def come(cluster: MemoryCluster, name: str, socketId: str | None, *rooms: tuple[str, str], **options: Any) -> FakePeer:
    """A client of that node, in these rooms."""
    node = cluster[name]
    node.authenticate = lambda request: socketId
    peer = cluster.peer(name, **options)
    for room in rooms:
        assert socketId is not None
        node.rooms.join(*room, socketId)
    return peer


def end(cluster: MemoryCluster, waiting: Deferred[Any], seconds: float = 0.0) -> Any:
    """What comes of it, if it comes so soon."""
    results: list[Any] = []
    waiting.addBoth(results.append)
    cluster.advance(seconds)
    assert results, "It has not ended."
    return results[0]


def ids(found: RemoteSockets) -> set[tuple[str, str | None]]:
    return {(each.server, each.socketId) for each in found}


class TestFetch:
    def test_all(self, cluster: MemoryCluster) -> None:
        """All sockets of all servers are found, bound or not."""
        for name, socketId in (("serverA", "sam"), ("serverB", "kim"), ("serverB", None), ("serverC", "eve")):
            come(cluster, name, socketId)
        found = end(cluster, cluster["serverA"].clients.fetch())
        assert ids(found) == {("serverA", "sam"), ("serverB", "kim"), ("serverB", None), ("serverC", "eve")}
        assert found.missing == frozenset()
        assert isinstance(found, list) and len(found) == 4

    def test_room(self, cluster: MemoryCluster) -> None:
        """Those of a room, on every server."""
        come(cluster, "serverA", "sam", ("chat", "1"))
        come(cluster, "serverB", "kim", ("chat", "1"), ("game", "7"))
        come(cluster, "serverC", "eve", ("chat", "2"))
        found = end(cluster, cluster["serverC"].clients.fetch(("chat", "1")))
        assert ids(found) == {("serverA", "sam"), ("serverB", "kim")}
        assert {each.socketId: each.rooms for each in found}["kim"] == {("chat", "1"), ("game", "7")}

    def test_localOnly(self, cluster: MemoryCluster) -> None:
        """Those of this node are told at once, and nothing is asked on the bus."""
        come(cluster, "serverA", "sam")
        come(cluster, "serverB", "kim")
        node = cluster["serverA"]
        published = node.counters["bus_packets_published"]
        found: list[RemoteSockets] = []
        node.clients.fetch(localOnly=True).addCallback(found.append)
        assert ids(found[0]) == {("serverA", "sam")}
        assert node.counters["bus_packets_published"] == published

    @pytest.mark.parametrize("compression", [True, False])
    def test_whatIsTold(self, compression: bool) -> None:
        """Data and request of a socket come as copies, on its own server as on others."""
        cluster = MemoryCluster(["serverA", "serverB"], config=Config(bus=BusConfig(compression=compression)))
        come(cluster, "serverB", "kim", path="/some/path", params={"tag": ["a", "b"], "crossws": 2})
        socket = cluster["serverB"].sockets.get("kim")
        assert socket is not None
        socket.data.update(level=3, names={"a": [1, 2.5, None, True]}, pair=(1, 2))
        told = [end(cluster, cluster[name].clients.fetch())[0] for name in ("serverA", "serverB")]
        assert told[0] == told[1]
        (found, other) = told
        assert (found.socketId, found.server, found.omitted) == ("kim", "serverB", ())
        assert found.data == {"level": 3, "names": {"a": [1, 2.5, None, True]}, "pair": [1, 2]}
        assert (found.request.path, found.request.params) == ("some/path", {"tag": ["a", "b"]})
        assert (found.request.version, found.request.peer) == (2, "192.0.2.1:54321")
        assert found.request.headers["host"] == "localhost:9000"
        other.data["names"]["a"].append("changed")
        assert socket.data["names"] == {"a": [1, 2.5, None, True]}

    def test_credentialsStay(self, cluster: MemoryCluster) -> None:
        """What a client authenticated with by its headers does not travel."""
        secrets = {"Cookie": "a=secret", "Authorization": "Bearer secret", "Proxy-Authorization": "secret", "X-A": "b"}
        come(cluster, "serverB", "kim", headers=secrets)
        (found,) = end(cluster, cluster["serverA"].clients.fetch())
        assert found.request.headers["x-a"] == "b"
        assert "secret" not in repr(found)

    def test_dataThatCannotTravel(self, cluster: MemoryCluster) -> None:
        """What has no form on the bus, or is too large, is left out and named; all else comes."""
        come(cluster, "serverB", "kim")
        socket = cluster["serverB"].sockets.get("kim")
        assert socket is not None
        large = "x" * (here.MAX_DATA_BYTES + 1)
        when = datetime(2026, 1, 2, tzinfo=UTC)
        socket.data.update({"good": 1, "when": when, "socket": socket, "huge": 2**70, "large": large})
        socket.data.update({7: "seven", ("a", "b"): 1, "\udc80": 1, "half": "\udc80"})
        (found,) = end(cluster, cluster["serverA"].clients.fetch())
        assert found.data == {"good": 1, "when": when}
        assert set(found.omitted) == {"socket", "huge", "large", "7", "('a', 'b')", "'\\udc80'", "half"}

    def test_many(self, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many there are, they come, in pages that are no larger than they may be; of their own, too."""
        monkeypatch.setattr(pages, "PAGE_BYTES", 4096)
        sizes: list[int] = []
        decode = PacketCodec.decode

        def measured(codec: PacketCodec, kind: Any, packet: bytes) -> Any:
            sizes.append(len(packet))
            return decode(codec, kind, packet)

        monkeypatch.setattr(PacketCodec, "decode", measured)
        for name in ("serverA", "serverB"):
            for number in range(200):
                come(cluster, name, f"{name}-{number}")
        found = end(cluster, cluster["serverA"].clients.fetch())
        assert len(ids(found)) == len(found) == 400
        assert max(sizes) < 5000
        assert found.missing == frozenset()
        assert [len(cluster[name].clients._pages) for name in NAMES] == [0, 0, 0]

    def test_thoseThatLeaveMeanwhile(self, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who goes while pages are fetched is not told of any more."""
        monkeypatch.setattr(pages, "PAGE_BYTES", 1)
        cluster.delay(0.1)
        peers = {f"u{number}": come(cluster, "serverB", f"u{number}") for number in range(10)}
        fetching = cluster["serverA"].clients.fetch()
        cluster.advance(1.0)
        for peer in peers.values():
            peer.leave()
        assert 1 <= len(end(cluster, fetching, 5.0)) < 10

    def test_largeData(self, cluster: MemoryCluster) -> None:
        """More than a packet holds comes in several."""
        for number in range(20):
            come(cluster, "serverB", f"u{number}")
            socket = cluster["serverB"].sockets.get(f"u{number}")
            assert socket is not None
            socket.data["much"] = "x" * (MAX_PACKET_SIZE // 17)
        found = end(cluster, cluster["serverA"].clients.fetch())
        assert len(found) == 20 and not found.missing
        assert all(len(each.data["much"]) == MAX_PACKET_SIZE // 17 for each in found)

    def test_dead(self, cluster: MemoryCluster) -> None:
        """A server that dies is not waited for: the others have said what they know."""
        come(cluster, "serverB", "kim")
        fetching = cluster["serverA"].clients.fetch(timeout=60.0)
        cluster.kill("serverC")
        found = end(cluster, fetching, 7.0)
        assert ids(found) == {("serverB", "kim")}
        assert found.missing == {"serverC"}

    def test_deadBetweenPages(self, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """What one said before it died is not lost."""
        monkeypatch.setattr(pages, "PAGE_BYTES", 1)
        cluster.delay(0.1)
        for number in range(100):
            come(cluster, "serverB", f"u{number}")
        fetching = cluster["serverA"].clients.fetch(timeout=60.0)
        cluster.advance(2.0)
        cluster.kill("serverB")
        found = end(cluster, fetching, 7.0)
        assert 1 < len(found) < 100
        assert found.missing == {"serverB"}

    def test_frozen(self, cluster: MemoryCluster) -> None:
        """One that does nothing is waited for until time is up, and no longer."""
        come(cluster, "serverA", "sam")
        cluster.freeze("serverB")
        fetching = cluster["serverA"].clients.fetch(timeout=2.0)
        results: list[Any] = []
        fetching.addCallback(results.append)
        cluster.advance(1.9)
        assert not results
        cluster.advance(0.2)
        assert ids(results[0]) == {("serverA", "sam")}
        assert results[0].missing == {"serverB"}

    def test_withoutBus(self, cluster: MemoryCluster) -> None:
        """Where the bus is away, the node tells of its own, at once."""
        come(cluster, "serverA", "sam")
        cluster.partition("serverA")
        found = end(cluster, cluster["serverA"].clients.fetch(timeout=60.0))
        assert ids(found) == {("serverA", "sam")}
        assert found.missing == {"serverB", "serverC"}

    def test_gone(self, cluster: MemoryCluster) -> None:
        """A server that said goodbye is not asked, and not missing."""
        come(cluster, "serverA", "sam")
        cluster["serverB"].stopService()
        cluster.advance(2.0)
        found = end(cluster, cluster["serverA"].clients.fetch())
        assert ids(found) == {("serverA", "sam")} and found.missing == frozenset()

    def test_cancelled(self, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """Cancelling ends the wait, and nothing more is asked for."""
        monkeypatch.setattr(pages, "PAGE_BYTES", 1)
        cluster.delay(0.1)
        for number in range(100):
            come(cluster, "serverB", f"u{number}")
        fetching = cluster["serverA"].clients.fetch()
        fetching.addErrback(lambda _: None)
        cluster.advance(1.0)
        fetching.cancel()
        asked = cluster["serverA"].counters["calls_sent"]
        assert len(cluster["serverB"].clients._pages) == 1
        cluster.advance(10.0)
        assert cluster["serverA"].counters["calls_sent"] == asked
        assert len(cluster["serverB"].clients._pages) == 0

    def test_alone(self, clock: Clock) -> None:
        """A single node has its answer before the call returns."""
        node = Node("serverA", clock=clock)
        FakePeer(node, clock)
        found: list[RemoteSockets] = []
        node.clients.fetch().addCallback(found.append)
        assert ids(found[0]) == {("serverA", None)}

    @pytest.mark.parametrize("room", ["chat", ("chat",), ("chat", ""), ("chat", 1), 7, ("a", "b", "c")])
    def test_noRoom(self, cluster: MemoryCluster, room: Any) -> None:
        """What is no room is said to the caller."""
        with pytest.raises(TypeError, match="pair of non-empty strings"):
            cluster["serverA"].clients.fetch(room)

    def test_badValues(self, cluster: MemoryCluster) -> None:
        """So is a namespace that cannot be, or a time that is none."""
        with pytest.raises(ValueError, match="broadcast"):
            cluster["serverA"].clients.fetch(("broadcast", "1"))
        with pytest.raises(ValueError, match="timeout"):
            cluster["serverA"].clients.fetch(timeout=-1)


class TestMove:
    def test_one(self, cluster: MemoryCluster) -> None:
        """One socket joins and leaves, wherever it is; from then on it hears the room."""
        peer = come(cluster, "serverB", "kim")
        clients = cluster["serverA"].clients
        joined = end(cluster, clients.joinAll([("chat", "1"), ("game", "7")], of="kim"))
        assert joined == 1 and isinstance(joined, Affected) and joined.missing == frozenset()
        clients.toRoom("chat", "1", "said", "hi")
        cluster.advance()
        assert peer.takeFrames() == [Event("said", "hi")]
        assert end(cluster, clients.leaveAll(("chat", "1"), of="kim")) == 1
        assert cluster["serverB"].rooms.joined("kim") == {"game": {"7"}}

    def test_room(self, cluster: MemoryCluster) -> None:
        """Everyone in a room, on all servers, and nobody else."""
        for name, socketId in (("serverA", "sam"), ("serverB", "kim"), ("serverC", "eve")):
            come(cluster, name, socketId, ("chat", "2" if socketId == "eve" else "1"))
        assert end(cluster, cluster["serverC"].clients.joinAll(("game", "7"), of=("chat", "1"))) == 2
        members = [sorted(cluster[name].rooms.members("game", "7")) for name in NAMES]
        assert members == [["sam"], ["kim"], []]
        assert end(cluster, cluster["serverC"].clients.leaveAll([("chat", "1")], of=["chat", "1"])) == 2
        assert [cluster[name].rooms.count("chat", "1") for name in NAMES] == [0, 0, 0]

    def test_all(self, cluster: MemoryCluster) -> None:
        """All that are bound: the others have no name to be in a room by."""
        come(cluster, "serverA", "sam")
        come(cluster, "serverB", None)
        assert end(cluster, cluster["serverC"].clients.joinAll([("chat", "1")])) == 1

    def test_nobody(self, cluster: MemoryCluster) -> None:
        """Nobody of that name is nobody."""
        moved = end(cluster, cluster["serverA"].clients.joinAll([("chat", "1")], of="nobody"))
        assert moved == 0 and not moved.missing

    def test_hereWithoutBus(self, cluster: MemoryCluster) -> None:
        """Those of this node need no bus; the other servers, which cannot be asked, are missing, and it says so."""
        come(cluster, "serverA", "sam")
        cluster.partition("serverA")
        moved = end(cluster, cluster["serverA"].clients.joinAll([("chat", "1")], of="sam"), 1.0)
        assert (moved, moved.missing, moved.unheard) == (1, {"serverB", "serverC"}, {"serverA"})
        assert cluster["serverA"].rooms.members("chat", "1") == {"sam"}

    def test_dead(self, cluster: MemoryCluster) -> None:
        """A server that dies is missing, and the others have done it."""
        come(cluster, "serverB", "kim")
        moving = cluster["serverA"].clients.joinAll([("chat", "1")], timeout=60.0)
        cluster.kill("serverC")
        moved = end(cluster, moving, 7.0)
        assert moved == 1 and moved.missing == {"serverC"}

    @pytest.mark.parametrize(
        ("rooms", "of"),
        [("chat", None), ([("chat", "")], None), ([("chat", 1)], None), ([("chat", "1")], ""), ([("chat", "1")], 7)],
    )
    def test_badArguments(self, cluster: MemoryCluster, rooms: Any, of: Any) -> None:
        """What is none of these is said to the caller, before anybody is asked."""
        sent = cluster["serverA"].counters["calls_sent"]
        for move in (cluster["serverA"].clients.joinAll, cluster["serverA"].clients.leaveAll):
            with pytest.raises(TypeError):
                move(rooms, of=of)
        with pytest.raises(ValueError, match="private_socket"):
            cluster["serverA"].clients.joinAll([("private_socket", "1")])
        assert cluster["serverA"].counters["calls_sent"] == sent


class TestDisconnect:
    def test_one(self, cluster: MemoryCluster) -> None:
        """One socket is closed with code and reason, wherever it is."""
        peer, other = come(cluster, "serverB", "kim"), come(cluster, "serverB", "sam")
        assert end(cluster, cluster["serverA"].clients.disconnectAll(of="kim", code=4010, reason="out")) == 1
        assert (peer.closeCode, peer.closeReason) == (4010, "out")
        assert other.isConnected

    def test_roomAndAll(self, cluster: MemoryCluster) -> None:
        """Those of a room; or all, also those that are not bound; each counts once."""
        peers = [come(cluster, name, f"u-{name}", ("chat", "1")) for name in NAMES]
        unbound = come(cluster, "serverA", None)
        assert end(cluster, cluster["serverB"].clients.disconnectAll(of=("chat", "1"))) == 3
        assert [peer.closeCode for peer in peers] == [1000] * 3
        assert unbound.isConnected
        assert end(cluster, cluster["serverB"].clients.disconnectAll()) == 1
        assert unbound.closeCode == 1000

    def test_badArguments(self, cluster: MemoryCluster) -> None:
        """Codes that may not be sent, and reasons that are none."""
        clients = cluster["serverA"].clients
        with pytest.raises(ValueError, match="1005"):
            clients.disconnectAll(code=1005)
        with pytest.raises(TypeError, match="reason"):
            clients.disconnectAll(reason=7)  # type: ignore[arg-type]


class TestReserved:
    EVENTS = (FETCH, JOIN, LEAVE, DISCONNECT, REQUEST, MORE)

    @pytest.mark.parametrize("event", EVENTS)
    def test_clientsCannot(self, cluster: MemoryCluster, event: str) -> None:
        """A client that sends such an event gets what it gets for any other that nobody listens to."""
        peer = come(cluster, "serverA", "sam", params={"crossws": 2})
        come(cluster, "serverB", "kim")
        peer.takeTexts()
        peer.sendEvent(event, {"of": {}, "seconds": 5, "code": 1000, "reason": ""}, callbackId="1")
        cluster.advance()
        (reply,) = peer.takeFrames()
        assert isinstance(reply, ErrorReply) and reply.code == "no_listener"
        assert cluster["serverA"].counters["events_without_listener"] == 1

    @pytest.mark.parametrize("event", EVENTS)
    def test_applicationsCannot(self, cluster: MemoryCluster, event: str) -> None:
        """An application cannot listen to it, and takes nothing away."""
        with pytest.raises(ValueError, match="protocol's own"):
            cluster["serverB"].servers.on(event, print)
        cluster["serverB"].servers.off(event)
        come(cluster, "serverB", "kim")
        assert len(end(cluster, cluster["serverA"].clients.fetch())) == 1

    @pytest.mark.parametrize("event", EVENTS)
    @pytest.mark.parametrize("payload", [None, 7, "x", {}, {"of": {"room": ["a"]}}, {"of": {}, "seconds": "x"}])
    def test_malformed(self, cluster: MemoryCluster, event: str, payload: Any) -> None:
        """A question that is not understood is answered with an error."""
        replies = end(cluster, cluster["serverA"].servers.call(event, payload, to="serverB"))
        assert replies.errors["serverB"].code in ("malformed", "no_such_page")

    @pytest.mark.parametrize("payload", [None, 7, {"items": 3}, {"items": [{"id": []}]}, {"items": [1], "more": 5}])
    def test_malformedAnswer(self, cluster: MemoryCluster, payload: Any) -> None:
        """A server whose answer is not understood is missing, and the others are not."""
        come(cluster, "serverB", "kim")
        cluster["serverC"].servers.serve(FETCH, lambda message: payload)
        found = end(cluster, cluster["serverA"].clients.fetch())
        assert ids(found) == {("serverB", "kim")} and found.missing == {"serverC"}

    def test_olderServer(self, cluster: MemoryCluster) -> None:
        """A server that knows nothing of it is missing at once."""
        cluster["serverC"].servers._ownListeners.clear()
        found = end(cluster, cluster["serverA"].clients.fetch())
        assert found.missing == {"serverC"}


# JSON has no infinity: it becomes null there, as in JavaScript.
_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_keys = st.text(max_size=5) | st.integers() | st.just("\udc80")
_values = st.recursive(
    st.none() | st.booleans() | _numbers | st.text(max_size=5) | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100)
@given(st.dictionaries(_keys, _values, max_size=6), st.booleans())
def test_everyKeyIsToldOf(data: dict[Any, Any], compression: bool) -> None:
    """Each key either travels with what it holds, or is named as left out; nothing else happens."""
    codec = PacketCodec(compression)
    encoded, omitted = here.portable(data, codec)
    assert len(encoded) + len(omitted) == len(data)
    assert set(encoded) <= set(data)
    codec.encodeValue(omitted)
    for key in encoded:
        assert codec.copy(data[key]) == data[key]


def test_values() -> None:
    """What is given back is what it seems: a list, a number, a value that cannot be changed."""
    assert RemoteSockets() == [] and RemoteSockets([], ["x"]).missing == {"x"}
    assert Affected(3) == 3 and Affected(3, ["x"]).missing == {"x"}
    with pytest.raises(AttributeError):
        RemoteSocket("a", "b", frozenset(), {}, None).socketId = "c"  # type: ignore

"""
The claim of a name: who gets it, and what the others are told.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_crossws import NameTaken
from twisted_crossws.cluster.claim import CLAIM_TIME, NameClaim
from twisted_crossws.state.counters import Counters
from twisted_crossws.state.lifecycle import Lifecycle
from twisted_crossws.state.members import ServerInfo
from twisted_crossws.testing import MemoryCluster
from twisted_crossws.wire.packets import Presence

case = SynchronousTestCase()


class Claimant:
    """
    A server named serverA, born at second 100.

    @ivar said: what it has said: a word, and to whom.
    @ivar faults: what its application was told.
    """

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.faults: list[Any] = []
        self.clock = Clock()
        self.counters = Counters()
        lifecycle = Lifecycle("serverA", self.counters)
        lifecycle.on("serverError", lambda failure: self.faults.append(failure.value))
        me = ServerInfo("serverA", "mine", 100.0)
        self.claim = NameClaim(me, lambda kind, to: self.said.append((kind, to)), self.clock, self.counters, lifecycle)

    def hears(self, kind: Any, since: float = 200.0, to: str = "", address: str = "") -> None:
        """Another server of this name says something; by default it is younger."""
        self.claim.heard(Presence(kind, "serverA", "other", since, to=to, address=address))


@pytest.fixture
def claimant() -> Claimant:
    return Claimant()


@pytest.fixture
def owner(claimant: Claimant) -> Claimant:
    """One that has its name."""
    claimed = claimant.claim.make()
    claimant.clock.advance(CLAIM_TIME)
    case.successResultOf(claimed)
    claimant.said.clear()
    return claimant


class TestClaiming:
    def test_unopposed(self, claimant: Claimant) -> None:
        """A name to which nobody objects for a while is one's own."""
        claimed = claimant.claim.make()
        assert claimant.said == [("claim", "")]
        claimant.clock.advance(CLAIM_TIME - 0.01)
        case.assertNoResult(claimed)
        claimant.clock.advance(0.01)
        case.successResultOf(claimed)
        assert claimant.clock.getDelayedCalls() == []

    def test_taken(self, claimant: Claimant) -> None:
        """One that somebody has is not; the fault names it, and says where that one is."""
        claimed = claimant.claim.make()
        claimant.hears("taken", to="mine", address="host, process 7")
        fault = case.failureResultOf(claimed, NameTaken).value
        assert str(fault).startswith("There is a living server named 'serverA' already, at host, process 7. ")
        assert claimant.clock.getDelayedCalls() == []

    def test_nowhere(self, claimant: Claimant) -> None:
        """If it does not say where it is, nothing is said of that."""
        claimed = claimant.claim.make()
        claimant.hears("taken", to="mine")
        assert "already. Names" in str(case.failureResultOf(claimed, NameTaken).value)

    @pytest.mark.parametrize(("since", "isMine"), [(200.0, True), (50.0, False)])
    def test_two(self, claimant: Claimant, since: float, isMine: bool) -> None:
        """Of two that claim it at the same time the elder gets it, and tells the other."""
        claimed = claimant.claim.make()
        claimant.hears("claim", since)
        claimant.clock.advance(CLAIM_TIME)
        if isMine:
            case.successResultOf(claimed)
            assert claimant.said == [("claim", ""), ("taken", "other")]
        else:
            case.failureResultOf(claimed, NameTaken)
            assert claimant.said == [("claim", "")]

    @pytest.mark.parametrize(("kind", "to"), [("bye", ""), ("taken", "third"), ("hello", ""), ("here", "")])
    def test_notMeant(self, claimant: Claimant, kind: str, to: str) -> None:
        """
        A goodbye leaves the name free, and what is said to a third one is not for this one. Who has the name will
        answer to the claim; its signs of life may be older than its end.
        """
        claimed = claimant.claim.make()
        claimant.hears(kind, 50.0, to=to)
        claimant.clock.advance(CLAIM_TIME)
        case.successResultOf(claimed)
        assert (claimant.faults, claimant.counters["names_contested"]) == ([], 0)

    def test_withdrawn(self, claimant: Claimant) -> None:
        """Who withdraws its claim waits for nothing, and whatever is said of the name then does not concern it."""
        claimed = claimant.claim.make()
        claimant.claim.withdraw()
        case.failureResultOf(claimed, CancelledError)
        claimant.hears("claim")
        claimant.hears("here", 50.0)
        assert claimant.said == [("claim", "")]
        assert (claimant.faults, claimant.counters["names_contested"]) == ([], 0)
        assert claimant.clock.getDelayedCalls() == []


class TestOwning:
    @pytest.mark.parametrize("since", [50.0, 200.0])
    def test_newcomer(self, owner: Claimant, since: float) -> None:
        """Who has the name says so to whoever claims it, elder or not."""
        owner.hears("claim", since)
        assert owner.said == [("taken", "other")]
        assert (owner.faults, owner.counters["names_contested"]) == ([], 1)

    @pytest.mark.parametrize("kind", ["hello", "here"])
    def test_met(self, owner: Claimant, kind: str) -> None:
        """If two that have it meet, the younger one's application is told, and the elder's is not."""
        owner.hears(kind, 200.0)
        assert owner.faults == []
        owner.hears(kind, 50.0, address="elsewhere")
        (fault,) = owner.faults
        assert isinstance(fault, NameTaken) and "elsewhere" in str(fault)
        assert owner.counters["names_contested"] == 2
        assert owner.said == []

    def test_otherLeft(self, owner: Claimant) -> None:
        """If the other one says goodbye, all is well."""
        owner.hears("bye", 50.0)
        assert (owner.said, owner.faults, owner.counters["names_contested"]) == ([], [], 0)

    def test_left(self, owner: Claimant) -> None:
        """Once it has left, the name is nobody's, and no claim is answered."""
        owner.claim.withdraw()
        owner.hears("claim")
        owner.hears("bye")
        assert (owner.said, owner.faults, owner.counters["names_contested"]) == ([], [], 0)


class TestPeer:
    """A server of this name that claims nothing."""

    @pytest.fixture
    def cluster(self) -> MemoryCluster:
        return MemoryCluster(["serverA", "serverB", "serverC"])

    @pytest.mark.parametrize(
        ("channel", "packet"),
        [
            (
                "csbp:server_bridge",
                {"data": {"event": "e", "senderServer": "serverC", "payload": 1, "targetServer": []}},
            ),
            ("ws:private_socket", {"data": "{}", "socketId": "sam", "senderServer": "serverC"}),
            ("ws:broadcast", {"data": "{}", "senderServer": "serverC"}),
            ("ws:chat", {"data": "{}", "roomNamespace": "chat", "roomId": "1", "senderServer": "serverC"}),
        ],
    )
    def test_nodePeer(self, cluster: MemoryCluster, logged: list[Any], channel: str, packet: dict[str, Any]) -> None:
        """A Node.js peer with a node's name is told of, once a minute, and counted each time; others hear nothing."""
        faults: list[Any] = []
        for name in ("serverA", "serverB", "serverC"):
            cluster[name].lifecycle.on("serverError", faults.append)
        inbox, encoded = cluster["serverC"]._inbox, cluster["serverC"]._outbox.codec.encode(packet)
        for _ in range(3):
            inbox.packetReceived(channel, encoded)
        (fault,) = faults
        assert fault.check(NameTaken) and "Node.js peer" in str(fault.value) and "'serverC'" in str(fault.value)
        assert cluster["serverC"].counters["names_contested"] == 3
        cluster.advance(60.0)
        inbox.packetReceived(channel, encoded)
        assert len(faults) == 2
        assert cluster["serverC"].running

    def test_ownPackets(self, cluster: MemoryCluster) -> None:
        """What comes back of its own a node does not take for another's."""
        node = cluster["serverC"]
        node.clients.broadcast("said", 1)
        node.clients.send("sam", "said", 1)
        node.servers.emit("said", 1)
        cluster.advance(1.0)
        assert node.counters["names_contested"] == 0

"""
A server of several processes: its ports are opened before it starts, or taken from processes that have them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from tests.machine.fakes import FakeAgent, FakeSystem, fired
from twisted_crossws.machine.control import ANSWER_TIMEOUT, Refused
from twisted_crossws.machine.rows import Row
from twisted_crossws.machine.server import FIND_TIMEOUT, Server
from twisted_crossws.services.ports import ListenError

NAMES = ("a.1", "a.2", "a.3")


class FakeShares:
    """The shared ports, or what would be."""

    def __init__(self) -> None:
        self.isOpen = False
        self.fault: ListenError | None = None
        self.offered: list[tuple[str, Any]] = []
        self.paused: list[str] = []
        self.closed = 0

    def open(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.isOpen = True

    def take(self, keys: Iterable[str], agent: Any) -> Deferred[None]:
        self.isOpen = self.isOpen or bool(list(keys))
        return succeed(None)

    def offer(self, name: str, agent: Any) -> None:
        self.offered.append((name, agent))

    def pause(self, name: str) -> None:
        self.paused.append(name)

    def close(self) -> None:
        self.closed += 1
        self.isOpen = False


class Cluster(FakeSystem):
    """A server of three processes that share a port."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.found: dict[str, int] = {}
        self.shares = FakeShares()
        self.server = Server("a", "web", map(self.process, NAMES), self.shares, clock)  # type: ignore[arg-type]

    def start(self, *there: str, names: Iterable[str] = NAMES, pids: dict[str, int] | None = None) -> None:
        """
        @param there: what runs already, and nobody knows its number.
        @param pids: the same, with numbers.
        """
        self.found = {**dict.fromkeys(there, 0), **(pids or {})}
        self.there |= {pid for pid in self.found.values() if pid}
        self.server.start(names, lambda name: self.found.get(name))

    def come(self, name: str, *keys: str, pid: int | None = None) -> FakeAgent:
        """A process registers."""
        agent = FakeAgent()
        self.server.registered(name, self.child(name).pid if pid is None else pid, keys, agent)
        return agent

    def states(self) -> list[str]:
        return [process.state for process in self.server.processes.values()]


@pytest.fixture
def cluster(clock: Clock) -> Cluster:
    return Cluster(clock)


def test_start(cluster: Cluster) -> None:
    """The ports are opened, all are started, and each is let take part as soon as it is there."""
    cluster.start()
    assert (cluster.shares.isOpen, cluster.states()) == (True, ["starting"] * 3)
    second = cluster.come("a.2")
    assert cluster.shares.offered == [("a.2", second)]
    cluster.server.ready("a.2")
    assert cluster.states() == ["starting", "running", "starting"]


def test_portTaken(cluster: Cluster, logged: list[Any]) -> None:
    """A port that cannot be had: none of its processes is started; a later order tries again."""
    cluster.shares.fault = ListenError("port 9000 is in use.")
    cluster.start()
    assert (cluster.states(), cluster.children) == (["given up"] * 3, {})
    cluster.shares.fault = None
    cluster.start()
    assert cluster.states() == ["starting"] * 3


def test_openPorts(cluster: Cluster) -> None:
    """Ports can be opened before anything is started, while the master is privileged; what fails is tried again."""
    cluster.server.openPorts({"a.2": 0}.get)
    assert not cluster.shares.isOpen, "a.2 has them"
    cluster.shares.fault = ListenError("port 80 is in use.")
    cluster.server.openPorts(lambda name: None)
    assert (cluster.shares.isOpen, cluster.states()) == (False, ["stopped"] * 3)
    cluster.shares.fault = None
    cluster.server.openPorts(lambda name: None)
    assert (cluster.shares.isOpen, cluster.states()) == (True, ["stopped"] * 3)


def test_found(cluster: Cluster) -> None:
    """Processes that are there already give their ports, and only those that are missing are started."""
    cluster.start("a.1", "a.3")
    assert (cluster.shares.isOpen, cluster.children) == (False, {})
    first = cluster.come("a.1", "tcp:9000", pid=7)
    assert cluster.shares.isOpen and list(cluster.children) == ["a.2"]
    third = cluster.come("a.3", "tcp:9000", pid=8)
    assert cluster.shares.offered == [("a.1", first), ("a.3", third)]
    cluster.clock.advance(FIND_TIMEOUT)
    assert {name: len(children) for name, children in cluster.children.items()} == {"a.2": 1}


def test_notFound(cluster: Cluster) -> None:
    """
    A process that does not come, and is not there any more either, is started, and the ports are opened in the ordinary
    way.
    """
    cluster.start("a.1", "a.3")
    cluster.clock.advance(FIND_TIMEOUT)
    assert (cluster.shares.isOpen, cluster.states()) == (False, ["stopped"] * 3)
    cluster.found.clear()
    cluster.clock.advance(FIND_TIMEOUT)
    assert (cluster.shares.isOpen, cluster.states()) == (True, ["starting"] * 3)


def test_foundByNumber(cluster: Cluster) -> None:
    """A process that runs already is listed with its number before it has come, as what cannot be asked yet."""
    cluster.start(pids={"a.1": 7, "a.2": 8, "a.3": 9})
    rows = [fired(cluster.server.row(name))[0] for name in NAMES]
    assert [(row.pid, row.state) for row in rows] == [(7, "unreachable"), (8, "unreachable"), (9, "unreachable")]
    cluster.come("a.1", "tcp:9000", pid=7)
    assert cluster.states() == ["starting"] * 3 and cluster.children == {}


def test_late(cluster: Cluster) -> None:
    """
    A process that runs is never started a second time, however long it takes to come to a new master; the others wait
    for the ports that it holds.
    """
    cluster.start(pids={"a.1": 7, "a.2": 8})
    cluster.clock.pump([FIND_TIMEOUT] * 10)
    assert (cluster.shares.isOpen, cluster.children) == (False, {})
    cluster.come("a.2", "tcp:9000", pid=8)
    assert cluster.shares.isOpen and list(cluster.children) == ["a.3"]
    cluster.clock.pump([FIND_TIMEOUT] * 10)
    first = cluster.come("a.1", "tcp:9000", pid=7)
    assert cluster.shares.offered[-1] == ("a.1", first) and list(cluster.children) == ["a.3"]


def test_lateAndGone(cluster: Cluster) -> None:
    """If it ends before it has come, it is started again, on ports that are free now."""
    cluster.start(pids={"a.1": 7, "a.2": 8, "a.3": 9})
    cluster.there.clear()
    cluster.found.clear()
    cluster.clock.pump([0.1] * 50)
    assert cluster.shares.isOpen and sorted(cluster.children) == list(NAMES)
    assert {name: len(children) for name, children in cluster.children.items()} == dict.fromkeys(NAMES, 1)


def test_lateIsStopped(cluster: Cluster) -> None:
    """It can be stopped before it has come."""
    cluster.start(pids={"a.1": 7, "a.2": 8, "a.3": 9})
    gone = fired(cluster.server.stop("a.1"))
    assert (cluster.killed, gone) == ([(7, "TERM")], [])
    cluster.there.remove(7)
    cluster.clock.advance(1)
    assert (gone, cluster.states()[0]) == ([None], "stopped")


def test_offeredAgain(cluster: Cluster) -> None:
    """A process that comes again, by a new connection, is let take part again; the end of the old one says nothing."""
    cluster.start()
    old = cluster.come("a.1")
    new = cluster.come("a.1")
    cluster.server.unregistered("a.1", old)
    assert cluster.shares.offered == [("a.1", old), ("a.1", new)]
    assert cluster.server.processes["a.1"].agent is new


def test_stoppedStays(cluster: Cluster) -> None:
    """A process that was stopped on purpose is not started because another one comes."""
    cluster.start()
    gone = fired(cluster.server.stop("a.1"))
    assert cluster.shares.paused == ["a.1"]
    cluster.child("a.1").end("exit status 0")
    cluster.come("a.2")
    assert (gone, cluster.states()) == ([None], ["stopped", "starting", "starting"])


def test_restart(cluster: Cluster) -> None:
    """A process is paused, stopped and started; the Deferred fires when it serves."""
    cluster.start()
    done = fired(cluster.server.restart("a.1"))
    cluster.child("a.1").end("exit status 0")
    assert (done, cluster.states()[0]) == ([], "starting")
    cluster.come("a.1")
    cluster.server.ready("a.1")
    assert done == [True]


def test_restartFails(cluster: Cluster) -> None:
    """It fires with C{False} if the process does not come back."""
    cluster.start()
    done = fired(cluster.server.restart("a.1"))
    cluster.child("a.1").end("exit status 0")
    for _ in range(4):
        cluster.child("a.1").end("exit status 1")
        cluster.clock.advance(1)
    assert done == [False]


def test_row(cluster: Cluster) -> None:
    """A process says itself how it is; what the master knows better is the master's."""
    cluster.start()
    said = {"name": "a.1", "kind": "web", "clients": 3, "pid": 100, "state": "running"}
    cluster.come("a.1").answers = {"List": {"rows": [said], "more": False}}
    assert fired(cluster.server.row("a.1")) == [Row(name="a.1", kind="web", clients=3, pid=100, state="starting")]
    cluster.server.ready("a.1")
    assert fired(cluster.server.row("a.1")) == [Row(name="a.1", kind="web", clients=3, pid=100)]
    assert fired(cluster.server.row("a.2")) == [Row(name="a.2", kind="web", pid=101, state="starting")]


def test_rowOfSilent(cluster: Cluster) -> None:
    """A process that does not answer is unreachable."""
    cluster.start()
    cluster.come("a.1").answers = {"List": Deferred()}
    row = fired(cluster.server.row("a.1"))
    cluster.clock.advance(ANSWER_TIMEOUT)
    assert row == [Row(name="a.1", kind="web", pid=100, state="unreachable")]


def test_forget(cluster: Cluster) -> None:
    """What runs on without its master has no timer here."""
    cluster.start("a.1")
    cluster.server.forget()
    assert (cluster.shares.closed, cluster.clock.getDelayedCalls()) == (1, [])


def test_alone(clock: Clock) -> None:
    """A server of one process has nothing to share."""
    system = FakeSystem(clock)
    server = Server("b", "", [system.process("b")], None, clock)
    server.start(["b"], lambda name: None)
    server.registered("b", 100, (), FakeAgent())
    server.ready("b")
    assert server.processes["b"].state == "running"
    with pytest.raises(Refused):
        server.registered("b", 200, (), FakeAgent())
    server.close()

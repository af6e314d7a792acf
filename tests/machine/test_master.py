"""
A master and the agents of its processes, each with the other's real code, connected in memory.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.test.iosim import FakeTransport, IOPump, connect

from tests.machine.fakes import FakeSystem, fired
from twisted_crossws import Node, NodeConfig, WebSocketConfig
from twisted_crossws.config import Config
from twisted_crossws.machine.agent import LOOK_INTERVAL, Agent, addressOf, socketOf
from twisted_crossws.machine.control import Refused
from twisted_crossws.machine.master import Master
from twisted_crossws.machine.rows import Row
from twisted_crossws.machine.server import Server


class Reactor(MemoryReactorClock):
    """
    Runs, makes no sockets, and notices that it is to stop.

    @ivar later: what waits for it to run, while a test holds it up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stopped = 0
        self.later: list[Any] | None = None

    def callWhenRunning(self, function: Any, *args: Any, **kwargs: Any) -> None:
        if self.later is None:
            function(*args, **kwargs)
        else:
            self.later.append(function)

    def stop(self) -> None:
        self.stopped += 1


class Machine:
    """
    A master of one server with one process, and that process.

    @ivar reactor: of both of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.reactor = Reactor()
        self.system = FakeSystem(self.reactor)  # type: ignore[arg-type]
        self.pumps: list[IOPump] = []
        self.failures: list[str] = []
        self.master = self.newMaster()
        self.agent: Agent | None = None

    def newMaster(self) -> Master:
        server = Server("a", "web", [self.system.process("a")], None, self.reactor)  # type: ignore[arg-type]
        elsewhere = [Row(name="b", state="elsewhere", address="host2")]
        return Master([server], elsewhere, self.folder, self.reactor, reread=self.reread, failed=self.failures.append)

    def reread(self, name: str) -> Server:
        if name != "c":
            raise Refused(f"the file has no server {name!r} for this machine")
        return Server("c", "", [self.system.process("c")], None, self.reactor)  # type: ignore[arg-type]

    def live(self, name: str = "a") -> Agent:
        """The process that was launched lives."""
        config = Config(node=NodeConfig(server_name=name), websocket=WebSocketConfig(listen=()))
        node = Node(config=config, clock=self.reactor)
        node.startService()
        self.agent = agent = Agent(node, "web", self.folder, self.reactor, environment={})
        agent.startService()
        self.meet()
        return agent

    def meet(self) -> None:
        """Connect whoever looks for a master to the one that listens now."""
        looking, self.reactor.unixClients[:] = list(self.reactor.unixClients), []
        for _, factory, *_ in looking:
            if self.master.running:
                (listening,) = (each for path, each, *_ in self.reactor.unixServers if path.endswith("master.sock"))
                client, server = factory.buildProtocol(None), listening.buildProtocol(None)
                self.pumps.append(
                    connect(server, FakeTransport(server, isServer=True), client, FakeTransport(client, False))
                )
            else:
                factory.clientConnectionFailed(None, _refusal())
        self.flush()

    def flush(self) -> None:
        for pump in self.pumps:
            pump.flush()

    def cut(self) -> None:
        """All connections between them are lost."""
        for pump in self.pumps:
            pump.client.transport.loseConnection()
        self.flush()
        self.pumps.clear()

    def rows(self) -> list[Row]:
        rows = fired(self.master.rows())
        self.flush()
        return list(rows[0])

    def order(self, verb: str, **words: Any) -> list[Any]:
        answer = fired(self.master.order(verb, words, lambda sentence: None))
        self.flush()
        return answer


def _refusal() -> Any:
    from twisted.internet.error import ConnectionRefusedError
    from twisted.python.failure import Failure

    return Failure(ConnectionRefusedError())


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    machine.master.startService()
    machine.system.child("a").pid = os.getpid()
    machine.master.servers["a"].processes["a"].pid = os.getpid()
    yield machine
    machine.master.isLeaving = True
    machine.master.stopService()
    if machine.agent is not None:
        machine.agent.stopService()


def test_register(machine: Machine) -> None:
    """A process that was started says that it is there, and when it serves."""
    assert [row.state for row in machine.rows()] == ["starting", "elsewhere"]
    machine.live()
    first, second = machine.rows()
    assert (first.name, first.kind, first.state, first.pid) == ("a", "web", "running", os.getpid())
    assert (first.clients, first.rooms) == (0, 0)
    assert second == Row(name="b", state="elsewhere", address="host2")


def test_masterIsGone(machine: Machine) -> None:
    """A process whose master is gone looks for one until there is one, and is found as it was."""
    machine.live()
    machine.master.isLeaving = True
    machine.master.stopService()
    machine.cut()
    for _ in range(3):
        machine.reactor.advance(LOOK_INTERVAL)
        machine.meet()
    machine.reactor.unixServers.clear()
    machine.system.children.clear()
    machine.system.there.add(os.getpid())
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(socketOf(machine.folder, "a"))
        alive.listen()
        machine.master = machine.newMaster()
        machine.master.startService()
    assert machine.rows()[0] == Row(name="a", kind="web", state="unreachable", pid=os.getpid())
    machine.reactor.advance(LOOK_INTERVAL)
    machine.meet()
    process = machine.master.servers["a"].processes["a"]
    assert (process.state, process.pid, machine.system.children) == ("running", os.getpid(), {})


def test_secondMaster(machine: Machine) -> None:
    """A second master of the same file is refused."""
    with pytest.raises(Refused, match="Another master of this file is running"):
        machine.newMaster().startService()


def test_reactorDoesNotRunYet(tmp_path: Path) -> None:
    """No process is started before the reactor runs: a signal would end the master alone. Nor after it has stopped."""
    machine = Machine(tmp_path)
    machine.reactor.later = []
    machine.master.startService()
    assert machine.system.children == {}
    (begin,) = machine.reactor.later
    begin()
    assert list(machine.system.children) == ["a"]
    other = Machine(tmp_path / "other")
    os.mkdir(tmp_path / "other")
    other.reactor.later = []
    other.master.startService()
    other.master.stopService()
    other.reactor.later[0]()
    assert other.system.children == {}


def test_stop(machine: Machine) -> None:
    """A master that stops ends its processes first."""
    machine.live()
    stopped = fired(machine.master.stopService())
    child = machine.system.child("a")
    assert (child.signals, stopped) == (["TERM"], [])
    child.end("exit status 0")
    assert len(stopped) == 1


class TestOrders:
    def test_unknown(self, machine: Machine) -> None:
        """An order that is none is refused, with those that are."""
        (fault,) = machine.order("dance")
        assert isinstance(fault, Refused) and "there is no order 'dance'; the orders are add, detach" in str(fault)

    def test_stopAll(self, machine: Machine) -> None:
        """Without a name the master stops, after it has said so."""
        assert machine.order("stop") == [["The master stops, and all servers of this machine with it."]]
        assert machine.reactor.stopped == 0
        machine.reactor.advance(0.1)
        assert machine.reactor.stopped == 1 and not machine.master.isLeaving

    def test_detach(self, machine: Machine) -> None:
        """The master ends, and its processes are not asked to."""
        machine.live()
        machine.order("detach")
        machine.reactor.advance(0.1)
        assert machine.reactor.stopped == 1
        fired(machine.master.stopService())
        assert machine.system.child("a").signals == []

    def test_stopOne(self, machine: Machine) -> None:
        """A server by its name, which then stays as it is."""
        said = machine.order("stop", name="a")
        machine.system.child("a").end("exit status 0")
        assert said == [["a has stopped."]]
        assert machine.rows()[0].state == "stopped"

    def test_add(self, machine: Machine) -> None:
        """It is started again, and the order is done when it serves."""
        machine.order("stop", name="a")
        machine.system.child("a").end("exit status 0")
        said = machine.order("add", name="a")
        machine.master.servers["a"].processes["a"].pid = os.getpid()
        assert said == []
        machine.live()
        assert said == [["a is running."]]
        (fault,) = machine.order("add", name="a")
        assert str(fault) == "a is running already"

    def test_addNew(self, machine: Machine) -> None:
        """What was not in the file when the master began is looked for there now."""
        machine.order("add", name="c")
        assert [(row.name, row.state) for row in machine.rows()][1] == ("c", "starting")
        (fault,) = machine.order("add", name="d")
        assert str(fault) == "the file has no server 'd' for this machine"

    def test_addInVain(self, machine: Machine) -> None:
        """A server that does not come up is no success."""
        said = machine.order("add", name="c")
        for _ in range(4):
            machine.system.child("c").end("exit status 1")
            machine.reactor.advance(1)
        assert str(said[0]) == "c could not be started; see the log"

    def test_remove(self, machine: Machine) -> None:
        """A server that was removed is not listed."""
        said = machine.order("remove", name="a")
        machine.system.child("a").end("exit status 0")
        assert said == [["a was removed; crossws-ctl add a brings it back."]]
        assert [row.name for row in machine.rows()] == ["b"]

    def test_restart(self, machine: Machine) -> None:
        """All, one after the other."""
        said = machine.order("restart")
        machine.system.child("a").end("exit status 0")
        machine.master.servers["a"].processes["a"].pid = os.getpid()
        machine.live()
        assert said == [["1 restarted."]]

    def test_restartInVain(self, machine: Machine) -> None:
        """It ends at the first that does not come back."""
        said = machine.order("restart", name="a")
        for _ in range(5):
            machine.system.child("a").end("exit status 1")
            machine.reactor.advance(1)
        assert str(said[0]) == "a did not come back; see the log. Not restarted: none"

    def test_names(self, machine: Machine) -> None:
        """What is no name is said, with what could have been meant."""
        for verb in ("stop", "drain", "remove"):
            (fault,) = machine.order(verb, name="aa")
            assert str(fault) == "no server is named aa; did you mean a?"
        (fault,) = machine.order("restart", name="x")
        assert str(fault) == "no server is named x; there are a"
        for name in ("", 7):
            (fault,) = machine.order("drain", name=name)
            assert str(fault) == "the name of a server is missing"

    def test_drain(self, machine: Machine) -> None:
        """The process is told to."""
        (fault,) = machine.order("drain", name="a")
        assert str(fault) == "a is not reachable; it is starting"
        agent = machine.live()
        said = machine.order("drain", name="a")
        machine.reactor.advance(0)
        machine.flush()
        assert said == [["a has no clients any more."]]
        assert agent.node.state == "draining"
        assert machine.rows()[0].state == "draining"

    def test_byAnyNode(self, machine: Machine) -> None:
        """What any node can do for all is done by one."""
        (fault,) = machine.order("send", event="news", payload=1)
        assert str(fault) == "no server of this machine is running"
        machine.live()
        assert machine.order("send", event="news", payload=1) == [["news was sent to all clients."]]
        assert machine.order("send", event="news", to="u1") == [["news was sent to u1."]]
        said = machine.order("send", event="news", room=["chat", "lobby"])
        assert said == [["news was sent to the room lobby of chat."]]
        (fault,) = machine.order("send", event="")
        assert "event must be a string that is not empty" in str(fault)


def test_stranger(machine: Machine) -> None:
    """A process that the file does not know is refused, and goes on looking."""
    agent = machine.live("x")
    assert [row.name for row in machine.rows()] == ["a", "b"]
    assert agent.running


def test_socketOf() -> None:
    """A name that is no name of a file has one all the same."""
    assert socketOf("/run", "a/b c") == "/run/a%2Fb%20c.sock"


def test_addressOf() -> None:
    """Addresses as people write them."""
    from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

    assert addressOf(IPv4Address("TCP", "0.0.0.0", 80)) == "0.0.0.0:80"
    assert addressOf(IPv6Address("TCP", "::", 80)) == "[::]:80"
    assert addressOf(UNIXAddress(b"/run/x")) == "/run/x"

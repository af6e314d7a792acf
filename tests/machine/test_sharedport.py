"""
A port of the master, with workers in the same process.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReadDescriptor
from zope.interface.verify import verifyObject

from tests.machine.descriptors import HandReactor, isEnded, sameDescriptors
from twisted_crossws.machine.binding import listeningSocket
from twisted_crossws.machine.handover import INTERVAL, PATIENCE, REST, WINDOW
from twisted_crossws.machine.sharedport import SharedPort
from twisted_crossws.machine.spread import spreadOf
from twisted_crossws.machine.taker import Taker


class Worker:
    """It has what it was given."""

    def __init__(self, name: str, channel: socket.socket, reactor: HandReactor) -> None:
        self.name = name
        self.serves: list[socket.socket] = []
        self.lacked = 0
        self.hasMaster = True
        self._reactor = reactor
        self.taker = Taker(channel, self, reactor)

    @property
    def open(self) -> int:
        return len(self.serves)

    def take(self, connection: socket.socket) -> None:
        self.serves.append(connection)

    def noRoom(self, count: int) -> None:
        self.lacked += count

    def heard(self) -> None:
        """The master lives."""

    def channelEnded(self) -> None:
        self.hasMaster = False

    def end(self) -> None:
        """A connection ends."""
        self.serves.pop().close()
        self.taker.changed()

    def sleep(self) -> None:
        """It does not read."""
        self._reactor.removeReader(self.taker)

    def wake(self) -> None:
        self._reactor.addReader(self.taker)


class Machine:
    """A master and workers."""

    def __init__(self, stack: ExitStack, description: str = "tcp:0:interface=127.0.0.1") -> None:
        self.stack = stack
        self.reactor = HandReactor()
        self.port = SharedPort(*listeningSocket(description, "here"), spreadOf("least-connection"), self.reactor)
        self.workers: dict[str, Worker] = {}
        self.clients: list[socket.socket] = []
        stack.callback(self.close)

    def start(self, *names: str) -> list[Worker]:
        """Have workers."""
        for name in names:
            self.workers[name] = Worker(name, self.port.addWorker(name), self.reactor)
        self.reactor.settle()
        return [self.workers[name] for name in names]

    def connect(self, count: int = 1) -> list[socket.socket]:
        """
        @return: so many new clients.
        """
        host = self.port.getHost()
        made = [self.stack.enter_context(socket.create_connection((host.host, host.port))) for _ in range(count)]
        self.clients += made
        return made

    def settle(self) -> None:
        """Until nothing more happens, and all is reported."""
        self.reactor.settle()
        self.reactor.advance(INTERVAL)
        self.reactor.settle()

    def served(self) -> dict[str, int]:
        return {name: worker.open for name, worker in self.workers.items()}

    def close(self) -> None:
        self.port.close()
        for worker in self.workers.values():
            worker.taker.close()
            for connection in worker.serves:
                connection.close()
        assert self.reactor.readers == [] and self.reactor.getDelayedCalls() == []


@pytest.fixture
def machine() -> Iterator[Machine]:
    with sameDescriptors() as stack:
        yield Machine(stack)


def test_even(machine: Machine) -> None:
    """Connections are spread evenly, and counted."""
    machine.start("A", "B", "C", "D")
    for _ in range(5):
        machine.connect(10)
        machine.settle()
    assert sorted(machine.served().values()) == [12, 12, 13, 13]
    assert machine.port.loads() == machine.served()
    assert machine.port.tally == {"accepted": 50, "handed": 50, "returned": 0, "failed": 0}


def test_evenAgain(machine: Machine) -> None:
    """Where connections have ended, the next ones go."""
    a, b = machine.start("A", "B")
    machine.connect(20)
    machine.settle()
    for _ in range(6):
        b.end()
    machine.settle()
    assert machine.port.loads() == {"A": 10, "B": 4}
    machine.connect(6)
    machine.settle()
    assert machine.served() == {"A": 10, "B": 10}


def test_isServed(machine: Machine) -> None:
    """Each connection is with one worker, and with nobody else."""
    machine.start("A", "B", "C")
    clients = machine.connect(9)
    machine.settle()
    for worker in machine.workers.values():
        for connection in worker.serves:
            connection.sendall(worker.name.encode())
    assert sorted(client.recv(9) for client in clients) == [b"A"] * 3 + [b"B"] * 3 + [b"C"] * 3
    for worker in machine.workers.values():
        while worker.serves:
            worker.end()
    assert all(isEnded(client) for client in clients)


def test_nobody(machine: Machine) -> None:
    """Without a worker nothing is accepted, nor refused: it waits for one."""
    (client,) = machine.connect()
    machine.settle()
    assert machine.port not in machine.reactor.readers and machine.port.tally["accepted"] == 0
    machine.start("A")
    assert machine.served() == {"A": 1} and not isEnded(client)


def test_lastDied(machine: Machine) -> None:
    """When the last worker is gone, connections wait for the next one, those included that it had not read."""
    (a,) = machine.start("A")
    a.sleep()
    first = machine.connect(2)
    machine.settle()
    a.taker.close()
    machine.settle()
    second = machine.connect(2)
    machine.settle()
    assert machine.port.loads() == {} and not any(isEnded(client) for client in first + second)
    machine.start("B")
    assert machine.served()["B"] == 4
    assert machine.port.tally == {"accepted": 4, "handed": 6, "returned": 2, "failed": 0}


def test_died(machine: Machine) -> None:
    """What a worker had not read when it died goes to the others; what it had is ended."""
    a, b = machine.start("A", "B")
    machine.connect(4)
    machine.settle()
    a.sleep()
    machine.connect(4)
    machine.settle()
    for connection in a.serves:
        connection.close()
    a.serves.clear()
    a.taker.close()
    machine.settle()
    assert machine.served() == {"A": 0, "B": 6}
    assert sum(isEnded(client) for client in machine.clients) == 2
    assert machine.port.loads() == {"B": 6}


def test_stuck(machine: Machine) -> None:
    """A worker that does not read harms few clients: soon all go to others."""
    a, b = machine.start("A", "B")
    a.sleep()
    machine.connect(4)
    machine.reactor.settle()
    machine.reactor.advance(PATIENCE * 2)
    machine.connect(20)
    machine.reactor.settle()
    assert machine.port.loads() == {"A": 2, "B": 22}
    a.wake()
    machine.settle()
    assert machine.served() == {"A": 2, "B": 22}
    machine.connect(2)
    machine.settle()
    assert machine.served() == {"A": 4, "B": 22}


def test_allStuck(machine: Machine) -> None:
    """If all are stuck, nothing is accepted, and nobody asks again and again; then it goes on."""
    a, b = machine.start("A", "B")
    a.sleep()
    b.sleep()
    clients = machine.connect(2 * WINDOW + 10)
    machine.reactor.settle()
    assert machine.port.loads() == {"A": WINDOW, "B": WINDOW}
    assert machine.reactor.turn() == 0 and machine.port not in machine.reactor.readers
    b.wake()
    machine.settle()
    machine.reactor.advance(PATIENCE)
    machine.settle()
    assert machine.served() == {"A": 0, "B": WINDOW + 10}
    a.wake()
    machine.settle()
    assert machine.port.loads() == machine.served() == {"A": WINDOW, "B": WINDOW + 10}
    assert not any(isEnded(client) for client in clients)


def test_evenInARush(machine: Machine) -> None:
    """Many at once are spread evenly too, though some take them later: it is waited for them, if not for long."""
    a, b = machine.start("A", "B")
    a.sleep()
    machine.connect(4 * WINDOW)
    machine.reactor.settle()
    assert machine.port.loads() == {"A": WINDOW, "B": WINDOW + 1}
    a.wake()
    machine.settle()
    assert machine.served() == {"A": 2 * WINDOW, "B": 2 * WINDOW}


def test_channelFull(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system does not take a connection for one, another one gets it at once."""
    a, b = machine.start("A", "B")
    monkeypatch.setattr(machine.port._givers["A"], "give", lambda connections: False)
    serves = iter([True] + [False] * 99)
    monkeypatch.setattr(machine.port._givers["A"], "serves", lambda now: next(serves))
    machine.connect()
    machine.settle()
    assert machine.served() == {"A": 0, "B": 1}


def test_paused(machine: Machine) -> None:
    """Who is paused gets nothing new and keeps what it has, until it is resumed."""
    a, b = machine.start("A", "B")
    machine.connect(4)
    machine.settle()
    machine.port.pause("A")
    machine.connect(4)
    machine.settle()
    assert machine.served() == {"A": 2, "B": 6}
    machine.port.pause("B")
    machine.connect(4)
    machine.settle()
    assert machine.served() == {"A": 2, "B": 6}
    machine.port.resume("A")
    machine.settle()
    assert machine.served() == {"A": 6, "B": 6}


def test_unknown(machine: Machine) -> None:
    """Whoever has ended meanwhile can be paused, resumed and removed."""
    machine.port.pause("nobody")
    machine.port.resume("nobody")
    machine.port.removeWorker("nobody")
    assert machine.port.loads() == {}


def test_restarted(machine: Machine) -> None:
    """A worker of the same name takes the place of the former, whose end is then no longer of interest."""
    (old,) = machine.start("A")
    (new,) = machine.start("A")
    machine.settle()
    assert not old.hasMaster
    machine.connect(2)
    machine.settle()
    assert new.open == 2 and machine.port.loads() == {"A": 2}


def test_removed(machine: Machine) -> None:
    """Who is removed gets nothing more, and goes on with what it has, and what is on the way to it."""
    a, b = machine.start("A", "B")
    a.sleep()
    machine.connect(4)
    machine.reactor.settle()
    machine.port.removeWorker("A")
    a.wake()
    machine.connect(4)
    machine.settle()
    assert machine.served() == {"A": 2, "B": 6} and not a.hasMaster


def test_aborted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is gone before it is accepted is none, and the next one is served."""
    machine.start("A")
    listening = machine.port._listening

    class Listening:
        faults = [ConnectionAbortedError(errno.ECONNABORTED, "gone"), PermissionError(errno.EPERM, "no")]
        fileno = listening.fileno

        def accept(self) -> Any:
            if self.faults:
                raise self.faults.pop()
            return listening.accept()

    machine.connect()
    monkeypatch.setattr(machine.port, "_listening", Listening())
    machine.reactor.turn()
    monkeypatch.undo()
    machine.settle()
    assert machine.served() == {"A": 1} and machine.port.tally["failed"] == 0


def test_many(machine: Machine) -> None:
    """Where many wait, more and more are accepted in a turn, so that it is done in few."""
    machine.start("A", "B", "C", "D")
    machine.connect(100)
    for _ in range(4):
        machine.reactor.turn(machine.port)
    assert machine.port.tally["accepted"] == 100
    machine.settle()


class TestNoDescriptors:
    def test_ofMaster(self, machine: Machine) -> None:
        """A master without descriptors leaves connections where they wait, and tries again later."""
        machine.start("A")
        (client,) = machine.connect()
        with noDescriptors():
            machine.reactor.settle()
        assert machine.port.tally["failed"] == 1 and machine.port not in machine.reactor.readers
        machine.reactor.advance(REST)
        machine.settle()
        assert machine.served() == {"A": 1} and not isEnded(client)

    def test_ofWorker(self, machine: Machine) -> None:
        """What a worker has no descriptors for goes to another one."""
        a, b = machine.start("A", "B")
        machine.port.pause("B")
        (client,) = machine.connect()
        machine.reactor.turn(machine.port)
        with noDescriptors():
            machine.reactor.turn(a.taker)
        machine.port.resume("B")
        machine.settle()
        assert machine.served() == {"A": 0, "B": 1} and a.lacked == 1 and not isEnded(client)

    def test_ofAll(self, machine: Machine) -> None:
        """If there is no other one, it is offered again later, to whoever has room then."""
        (a,) = machine.start("A")
        (client,) = machine.connect()
        machine.reactor.turn(machine.port)
        with noDescriptors():
            machine.reactor.turn(a.taker)
        machine.settle()
        assert machine.served() == {"A": 0} and machine.port not in machine.reactor.readers
        machine.reactor.advance(REST)
        machine.settle()
        assert machine.served() == {"A": 1} and not isEnded(client)


class noDescriptors:
    """This process cannot open any further ones."""

    def __enter__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = os.dup(0)
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, self._limits[1]))

    def __exit__(self, *args: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)


class TestClosed:
    def test_masterEnds(self, machine: Machine) -> None:
        """When the master ends, no connection does; who connects then waits for the workers to accept."""
        (a,) = machine.start("A")
        machine.connect(2)
        machine.reactor.turn(machine.port)
        machine.reactor.turn(machine.port)
        listening = socket.socket(fileno=os.dup(machine.port.descriptor()))
        machine.port.close()
        machine.settle()
        assert a.open == 2 and not a.hasMaster
        late = machine.stack.enter_context(socket.create_connection(listening.getsockname()))
        accepted, _ = listening.accept()
        accepted.close()
        listening.close()
        assert isEnded(late) and not any(isEnded(client) for client in machine.clients)

    def test_reactorEnds(self, machine: Machine) -> None:
        """So it is when the reactor ends it."""
        (a,) = machine.start("A")
        machine.connect(2)
        machine.reactor.turn(machine.port)
        machine.reactor.turn(machine.port)
        a.sleep()
        machine.reactor.end()
        a.wake()
        machine.settle()
        assert a.open == 2 and not a.hasMaster and machine.port.fileno() == -1


def test_notInherited() -> None:
    """A socket that a worker has given is not inherited by what the master starts."""
    with sameDescriptors() as stack:
        key, listening = listeningSocket("tcp:0:interface=127.0.0.1", "here")
        listening.set_inheritable(True)
        port = SharedPort(key, listening, spreadOf("random"), HandReactor())
        assert not os.get_inheritable(port.descriptor())
        stack.callback(port.close)


def test_addresses() -> None:
    """The port is the one that the system chose, of either family."""
    with sameDescriptors() as stack:
        four, six = Machine(stack), Machine(stack, r"tcp6:0:interface=\:\:1")
        assert isinstance(four.port.getHost(), IPv4Address) and four.port.getHost().port
        assert isinstance(six.port.getHost(), IPv6Address) and six.port.getHost().host == "::1"
        assert [four.port.key, six.port.key] == ["tcp:127.0.0.1:0", "tcp:[::1]:0"]
        six.start("A")
        six.connect()
        six.settle()
        assert six.served() == {"A": 1}


def test_interfaces(machine: Machine) -> None:
    """A reactor can read them."""
    (a,) = machine.start("A")
    for reader in (machine.port, machine.port._givers["A"], a.taker):
        assert verifyObject(IReadDescriptor, reader) and isinstance(reader.logPrefix(), str)

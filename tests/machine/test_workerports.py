"""
The ports of a worker, with a master in the same process.
"""

from __future__ import annotations

import gc
import os
import socket
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from twisted.internet.address import IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Server
from zope.interface.verify import verifyObject

from tests.machine.descriptors import HandReactor, isEnded, sameDescriptors
from twisted_crossws import Config, Node, WebSocketConfig
from twisted_crossws.errors import CrossWSError
from twisted_crossws.machine.binding import listeningSocket
from twisted_crossws.machine.giver import Giver
from twisted_crossws.machine.handover import INTERVAL
from twisted_crossws.machine.sharedport import SharedPort
from twisted_crossws.machine.spread import spreadOf
from twisted_crossws.machine.vigil import INTERVAL as INTERVAL_OF_VIGIL
from twisted_crossws.machine.workerports import PATIENCE, WorkerPorts
from twisted_crossws.services.ports import PortService
from twisted_crossws.ws.direct import DirectServer, useDirectWrites

TCP = "tcp:0:interface=127.0.0.1"
PLACE = "crossws.toml: [websocket] listen"


class Echo(Protocol):
    """It says what it hears, and whose it is."""

    def connectionMade(self) -> None:
        self.factory.protocols.append(self)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.factory.name + data)  # type: ignore[union-attr]

    def connectionLost(self, reason: object = None) -> None:
        self.factory.protocols.remove(self)  # type: ignore[union-attr]


class Worker(Factory):
    """A process that echoes."""

    def __init__(self, name: str, reactor: HandReactor, description: str = TCP, isFast: bool = False) -> None:
        self.name = name.encode()
        self.protocols: list[Echo] = []
        self.ports = WorkerPorts(reactor)
        self.faults: list[Any] = []
        self.port: Any = None
        self._reactor = reactor
        self._isFast = isFast
        self.listening: Deferred[Any] = self.ports.endpoint(description, PLACE).listen(self)
        self.listening.addCallbacks(self._listens, lambda failure: self.faults.append(failure.value))

    def buildProtocol(self, address: Any) -> Echo | None:
        self.address = address
        echo = Echo()
        echo.factory = self
        return echo

    def stop(self) -> None:
        if self.port is not None and self.port.connected:
            self.port.stopListening()
            self._reactor.advance(0)
        self.listening.cancel()
        for echo in list(self.protocols):
            echo.transport.abortConnection()  # type: ignore[union-attr]
        self._reactor.advance(0)
        self.ports.close()

    def _listens(self, port: Any) -> None:
        self.port = port
        if self._isFast:
            useDirectWrites(port, self._reactor)


class Machine:
    """Masters, workers and clients."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.reactor = HandReactor()
        self.master = self.newMaster()
        self.address = self.master._listening.getsockname()
        stack.callback(self.close)
        self._workers: list[Worker] = []

    def newMaster(self, listening: socket.socket | None = None) -> SharedPort:
        key, opened = listeningSocket(TCP, PLACE)
        if listening is not None:
            opened.close()
            opened = listening
        self.master = SharedPort(key, opened, spreadOf("least-connection"), self.reactor)
        return self.master

    def worker(self, name: str, isFast: bool = False, isOffered: bool = True) -> Worker:
        worker = Worker(name, self.reactor, isFast=isFast)
        self._workers.append(worker)
        if isOffered:
            self.offer(worker)
        return worker

    def offer(self, worker: Worker, key: str = "") -> None:
        with self.master.addWorker(worker.name.decode()) as channel:
            worker.ports.offer(key or self.master.key, os.dup(self.master.descriptor()), os.dup(channel.fileno()))
        self.reactor.settle()

    def connect(self, count: int = 1) -> list[socket.socket]:
        clients = [self.stack.enter_context(socket.create_connection(self.address, 5)) for _ in range(count)]
        self.settle()
        return clients

    def settle(self) -> None:
        self.reactor.settle()
        self.reactor.advance(INTERVAL)
        self.reactor.settle()

    def asks(self, client: socket.socket, text: bytes = b"!") -> bytes:
        """
        @return: what a client is answered.
        """
        client.setblocking(True)
        client.settimeout(5)
        client.sendall(text)
        self.settle()
        return client.recv(99)

    def close(self) -> None:
        self.master.close()
        for worker in self._workers:
            worker.stop()
        self._workers.clear()
        assert self.reactor.readers == [] and self.reactor.getDelayedCalls() == []


@pytest.fixture
def machine() -> Iterator[Machine]:
    with sameDescriptors() as stack:
        yield Machine(stack)


class TestListening:
    def test_offered(self, machine: Machine) -> None:
        """Listening waits for the offer of the master, and is done when that is there."""
        worker = machine.worker("A", isOffered=False)
        assert worker.port is None and worker.ports.waiting() == [machine.master.key]
        machine.offer(worker)
        assert worker.port.getHost() == machine.master.getHost()
        assert worker.ports.waiting() == [] and list(worker.ports.sockets()) == [machine.master.key]
        assert machine.master.loads() == {"A": 0}

    def test_offeredBefore(self, machine: Machine) -> None:
        """An offer is kept until somebody asks for it; until then its worker gets no connection."""
        first, second = machine.worker("A"), WorkerPorts(machine.reactor)
        with machine.master.addWorker("B") as channel:
            second.offer(machine.master.key, os.dup(machine.master.descriptor()), os.dup(channel.fileno()))
        machine.reactor.settle()
        assert machine.master.loads() == {"A": 0}
        listening: Any = second.endpoint(TCP, PLACE).listen(first)
        machine.reactor.settle()
        assert listening.called and machine.master.loads() == {"A": 0, "B": 0}
        listening.result.stopListening()
        machine.reactor.advance(0)

    def test_neverAskedFor(self, machine: Machine) -> None:
        """What nobody asks for is closed in the end, and when there is a newer one."""
        worker = machine.worker("A")
        for _ in range(2):
            machine.offer(worker, "tcp:0.0.0.0:1")
        worker.ports.close()

    def test_late(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever waits for long says so, and goes on waiting."""
        said: list[str] = []
        monkeypatch.setattr(
            "twisted_crossws.machine.workerports._log.warn", lambda text, **values: said.append(text.format(**values))
        )
        worker = machine.worker("A", isOffered=False)
        machine.reactor.advance(PATIENCE)
        assert said == [
            f"{PLACE}: '{TCP}' has been waiting for 10 seconds for the master to give its port; it goes on waiting"
        ]
        machine.offer(worker)
        assert worker.port is not None

    def test_givenUp(self, machine: Machine) -> None:
        """Waiting can be cancelled."""
        worker = machine.worker("A", isOffered=False)
        worker.listening.cancel()
        assert isinstance(worker.faults.pop(), CancelledError) and worker.ports.waiting() == []
        machine.offer(worker)
        assert worker.port is None and machine.master.loads() == {}

    def test_twice(self, machine: Machine) -> None:
        """The same port can be listened on once."""
        worker = machine.worker("A", isOffered=False)
        again: list[Any] = []
        for _ in range(2):
            worker.ports.endpoint(TCP, PLACE).listen(worker).addErrback(again.append)
            machine.offer(worker)
        assert [str(failure.value) for failure in again] == ["it is listened on already"] * 2

    @pytest.mark.parametrize("description", ["unix:/run/crossws.sock", "unix:/run/crossws.sock:mode=600"])
    def test_notShared(self, machine: Machine, description: str) -> None:
        """An endpoint that cannot be shared is a fault."""
        worker = Worker("A", machine.reactor, description)
        assert "can share what begins with tcp:" in str(worker.faults.pop())

    def test_noSockets(self, machine: Machine, logged: list[Any]) -> None:
        """What is offered and is no socket is not taken, and not kept open."""
        worker = machine.worker("A", isOffered=False)
        with machine.master.addWorker("A") as channel:
            worker.ports.offer(machine.master.key, os.open("/", os.O_RDONLY), os.dup(channel.fileno()))
        worker.ports.offer(machine.master.key, os.dup(machine.master.descriptor()), os.open("/", os.O_RDONLY))
        assert worker.port is None

    def test_endpoint(self, machine: Machine) -> None:
        """It is an endpoint; what is none is a mistake."""
        assert verifyObject(IStreamServerEndpoint, WorkerPorts(machine.reactor).endpoint(TCP, PLACE))
        with pytest.raises(ValueError):
            WorkerPorts(machine.reactor).endpoint("nonsense", PLACE)


def test_otherFamily(machine: Machine) -> None:
    """Connections of IPv6 have addresses of IPv6."""
    description = r"tcp6:0:interface=\:\:1"
    master = SharedPort(*listeningSocket(description, PLACE), spreadOf("least-connection"), machine.reactor)
    worker = Worker("A", machine.reactor, description)
    with master.addWorker("A") as channel:
        worker.ports.offer(master.key, os.dup(master.descriptor()), os.dup(channel.fileno()))
    machine.reactor.settle()
    client = machine.stack.enter_context(socket.create_connection(("::1", master.getHost().port)))
    assert machine.asks(client) == b"A!"
    assert worker.address == IPv6Address("TCP", *client.getsockname())
    assert worker.protocols[0].transport.getHost() == worker.port.getHost() == master.getHost()  # type: ignore[union-attr]
    master.close()
    worker.stop()


@pytest.mark.parametrize("isFast", [False, True])
class TestConnections:
    def test_served(self, machine: Machine, isFast: bool) -> None:
        """Connections come from the channel, and are like those that a port accepts."""
        worker = machine.worker("A", isFast)
        (client,) = machine.connect()
        assert machine.asks(client) == b"A!"
        assert (worker.address.host, worker.address.port) == client.getsockname()
        transport: Any = worker.protocols[0].transport
        assert isinstance(transport, DirectServer if isFast else Server)
        assert transport.getPeer() == worker.address and transport.getHost().port == machine.address[1]
        assert worker.ports.connections() == 1 and machine.master.loads() == {"A": 1}

    def test_spread(self, machine: Machine, isFast: bool) -> None:
        """Each worker has its part of them, and none accepts by itself."""
        workers = [machine.worker(name, isFast) for name in "ABCD"]
        clients = machine.connect(40)
        assert [worker.ports.connections() for worker in workers] == [10] * 4
        assert machine.master.tally["accepted"] == 40
        assert sorted(machine.asks(client) for client in clients) == sorted([b"A!", b"B!", b"C!", b"D!"] * 10)

    @pytest.mark.parametrize("way", ["client", "loseConnection", "abortConnection", "reset", "raises"])
    def test_ends(self, machine: Machine, isFast: bool, way: str, logged: list[Any]) -> None:
        """However a connection ends, it is counted down, once."""
        worker = machine.worker("A", isFast)
        clients = machine.connect(3)
        transport: Any = worker.protocols[0].transport
        if way == "client":
            clients[0].close()
        elif way == "reset":
            clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            clients[0].close()
        elif way == "raises" and isFast:
            worker.protocols[0].dataReceived = lambda data: 1 / 0  # type: ignore[assignment, method-assign, return-value]
            clients[0].sendall(b"!")
        else:
            getattr(transport, "loseConnection" if way == "raises" else way)()
        machine.settle()
        transport.connectionLost(None)
        machine.settle()
        assert len(worker.protocols) == 2 and worker.ports.connections() == 2 and machine.master.loads() == {"A": 2}
        logged.clear()

    def test_refused(self, machine: Machine, isFast: bool) -> None:
        """One that the factory does not want is closed, and not counted."""
        worker = machine.worker("A", isFast)
        worker.buildProtocol = lambda address: None  # type: ignore[method-assign, assignment]
        (client,) = machine.connect()
        assert isEnded(client) and machine.master.loads() == {"A": 0}

    def test_fails(self, machine: Machine, isFast: bool, logged: list[Any]) -> None:
        """One that cannot be served is logged, and others are."""
        worker = machine.worker("A", isFast)
        build = worker.buildProtocol
        worker.buildProtocol = lambda address: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        (client,) = machine.connect()
        assert logged.pop().type is ZeroDivisionError
        assert isEnded(client)
        worker.buildProtocol = build  # type: ignore[method-assign]
        assert machine.asks(*machine.connect()) == b"A!"

    def test_goneMeanwhile(self, machine: Machine, isFast: bool) -> None:
        """One that has ended before it is taken is not counted."""
        worker = machine.worker("A", isFast)
        client = machine.stack.enter_context(socket.create_connection(machine.address))
        machine.reactor.turn(machine.master)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        machine.settle()
        assert worker.ports.connections() == 0 and machine.master.loads() == {"A": 0}

    def test_noCycles(self, machine: Machine, isFast: bool) -> None:
        """Counting keeps no connection that has ended."""
        worker = machine.worker("A", isFast)
        (client,) = machine.connect()
        served = weakref.ref(worker.protocols[0].transport)
        client.close()
        gc.disable()
        try:
            machine.settle()
            assert served() is None
        finally:
            gc.enable()


class TestWithoutMaster:
    def test_byThemselves(self, machine: Machine) -> None:
        """When the master is gone, the workers accept, in the same turn; what they have goes on, and is counted."""
        workers = [machine.worker(name) for name in "AB"]
        old = machine.connect(4)
        machine.master.close()
        machine.reactor.settle()
        assert all(worker.port in machine.reactor.readers for worker in workers)
        new = machine.connect(4)
        assert sum(worker.ports.connections() for worker in workers) == 8
        assert {machine.asks(client) for client in old + new} <= {b"A!", b"B!"}

    def test_fromTheBeginning(self, machine: Machine) -> None:
        """Those are counted that a worker accepts before it was given any."""
        worker = machine.worker("A", isFast=True)
        machine.master.close()
        machine.settle()
        (client,) = machine.connect()
        assert machine.asks(client) == b"A!" and worker.ports.connections() == 1
        client.close()
        machine.settle()
        assert worker.ports.connections() == 0

    def test_another(self, machine: Machine) -> None:
        """A new master takes the socket of a worker, is told what they have, and then they no longer accept."""
        workers = [machine.worker(name) for name in "AB"]
        machine.connect(2)
        machine.master.close()
        machine.reactor.settle()
        machine.connect(5)
        counts = {worker.name.decode(): worker.ports.connections() for worker in workers}
        (listening,) = workers[0].ports.sockets().values()
        machine.newMaster(socket.socket(fileno=os.dup(listening.fileno())))
        for worker in workers:
            machine.offer(worker)
        assert machine.master.loads() == counts and sum(counts.values()) == 7
        assert not any(worker.port in machine.reactor.readers for worker in workers)
        machine.connect(9)
        assert sorted(machine.master.loads().values()) == [8, 8] and machine.master.tally["accepted"] == 9

    def test_anotherAtOnce(self, machine: Machine) -> None:
        """Nothing is lost that the former master had put into the channel, if the new one comes before that is read."""
        worker = machine.worker("A")
        clients = [machine.stack.enter_context(socket.create_connection(machine.address)) for _ in range(3)]
        machine.reactor.turn(machine.master)
        machine.reactor.turn(machine.master)
        former, listening = machine.master, os.dup(machine.master.descriptor())
        former.close()
        machine.newMaster(socket.socket(fileno=listening))
        machine.offer(worker)
        machine.settle()
        assert machine.master.loads() == {"A": 3}
        assert [machine.asks(client) for client in clients] == [b"A!"] * 3

    def test_anotherSocket(self, machine: Machine) -> None:
        """If the new master listens elsewhere, so do the workers, with or without it."""
        worker = machine.worker("A")
        (old,) = machine.connect()
        former = machine.master
        machine.newMaster()
        machine.offer(worker)
        former.close()
        assert worker.port.getHost() == machine.master.getHost() != old.getpeername()
        machine.address = machine.master._listening.getsockname()
        assert f" on {machine.address[1]}" in repr(worker.port)
        assert machine.asks(*machine.connect()) == b"A!"
        machine.master.close()
        machine.settle()
        assert machine.asks(*machine.connect()) == b"A!" and machine.asks(old) == b"A!"
        assert worker.ports.connections() == 3


class TestFrozenMaster:
    def freeze(self, machine: Machine) -> list[Any]:
        """The master does nothing more; it has what it has."""
        frozen = [one for one in machine.reactor.readers if isinstance(one, SharedPort | Giver)]
        for one in frozen:
            machine.reactor.removeReader(one)
        return frozen

    def test_frozen(self, machine: Machine) -> None:
        """A worker that finds connections waiting, and a master that does not answer, accepts them by itself."""
        worker = machine.worker("A")
        (old,) = machine.connect()
        frozen = self.freeze(machine)
        for _ in range(3):
            machine.reactor.advance(INTERVAL_OF_VIGIL)
        assert worker.port not in machine.reactor.readers
        (client,) = machine.connect()
        machine.reactor.advance(INTERVAL_OF_VIGIL)
        machine.reactor.advance(INTERVAL_OF_VIGIL)
        machine.settle()
        assert worker.ports.connections() == 2 and machine.asks(client) == machine.asks(old) == b"A!"
        (another,) = machine.connect()
        assert machine.asks(another) == b"A!"
        for _ in range(3):
            machine.reactor.advance(INTERVAL_OF_VIGIL)
        machine.reactor.readers += frozen
        machine.settle()
        assert worker.port not in machine.reactor.readers and machine.master.loads() == {"A": 3}
        assert machine.asks(*machine.connect()) == b"A!" and machine.master.tally["accepted"] == 2
        self.freeze(machine)
        (last,) = machine.connect()
        machine.reactor.advance(INTERVAL_OF_VIGIL)
        machine.reactor.advance(INTERVAL_OF_VIGIL)
        assert machine.asks(last) == b"A!"

    def test_waitsOnPurpose(self, machine: Machine) -> None:
        """A master that answers, and does not accept, knows why."""
        worker = machine.worker("A")
        machine.master.pause("A")
        machine.connect()
        for _ in range(5):
            machine.reactor.advance(INTERVAL_OF_VIGIL)
            machine.settle()
        assert worker.port not in machine.reactor.readers and worker.ports.connections() == 0

    @pytest.mark.parametrize("way", ["withdraw", "stopListening"])
    def test_over(self, machine: Machine, way: str) -> None:
        """A worker that is about to end does not accept because of that."""
        worker = machine.worker("A")
        self.freeze(machine)
        machine.connect()
        machine.reactor.advance(INTERVAL_OF_VIGIL)
        getattr(worker.port, way)()
        for _ in range(3):
            machine.reactor.advance(INTERVAL_OF_VIGIL)
        assert worker.port not in machine.reactor.readers and worker.ports.connections() == 0

    def test_endsWhileAlone(self, machine: Machine) -> None:
        """If it accepts already, it stops that too."""
        worker = machine.worker("A")
        self.freeze(machine)
        machine.connect()
        machine.reactor.advance(INTERVAL_OF_VIGIL)
        machine.reactor.advance(INTERVAL_OF_VIGIL)
        worker.ports.withdraw()
        machine.settle()
        assert worker.port not in machine.reactor.readers

    def test_another(self, machine: Machine) -> None:
        """Another master takes the place of a frozen one, which may go on then without harm."""
        worker = machine.worker("A")
        frozen, former = self.freeze(machine), machine.master
        machine.connect()
        machine.reactor.advance(INTERVAL_OF_VIGIL)
        machine.reactor.advance(INTERVAL_OF_VIGIL)
        (listening,) = worker.ports.sockets().values()
        machine.newMaster(socket.socket(fileno=os.dup(listening.fileno())))
        machine.offer(worker)
        assert worker.port not in machine.reactor.readers
        machine.reactor.readers += frozen
        machine.settle()
        assert former.loads() == {} and machine.master.loads() == {"A": 1}
        assert machine.asks(*machine.connect()) == b"A!"
        former.close()


class TestStopping:
    def test_unread(self, machine: Machine) -> None:
        """What is in the channel of a worker that stops listening goes to another; what it has goes on."""
        a, b = machine.worker("A"), machine.worker("B")
        old = machine.connect(2)
        new = [machine.stack.enter_context(socket.create_connection(machine.address)) for _ in range(2)]
        machine.reactor.turn(machine.master)
        machine.reactor.turn(machine.master)
        a.port.stopListening()
        machine.settle()
        assert [a.ports.connections(), b.ports.connections()] == [1, 3]
        assert sorted(machine.asks(client) for client in old + new) == [b"A!", b"B!", b"B!", b"B!"]
        assert a.ports.sockets() == {} and not a.port.connected

    def test_withdrawn(self, machine: Machine) -> None:
        """A worker that is about to end gets no further connections, from this master or another, and takes none."""
        a, b = machine.worker("A"), machine.worker("B")
        old = machine.connect(2)
        new = [machine.stack.enter_context(socket.create_connection(machine.address)) for _ in range(2)]
        machine.reactor.turn(machine.master)
        machine.reactor.turn(machine.master)
        a.ports.withdraw()
        machine.settle()
        assert sorted(machine.asks(client) for client in old + new) == [b"A!", b"B!", b"B!", b"B!"]
        (listening,) = a.ports.sockets().values()
        machine.master.close()
        machine.settle()
        assert a.port not in machine.reactor.readers and b.port in machine.reactor.readers
        machine.newMaster(socket.socket(fileno=os.dup(listening.fileno())))
        machine.offer(a)
        machine.offer(b)
        assert machine.asks(*machine.connect()) == b"B!" and machine.master.loads() == {"B": 4}
        assert a.port.connected

    def test_othersListen(self, machine: Machine) -> None:
        """Stopping closes the worker's own copy of the socket, and no more."""
        a, b = machine.worker("A"), machine.worker("B")
        a.port.stopListening()
        b.port.stopListening()
        machine.settle()
        c = machine.worker("C")
        assert machine.asks(*machine.connect()) == b"C!" and c.ports.connections() == 1

    def test_offeredAfterwards(self, machine: Machine) -> None:
        """A port that is stopping does not begin again because a new master offers it."""
        a = machine.worker("A")
        a.port.stopListening()
        machine.offer(a)
        assert a.port not in machine.reactor.readers and machine.master.loads() == {}
        machine.settle()
        machine.offer(a)
        assert not a.port.connected and machine.master.loads() == {}

    def test_withoutMaster(self, machine: Machine) -> None:
        """So it is without a master."""
        a = machine.worker("A")
        machine.master.close()
        machine.settle()
        a.port.stopListening()
        machine.settle()
        assert a.port not in machine.reactor.readers


class TestPortService:
    @pytest.mark.parametrize("isFast", [False, True])
    def test_late(self, machine: Machine, isFast: bool) -> None:
        """A node listens as soon as its port is offered, and its connections write directly, if they are to."""
        node = Node("A", clock=machine.reactor, config=Config(websocket=WebSocketConfig(fast_path=isFast)))
        told: list[Any] = []
        node.lifecycle.on("listening", told.append)
        ports = WorkerPorts(machine.reactor)
        service = PortService(node, TCP, PLACE, machine.reactor, endpoint=ports.endpoint(TCP, PLACE))
        service.privilegedStartService()
        service.startService()
        assert told == []
        with machine.master.addWorker("A") as channel:
            ports.offer(machine.master.key, os.dup(machine.master.descriptor()), os.dup(channel.fileno()))
        (port,) = told
        assert (port.transport.func is DirectServer) if isFast else (port.transport is Server)
        stopped: Any = service.stopService()
        machine.settle()
        assert stopped.called and not port.connected

    def test_stoppedBefore(self, machine: Machine) -> None:
        """One that is stopped while it waits is given up."""
        node = Node("A", clock=machine.reactor)
        ports = WorkerPorts(machine.reactor)
        service = PortService(node, TCP, PLACE, machine.reactor, endpoint=ports.endpoint(TCP, PLACE))
        service.startService()
        assert service.stopService().called and ports.waiting() == []

    def test_notShared(self, machine: Machine) -> None:
        """An endpoint that cannot be shared is a fault at once, in a sentence."""
        node = Node("A", clock=machine.reactor)
        endpoint = WorkerPorts(machine.reactor).endpoint("unix:/run/crossws.sock", PLACE)
        service = PortService(node, "unix:/run/crossws.sock", PLACE, machine.reactor, endpoint=endpoint)
        with pytest.raises(CrossWSError) as raised:
            service.startService()
        assert str(raised.value) == (
            f"{PLACE}: 'unix:/run/crossws.sock' cannot be listened on: "
            "processes can share what begins with tcp:, tcp6:, ssl:, tls: or haproxy:tcp:."
        )

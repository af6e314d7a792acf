"""
A port that is shared by real processes: who serves, and what is lost when one of them dies, freezes or comes back.

All that is tested runs in other processes, so that a client here may wait for its answer.
"""

from __future__ import annotations

import json
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.process import PATIENCE, ROOT, freePort
from tests.integration.test_command import makeCertificate

pytestmark = [pytest.mark.integration, pytest.mark.fates]

ANY_PORT = "tcp:0:interface=127.0.0.1"

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Machine:
    """
    Processes that share a port, and clients.

    @ivar processes: by name.
    """

    def __init__(self, stack: ExitStack, folder: Path, description: str = ANY_PORT) -> None:
        self._stack = stack
        self.folder = folder
        self.description = description
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.port = 0
        stack.callback(self.close)

    def start(self, *args: str, name: str) -> None:
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.sharing", *args], cwd=ROOT, stdout=subprocess.DEVNULL
        )

    def startMaster(self, spread: str = "least-connection", how: str = "first") -> None:
        (self.folder / "master.json").unlink(missing_ok=True)
        self.start("master", str(self.folder), self.description, spread, how, name="master")

    def startWorkers(self, *names: str, kind: str = "plain") -> None:
        """
        Start them, and wait until they all listen.
        """
        for name in names:
            (self.folder / f"{name}.json").unlink(missing_ok=True)
            self.start("worker", str(self.folder), self.description, name, kind, name=name)
        if kind == "kernel":
            self.until(lambda: all(self.says(name) for name in names))
        else:
            self.until(lambda: set(names) <= set(self.loads()))
            self.port = self.says("master")["port"]

    def says(self, name: str) -> dict[str, Any]:
        """
        @return: how a process stood a moment ago; nothing, if it is not there yet.
        """
        try:
            said: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        except FileNotFoundError:
            return {}
        return said

    def loads(self) -> dict[str, int]:
        loads: dict[str, int] = self.says("master").get("loads", {})
        return loads

    def descriptors(self) -> dict[str, int]:
        """
        @return: how many each process has open now.
        """
        numbers = {name: self.says(name)["number"] for name in self.processes}
        self.until(lambda: all(self.says(name)["number"] > number + 1 for name, number in numbers.items()))
        return {name: self.says(name)["descriptors"] for name in self.processes}

    def until(self, isSo: Callable[[], bool], says: Callable[[], object] | None = None) -> None:
        """
        @param says: how it stands, to be told if it does not become so.
        """
        ends = time.monotonic() + PATIENCE
        while not isSo():
            assert time.monotonic() < ends, says() if says else {name: self.says(name) for name in self.processes}
            time.sleep(0.005)

    def connect(self, count: int = 1) -> list[socket.socket]:
        """
        @return: so many clients, which may not be served yet.
        """
        address = ("127.0.0.1", self.port)
        return [self._stack.enter_context(socket.create_connection(address, PATIENCE)) for _ in range(count)]

    def sendSignal(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


def servedBy(client: socket.socket) -> str:
    """
    @return: the name of the worker that serves it, or nothing if it was closed.
    """
    try:
        return client.recv(99).decode()
    except ConnectionResetError:
        return ""


def echoes(client: socket.socket) -> bool:
    client.sendall(b"?")
    return client.recv(99) == b"?"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def machine(stack: ExitStack) -> Machine:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], min(limits[1], 4096)), limits[1]))
    # A Unix socket must have a short name.
    return Machine(stack, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossws-"))))


def test_spread(machine: Machine) -> None:
    """A thousand clients are spread within a tenth of evenly, whatever was before, and nothing of them is left."""
    names = ["A", "B", "C", "D"]
    machine.startMaster()
    machine.startWorkers(*names)
    first = machine.connect(8)
    assert Counter(servedBy(client) for client in first) == dict.fromkeys(names, 2)
    for client in first:
        client.close()
    machine.until(lambda: machine.loads() == dict.fromkeys(names, 0))
    before = machine.descriptors()
    early = machine.connect(200)
    by = [servedBy(client) for client in early]
    for client, name in zip(early, by, strict=True):
        if name in "AB":
            client.close()
    machine.until(lambda: machine.loads() == {"A": 0, "B": 0, "C": 50, "D": 50})
    clients = [client for client, name in zip(early, by, strict=True) if name in "CD"] + machine.connect(900)
    served = Counter(by[index] for index in range(200) if by[index] in "CD")
    served.update(servedBy(client) for client in clients[100:])
    assert all(225 <= served[name] <= 275 for name in names), served
    machine.until(lambda: machine.loads() == dict(served))
    for client in clients:
        client.close()
    machine.until(lambda: machine.loads() == dict.fromkeys(names, 0))
    machine.until(lambda: machine.descriptors() == before, says=lambda: [before, machine.descriptors()])


@pytest.mark.parametrize("spread", ["round-robin", "random"])
def test_otherSpreads(machine: Machine, spread: str) -> None:
    """Connections are spread otherwise where that is asked for."""
    machine.startMaster(spread)
    machine.startWorkers("A", "B")
    served = Counter(servedBy(*machine.connect()) for _ in range(100))
    if spread == "round-robin":
        assert served == {"A": 50, "B": 50}
    else:
        assert served["A"] + served["B"] == 100 and min(served.values()) > 20


class Crowd(threading.Thread):
    """
    Clients that come one after the other, and stay.

    @ivar clients: each with its time, and who served it.
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.clients: list[tuple[float, socket.socket, str]] = []
        self._machine = machine
        self._isEnded = False

    def run(self) -> None:
        while not self._isEnded:
            began = time.monotonic()
            (client,) = self._machine.connect()
            self.clients.append((began, client, servedBy(client)))
            time.sleep(0.002)

    def end(self) -> list[tuple[float, socket.socket, str]]:
        self._isEnded = True
        self.join()
        return self.clients


def test_workerKilled(machine: Machine) -> None:
    """When a worker dies, its clients are closed by that; all others, and all who come, are served by the others."""
    machine.startMaster()
    machine.startWorkers("A", "B", "C")
    crowd = Crowd(machine)
    crowd.start()
    time.sleep(0.3)
    machine.kill("A")
    killed = time.monotonic()
    machine.until(lambda: sum(began > killed + 0.05 for began, _, _ in list(crowd.clients)) > 50)
    clients = crowd.end()
    late = [name for began, _, name in clients if began > killed + 0.05]
    assert set(late) == {"B", "C"}
    assert sum(not name for _, _, name in clients) <= 1  # Who was being served just then.
    for _, client, name in clients:
        if name == "A":
            assert servedBy(client) == ""
        elif name:
            assert echoes(client)
    machine.until(lambda: set(machine.loads()) == {"B", "C"})
    machine.startWorkers("A")
    assert {servedBy(client) for client in machine.connect(10)} == {"A"}  # It has the fewest.


def test_workerFrozen(machine: Machine) -> None:
    """
    A worker that is frozen gets no further clients after a moment. Those it got in that moment are served by others
    when it is killed, and by itself when it goes on.
    """
    machine.startMaster()
    machine.startWorkers("A", "B", "C")
    old = machine.connect(30)
    assert Counter(servedBy(client) for client in old) == {"A": 10, "B": 10, "C": 10}
    for name in "AB":
        machine.sendSignal(name, signal.SIGSTOP)
    first = machine.connect(6)
    time.sleep(0.4)
    for client in machine.connect(100):
        assert servedBy(client) == "C"
    machine.kill("A")
    machine.sendSignal("B", signal.SIGCONT)
    served = Counter(servedBy(client) for client in first)
    assert served["A"] == 0 and served["B"] >= 1 and served["B"] + served["C"] == 6
    assert all(echoes(client) for client in first)


def test_nobody(machine: Machine) -> None:
    """Clients that come while the only worker is being restarted wait for it."""
    machine.startMaster()
    machine.startWorkers("A")
    machine.kill("A")
    machine.until(lambda: machine.loads() == {})
    clients = machine.connect(20)
    machine.startWorkers("A2")
    assert {servedBy(client) for client in clients} == {"A2"}


def test_masterKilled(machine: Machine) -> None:
    """
    Without a master the workers accept by themselves, at once. A new one gets the port and the counts from them, and
    spreads evenly again. No client notices.
    """
    names = ["A", "B", "C"]
    machine.startMaster()
    machine.startWorkers(*names)
    crowd = Crowd(machine)
    crowd.start()
    time.sleep(0.2)
    machine.kill("master")
    began = time.monotonic()
    (client,) = machine.connect()
    assert servedBy(client) in names and time.monotonic() - began < 1.0
    time.sleep(0.2)
    machine.startMaster(how="again")
    machine.until(lambda: set(machine.loads()) == set(names))
    time.sleep(0.2)
    clients = crowd.end()
    assert machine.says("master")["port"] == machine.port
    assert {name for _, _, name in clients} <= set(names)
    assert all(echoes(client) for _, client, _ in clients)
    machine.until(lambda: sum(machine.loads().values()) == len(clients) + 1)
    uneven = machine.loads()
    late = Counter(servedBy(client) for client in machine.connect(3 * max(uneven.values()) - sum(uneven.values())))
    assert {name: uneven[name] + late[name] for name in names} == dict.fromkeys(names, max(uneven.values()))
    # By the master: what it says of itself is a moment old.
    machine.until(lambda: machine.says("master")["counters"]["accepted"] >= late.total())


def test_masterFrozen(machine: Machine) -> None:
    """If the master hangs, the workers accept by themselves after two seconds, until it goes on."""
    machine.startMaster()
    machine.startWorkers("A", "B")
    early = machine.connect(10)
    assert Counter(servedBy(client) for client in early) == {"A": 5, "B": 5}
    machine.sendSignal("master", signal.SIGSTOP)
    began = time.monotonic()
    clients = machine.connect(20)
    assert {servedBy(client) for client in clients} <= {"A", "B"}
    assert time.monotonic() - began < 5.0
    machine.sendSignal("master", signal.SIGCONT)
    machine.until(lambda: sum(machine.loads().values()) == 30)
    uneven = machine.loads()
    late = Counter(servedBy(client) for client in machine.connect(2 * max(uneven.values()) - 30))
    assert {name: uneven[name] + late[name] for name in "AB"} == dict.fromkeys("AB", max(uneven.values()))
    assert all(echoes(client) for client in early + clients)


def test_encrypted(stack: ExitStack, machine: Machine, tmp_path: Path) -> None:
    """Nodes share an endpoint with TLS as any other, and their connections are counted too."""
    makeCertificate(tmp_path)
    machine.description = f"ssl:0:privateKey={tmp_path}/key.pem:certKey={tmp_path}/cert.pem:interface=127.0.0.1"
    machine.startMaster()
    machine.startWorkers("A", "B", kind="node")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    clients = [stack.enter_context(context.wrap_socket(client)) for client in machine.connect(10)]
    for client in clients:
        client.sendall(HANDSHAKE)
        assert client.recv(999).startswith(b"HTTP/1.1 101 ")
    machine.until(lambda: machine.loads() == {"A": 5, "B": 5})
    for client in clients:
        client.close()
    machine.until(lambda: machine.loads() == {"A": 0, "B": 0})


def test_byTheKernel(machine: Machine) -> None:
    """Where the system is to spread connections, workers need no master, and each gets some."""
    machine.port = freePort()
    machine.description = f"tcp:{machine.port}:interface=127.0.0.1"
    machine.startWorkers("A", "B", kind="kernel")
    served = Counter(servedBy(client) for client in machine.connect(200))
    assert served["A"] + served["B"] == 200 and min(served["A"], served["B"]) > 40

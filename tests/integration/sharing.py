"""
A master and workers that do nothing but share a port, as programs of their own::

    python -m tests.integration.sharing master FOLDER DESCRIPTION SPREAD (first | again)
    python -m tests.integration.sharing worker FOLDER DESCRIPTION NAME (plain | node | kernel)

Each one writes how it stands into C{FOLDER/NAME.json}, again and again. A worker tells who connects its name, and then
echoes. Workers find the master by C{FOLDER/master.sock}, where they tell their name and give it the listening socket,
if they have it, and where they get what it offers.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import sys
from itertools import count
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogBeginner, textFileLogObserver

from twisted_crossws import Node
from twisted_crossws.machine.binding import KernelPorts, listeningSocket, ownSocket
from twisted_crossws.machine.sharedport import SharedPort
from twisted_crossws.machine.spread import spreadOf
from twisted_crossws.machine.workerports import WorkerPorts
from twisted_crossws.services.ports import PortService
from twisted_crossws.ws.direct import useDirectWrites

reactor: Any = _reactor


class Line:
    """One connection between a worker and the master: each message is a text and some descriptors."""

    def __init__(self, end: socket.socket, heard: Any, ended: Any = lambda: None) -> None:
        end.setblocking(False)
        self._end = end
        self._heard = heard
        self._ended = ended
        reactor.addReader(self)

    def say(self, text: str, *numbers: int) -> None:
        socket.send_fds(self._end, [text.encode()], numbers)

    def fileno(self) -> int:
        return self._end.fileno()

    def logPrefix(self) -> str:
        return "line"

    def doRead(self) -> None:
        try:
            data, numbers, _, _ = socket.recv_fds(self._end, 9999, 9)
        except ConnectionResetError:
            data = b""
        if data:
            self._heard(self, data.decode(), numbers)
        else:
            self.connectionLost()

    def connectionLost(self, reason: object = None) -> None:
        reactor.removeReader(self)
        self._end.close()
        self._ended()


class Door:
    """Where workers come in."""

    def __init__(self, path: Path, heard: Any) -> None:
        path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(str(path))
        self._listening.listen()
        self._heard = heard
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._listening.fileno()

    def logPrefix(self) -> str:
        return "door"

    def doRead(self) -> None:
        Line(self._listening.accept()[0], self._heard)

    def connectionLost(self, reason: object = None) -> None:
        self._listening.close()


def stand(folder: Path, name: str, more: Any) -> None:
    """Write how it stands, from now on."""
    numbers = count()

    def write() -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        says = {
            "number": next(numbers),
            "cpu": used.ru_utime + used.ru_stime,
            "descriptors": len(os.listdir("/proc/self/fd")),
            **more(),
        }
        (folder / f"{name}.new").write_text(json.dumps(says))
        (folder / f"{name}.new").rename(folder / f"{name}.json")

    LoopingCall(write).start(0.02)


def master(folder: Path, description: str, spread: str, how: str) -> None:
    ports: list[SharedPort] = []

    def open(key: str, listening: socket.socket) -> None:
        ports.append(SharedPort(key, listening, spreadOf(spread), reactor))

    def heard(line: Line, text: str, numbers: list[int]) -> None:
        name, key = json.loads(text)
        if numbers and not ports:
            open(key, ownSocket(numbers.pop()))
        for number in numbers:
            os.close(number)
        with ports[0].addWorker(name) as channel:
            line.say(ports[0].key, ports[0].descriptor(), channel.fileno())

    def says() -> dict[str, Any]:
        if not ports:
            return {}
        return {"port": ports[0].getHost().port, "loads": ports[0].loads(), "counters": ports[0].tally}

    if how == "first":
        open(*listeningSocket(description, "here"))
    Door(folder / "master.sock", heard)
    stand(folder, "master", says)


class Echo(Protocol):
    def connectionMade(self) -> None:
        self.transport.write(self.factory.name)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]


class EchoFactory(Factory):
    protocol = Echo
    noisy = False


def worker(folder: Path, description: str, name: str, kind: str) -> None:
    ports = WorkerPorts(reactor)
    endpoint: Any = (KernelPorts(reactor) if kind == "kernel" else ports).endpoint(description, "here")
    if kind == "node":
        node = Node(name)
        node.clients.on("who", lambda socket, payload: name)
        PortService(node, description, "here", reactor, endpoint=endpoint).setServiceParent(node.ports)
        node.privilegedStartService()
        node.startService()
    else:
        factory = EchoFactory()
        factory.name = name.encode()  # type: ignore[attr-defined]
        endpoint.listen(factory).addCallback(useDirectWrites, reactor)
    if kind != "kernel":
        connect(folder / "master.sock", name, ports)
    stand(folder, name, lambda: {"connections": ports.connections(), "waiting": ports.waiting()})


def connect(path: Path, name: str, ports: WorkerPorts) -> None:
    """To the master, whenever there is one."""

    def heard(line: Line, text: str, numbers: list[int]) -> None:
        ports.offer(text, *numbers)

    def attempt() -> None:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if end.connect_ex(str(path)) in (errno.ECONNREFUSED, errno.ENOENT):
            end.close()
            reactor.callLater(0.05, attempt)
            return
        line = Line(end, heard, attempt)
        listening = ports.sockets()
        line.say(json.dumps([name, next(iter(listening), "")]), *(one.fileno() for one in listening.values()))

    attempt()


def main(role: str, folder: str, *args: str) -> None:
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    (master if role == "master" else worker)(Path(folder), *args)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])

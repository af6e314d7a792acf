"""
A node that is stopped loses nothing: a real process, real clients that keep calling, a real signal.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.integration.machine import Machine, workersFile
from tests.integration.process import PATIENCE, freePort, pause, startNode
from tests.integration.test_command import http, rawClient
from twisted_crossws import Connector, NotConnected

pytestmark = [pytest.mark.integration, pytest.mark.fates]
reactor: Any = _reactor

APPLICATION = '''
from random import random

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater


def makeService(node):
    """Works on what it is asked, and writes down what it has done."""
    done = open("done.txt", "a", buffering=1)

    @node.clients.on("work")
    async def work(socket, payload):
        await deferLater(reactor, random() * 0.1)
        print(payload, file=done)
        return payload

    node.clients.on("at once", lambda socket, payload: print(payload, file=done) or payload)
    node.clients.on("never", lambda socket, payload: Deferred())
'''

CLIENTS = 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work_app.py").write_text(APPLICATION)
    return tmp_path


def configured(folder: Path, options: str) -> Path:
    """The configuration of a node, with these options in C{[node]}."""
    path = folder / "crossws.toml"
    path.write_text(f'[node]\nserver_name = "serverA"\n{options}\n[[service]]\nuse = "work_app:makeService"\n')
    return path


class Caller:
    """
    A client that calls, again and again, without a pause.

    @ivar replied: what it has asked and got an answer to.
    @ivar failed: what it has asked and got an error for.
    @ivar closes: code and reason of each close.
    @ivar replies: how many replies came by their C{callbackId}.
    """

    def __init__(self, number: int, url: str) -> None:
        self.client = Connector(url, fastReconnectInterval=0.2, fastReconnectThreshold=100, callTimeout=PATIENCE)
        self.replied: list[str] = []
        self.failed: list[str] = []
        self.closes: list[tuple[int, str]] = []
        self.replies: Counter[str] = Counter()
        self.client.lifecycle.on("close", lambda code, reason: self.closes.append((code, reason)))
        self.client.lifecycle.on("message", self._count)
        self._number = number
        self._event = "work" if number % 2 else "at once"
        self._isCalling = True

    async def begin(self) -> None:
        await self.client.connect()
        self.calling = ensureDeferred(self._call())

    async def end(self) -> None:
        self._isCalling = False
        await self.calling
        await self.client.close()

    async def _call(self) -> None:
        asked = 0
        while self._isCalling:
            asked += 1
            name = f"{self._number}-{asked}"
            try:
                assert await self.client.call(self._event, name) == name
                self.replied.append(name)
                await pause(0.005)
            except NotConnected:
                self.failed.append(name)
                await pause(0.05)

    def _count(self, text: str) -> None:
        frame = json.loads(text)
        if "callbackId" in frame:
            self.replies[frame["callbackId"]] += 1


async def until(condition: Any) -> None:
    """Wait for something."""
    began = reactor.seconds()
    while not condition():
        assert reactor.seconds() - began < PATIENCE
        await pause(0.02)


class TestRestart:
    @pytest_twisted.ensureDeferred
    async def test_nothingIsLost(self, folder: Path) -> None:
        """
        While 200 clients keep calling, a node is stopped and started again. Each call has its answer, or an error at
        once; what was answered was done once, and nothing was done twice; every client is told 1012 and when to
        come back, and comes back.
        """
        config = configured(folder, "drain_seconds = 2.0\nstop_deadline = 12.0")
        node = await startNode(config)
        callers = [Caller(number, node.url) for number in range(CLIENTS)]
        await gatherResults([ensureDeferred(caller.begin()) for caller in callers])
        await until(lambda: all(len(caller.replied) > 3 for caller in callers))
        began = reactor.seconds()
        assert await node.stop() == -signal.SIGTERM
        assert 1.5 < reactor.seconds() - began < 10.0
        for caller in callers:
            ((code, reason),) = caller.closes
            assert code == 1012 and reason.startswith("retry-after=")
        before = [len(caller.replied) for caller in callers]
        again = await startNode(config, port=node.port)
        await until(lambda: all(len(c.replied) > count for c, count in zip(callers, before, strict=True)))
        await gatherResults([ensureDeferred(caller.end()) for caller in callers])
        await again.stop()
        done = Counter((folder / "done.txt").read_text().split())
        assert set(done.values()) == {1}
        replied = {name for caller in callers for name in caller.replied}
        assert replied <= set(done)
        assert not any(set(caller.replied) & set(caller.failed) for caller in callers)
        # Whatever was done is known to have been done: a call that failed had not begun.
        assert set(done) == replied
        assert {count for caller in callers for count in caller.replies.values()} == {1}
        assert "Traceback" not in node.output and "draining ends by its deadline" not in node.output


class TestStopping:
    @pytest_twisted.ensureDeferred
    async def test_meanwhile(self, folder: Path) -> None:
        """While it is drained the port is open: C{/readyz} says 503 and why, and handshakes are refused with 503."""
        node = await startNode(configured(folder, ""))
        status, _, body = await deferToThread(http, node.port, "/readyz")
        assert (status, json.loads(body)["status"]) == (200, "ready")
        client = Connector(node.url)
        await client.connect()
        failed: list[Any] = []
        client.call("never", timeout=PATIENCE).addErrback(lambda failure: failed.append(failure.type))
        assert await client.call("at once", 1) == 1
        node.sendSignal(signal.SIGTERM)
        await node.says("is drained")
        status, _, body = await deferToThread(http, node.port, "/readyz")
        assert (status, json.loads(body)["status"]) == (503, "draining")
        status, headers, _ = await deferToThread(upgrade, node.port)
        assert status == 503 and headers["retry-after"] == "1"
        assert await client.call("at once", 2) == 2
        await client.close()
        assert failed == [NotConnected]
        assert await node.wait() == -signal.SIGTERM

    @pytest_twisted.ensureDeferred
    async def test_deadline(self, folder: Path) -> None:
        """A listener that never answers, and clients that answer no close frame, hold it up until the deadline."""
        node = await startNode(configured(folder, "drain_seconds = 0.5\nstop_deadline = 3.0"))
        client = Connector(node.url, repeatLimit=0)
        closed: list[int] = []
        client.lifecycle.on("close", lambda code, reason: closed.append(code))
        await client.connect()
        failed: list[Any] = []
        client.call("never", timeout=PATIENCE).addErrback(lambda failure: failed.append(failure.type))
        assert await client.call("at once", 1) == 1
        silent = rawClient(node.port)
        began = reactor.seconds()
        assert await node.stop() == -signal.SIGTERM
        assert 1.0 < reactor.seconds() - began < 4.0
        assert failed == [NotConnected] and closed == [1012]
        assert "draining ends by its deadline" in node.output
        silent.close()
        await client.close()

    @pytest_twisted.ensureDeferred
    async def test_secondSignal(self, folder: Path) -> None:
        """A second signal ends it at once, however many clients are still there."""
        node = await startNode(configured(folder, ""))
        client = Connector(node.url, repeatLimit=0)
        await client.connect()
        failed: list[Any] = []
        client.call("never", timeout=PATIENCE).addErrback(lambda failure: failed.append(failure.type))
        assert await client.call("at once", 1) == 1
        node.sendSignal(signal.SIGTERM)
        await node.says("is drained")
        began = reactor.seconds()
        assert await node.stop() == -signal.SIGTERM
        assert reactor.seconds() - began < 1.0
        await client.close()
        assert failed == [NotConnected]

    @pytest_twisted.ensureDeferred
    async def test_fewClients(self, folder: Path) -> None:
        """With two clients it is over in a moment: nobody waits for C{drain_seconds} who restarts at a desk."""
        node = await startNode(configured(folder, "drain_seconds = 5.0"))
        clients = [Connector(node.url, repeatLimit=0) for _ in range(2)]
        await gatherResults([client.connect() for client in clients])
        began = reactor.seconds()
        await node.stop()
        assert reactor.seconds() - began < 1.5
        await gatherResults([client.close() for client in clients])


class TestMaster:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest_twisted.ensureDeferred
    async def test_toldTogether(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        """
        A terminal and systemd tell all processes at once to stop, and then the master tells its workers, too: that is
        no second signal. All clients are drained.
        """
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        port = freePort()
        machine = Machine(tmp_path, workersFile(port, 2))
        try:
            await machine.start(count=2)
            clients = [await machine.connect(port, repeatLimit=0) for _ in range(20)]
            closes: list[int] = []
            for client in clients:
                client.lifecycle.on("close", lambda code, reason: closes.append(code))
            for pid in machine.pids():
                os.kill(pid, number)
            await machine.master.wait()
            assert machine.master.output.count("is drained of 10 clients") == 2
            await until(lambda: len(closes) == 20)
            assert set(closes) == {1012}
        finally:
            await machine.close()

    @pytest.mark.parametrize("spread", ["least-connection", "kernel"])
    @pytest_twisted.ensureDeferred
    async def test_drainedWorker(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spread: str) -> None:
        """A worker that is drained gets no connections any more: nobody is refused who could go to another one."""
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        port = freePort()
        text = workersFile(port, 2).replace("[workers]", f'[workers]\nspread = "{spread}"')
        machine = Machine(tmp_path, text)
        try:
            await machine.start(count=2)
            assert (await machine.ctl("drain", "hall.1"))[0] == 0
            clients = [await machine.connect(port, repeatLimit=0) for _ in range(20)]
            assert {(await client.call("who"))[0] for client in clients} == {"hall.2"}
        finally:
            await machine.close()


def upgrade(port: int) -> tuple[int, dict[str, str], bytes]:
    """A handshake that is refused: status, headers, body."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    words = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    connection.request("GET", "/", headers={**words, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, body

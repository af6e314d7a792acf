"""
Nodes behind the proxies that the guide configures, each with the real program and the guide's own lines.
"""

from __future__ import annotations

import grp
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.application.internet import StreamServerEndpointService
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread

from tests.integration.process import PATIENCE, ROOT, freePort, pause, reactor
from tests.integration.proxies import Proxy, running
from tests.integration.test_command import http
from tests.integration.test_draining import until
from twisted_crossws import Config, Connector, IBus, Node, NodeConfig, WebSocketConfig, memoryBus

pytestmark = pytest.mark.integration

NAMES = ["nginx", "haproxy", "caddy", "apache"]

#: So many wait at the proxy before a restart, so that draining takes a while: they are sent away 50 ms apart at most.
WAITING = 40


class Backend:
    """
    A node that is restarted at its port.

    @ivar closes: code and reason of each connection that has ended.
    @ivar askedBefore: how often the proxy had asked for its health when its first client came.
    """

    askedBefore: int | None

    def __init__(self, name: str, bus: IBus) -> None:
        self.port = freePort()
        self.closes: list[tuple[int, str]] = []
        self.name = name
        self._bus = bus

    def start(self, endpoint: str = "") -> None:
        """
        @param endpoint: where it listens; by default, at its port.
        """
        config = Config(node=NodeConfig(drain_seconds=1.5), websocket=WebSocketConfig(allowed_origins=("same-host",)))
        self.node = node = Node(self.name, self._bus, config=config)
        node.clients.on("who", lambda socket, payload: [self.name, socket.request.headers.get("x-forwarded-for")])
        self.askedBefore, self._asked = None, 0
        node.lifecycle.on("connection", self._connected)
        node.lifecycle.on("close", lambda socket, code, reason: self.closes.append((code, reason)))
        address = serverFromString(reactor, endpoint or f"tcp:{self.port}:interface=127.0.0.1:backlog=4096")
        StreamServerEndpointService(address, node.webSocketFactory()).setServiceParent(node.ports)
        node.privilegedStartService()
        node.startService()

    async def restart(self) -> None:
        """
        As a rolling restart does.

        @return: fires when its C{/readyz} says 200.
        """
        await self.node.drain()
        await self.node.stopService()
        self.start()
        while (await deferToThread(http, self.port, "/readyz"))[0] != 200:
            self._asked += 1
            await pause(0.05)
        self._asked += 1

    def _connected(self, socket: Any) -> None:
        if self.askedBefore is None:
            self.askedBefore = self.node.counters["health_checks"] - self._asked


class Caller:
    """
    Somebody who connects through a proxy, once, and stays.
    """

    def __init__(self, proxy: Proxy, **options: Any) -> None:
        origin = {"Origin": f"http://127.0.0.1:{proxy.port}"}
        self.client = Connector(proxy.url, headers=origin, callTimeout=PATIENCE, **{"attempts": 1, **options})
        self.closes: list[int] = []
        self.client.lifecycle.on("close", lambda code, reason: self.closes.append(code))

    async def come(self) -> None:
        await self.client.connect()


class Crowd:
    """
    Handshakes, ten a second.

    @ivar callers: those who were let in.
    @ivar refused: what the others were told.
    """

    def __init__(self, proxy: Proxy) -> None:
        self.callers: list[Caller] = []
        self.refused: list[str] = []
        self._proxy = proxy
        self._coming: list[Any] = []
        self._loop = LoopingCall.withCount(lambda count: [self._one() for _ in range(count)])

    async def begin(self) -> None:
        await gatherResults([self._one() for _ in range(WAITING)])
        self._loop.start(0.1)

    async def end(self) -> None:
        self._loop.stop()
        await gatherResults(self._coming)
        await gatherResults([caller.client.close() for caller in self.callers])

    def _one(self) -> Any:
        self._coming.append(coming := ensureDeferred(self._come()))
        return coming

    async def _come(self) -> None:
        caller = Caller(self._proxy, repeatLimit=0)
        try:
            await caller.come()
        except Exception as fault:
            self.refused.append(f"{reactor.seconds():.2f}: {fault}")
        else:
            self.callers.append(caller)


@pytest_twisted.async_yield_fixture
async def backends(logged: list[Any]) -> AsyncIterator[list[Backend]]:
    bus = memoryBus()
    backends = [Backend(name, bus) for name in ("serverA", "serverB")]
    yield backends
    for backend in backends:
        await backend.node.stopService()


@pytest_twisted.async_yield_fixture(autouse=True)
async def stopped(processes: None) -> AsyncIterator[None]:
    """What is killed leaves its workers."""
    yield
    for proxy in list(running):
        await proxy.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that proxies may enter whose workers are another user; pytest's own are for this one alone."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def places(backends: list[Backend]) -> dict[str, str]:
    """Where the guide's nodes are here."""
    return {f"127.0.0.1:{9000 + number}": f"127.0.0.1:{each.port}" for number, each in enumerate(backends)}


async def behind(name: str, folder: Path, backends: list[Backend]) -> Proxy:
    """
    Start nodes, and a proxy before them.

    @return: fires when the nodes can be reached through it.
    """
    for backend in backends:
        backend.start()
    proxy = Proxy(name, folder)
    await proxy.start(places(backends))
    return proxy


@pytest.mark.parametrize("name", NAMES)
@pytest_twisted.ensureDeferred
async def test_through(name: str, folder: Path, backends: list[Backend]) -> None:
    """
    A page of the same host is let in, asks and is answered; the node learns its address by C{x-forwarded-for}. What the
    proxy asks for each second is counted, and is no client.
    """
    proxy = await behind(name, folder, backends)
    callers = [Caller(proxy) for _ in range(4)]
    await gatherResults([ensureDeferred(caller.come()) for caller in callers])
    answers = [await caller.client.call("who") for caller in callers]
    assert {server for server, _ in answers} == {"serverA", "serverB"}
    assert {address for _, address in answers} == {"127.0.0.1"}
    if name != "nginx":
        await until(lambda: all(each.node.counters["health_checks"] > 1 for each in backends))
    await gatherResults([caller.client.close() for caller in callers])
    await until(lambda: sum(len(each.closes) for each in backends) == 4)
    assert {code for each in backends for code, _ in each.closes} == {4001}


@pytest.mark.parametrize("name", ["nginx", "haproxy", "caddy"])
@pytest_twisted.ensureDeferred
async def test_rolled(name: str, folder: Path, backends: list[Backend]) -> None:
    """
    Both nodes are restarted, one after the other, with the time between them that the guide gives: of ten handshakes a
    second none is refused, and all who were sent away know why. Caddy takes no handshake from a node that refuses it to
    another one: there some are refused, but none any more once the time of the guide is over.
    """
    proxy = await behind(name, folder, backends)
    crowd = Crowd(proxy)
    drained: list[Node] = []
    await crowd.begin()
    try:
        for backend in backends:
            drained.append(backend.node)
            await backend.restart()
            await pause(secondsBetween(name))
            refused = crowd.refused[:] if name == "caddy" else []
            await until(lambda each=backend: each.askedBefore is not None)  # type: ignore[misc]
            assert crowd.refused == refused
            # The first answer is enough for clients to come.
            assert (backend.askedBefore or 0) <= 1
    finally:
        await crowd.end()
    assert crowd.refused == refused
    # Or nothing was to be taken to the other node.
    assert sum(node.counters["handshakes_stopping"] for node in drained) > 0
    assert {code for caller in crowd.callers for code in caller.closes} == {1012, 4001}


def secondsBetween(name: str) -> float:
    """How long the guide says to wait after a node is ready again."""
    guide = (ROOT / "docs" / "operating.md").read_text("utf-8")
    (seconds,) = re.findall(rf"^\| {name} \| (\d+) \|", guide, re.MULTILINE | re.IGNORECASE)
    return float(seconds)


@pytest_twisted.ensureDeferred
async def test_caddyReloads(folder: Path, backends: list[Backend]) -> None:
    """
    When Caddy loads its configuration again it ends all WebSockets. The node is told that it was a proxy, and no fault
    of the client is counted; the client comes back by itself.
    """
    proxy = await behind("caddy", folder, backends)
    caller = Caller(proxy, attempts=None, fastReconnectInterval=0.1)
    await caller.come()
    await proxy.reload()
    await until(lambda: any(each.closes for each in backends))
    ((code, reason),) = [close for each in backends for close in each.closes]
    assert code == 1006 and reason.startswith("closed by a proxy: ")
    assert [each.node.counters["clients_faulty"] for each in backends] == [0, 0]
    await until(lambda: caller.closes and caller.client.isConnected)
    await caller.client.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a proxy another group")
@pytest.mark.parametrize("isMember", [True, False])
@pytest_twisted.ensureDeferred
async def test_group(folder: Path, backends: list[Backend], isMember: bool) -> None:
    """A proxy gets to a Unix socket with mode=660 if it is in the group of the node's process, and not otherwise."""
    path = folder / "crossws.sock"
    group, other = [each for each in grp.getgrall() if each.gr_gid and not each.gr_mem][:2]
    os.setegid(group.gr_gid)
    try:
        backends[0].start(f"unix:{path}:mode=660")
        backends[1].start()
    finally:
        os.setegid(0)
    assert (path.stat().st_gid, path.stat().st_mode & 0o777) == (group.gr_gid, 0o660)
    proxy = Proxy("nginx", folder, user=f"nobody {(group if isMember else other).gr_name}")
    await proxy.start({"127.0.0.1:9000": f"unix:{path}", "    server 127.0.0.1:9001 max_fails=0;\n": ""})
    caller = Caller(proxy)
    if isMember:
        await caller.come()
        assert (await caller.client.call("who"))[0] == "serverA"
    else:
        with pytest.raises(Exception, match="502"):
            await caller.come()
        await until(lambda: "Permission denied" in proxy.process.output)
    await caller.client.close()

"""
Many connections at once, opened by C{bench/wsload.c}, and what they cost a real server.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor

from tests.integration.process import PATIENCE, ROOT, NodeProcess, Process, pause, startNode
from twisted_crossws import Connector

reactor: Any = _reactor

_CC = shutil.which("cc")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(_CC is None, reason="The load generator is written in C, and there is no cc on the PATH."),
]

#: Resident memory that an idle connection may take, in units of 1,024 bytes.
KB_PER_CONNECTION = 12

MANY = 10_000

#: Open files of the server beside its connections.
SPARE = 200

APPLICATION = """
def makeService(node, many):
    here = set()
    node.clients.on("echo", lambda socket, payload: payload)
    node.clients.on("here", lambda socket, payload: len(here))

    @node.lifecycle.on("connection")
    def connection(socket):
        here.add(socket)
        if len(here) == many:
            print("full house", flush=True)

    node.lifecycle.on("close", lambda socket, code, reason: here.discard(socket))
"""

CONFIG = f"""
[websocket]
ping_interval = 20.0

[[service]]
use = "load_app:makeService"
[service.options]
many = {MANY}
"""


@pytest.fixture(scope="module")
def wsload(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The load generator, built from its source."""
    assert _CC is not None
    program = tmp_path_factory.mktemp("bench") / "wsload"
    subprocess.run([_CC, "-O2", "-o", str(program), str(ROOT / "bench" / "wsload.c")], check=True)
    return str(program)


@pytest.fixture
def manyFiles() -> Iterator[None]:
    """As many open files as L{MANY} connections need, for the processes that are started meanwhile."""
    wanted = MANY + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{MANY} connections need {wanted} open files, and the hard limit (ulimit -Hn) is {hard}.")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest_twisted.async_yield_fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeProcess]:
    """A server that pings its clients, and has had none yet."""
    (tmp_path / "load_app.py").write_text(APPLICATION)
    (tmp_path / "crossws.toml").write_text(CONFIG)
    node = await startNode(tmp_path / "crossws.toml")
    yield node
    await node.stop()


def idle(wsload: str, node: NodeProcess, conns: int, seconds: float) -> Process:
    """Connections that do nothing, held for so long."""
    options = {"--port": node.port, "--pid": node.pid, "--conns": conns, "--seconds": seconds}
    words = [str(word) for option in options.items() for word in option]
    return Process.start(wsload, "idle", *words, cwd=ROOT)


@pytest_twisted.ensureDeferred
async def test_memory(wsload: str, node: NodeProcess) -> None:
    """An idle connection costs less than 12 kB of memory."""
    load = idle(wsload, node, 1000, 1.0)
    assert await load.wait() == 0
    report = json.loads(load.output)
    assert report["conns"] == 1000
    assert 0 < report["kb_per_conn"] < KB_PER_CONNECTION


@pytest_twisted.ensureDeferred
async def test_manyConnections(wsload: str, manyFiles: None, node: NodeProcess) -> None:
    """Ten thousand connections are held, at the same price, and the server answers others at once meanwhile."""
    load = idle(wsload, node, MANY, 5.0)
    await node.says("full house")
    client = Connector(node.url)
    await client.connect().addTimeout(PATIENCE, reactor)
    assert await client.call("here") == MANY + 1
    slowest = 0.0
    for number in range(20):
        began = reactor.seconds()
        assert await client.call("echo", number) == number
        slowest = max(slowest, reactor.seconds() - began)
        await pause(0.1)
    assert slowest < 1.0
    assert await client.call("here") == MANY + 1
    assert await load.wait() == 0
    assert 0 < json.loads(load.output)["kb_per_conn"] < KB_PER_CONNECTION
    await client.close()

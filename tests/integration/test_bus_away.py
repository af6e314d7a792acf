"""
A real Redis that is away: whoever joins a room is told so in time, and nothing holds up the end of the process.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor

from tests.integration.process import PATIENCE, pause, startNode
from tests.integration.redis import FaultyRedis
from twisted_crossws import Connector

pytestmark = [pytest.mark.integration, pytest.mark.fates]
reactor: Any = _reactor

APPLICATION = """
def makeService(node):
    node.authenticate = lambda request: request.params["id"]

    @node.clients.on("enter")
    async def enter(socket, namespace):
        print(f"somebody enters {namespace}", flush=True)
        joined = await node.rooms.join(namespace, "1", socket.socketId)
        return joined.heard
"""


def configured(folder: Path, redis: FaultyRedis, timeout: float) -> Path:
    (folder / "enter_app.py").write_text(APPLICATION)
    path = folder / "crossws.toml"
    path.write_text(
        f'[node]\nserver_name = "serverA"\n[bus]\ntype = "redis"\nsubscribe_timeout = {timeout}\n'
        f'[bus.redis]\nurls = ["{redis.url}"]\n[[service]]\nuse = "enter_app:makeService"\n'
    )
    return path


@pytest_twisted.ensureDeferred
async def test_joined(tmp_path: Path, redis: FaultyRedis) -> None:
    """
    A client that enters a room of its own while the Redis is gone has its answer, which says that the room is not
    heard; when the Redis is back, it is.
    """
    node = await startNode(configured(tmp_path, redis, 1.0))
    client = Connector(node.url, params={"id": "sam"})
    await client.connect()
    assert await client.call("enter", "first", timeout=PATIENCE) is True
    redis.kill()
    await node.says("is not healthy")
    assert await client.call("enter", "second", timeout=PATIENCE) is False
    assert await client.call("enter", "first", timeout=PATIENCE) is False
    redis.start()
    began = reactor.seconds()
    while not await client.call("enter", "second", timeout=PATIENCE):
        assert reactor.seconds() - began < PATIENCE
        await pause(0.05)
    assert redis.command("PUBSUB", "NUMSUB", "ws:first", "ws:second") == ["ws:first", 1, "ws:second", 1]
    await client.close()
    assert await node.stop() == -signal.SIGTERM
    assert "Traceback" not in node.output


@pytest_twisted.ensureDeferred
async def test_stopped(tmp_path: Path, redis: FaultyRedis) -> None:
    """A node that is told to stop while somebody waits for a Redis that hangs gives the answer, and ends at once."""
    node = await startNode(configured(tmp_path, redis, 60.0))
    client = Connector(node.url, params={"id": "sam"}, repeatLimit=0)
    closed: list[int] = []
    client.lifecycle.on("close", lambda code, reason: closed.append(code))
    await client.connect()
    assert await client.call("enter", "first", timeout=PATIENCE) is True
    redis.freeze()
    entering = client.call("enter", "second", timeout=PATIENCE)
    await node.says("somebody enters second")
    assert not entering.called
    began = reactor.seconds()
    assert await node.stop() == -signal.SIGTERM
    assert reactor.seconds() - began < 5.0
    assert await entering is False
    assert closed == [1012]
    assert "draining ends by its deadline" not in node.output and "Traceback" not in node.output
    await client.close()

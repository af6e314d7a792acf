"""
Real nodes on a real Redis or hub, and clients through which a test makes them do things.

::

    one, two = await startPuppets(tmp_path, redis, ["serverA", "serverB"])
    await two.do("rooms.join", "chat", "lobby", two.clientId)
    await one.do("clients.toRoom", "chat", "lobby", "said", "hi")
    assert await two.receives("said") == "hi"
"""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from tests.integration.process import PATIENCE, NodeProcess, freePort, pause, reactor, startNode, twistd
from tests.integration.redis import FaultyRedis
from twisted_crossws import Connector

CONFIG = """
[node]
server_name = "{name}"
{node}

[bus]
{bus}
{carrier}

[[service]]
use = "tests.integration.puppet:makeService"
"""

REDIS = """
type = "redis"

[bus.redis]
urls = [{url}]
ping_interval = 1.0
ping_timeout = 0.5
"""

HUB = """
type = "hub"

[bus.hub]
path = {path}
"""


@dataclass(frozen=True)
class HubPath:
    """
    Stands for a L{FaultyRedis} where nodes are to be on a hub.

    @ivar path: of its socket.
    """

    path: str


#: What carries the bus.
Carrier = FaultyRedis | HubPath


class Raised(Exception):
    """
    What a node was told to do has failed.

    @ivar kind: the name of the class.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Puppet:
    """
    A node with L{puppet<tests.integration.puppet>} in it, and a client of it.

    @ivar name: of the server.
    @ivar process: of the node.
    @ivar client: connected.
    @ivar clientId: the C{socketId} of the client.
    """

    def __init__(self, name: str, process: NodeProcess) -> None:
        self.name = name
        self.process = process
        self.clientId = f"client of {name}"
        self.client = Connector(
            process.url, params={"id": self.clientId}, callTimeout=PATIENCE, fastReconnectInterval=0.1, pingInterval=0
        )

    async def do(self, what: str, *args: Any, **kwargs: Any) -> Any:
        """
        Make the node do something.

        @param what: a part of it and a method, such as C{rooms.join}.
        @return: the result, in its form in JSON.
        @raise Raised: it failed.
        """
        said = await self.client.call("do", {"what": what, "args": args, "kwargs": kwargs})
        if "raised" in said:
            raise Raised(*said["raised"])
        return said["is"]

    def receives(self, event: str) -> Deferred[Any]:
        """
        @return: fires with the payload when the client next gets this event.
        """
        received: Deferred[Any] = Deferred()
        self.client.once(event, received.callback)
        return received.addTimeout(PATIENCE, reactor)

    async def counters(self) -> dict[str, int]:
        """C{node.counters} now."""
        counters: dict[str, int] = await self.client.call("counters")
        return counters

    async def heard(self) -> list[list[Any]]:
        """What the service has heard of, in order."""
        heard: list[list[Any]] = await self.client.call("heard")
        return heard

    async def hears(self, *what: Any) -> None:
        """
        @return: when the service has heard of that.
        """
        until = reactor.seconds() + PATIENCE
        while list(what) not in await self.heard():
            assert reactor.seconds() < until, f"{self.name} does not hear {what}."
            await pause(0.02)

    async def health(self) -> str:
        """The status that C{/healthz} says."""
        _, body = await deferToThread(_get, self.process.port, "/healthz")
        return str(json.loads(body)["status"])

    async def isWell(self) -> None:
        """
        @return: when C{/healthz} says C{ok}.
        """
        until = reactor.seconds() + PATIENCE
        while (status := await self.health()) != "ok":
            assert reactor.seconds() < until, f"{self.name} is {status}."
            await pause(0.05)

    async def stop(self) -> None:
        """Stop client and node; nothing in its log may be a traceback."""
        await self.client.close()
        await self.process.stop()
        self.checkLog()

    async def kill(self) -> None:
        """The node ends as in a crash."""
        self.process.sendSignal(signal.SIGKILL)
        await self.client.close()
        await self.process.wait()
        self.checkLog()

    def checkLog(self) -> None:
        """Whatever happened, it is told in sentences."""
        assert "Traceback" not in self.process.output and "Unhandled" not in self.process.output, self.process.output


def writeConfig(folder: Path, redis: Carrier, name: str, *, node: str = "", bus: str = "", password: str = "") -> Path:
    """
    @param node: lines for that section.
    @param bus: the same.
    @param password: what the node takes for that of the Redis.
    """
    path = folder / f"{name}.toml"
    path.write_text(CONFIG.format(name=name, node=node, bus=bus, carrier=_carrier(redis, password)))
    return path


def _carrier(redis: Carrier, password: str) -> str:
    if isinstance(redis, HubPath):
        return HUB.format(path=json.dumps(redis.path))
    url = redis.url.replace("//", f"//:{password}@") if password else redis.url
    return REDIS.format(url=json.dumps(url))


async def startPuppet(folder: Path, redis: Carrier, name: str, **options: str) -> Puppet:
    """
    @param options: those of L{writeConfig}.
    @return: fires when it serves its client; the cluster it may not have joined yet.
    """
    puppet = Puppet(name, await startNode(writeConfig(folder, redis, name, **options)))
    await puppet.client.connect()
    return puppet


async def startPuppets(folder: Path, redis: Carrier, names: list[str], **options: str) -> list[Puppet]:
    """
    @param options: those of L{writeConfig}.
    @return: fires when they know each other.
    """
    starting = [Deferred.fromCoroutine(startPuppet(folder, redis, name, **options)) for name in names]
    puppets: list[Puppet] = await gatherResults(starting, consumeErrors=True)
    for puppet in puppets:
        await puppet.do("servers.whenServers", len(names), timeout=PATIENCE)
    return puppets


async def startedInVain(config: Path) -> tuple[int, str]:
    """
    @return: exit status and standard error of a node that is refused.
    """
    process = twistd("--config", str(config), "--listen", f"tcp:{freePort()}:interface=127.0.0.1", cwd=config.parent)
    status = await process.wait()
    assert "Traceback" not in process.output, process.output
    return status, process.errors


def _get(port: int, path: str) -> tuple[int, bytes]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body

"""
Servers that nobody knows of, on a real Redis.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from tests.bus.test_promises import Receiver
from tests.integration.redis import FaultyRedis
from twisted_crossws import BusUnavailable, CallTimeout, Node, NoSuchServer, redisBus
from twisted_crossws.state.counters import Counters

pytestmark = pytest.mark.integration

#: Long enough to be noticed where nothing is to be waited for.
LONG = 300.0


@pytest_twisted.ensureDeferred
async def test_unknownServer(redis: FaultyRedis) -> None:
    """A call to a name that nobody has fails at once; not while a peer listens whose name nobody knows."""
    nodes = [Node(name, redisBus([redis.url])) for name in ("serverA", "serverB")]
    for node in nodes:
        node.startService()
    for node in nodes:
        await node.servers.whenServers(2, timeout=30.0)
    servers = nodes[0].servers
    with pytest.raises(NoSuchServer):
        await servers.callOne("who", to="nobody", timeout=LONG)
    stranger = redisBus([redis.url]).attach(Receiver("nodejs"), reactor, Counters())
    await stranger.start()
    await stranger.subscribe("csbp:server_bridge")
    with pytest.raises(CallTimeout):
        await servers.callOne("who", to="nodejs", timeout=0.5)
    await stranger.stop()
    for node in nodes:
        await node.stopService()


@pytest_twisted.ensureDeferred
async def test_rights(redis: FaultyRedis) -> None:
    """A user that may not ask who is subscribed is told which right that is."""
    redis.command("ACL", "SETUSER", "sam", "on", ">pass", "allchannels", "-@all", "+publish", "+subscribe")
    asked: list[Any] = []
    for right in (None, "+pubsub|numsub"):
        if right is not None:
            redis.command("ACL", "SETUSER", "sam", right)
        bus = redisBus([f"redis://sam:pass@127.0.0.1:{redis.port}"])
        link = bus.attach(Receiver("serverA"), reactor, Counters())
        await link.start()
        await link.subscribe("x")
        await link.publishCounted("x", b"")
        try:
            asked.append(await link.hasOtherSubscribers("x", []))
        except BusUnavailable as fault:
            asked.append(str(fault))
        await link.stop()
    assert "+pubsub|numsub" in asked[0]
    assert asked[1] is True

"""
Nodes on a real Redis that fails: whatever one of them has published, the other one has got, or knows that it has not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.task import LoopingCall

from tests.integration.process import pause
from tests.integration.redis import FaultyRedis, eventually
from twisted_crossws import Config, Gap, Node, NodeConfig, redisBus

pytestmark = [pytest.mark.integration, pytest.mark.fates]
reactor: Any = _reactor

#: Seconds in which everything has come, or is known to be missing: nodes are connected again, a channel has become
#: quiet, that was told, and the time of grace is over.
PATIENCE = 30.0


class Pair:
    """
    Two nodes; the first one publishes events for servers, which the second one counts.

    @ivar came: how many of them came.
    @ivar gaps: what the second one is told that it has missed.
    """

    def __init__(self, url: str) -> None:
        config = Config(node=NodeConfig(announce_interval=0.3, lost_after=2.0))
        self.nodes = [
            Node(name, redisBus([url], pingInterval=0.2, pingTimeout=0.3), config=config) for name in ("a", "b")
        ]
        self.came = self.published = 0
        self.gaps: list[Gap] = []
        self._loop = LoopingCall(self._publishSome)

    async def start(self) -> Pair:
        for node in self.nodes:
            node.startService()
        for node in self.nodes:
            await node.whenJoined()
        _, hearing = self.nodes
        hearing.servers.on("tick", self._tick)
        hearing.bus.onGap(self.gaps.append)
        # One that comes, so that it is followed from there on.
        self._publishSome()
        await eventually(lambda: self.came, "the first one came")
        self._loop.start(0.01)
        return self

    async def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()
        for node in self.nodes:
            await node.stopService()

    async def settled(self) -> int:
        """
        Nothing more is published, and all that was has come, or is known to be missing.

        @return: how many are.
        """
        self._loop.stop()
        await eventually(lambda: self.came + self.missed >= self.published, "all is accounted for", PATIENCE)
        await eventually(lambda: all(node.bus.isHealthy for node in self.nodes), "both are healthy", PATIENCE)
        assert self.came + self.missed == self.published
        return self.missed

    @property
    def missed(self) -> int:
        return sum(gap.count or 0 for gap in self.gaps if gap.channel == "csbp:server_bridge")

    def _publishSome(self) -> None:
        for _ in range(10):
            self.published += 1
            self.nodes[0].servers.emit("tick", self.published, exceptSelf=True)

    def _tick(self, message: Any) -> None:
        self.came += 1


@pytest_twisted.async_yield_fixture
async def pair(redis: FaultyRedis) -> AsyncIterator[Pair]:
    pair = await Pair(redis.url).start()
    yield pair
    await pair.stop()


class TestMissed:
    @pytest_twisted.ensureDeferred
    async def test_frozenRedis(self, redis: FaultyRedis, pair: Pair) -> None:
        """A Redis that stands still, in any phase of the pings: the receiver knows exactly what did not come."""
        for seconds in (0.35, 0.6, 1.0):
            await pause(0.5)
            redis.freeze()
            await pause(seconds)
            redis.thaw()
        await pause(0.5)
        await pair.settled()

    @pytest_twisted.ensureDeferred
    async def test_unheardPublisher(self, redis: FaultyRedis, pair: Pair) -> None:
        """
        A Redis that takes no packets, while it answers pings: the publisher's connections are cut, again and again, and
        the receiver, whose own is sound, knows what it has missed.
        """
        redis.command("CLIENT", "PAUSE", "60000", "WRITE")
        await eventually(lambda: pair.nodes[0].counters["bus_unconfirmed"] > 100, "packets are lost", PATIENCE)
        # The Redis forgets what a connection has said that is gone, once it has noticed.
        await pause(0.3)
        redis.command("CLIENT", "UNPAUSE")
        assert await pair.settled() > 100
        assert pair.nodes[1].counters["bus_gaps"] == 0

    @pytest_twisted.ensureDeferred
    async def test_killedRedis(self, redis: FaultyRedis, pair: Pair) -> None:
        """A Redis that dies, and comes back empty: what is missing at the end is known without another packet."""
        redis.kill()
        await eventually(lambda: pair.nodes[0].counters["bus_dropped_full"] > 100, "packets are dropped", PATIENCE)
        pair._loop.stop()
        redis.start()
        pair._loop.start(10.0, now=False)
        assert await pair.settled() > 100
        assert [gap for gap in pair.gaps if not gap.sender and gap.seconds > 0.0]

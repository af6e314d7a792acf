"""
The first moments of a node, as it is run: a process of C{twistd crossws} on a real Redis, or on a hub.
"""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from tests.integration.cluster import Carrier, HubPath, Puppet, startPuppet, writeConfig
from tests.integration.process import PATIENCE, pause, reactor, startNode
from tests.integration.redis import FaultyRedis

pytestmark = [pytest.mark.integration, pytest.mark.fates]


@pytest.fixture(params=["redis", "hub"])
def carrier(request: pytest.FixtureRequest, tmp_path: Path) -> Carrier:
    if request.param == "hub":
        return HubPath(str(tmp_path / "hub"))
    redis: FaultyRedis = request.getfixturevalue("redis")
    return redis


@pytest_twisted.ensureDeferred
async def test_atOnce(carrier: Carrier, tmp_path: Path) -> None:
    """A client that comes as soon as a node starts misses no broadcast, and finds the clients of all other nodes."""
    one = await startPuppet(tmp_path, carrier, "serverA")
    sent: list[Any] = []
    got: list[Any] = []
    one.client.on("traffic", sent.append)
    await one.client.call("traffic", 0.005)
    two = Puppet("serverB", await startNode(writeConfig(tmp_path, carrier, "serverB")))
    two.client.on("traffic", got.append)
    await two.client.connect()
    opened = time()
    found = await two.do("clients.fetch")
    assert sorted(each["server"] for each in found["sockets"]) == ["serverA", "serverB"]
    assert found["missing"] == []
    until = reactor.seconds() + PATIENCE
    while len(got) < 150:
        assert reactor.seconds() < until, f"{len(got)} broadcasts came"
        await pause(0.02)
    await one.client.call("traffic", None)
    while got[-1] != sent[-1]:
        assert reactor.seconds() < until, "the last one did not come"
        await pause(0.02)
    missed = [each for each in sent if each[2] > opened and each not in got]
    assert missed == []
    await gatherResults([Deferred.fromCoroutine(each.stop()) for each in (one, two)], consumeErrors=True)

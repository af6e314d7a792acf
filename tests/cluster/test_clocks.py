"""
Servers whose clocks differ serve each other all the same.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from twisted_crossws.testing import MemoryCluster


@pytest.fixture(params=[3600.0, -3600.0], ids=["ahead", "behind"])
def cluster(request: pytest.FixtureRequest) -> MemoryCluster:
    """Of two servers, of which the second has its clock an hour off."""
    cluster = MemoryCluster(["serverA"])
    cluster.start("serverB", clockAhead=request.param)
    cluster.advance(1.0)
    return cluster


def results(deferred: Deferred[Any]) -> list[Any]:
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got


def test_calls(cluster: MemoryCluster) -> None:
    """Each answers the other's calls."""
    for name in ("serverA", "serverB"):
        cluster[name].servers.on("who", lambda message, name=name: name)
    there = results(cluster["serverA"].servers.callOne("who", to="serverB"))
    back = results(cluster["serverB"].servers.callOne("who", to="serverA"))
    cluster.advance()
    assert (there, back) == (["serverB"], ["serverA"])
    assert cluster["serverA"].counters["calls_expired"] == cluster["serverB"].counters["calls_expired"] == 0


def test_expired(cluster: MemoryCluster) -> None:
    """A call that waited too long before its receiver is not run: the deadline is meant by the caller's clock."""
    ran: list[Any] = []
    cluster["serverB"].servers.on("who", ran.append)
    cluster.freeze("serverB")
    cluster["serverA"].servers.call("who", to=["serverB"], timeout=1.0)
    cluster.advance(2.0)
    cluster.thaw("serverB")
    cluster.advance()
    assert ran == []
    assert cluster["serverB"].counters["calls_expired"] == 1


def test_restarted(cluster: MemoryCluster) -> None:
    """What was known of a clock ends with the server: its next life may have another one."""
    cluster["serverB"].servers.on("who", lambda message: "here")
    cluster.kill("serverB")
    cluster.advance(10.0)
    cluster.start("serverB", clockAhead=-7200.0).servers.on("who", lambda message: "again")
    cluster.advance(1.0)
    got = results(cluster["serverA"].servers.callOne("who", to="serverB"))
    cluster.advance()
    assert got == ["again"]


def test_said(cluster: MemoryCluster) -> None:
    """The log of a server says once whose clock is off, and by how much."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        cluster.start("serverC")
        cluster.advance(5.0)
    finally:
        globalLogPublisher.removeObserver(events.append)
    lines = [formatEvent(event) for event in events]
    assert len([line for line in lines if "the clock of serverB is 3600.0 seconds" in line]) == 1
    assert not any("the clock of serverA" in line for line in lines if line.startswith("serverC"))

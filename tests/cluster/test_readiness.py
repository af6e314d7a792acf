"""
What a balancer is told of a node when its Redis servers fail.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.bus.test_redis import Site
from twisted_crossws import Node
from twisted_crossws.testing import FakePeer


def asked(node: Node, path: str) -> tuple[int | None, dict[str, Any]]:
    """Status and body of a page."""
    peer = FakePeer(node, node.clock, request=f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    peer.leave()
    return peer.status, json.loads(peer.transport.value().partition(b"\r\n\r\n")[2])


def states(node: Node) -> list[tuple[int | None, str]]:
    """What C{/readyz} and C{/healthz} say."""
    return [(status, body["status"]) for status, body in (asked(node, "/readyz"), asked(node, "/healthz"))]


class TestTwoRedis:
    @pytest.fixture
    def site(self, clock: Clock) -> Site:
        return Site(clock, "ab")

    @pytest.fixture
    def node(self, site: Site) -> Node:
        node = Node("node", site.bus(), clock=site.clock)
        node.startService()
        site.advance(5.0)
        assert states(node) == [(200, "ready"), (200, "ok")]
        return node

    @pytest.mark.parametrize("name", ["a", "b"])
    def test_oneIsEnough(self, site: Site, node: Node, name: str) -> None:
        """While one of two is dead the node gets clients all the same, as all traffic flows; it says C{degraded}."""
        site.redis[name].kill()
        site.advance(1.0)
        assert states(node) == [(200, "ready"), (200, "degraded")]
        assert (node.bus.isHealthy, node.bus.isConnected) == (False, True)
        site.redis[name].isDown = False
        site.advance(5.0)
        assert states(node) == [(200, "ready"), (200, "ok")]

    def test_none(self, site: Site, node: Node) -> None:
        """While both are it is cut off, and says so."""
        for redis in site.redis.values():
            redis.kill()
        site.advance(1.0)
        assert states(node) == [(503, "degraded"), (200, "degraded")]
        assert asked(node, "/readyz")[1]["reason"] == "Its bus is away, so it is cut off from other servers."
        assert (node.bus.isHealthy, node.bus.isConnected) == (False, False)

    def test_halfOfEach(self, site: Site, node: Node) -> None:
        """One to publish on and another one to hear are no way to be in a cluster."""
        site.redis["a"].errors["PING"] = site.redis["b"].errors["SUBSCRIBE"] = "NOAUTH Authentication required."
        site.redis["a"].drop(*site.redis["a"].publishers)
        site.redis["b"].drop(*site.redis["b"].subscribers)
        site.advance(1.0)
        assert (node.bus.healthyCount("publisher"), node.bus.healthyCount("subscriber")) == (1, 1)
        assert states(node) == [(503, "degraded"), (200, "degraded")]

"""
What an application sees of the links to the bus.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from twisted_crossws import HealthChange, Node
from twisted_crossws.bus.memory import MemoryLink
from twisted_crossws.testing import MemoryCluster


@pytest.fixture
def node() -> Node:
    return MemoryCluster(["serverA"])["serverA"]


class TestWithoutRedis:
    def test_none(self, node: Node) -> None:
        """On a bus that is none of Redis servers there are no links, and none can be added."""
        assert node.bus.redisCount() == 0
        assert node.bus.healthyCount("publisher") == node.bus.healthyCount("subscriber") == 0
        assert node.bus.isHealthy
        with pytest.raises(ValueError, match="memory bus"):
            node.bus.addRedis("redis://localhost")

    def test_added(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        """On one that is, who adds one is told when the bus says that it is there."""
        added: Deferred[None] = Deferred()
        monkeypatch.setattr(MemoryLink, "addRedis", lambda link, url: added)
        told: list[Any] = []
        node.bus.addRedis("redis://localhost").addCallback(told.append)
        assert told == []
        added.callback(None)
        assert told == [None]

    def test_badRole(self, node: Node) -> None:
        """A role is one of two words."""
        role: Any = "reader"
        with pytest.raises(ValueError, match="'reader'"):
            node.bus.healthyCount(role)


class TestListeners:
    def test_inOrder(self, node: Node, logged: list[Any]) -> None:
        """Listeners run in the order in which they were added, and one that fails harms no other."""
        change = HealthChange("redis://h", "publisher", False, "connection lost", {"publisher": 0, "subscriber": 1})
        told: list[Any] = []
        node.bus.onHealthChange(lambda change: told.append(1))
        node.bus.onHealthChange(lambda change: 1 / 0)
        node.bus.onHealthChange(told.append)
        node.bus.healthChanged(change)
        assert told == [1, change]
        assert logged.pop().check(ZeroDivisionError)

    def test_subscriptionError(self, node: Node) -> None:
        """A subscription that is refused is told with its channel and why."""
        told: list[Any] = []
        node.bus.onSubscriptionError(lambda *args: told.append(args))
        fault = PermissionError("NOPERM")
        node.bus.subscriptionFailed("ws:chat", fault)
        assert told == [("ws:chat", fault)]

    def test_notCallable(self, node: Node) -> None:
        """A listener is something that can be called."""
        listener: Any = 5
        with pytest.raises(TypeError, match="5"):
            node.bus.onHealthChange(listener)
        with pytest.raises(TypeError, match="5"):
            node.bus.onSubscriptionError(listener)

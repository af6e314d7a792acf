"""Services that start or stop by an C{async def}."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twisted_crossws import Node
from twisted_crossws.services.applications import addApplication
from twisted_crossws.services.asyncservice import startable


class _Service(Service):
    """
    @ivar told: what happened to it.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.waiting: Deferred[None] = Deferred(lambda _: self.told.append("cancelled"))

    def privilegedStartService(self) -> None:
        self.told.append("privileged")


class Starting(_Service):
    async def startService(self) -> None:  # type: ignore[override]
        self.told.append("starts")
        await self.waiting
        self.told.append("has started")

    def stopService(self) -> str:  # type: ignore[override]
        self.told.append("stops")
        return "stopped"


class Stopping(_Service):
    def startService(self) -> None:
        self.told.append("starts")

    async def stopService(self) -> None:  # type: ignore[override]
        await succeed(None)
        self.told.append("has stopped")


class TestAsyncService:
    def test_starts(self) -> None:
        """An async startService is run, and may take its time."""
        service = Starting()
        child = startable(service)
        child.privilegedStartService()
        child.startService()
        assert service.told == ["privileged", "starts"] and child.running
        service.waiting.callback(None)
        assert service.told[2:] == ["has started"]
        assert child.stopService() == "stopped" and not child.running
        assert service.told[3:] == ["stops"]

    def test_stopsWhileItStarts(self) -> None:
        """One that still starts, or does its work there, is cancelled when the service is to stop."""
        service = Starting()
        child = startable(service)
        child.startService()
        child.stopService()
        assert service.told == ["starts", "cancelled", "stops"]

    def test_failure(self, logged: list[Failure]) -> None:
        """One that fails is logged."""
        service = Starting()
        startable(service).startService()
        service.waiting.errback(KeyError("no"))
        assert [failure.type for failure in logged] == [KeyError]
        logged.clear()

    def test_stops(self) -> None:
        """An async stopService is waited for."""
        service = Stopping()
        child = startable(service)
        child.startService()
        results: list[Any] = []
        child.stopService().addCallback(results.append)
        assert service.told == ["starts", "has stopped"] and results == [None]

    def test_plain(self) -> None:
        """Others are what they are."""
        service = Service()
        assert startable(service) is service

    @pytest.mark.parametrize("name", [None, "clock"])
    def test_inANode(self, clock: Clock, name: str | None) -> None:
        """As what an application returns it starts and stops with the node, and is found by its name."""
        service = Starting()
        if name is not None:
            service.setName(name)
        node = Node(clock=clock)
        addApplication(node, lambda node: service, {})
        node.startService()
        assert "starts" in service.told
        assert name is None or node.getServiceNamed(name).running
        node.stopService()
        clock.advance(30)
        assert service.told[-1] == "stops"

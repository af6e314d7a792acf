"""
A service whose C{startService} or C{stopService} is an C{async def}.
"""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_crossws.state.coroutines import deferredOf, explained

_log = Logger()


def startable(service: Any) -> Any:
    """
    @param service: an C{IService}.
    @return: the same, or what stands for it if a coroutine is to be run when it starts or stops.
    """
    isAsync = iscoroutinefunction(service.startService) or iscoroutinefunction(service.stopService)
    return _AsyncService(service) if isAsync else service


class _AsyncService(Service):
    """
    Stands for a service as the child of a node: Twisted would call an C{async def startService}, and never run what it
    returns. If that still runs when the service is to stop, it is cancelled first.
    """

    def __init__(self, service: IService) -> None:
        self._service: Any = service
        self._starting: Any = None
        if self._service.name is not None:
            self.setName(self._service.name)

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self._service.privilegedStartService()

    def startService(self) -> None:
        super().startService()
        self._starting = deferredOf(self._service.startService())
        if isinstance(self._starting, Deferred):
            self._starting.addErrback(self._failed)

    def stopService(self) -> Any:
        super().stopService()
        if isinstance(self._starting, Deferred):
            self._starting.cancel()
        return deferredOf(self._service.stopService())

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("the service {service!r} failed", failure=explained(failure), service=self._service)

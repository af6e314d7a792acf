"""
What is wrong with a server that only trying tells: endpoints, origins, folders, modules.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from twisted_crossws.config import ServiceConfig
from twisted_crossws.places import Source
from twisted_crossws.plan import ServerPlan
from twisted_crossws.services.applications import Application, checkOptions, findApplication
from twisted_crossws.services.endpoints import endpointFault
from twisted_crossws.wire.origin import OriginPolicy
from twisted_crossws.wire.topics import Topics


class Trial:
    """
    A server that is tried, without running any of it.

    @ivar faults: a sentence for each.
    @ivar applications: what its services name, in their order; without those that are faulty.
    """

    def __init__(self, server: ServerPlan, source: Source, listenOption: str = "") -> None:
        """
        @param listenOption: the option that the endpoints are from, if they are not from the file.
        """
        self.faults: list[str] = []
        self.applications: list[Application] = []
        self._server = server
        self._source = source
        self._endpoints(listenOption)
        self._origins()
        self._presets()
        self._folders()
        with environment(server.env):
            for number, service in enumerate(server.config.service):
                self._service(service, number)

    def _endpoints(self, option: str) -> None:
        from twisted.internet import reactor

        for description in self._server.config.websocket.listen:
            if (fault := endpointFault(description, reactor)) is not None:
                says = f"names {description!r}, {fault}."
                if option:
                    self.faults.append(f"{option} {says}")
                else:
                    self._say("websocket", "listen", says)

    def _origins(self) -> None:
        try:
            OriginPolicy(self._server.config.websocket.allowed_origins)
        except ValueError as fault:
            self._say("websocket", "allowed_origins", f"cannot be used: {fault}")

    def _presets(self) -> None:
        bus = self._server.config.bus
        try:
            topics = Topics(bus.bridge_prefix, bus.room_prefix)
        except ValueError:
            return  # Contradicting prefixes are a fault already.
        for namespace in self._server.config.rooms.preset:
            try:
                topics.preset(namespace)
            except ValueError as fault:
                self._say("rooms", "preset", f"cannot be used: {fault}")

    def _folders(self) -> None:
        static = self._server.config.websocket.static
        if static and not os.path.isdir(static):
            self._say("websocket", "static", f"names {static!r}, which is no folder.")

    def _service(self, service: ServiceConfig, number: int) -> None:
        if not service.use:
            return  # Its missing or bad 'use' is a fault already.
        try:
            application = findApplication(service.use)
            checkOptions(application, service.options)
        except LookupError as fault:
            place = self._server.services[number]
            self.faults.append(self._source.fault(place, "use", f"{service.use!r} {fault.args[0]}"))
        else:
            self.applications.append(application)

    def _say(self, section: str, key: str, says: str) -> None:
        self.faults.append(self._source.fault(self._server.place(section, key), key, says))


@contextmanager
def environment(more: Mapping[str, str]) -> Iterator[None]:
    """
    While a module is imported for a trial, it finds what it will find in its own process.
    """
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

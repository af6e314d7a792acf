"""
C{twistd crossws}: from the command line to a running node.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from typing import Any, NoReturn

from msgspec.structs import replace
from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import Options as BaseOptions
from zope.interface import implementer

from twisted_crossws.bus.memory import memoryBus
from twisted_crossws.bus.redis import redisBus
from twisted_crossws.config import BusConfig, Config, ServiceConfig
from twisted_crossws.configfile import Source, readConfig
from twisted_crossws.errors import NameTaken
from twisted_crossws.interfaces import IBus
from twisted_crossws.node import Node
from twisted_crossws.services.applications import Application, addApplication, checkOptions, findApplication
from twisted_crossws.services.collector import SteadyCollector
from twisted_crossws.services.ports import ListenError, PortService
from twisted_crossws.wire.origin import OriginPolicy
from twisted_crossws.wire.topics import Topics

_log = Logger()


class Options(BaseOptions):
    """
    What the command line says, and what the configuration file says that it names. Whatever is wrong with either is
    found here, before anything runs: one sentence for each fault on standard error, and exit status 1.
    """

    synopsis = "[options]"
    longdesc = "Serves WebSocket clients: events with replies, rooms, and servers that call each other."
    optParameters = [
        ["config", "c", None, "The configuration file (TOML)."],
        ["server-name", None, None, "The name of this node, instead of the file's server_name."],
    ]
    optFlags = [["check", None, "Say what would run and what is wrong with the file, and do nothing else."]]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, description: str) -> None:
        """A Twisted endpoint to listen on, instead of those of the file; may be given several times."""
        self["listen"].append(description)

    def postOptions(self) -> None:
        if not self["config"]:
            _refuse(["crossws needs a configuration file: --config FILE."])
        path = os.path.abspath(self["config"])
        config, source, faults = readConfig(path)
        self.folder = os.path.dirname(path)
        # An application stands beside its configuration file.
        if self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        self.config = self._withOverrides(config)
        self.source = source
        self.applications: list[Application] = []
        faults.extend(self._faultsOfUse())
        if faults:
            _refuse(faults)
        if self["check"]:
            print(_summary(self.config, source))
            raise SystemExit(0)

    def place(self) -> str:
        """Where the endpoints come from, to begin a sentence with."""
        return "--listen" if self["listen"] else f"{self.source.name}: [websocket] listen"

    def _withOverrides(self, config: Config) -> Config:
        websocket = config.websocket
        if self["listen"]:
            websocket = replace(websocket, listen=tuple(self["listen"]))
        if websocket.static:
            websocket = replace(websocket, static=os.path.join(self.folder, websocket.static))
        node = replace(config.node, server_name=self["server-name"]) if self["server-name"] else config.node
        return replace(config, node=node, websocket=websocket)

    def _faultsOfUse(self) -> list[str]:
        """What can only be told by trying: endpoints, origins, folders, modules."""
        websocket, faults = self.config.websocket, []
        if self["server-name"] is not None and not self["server-name"].strip():
            faults.append("--server-name must be a name that is not blank.")
        for description in websocket.listen:
            faults += self._endpointFault(description)
        try:
            OriginPolicy(websocket.allowed_origins)
        except ValueError as fault:
            faults.append(self.source.fault("websocket", "allowed_origins", f"cannot be used: {fault}"))
        faults += self._busFaults()
        faults += self._presetFaults()
        if websocket.static and not os.path.isdir(websocket.static):
            faults.append(self.source.fault("websocket", "static", f"names {websocket.static!r}, which is no folder."))
        for number, service in enumerate(self.config.service, 1):
            faults += self._serviceFault(service, number)
        return faults

    def _busFaults(self) -> list[str]:
        faults = []
        if self.config.bus.type != "memory" and not self.config.node.server_name:
            says = "is missing; a node that others can reach needs a name, unique in the cluster (or --server-name)."
            faults.append(self.source.fault("node", "server_name", says))
        try:
            busOf(self.config.bus)
        except ValueError as fault:
            faults.append(self.source.fault("bus.redis", "urls", f"cannot be used: {fault}"))
        return faults

    def _presetFaults(self) -> list[str]:
        bus, faults = self.config.bus, []
        try:
            topics = Topics(bus.bridge_prefix, bus.room_prefix)
        except ValueError:
            return []  # Contradicting prefixes are a fault already.
        for namespace in self.config.rooms.preset:
            try:
                topics.preset(namespace)
            except ValueError as fault:
                faults.append(self.source.fault("rooms", "preset", f"cannot be used: {fault}"))
        return faults

    def _endpointFault(self, description: str) -> list[str]:
        from twisted.internet import reactor

        try:
            serverFromString(reactor, description)
        except Exception as fault:
            says = f"names {description!r}, which is no endpoint: {fault}."
            return [f"--listen {says}" if self["listen"] else self.source.fault("websocket", "listen", says)]
        return []

    def _serviceFault(self, service: ServiceConfig, number: int) -> list[str]:
        if not service.use:
            return []  # Its missing or bad 'use' is a fault already.
        try:
            application = findApplication(service.use)
            checkOptions(application, service.options)
        except LookupError as fault:
            return [self.source.fault("service", "use", f"{service.use!r} {fault.args[0]}.", number)]
        self.applications.append(application)
        return []


def busOf(config: BusConfig) -> IBus:
    """
    The bus that a configuration asks for.

    @raise ValueError: a URL of a Redis is faulty, or two are of one server.
    """
    if config.type == "redis":
        redis = config.redis
        bus: IBus = redisBus(
            redis.urls,
            strategy=redis.strategy,
            forcePing=redis.force_ping,
            pingInterval=redis.ping_interval,
            pingTimeout=redis.ping_timeout,
            maxWaitingPackets=redis.max_waiting_packets,
            maxWaitingBytes=redis.max_waiting_bytes,
            maxWaitingSeconds=redis.max_waiting_seconds,
        )
        return bus
    memory: IBus = memoryBus()
    return memory


def makeService(options: Options) -> IService:
    """
    The node of the configuration, with its ports and applications.
    """
    from twisted.internet import reactor

    node = Node(bus=busOf(options.config.bus), config=options.config)
    for application, service in zip(options.applications, options.config.service, strict=True):
        addApplication(node, application, service.options)
    for description in options.config.websocket.listen:
        PortService(node, description, options.place(), reactor).setServiceParent(node.ports)
    command = CommandService(node, options, reactor)
    if options.config.node.collector == "steady":
        SteadyCollector().setServiceParent(command)
    return command


@implementer(IService)
class CommandService(MultiService):
    """
    A node as a command: a port that is taken ends it with a sentence and no traceback, and a second signal while it
    stops ends it at once.
    """

    def __init__(self, node: Node, options: Options, reactor: Any) -> None:
        super().__init__()
        self.node = node
        self._options = options
        self._reactor = reactor
        node.setServiceParent(self)

    def privilegedStartService(self) -> None:
        try:
            super().privilegedStartService()
        except ListenError as fault:
            self._cannotListen(fault)

    def startService(self) -> None:
        try:
            super().startService()
        except ListenError as fault:
            self._cannotListen(fault)
        self._reactor.addSystemEventTrigger("before", "shutdown", _letSignalsKill)
        self._reactor.callWhenRunning(_log.info, "{server} is ready", server=self.node.serverName)
        self._reactor.callWhenRunning(self._whenJoined)

    def _whenJoined(self) -> None:
        node = self.node
        joining = node.whenJoined().addCallback(lambda _: _log.info("{server} has joined", server=node.serverName))
        joining.addErrback(self._refused)

    def _refused(self, failure: Failure) -> None:
        failure.trap(NameTaken, CancelledError)
        if failure.check(NameTaken):
            print(failure.getErrorMessage(), file=sys.__stderr__)
            # twistd has no other way to end a running process with a status of one's own.
            atexit.register(_exitWithFailure)
            self._reactor.stop()

    def _cannotListen(self, fault: ListenError) -> None:
        parent: Any = self._options.parent or {}
        if not parent.get("nodaemon", True):
            raise fault  # The daemon tells it to who started it, and to the log.
        pidFile = parent.get("pidfile")
        if pidFile and os.path.exists(pidFile):
            os.remove(pidFile)
        _refuse([str(fault)])


def _exitWithFailure() -> NoReturn:
    sys.stdout.flush()
    os._exit(1)


def _letSignalsKill() -> None:
    """From now on the signals that stop a process do what they do by default: end it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _refuse(faults: list[str]) -> NoReturn:
    # Once twistd logs, sys.stderr is its log.
    for fault in faults:
        print(fault, file=sys.__stderr__)
    raise SystemExit(1)


def _summary(config: Config, source: Source) -> str:
    websocket = config.websocket
    lines = [
        f"{source.name} has no faults. It runs",
        f"  node      {config.node.server_name or 'without a name'}",
        f"  bus       {config.bus.type}",
        *(f"  listen    {description}" for description in websocket.listen),
        f"  path      {'/' + websocket.path.strip('/') if websocket.path else 'any'}",
        f"  static    {websocket.static or 'nothing'}",
        *(f"  service   {service.use}" for service in config.service),
    ]
    return "\n".join(lines)
